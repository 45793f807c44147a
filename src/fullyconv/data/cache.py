"""A cache beside a data set of what its files hold, so that each file is decoded once and not in every command.

A file counts as unchanged while its path, size and time of change are the same. The cache holds only numbers and text;
it is ignored where it is damaged, or was written by another version of the code that reads files. Where the data set's
folder cannot be written, the cache stays in this process's memory: files elsewhere would never be removed.
"""

import hashlib
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import PIL
from pydantic import BaseModel, ConfigDict, ValidationError

import fullyconv
from fullyconv.data import contents, masks
from fullyconv.data.contents import ImageContent, MaskContent, read_image_content, read_mask_content
from fullyconv.data.images import gdal, headers, pictures, read, slides, tiff
from fullyconv.data.images import source as image_source
from fullyconv.data.published import matlab
from fullyconv.files import write_whole

FILE = ".fullyconv-cache.json"
MAX_BYTES = 1 << 30
MAX_KINDS = 1024
"""Masks of more values or colours are not cached: they are faulty, and would take much room."""
SETTLED = 2_000_000_000
"""Nanoseconds since a file's last change before it is cached.

File systems keep times coarsely, so that a file may change again soon after without a new time of change."""

Content = TypeVar("Content", ImageContent, MaskContent)


class Entry(BaseModel, Generic[Content]):
    """What one file held when it had this size, in bytes, and this time of change, in nanoseconds."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    size: int
    changed: int
    content: Content


class Stored(BaseModel):
    """The cache file: entries by file path; for MATLAB files, by path, a line break and the key within the file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    version: str
    images: dict[str, Entry[ImageContent]] = {}
    masks: dict[str, Entry[MaskContent]] = {}


class Contents:
    """What the files of the data set at ``root`` hold, each read once and then cached. Threads may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stored = read_stored(root / FILE)
        self.unsaved = False

    def image(self, path: Path) -> ImageContent:
        """Return what an image file holds. Raises DataError where it cannot be read."""
        return self._get(self.stored.images, self._name(path), path, read_image_content)

    def mask(self, path: Path, key: str | None) -> MaskContent:
        """Return what a mask file holds; ``key`` is that of ``open_mask``. Raises DataError where it cannot be read."""
        name = self._name(path) if key is None else f"{self._name(path)}\n{key}"
        return self._get(self.stored.masks, name, path, lambda path: read_mask_content(path, key))

    def save(self) -> None:
        """Write new entries to the cache file, keeping those of other processes; do nothing if it cannot be written."""
        if not self.unsaved:
            return
        others = read_stored(self.root / FILE)
        merged = Stored(
            version=self.stored.version,
            images={**others.images, **self.stored.images},
            masks={**others.masks, **self.stored.masks},
        )
        for entries in (merged.images, merged.masks):
            for name in [name for name in entries if not (self.root / name.partition("\n")[0]).exists()]:
                del entries[name]
        text = merged.model_dump_json()
        try:
            write_whole(self.root / FILE, f"{_digest(text)}\n{text}")
        except OSError:  # the folder is read-only, or the disk is full
            return
        self.unsaved = False

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path.absolute())

    def _get(
        self, entries: dict[str, Entry[Content]], name: str, path: Path, read: Callable[[Path], Content]
    ) -> Content:
        stamp = _stamp(path)
        known = entries.get(name)
        if known is not None and (known.size, known.changed) == stamp:
            return known.content
        content = read(path)
        small = not isinstance(content, MaskContent) or len(content.values) + len(content.colours) <= MAX_KINDS
        if small and stamp is not None and stamp == _stamp(path) and time.time_ns() - stamp[1] > SETTLED:
            entries[name] = Entry(size=stamp[0], changed=stamp[1], content=content)
            self.unsaved = True
        return content


@lru_cache(maxsize=8)
def contents_of(root: Path) -> Contents:
    """Return the ``Contents`` of the data set at ``root``, which everything in this process shares."""
    return Contents(root)


def read_stored(file: Path) -> Stored:
    """Read a cache file; the result is empty if it is missing, damaged, or written by other code."""
    nothing = Stored(version=version())
    try:
        if file.stat().st_size > MAX_BYTES:
            return nothing
        digest, _, text = file.read_text(encoding="utf-8").partition("\n")
        stored = Stored.model_validate_json(text) if digest == _digest(text) else nothing
    except (OSError, UnicodeDecodeError, ValidationError):
        return nothing
    return stored if stored.version == nothing.version else nothing


@lru_cache(maxsize=1)
def version() -> str:
    """Return the version of the code that reads files: a digest of ours, and the versions of Pillow and NumPy."""
    source = hashlib.blake2b(digest_size=16)
    for module in (contents, read, image_source, headers, pictures, gdal, tiff, slides, masks, matlab):
        try:
            source.update(Path(str(module.__file__)).read_bytes())
        except OSError:  # installed without its source, which the version then identifies
            source.update(module.__name__.encode())
    return f"{fullyconv.__version__} {PIL.__version__} {np.__version__} {source.hexdigest()}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
