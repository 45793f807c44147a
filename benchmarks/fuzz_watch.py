"""Notice, within a process, files that are opened, made or removed where no case has any business."""

import os
import sys
import tempfile
from pathlib import Path

BAIT = "/etc/passwd"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate", "os.rmdir", "os.chmod")


class Watch:
    """What Python's own functions were asked for since ``begin``: reading ``bait``, or writing outside ``inside``.

    Temporary files are let pass. What libraries in C open is not seen.
    """

    def __init__(self, bait: Path, inside: Path) -> None:
        self._bait, self._inside = (BAIT, str(bait) + os.sep), str(inside) + os.sep
        self._temporary = str(Path(tempfile.gettempdir()) / "fullyconv-masks-")
        self.found: set[str] = set()
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike):
                self._opened(os.path.normpath(Path.cwd() / os.fsdecode(path)), bool(flags & WRITING))
        elif event in CHANGES:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                if isinstance(path, str | bytes | os.PathLike):
                    self._opened(os.path.normpath(Path.cwd() / os.fsdecode(path)), writing=True)

    def _opened(self, path: str, writing: bool) -> None:
        allowed = path.startswith((self._inside, self._temporary, "/dev/", "/proc/self/"))
        if path.startswith(self._bait) or (writing and not allowed):
            self.found.add(f"{'writes' if writing else 'reads'} {path}")
