"""Check, before a compressed TIFF tile is decoded, that its own header does not state a larger size than the file."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from fullyconv.errors import DataError

if TYPE_CHECKING:
    from tifffile import TiffFrame, TiffPage

BOUNDED = (1, 5, 8, 32773, 32946, 50000)
"""Compressions whose decoders never exceed the expected size: none, LZW, deflate, PackBits, Zstandard."""
JPEG, JPEG_2000 = (7,), (33003, 33005, 34712)
DECODED = BOUNDED + JPEG + JPEG_2000
"""Compressions of slides that are supported, because the size of a tile is known before it is decoded."""

_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))
"""JPEG and JPEG-LS markers that precede a frame header."""
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))
"""JPEG markers without a length."""
_SCAN = 0xDA


def refuse_unbounded(path: Path, page: "TiffPage") -> None:
    """Raise DataError if a page has a compression whose tile sizes are not known before decoding."""
    if page.compression not in DECODED:
        name = getattr(page.compression, "name", page.compression)
        raise DataError(
            f"{path}: has the compression {name}, which is not supported for pyramids and for channels in pages. Store "
            "it with deflate or JPEG: vips tiffsave --tile --pyramid --compression deflate"
        )


def refuse_larger_tiles(page: "TiffPage | TiffFrame", form: "TiffPage") -> None:
    """Raise ValueError if any tile of a page would decode to a larger size than the file states."""
    if form.compression not in BOUNDED:
        for index in range(len(page.dataoffsets)):
            read_tile(page, form, index)


def read_tile(page: "TiffPage | TiffFrame", form: "TiffPage", index: int) -> bytes:
    """Return the compressed bytes of a tile; empty if the file leaves it out.

    ``form`` is the page that describes the tiles of ``page``. Raises ValueError if the tile lies beyond the end of the
    file, or would decode to a larger size than the file states.
    """
    file, offset, count = page.parent.filehandle, page.dataoffsets[index], page.databytecounts[index]
    if offset + count > file.size:
        raise ValueError("a tile lies beyond the end of the file")
    file.seek(offset)
    data = file.read(count)
    most = (form.chunks[0], form.chunks[1], form.samplesperpixel)
    stated = own_size(data, form.compression) if count else None
    if stated is not None and not all(0 < side <= limit for side, limit in zip(stated, most, strict=True)):
        raise ValueError(
            f"a tile states {stated[0]}×{stated[1]} pixels of {stated[2]} channels, where the file has tiles of "
            f"{most[0]}×{most[1]} of {most[2]}"
        )
    return data


def own_size(data: bytes, compression: int) -> tuple[int, int, int] | None:
    """Return the rows, columns and channels in a tile's own header; None if its decoder is bounded anyway.

    Raises ValueError if the header is missing.
    """
    if compression in JPEG:
        return _size_of_jpeg(data)
    if compression in JPEG_2000:
        return _size_of_jpeg_2000(data)
    return None


def _size_of_jpeg(data: bytes) -> tuple[int, int, int]:
    """Return the size of the first frame; decoders refuse a second one."""
    place = 0
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        place += 2
        if marker == _SCAN:
            break
        if marker in _FRAMES and place + 8 <= len(data):
            rows, columns, channels = struct.unpack_from(">HHB", data, place + 3)
            return rows, columns, channels
        if marker not in _ALONE:
            place += max(2, int.from_bytes(data[place : place + 2]))
    raise ValueError("a tile holds no JPEG image")


def _size_of_jpeg_2000(data: bytes) -> tuple[int, int, int]:
    if data[:4] != b"\xff\x4f\xff\x51" or len(data) < 42:
        raise ValueError("a tile holds no JPEG 2000 image")
    right, bottom, left, top = struct.unpack_from(">IIII", data, 8)
    (channels,) = struct.unpack_from(">H", data, 40)
    return bottom - top, right - left, channels
