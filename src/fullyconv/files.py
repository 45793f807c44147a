"""Files: written whole or not at all; and why one is not there to be read."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UMASK = os.umask(0)  # read once: it can only be read by setting it, for all threads
os.umask(UMASK)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; it replaces ``path`` on success and is removed on error.

    The rename is atomic, so that a reader (or a run killed half way) sees the old file or the new one, never a part.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:  # about ``path``, not about the name beside it
        raise OSError(error.errno, error.strerror, str(path)) from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~UMASK)
        try:
            beside.replace(path)
        except OSError as error:  # as on Windows, where another program has the file open
            raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException as error:
        beside.unlink(missing_ok=True)
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch.save puts its words over it
        if isinstance(cause, OSError) and cause.filename is None:  # as where the disk is full
            raise OSError(cause.errno, cause.strerror, str(path)) from error
        raise


def write_whole(path: str | Path, content: bytes | str) -> None:
    """Write ``content`` (text as UTF-8) to ``path``, whole or not at all."""
    with whole_file(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def absence(path: str | Path) -> str:
    """Say why there is no file to read at ``path``: nothing is there, a link leads nowhere, or it is no file."""
    path = Path(path)
    if path.is_symlink() and not path.exists():
        return f"is a link to {path.readlink()}, which is not there"
    return "is a folder, a pipe or a device, not a file" if path.exists() else "there is no such file"


def exists(path: Path) -> bool:
    """Whether there is a file or folder; unlike ``Path.exists`` without an error for a name that no system takes."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with characters that names cannot have
        return False


def file_state(path: Path) -> tuple[int, int] | None:
    """Return a file's size, in bytes, and time of change, in nanoseconds; None if there is no file.

    While both are the same, the file counts as unchanged.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
