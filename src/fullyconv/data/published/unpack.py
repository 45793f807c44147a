"""Unpack tar archives safely: only files and folders, only into one folder, and no more than there is room for."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

MAX_BYTES = 32 * 2**30
"""Most bytes of an archive's files together; the largest published data set here has 2 GiB."""
MAX_ENTRIES = 1_000_000
LONGEST_READ = 1 << 20
"""Most bytes that are read at once: an entry's description, such as a long name, may claim any length."""


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of ``archive``, plain or gzipped tar, below ``folder``. Links and devices are left out.

    Raises ValueError where an entry leads out of the folder or the whole is too large, OSError or tarfile.TarError
    where the archive is damaged. Files written before the error remain.
    """
    with _opened(archive) as content, tarfile.TarFile(fileobj=_ShortReads(content)) as tar:
        room = min(MAX_BYTES, shutil.disk_usage(folder).free)
        entries = written = 0
        for entry in tar:
            entries, written = entries + 1, written + entry.size
            if entries > MAX_ENTRIES:
                raise ValueError(f"it holds more than {MAX_ENTRIES:,} entries")
            if written > room:
                raise ValueError(f"its files need more than the {room:,} bytes that are free or allowed")
            if entry.isdir() or entry.isreg():
                target = folder / inner_path(entry.name)
                _write(tar, entry, target)


def inner_path(name: str) -> PurePosixPath:
    """Return an entry's name as a path below a folder. Raises ValueError where it leads elsewhere on any system."""
    path, on_windows = PurePosixPath(name), PureWindowsPath(name)
    leads_out = ".." in path.parts or ".." in on_windows.parts
    if path.is_absolute() or on_windows.anchor or leads_out or "\0" in name or ":" in name:
        raise ValueError(f"its entry {name[:200]!r} leads out of the folder that it is unpacked into")
    return path


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    if entry.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(entry)
    if content is None:  # only for links and devices
        return
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
    if target.stat().st_size != entry.size:
        raise ValueError(f"it ends within {entry.name[:200]!r}")


def _opened(archive: Path) -> BinaryIO:
    with archive.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(archive) if gzipped else archive.open("rb")  # type: ignore[return-value]


class _ShortReads(io.RawIOBase):
    """A file that refuses long reads, because tarfile reads descriptions of whatever length a header claims."""

    def __init__(self, file: BinaryIO):
        self.file = file

    def seek(self, place: int, whence: int = 0) -> int:
        return self.file.seek(place, whence)

    def tell(self) -> int:
        return self.file.tell()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise ValueError(f"it asks for {size:,} bytes at once")
        return self.file.read(size)
