"""How large a compressed tile of a TIFF file becomes: as its own header says, read before the tile is decoded."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from fullyconv.errors import DataError

if TYPE_CHECKING:
    from tifffile import TiffFrame, TiffPage

BOUNDED = (1, 5, 8, 32773, 32946, 50000)
"""Compressions whose decoders stop at the size that they are given: none, LZW, deflate, PackBits, Zstandard."""
JPEG, JPEG_2000 = (7,), (33003, 33005, 34712)
DECODED = BOUNDED + JPEG + JPEG_2000
"""Compressions of slides that are decoded here: of these a tile's size is known before."""

_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))
"""Markers of JPEG, and of JPEG-LS, before a frame's header."""
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))
"""Markers of JPEG that no length follows."""
_SCAN = 0xDA


def refuse_unbounded(path: Path, page: "TiffPage") -> None:
    """Raise DataError where a page is compressed so that a tile's size is not known before it is decoded."""
    if page.compression not in DECODED:
        name = getattr(page.compression, "name", page.compression)
        raise DataError(
            f"{path}: is compressed as {name}, which is not read of pyramids and of channels in pages. Store it with "
            "deflate or as JPEG: vips tiffsave --tile --pyramid --compression deflate"
        )


def refuse_larger_tiles(page: "TiffPage | TiffFrame", form: "TiffPage") -> None:
    """Raise ValueError where a tile of a page that is to be decoded whole would become larger than the file says."""
    if form.compression not in BOUNDED:
        for index in range(len(page.dataoffsets)):
            read_tile(page, form, index)


def read_tile(page: "TiffPage | TiffFrame", form: "TiffPage", index: int) -> bytes:
    """Return a tile of a page as it is compressed; nothing where the file holds none. ``form``: a page of its form.

    Raises ValueError where it lies beyond the end of the file, or would become larger than the file says.
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
    """Return the rows, columns and channels that a tile's own header states; None where its decoder needs no bound.

    Raises ValueError where there is no such header.
    """
    if compression in JPEG:
        return _size_of_jpeg(data)
    if compression in JPEG_2000:
        return _size_of_jpeg_2000(data)
    return None


def _size_of_jpeg(data: bytes) -> tuple[int, int, int]:
    """Of the first frame, which decoders take, too: they refuse a second."""
    place = 0
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        marker = data[place + 1]
        if marker == 0xFF:  # filling
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
