"""Labels written block by block into a TIFF: whole or not at all, and resumable where a run was ended.

While it grows, NAME.partial holds the compressed blocks one after the other, each behind its number, length and
checksum. A run that was killed leaves at most one that is torn: the next run keeps those before it. When all are
there they are put together.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Self
from xml.sax.saxutils import escape

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.data.images.source import Tag
from fullyconv.errors import ConfigError
from fullyconv.extras import require
from fullyconv.files import whole_file
from fullyconv.palettes import Colour, table

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None  # type: ignore[assignment]

LOCKED = 2**31 - 2
"""The byte that is locked on Windows, where others cannot read what is locked: one that is not read."""
BLOCK = 256
"""A block's side, in pixels, unless tiles are smaller."""
RECORD = struct.Struct("<QII")
"""Before each block: its number, its length in bytes, and its CRC-32."""
CLASSIC = 2**32 - 2**20
"""Bytes that a TIFF can have which is no BigTIFF, less some for its tags."""
GDAL_METADATA = 42112
DEFLATE = 8


class LabelFile(AbstractContextManager["LabelFile"]):
    """The labels of an image of ``size``, being written. ``job`` says of what: those of another job start anew.

    ``block`` is the side of its blocks; ``write`` takes windows that begin at multiples of it. Entering raises
    ConfigError where another run is writing the same file.
    """

    def __init__(self, target: Path, size: tuple[int, int], block: int, job: dict[str, object]):
        self.target, self.size, self.block = target, size, block
        self.partial = target.with_name(f"{target.name}.partial")
        self.across = -(-size[1] // block)
        self.count = self.across * -(-size[0] // block)
        self.places: dict[int, tuple[int, int]] = {}
        self.head = json.dumps({**job, "size": size, "block": block}, sort_keys=True).encode()

    def __enter__(self) -> Self:
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        self.partial.touch()
        self.file: BinaryIO = self.partial.open("r+b")
        self._lock()
        if self._next() != (0, self.head):
            self._cut(0)
            self._append(0, self.head)
        end = self.file.tell()
        while (found := self._next()) is not None:
            number, blob = found
            self.places[number] = (end + RECORD.size, len(blob))
            end = self.file.tell()
        self._cut(end)
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _lock(self) -> None:
        """For as long as the file is open; a process that is killed lets go of it, too."""
        try:
            free = _try_to_lock(self.file)
        except OSError:  # a file system without locks
            return
        if not free:
            self.file.close()
            raise ConfigError(
                f"{self.target}: another run is writing it. Wait until that has ended, or choose another folder"
            )

    def _cut(self, end: int) -> None:
        self.file.seek(end)
        self.file.truncate()

    def _next(self) -> tuple[int, bytes] | None:
        """The record that follows; None where there is none, or one that is not whole."""
        head = self.file.read(RECORD.size)
        if len(head) < RECORD.size:
            return None
        number, length, checksum = RECORD.unpack(head)
        blob = self.file.read(length)
        return (number, blob) if len(blob) == length and zlib.crc32(blob) == checksum else None

    def _append(self, number: int, blob: bytes) -> None:
        self.file.write(RECORD.pack(number, len(blob), zlib.crc32(blob)) + blob)

    def has(self, rows: slice, columns: slice) -> bool:
        """Whether a window is written."""
        return all(number in self.places for number, _, _ in self._blocks(rows, columns))

    def write(self, rows: slice, columns: slice, labels: np.ndarray) -> None:
        """A window of labels, (h, w) uint8."""
        side = self.block
        for number, top, left in self._blocks(rows, columns):
            if number in self.places:
                continue
            part = labels[
                top - rows.start : top - rows.start + side, left - columns.start : left - columns.start + side
            ]
            block = np.full((side, side), IGNORE, np.uint8)
            block[: part.shape[0], : part.shape[1]] = part
            blob = zlib.compress(block.tobytes(), 6)
            self.places[number] = (self.file.tell() + RECORD.size, len(blob))
            self._append(number, blob)
        self.file.flush()

    def _blocks(self, rows: slice, columns: slice) -> Iterator[tuple[int, int, int]]:
        """The number and the first pixel's row and column of each block of a window."""
        for top in range(rows.start, rows.stop, self.block):
            for left in range(columns.start, columns.stop, self.block):
                yield top // self.block * self.across + left // self.block, top, left

    def finish(self, classes: list[str], palette: list[Colour], tags: list[Tag]) -> None:
        """Put the blocks together as a TIFF, BigTIFF beyond 4 GB, with its palette, classes and georeference."""
        tifffile = require("tifffile", "raster")
        text = _metadata(classes)
        large = sum(length + 16 for _, length in self.places.values()) > CLASSIC
        with whole_file(self.target) as beside, tifffile.TiffWriter(beside, bigtiff=large) as writer:
            writer.write(
                self._blobs(),
                shape=self.size,
                dtype=np.uint8,
                tile=(self.block, self.block),
                photometric="palette",
                colormap=table(palette).T.astype(np.uint16) * 257,
                compression=DEFLATE,
                metadata=None,
                software="fullyconv",
                extratags=[*tags, (GDAL_METADATA, 2, len(text) + 1, text, True)],
            )
        self.file.close()
        self.partial.unlink(missing_ok=True)

    def _blobs(self) -> Iterator[bytes]:
        for number in range(self.count):
            start, length = self.places[number]
            self.file.seek(start)
            yield self.file.read(length)


def _metadata(classes: list[str]) -> str:
    """The classes' names, in order, as GDAL keeps what a file says of itself: item CLASSES, a JSON list.

    Escaped twice: GDAL does so, and unescapes twice.
    """
    names = escape(escape(json.dumps(classes)))
    return f'<GDALMetadata>\n  <Item name="CLASSES">{names}</Item>\n</GDALMetadata>'


def _try_to_lock(file: BinaryIO) -> bool:
    """Lock a file for as long as it is open; return False if somebody else has. Raises OSError if it has no locks."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    file.seek(LOCKED)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    finally:
        file.seek(0)
    return True
