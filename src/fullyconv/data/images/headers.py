"""Inspect the header of an image file without decoding it: to choose the decoder, and to tell lossy files."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import TiffImagePlugin

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
SAMPLES, PLANAR, TILE_WIDTH, EXTRA_SAMPLES, SAMPLE_FORMAT = 277, 284, 322, 338, 339
ORIENTATION = 274
"""The tag for the orientation, which GDAL ignores in georeferenced files."""
GEOREFERENCE = (33550, 33922, 34264, 34735)
"""The tags for pixel scale, tie points, transformation and coordinate system."""
GDAL_NODATA = 42113
PLAIN_COMPRESSIONS = (1, 5, 8, 32773, 32946)
"""None, LZW, Deflate, PackBits: lossless compressions whose decoders detect damage."""
STRIP_OFFSETS, TILE_OFFSETS = 273, 324
LARGE = 64 * 2**20
"""Number of pixels above which even a plain TIFF is read by window."""

MASKS = (".msk", ".MSK")
"""Suffixes, after the name of an image, of files that GDAL reads as its mask."""
BESIDE = (*MASKS, ".aux.xml")
"""Suffixes, after the name of an image, of files with its mask, or with metadata such as nodata, which GDAL reads."""
MAX_PIECES = 1000
"""Maximum number of chunks, boxes or segments of a header that are looked at."""

Directory = TiffImagePlugin.ImageFileDirectory_v2


def first_directory(path: Path) -> Directory | None:
    """Return the tags of the first image in a TIFF file; None if the file is not a TIFF, or damaged."""
    try:
        with path.open("rb") as file:
            header = file.read(8)
            if header[:2] not in (b"II", b"MM"):
                return None
            header += file.read(8) if header[2:3] == b"\x2b" or header[3:4] == b"\x2b" else b""
            tags = Directory(header)
            file.seek(tags.next)
            tags.load(file)
    except Exception:  # a damaged file (Pillow raises many types): its decoder reports it
        return None
    return tags


def is_plain(tags: Directory) -> bool:
    """Whether Pillow reads a TIFF with these tags without losing anything.

    That is a single untiled 8-bit or 1-bit image, grey, RGB or with a palette, optionally with an alpha band, and
    without nodata or georeference.
    """
    samples, extra = tags.get(SAMPLES, 1), tuple(tags.get(EXTRA_SAMPLES, ()))
    bits, formats = set(tags.get(BITS, (1,))), set(tags.get(SAMPLE_FORMAT, (1,)))
    photometric = tags.get(PHOTOMETRIC)
    colours = {0: 1, 1: 1, 2: 3, 3: 1}.get(photometric) if isinstance(photometric, int) else None
    return (
        colours is not None
        and bits in ({8}, {1})
        and formats == {1}
        and (bits == {8} or (samples == 1 and photometric in (0, 1)))
        and not (photometric == 0 and bits == {8})
        and samples == colours + len(extra)
        and extra in ((), (2,))
        and not (extra and photometric == 3)
        and tags.get(PLANAR, 1) == 1
        and tags.get(COMPRESSION, 1) in PLAIN_COMPRESSIONS
        and tags.next == 0
        and not any(tag in tags for tag in (TILE_WIDTH, GDAL_NODATA, *GEOREFERENCE))
        and tags.get(WIDTH, 0) * tags.get(HEIGHT, 0) <= LARGE
    )


def read_by_window(path: Path) -> bool:
    """Whether a file is a TIFF to be labelled by window: georeferenced, tiled, large, or with more than 4 bands."""
    tags = first_directory(path)
    if tags is None:
        return False
    large = tags.get(WIDTH, 0) * tags.get(HEIGHT, 0) > LARGE
    return large or TILE_WIDTH in tags or tags.get(SAMPLES, 1) > 4 or any(tag in tags for tag in GEOREFERENCE)


Decoder = Literal["picture", "GTiff", "PNG", "JP2OpenJPEG"]
"""Pillow ("picture"), or one of GDAL's drivers."""


def decoder_of(path: Path) -> Decoder:
    """Return the decoder for a file by its first bytes: GDAL if Pillow would lose bits, bands or nodata."""
    with path.open("rb") as file:
        head = file.read(26)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        deep_colour = head[24:25] == b"\x10" and head[25:26] != b"\x00"
        return "PNG" if deep_colour else "picture"
    if head[:12] == b"\x00\x00\x00\x0cjP  \r\n\x87\n" or head[:4] == b"\xff\x4f\xff\x51":
        return "JP2OpenJPEG"
    if head[:4] in (b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x00\x2b"):
        tags = first_directory(path)
        return "picture" if tags is None or (is_plain(tags) and not _is_described_beside(path)) else "GTiff"
    return "picture"


def _is_described_beside(path: Path) -> bool:
    """Whether a file beside an image holds its mask or metadata such as nodata, which only GDAL reads."""
    return any(os.path.lexists(f"{path}{suffix}") for suffix in BESIDE)


def is_lossy(path: Path) -> bool:
    """Whether a file is of a kind that changes values, as far as its header tells; False for one that cannot be read.

    That is JPEG; WebP other than VP8L; AVIF, which only its encoder's settings make lossless; JPEG 2000 with the
    irreversible wavelet; and TIFF whose first tile is one of these.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if head[:3] == b"\xff\xd8\xff" or head[4:12] in (b"ftypavif", b"ftypavis"):
                return True
            if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
                return _is_lossy_webp(file, 12)
            if head[4:8] == b"jP  " or head[:4] == b"\xff\x4f\xff\x51":
                return _is_irreversible(file, 0)
        tags = first_directory(path)
        if tags is None or (compression := tags.get(COMPRESSION, 1)) not in LOSSY_COMPRESSIONS:
            return False
        places = tags.get(TILE_OFFSETS) or tags.get(STRIP_OFFSETS) or (0,)
        with path.open("rb") as file:
            return LOSSY_COMPRESSIONS[compression](file, places[0])
    except (
        OSError,
        struct.error,
        ValueError,
        TypeError,
        LookupError,
        OverflowError,
    ):  # damaged: its decoder reports it
        return False


def _is_lossy_webp(file: BinaryIO, start: int) -> bool:
    """Whether the first image among the chunks of a WebP file, from a byte on, is not of the lossless kind."""
    file.seek(start)
    for _ in range(MAX_PIECES):
        name, size = struct.unpack("<4sI", file.read(8))
        if name in (b"VP8 ", b"VP8L"):
            return bool(name == b"VP8 ")
        # the image of an animation's frame lies within that
        file.seek(16 if name == b"ANMF" else size + size % 2, 1)
    return False


def _is_irreversible(file: BinaryIO, start: int) -> bool:
    """Whether a JPEG 2000 code stream, or the one in a file's boxes, has another wavelet than 5-3 for any component."""
    file.seek(start)
    for _ in range(MAX_PIECES):
        if (head := file.read(8))[:4] == b"\xff\x4f\xff\x51":
            file.seek(-6, 1)
            break
        size, name = struct.unpack(">I4s", head)
        read = 8 if size != 1 else 16
        size = size if size != 1 else struct.unpack(">Q", file.read(8))[0]
        file.seek(0 if name == b"jp2c" else size - read, 1)
    components = 1
    for _ in range(MAX_PIECES):
        marker, size = struct.unpack(">2sH", file.read(4))
        segment = file.read(max(0, size - 2))
        if marker == b"\xff\x51":
            components = struct.unpack_from(">H", segment, 34)[0]
        elif marker in (b"\xff\x52", b"\xff\x53"):
            place = 9 if marker == b"\xff\x52" else 6 if components < 257 else 7
            if segment[place] != 1:
                return True
        elif marker == b"\xff\x90":  # the first tile
            return False
    return False


LOSSY_COMPRESSIONS: dict[int, Callable[[BinaryIO, int], bool]] = {
    **dict.fromkeys((6, 7, 34892), lambda file, start: True),
    **dict.fromkeys((33003, 33004, 33005, 34712), _is_irreversible),
    50001: lambda file, start: _is_lossy_webp(file, start + 12),
}
"""The compressions in TIFF that may change values, and how the tile at a place in a file tells it."""
