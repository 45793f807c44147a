"""Cache the summaries of a data set's files next to it, so that each file is decoded once and not by every command.

A file counts as unchanged while its path, size and modification time stay the same. The cache holds only numbers and
text. It is ignored if it is damaged or was written by another version of the code that reads files. If the data set's
folder is read-only, the cache stays in memory, because a cache file elsewhere would never be removed.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import PIL
from pydantic import BaseModel, ConfigDict, ValidationError

import fullyconv
from fullyconv.data import contents, masks
from fullyconv.data.contents import ImageContent, MaskContent, read_image_content, read_mask_content
from fullyconv.data.images import fingerprint, gdal, headers, pictures, read, slides, tiff
from fullyconv.data.images import source as image_source
from fullyconv.data.images.headers import BESIDE
from fullyconv.data.published import matlab
from fullyconv.data.splits import near
from fullyconv.data.splits.near import Known
from fullyconv.files import file_state, write_whole

READERS = (
    *(read, image_source, headers, pictures, gdal, tiff, slides),
    *(contents, fingerprint, masks, matlab, near),
)
"""The modules on which the summaries of files depend."""
FILE = ".fullyconv-cache.json"
MAX_BYTES = 1 << 30
MAX_KINDS = 1024
"""Masks with more values or colours are not cached, because they are faulty and would take much space."""
SETTLED = 2_000_000_000
"""Nanoseconds since the last change of a file after which it may be cached.

File systems store coarse times, so a file that changes again shortly after may keep its modification time."""

Content = TypeVar("Content", ImageContent, MaskContent)


class Entry(BaseModel, Generic[Content]):
    """The summary of a file with this size, in bytes, and this modification time, in nanoseconds."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    size: int
    changed: int
    content: Content


class Stored(BaseModel):
    """The cache file: entries by path. For MATLAB files the key is the path, a line break and the key in the file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    version: str
    images: dict[str, Entry[ImageContent]] = {}
    masks: dict[str, Entry[MaskContent]] = {}
    alike: dict[str, bool] = {}
    """Whether two images are nearly the same, by their ``ImageContent.sample`` (see ``near.Known``)."""


class Contents:
    """The cached summaries of the files of the data set at ``root``; safe to share between threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stored = read_stored(root / FILE)
        self.unsaved = False
        self.compared = len(self.stored.alike)

    def image(self, path: Path) -> ImageContent:
        """Return the summary of an image file. Raises DataError if it cannot be read."""
        return self._get(self.stored.images, self._name(path), path, read_image_content)

    def mask(self, path: Path, key: str | None) -> MaskContent:
        """Return the summary of a mask file; for ``key`` see ``open_mask``. Raises DataError if it cannot be read."""
        name = self._name(path) if key is None else f"{self._name(path)}\n{key}"
        return self._get(self.stored.masks, name, path, lambda path: read_mask_content(path, key))

    def alike(self, marks: Sequence[str]) -> Known:
        """Return which of the images with these ``ImageContent.sample`` were compared before; new verdicts are kept."""
        return Known(marks, self.stored.alike)

    def save(self) -> None:
        """Add new entries to the cache file, keeping those of other processes; do nothing if it cannot be written."""
        if not self.unsaved and self.compared == len(self.stored.alike):
            return
        others = read_stored(self.root / FILE)
        merged = Stored(
            version=self.stored.version,
            images={**others.images, **self.stored.images},
            masks={**others.masks, **self.stored.masks},
            alike={**others.alike, **self.stored.alike},
        )
        for entries in (merged.images, merged.masks):
            for name in [name for name in entries if not (self.root / name.partition("\n")[0]).exists()]:
                del entries[name]
        samples = {entry.content.sample for entry in merged.images.values()}
        merged.alike = {key: same for key, same in merged.alike.items() if samples.issuperset(key.split(" "))}
        text = merged.model_dump_json()
        try:
            write_whole(self.root / FILE, f"{_digest(text)}\n{text}")
        except OSError:  # the folder is read-only, or the disk is full
            return
        self.unsaved, self.compared = False, len(self.stored.alike)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path.absolute())

    def _get(
        self, entries: dict[str, Entry[Content]], name: str, path: Path, read: Callable[[Path], Content]
    ) -> Content:
        found = _state(path)
        known = entries.get(name)
        if known is not None and (known.size, known.changed) == found:
            return known.content
        content = read(path)
        small = not isinstance(content, MaskContent) or len(content.values) + len(content.colours) <= MAX_KINDS
        if small and found is not None and found == _state(path) and time.time_ns() - found[1] > SETTLED:
            entries[name] = Entry(size=found[0], changed=found[1], content=content)
            self.unsaved = True
        return content


def _state(path: Path) -> tuple[int, int] | None:
    """Return the size of a file and of those read together with it, and the last time that one of them changed."""
    own = file_state(path)
    if own is None:
        return None
    states = [own, *filter(None, (file_state(Path(f"{path}{suffix}")) for suffix in BESIDE))]
    return sum(size for size, _ in states), max(changed for _, changed in states)


@lru_cache(maxsize=8)
def contents_of(root: Path) -> Contents:
    """Return the ``Contents`` of the data set at ``root``, shared within this process."""
    return Contents(root)


def read_stored(file: Path) -> Stored:
    """Read a cache file; the result is empty if it is missing, damaged, or from another version."""
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
    """Return the version of the code that reads files: a digest of our modules and the versions of Pillow and NumPy."""
    source = hashlib.blake2b(digest_size=16)
    for module in READERS:
        try:
            source.update(Path(str(module.__file__)).read_bytes())
        except OSError:  # installed without source: the version number identifies it
            source.update(module.__name__.encode())
    return f"{fullyconv.__version__} {PIL.__version__} {np.__version__} {source.hexdigest()}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
