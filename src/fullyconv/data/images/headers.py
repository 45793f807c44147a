"""Inspect the header of an image file without decoding it, to choose the decoder."""

from pathlib import Path
from typing import Literal

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
LARGE = 64 * 2**20
"""Number of pixels above which even a plain TIFF is read by window."""

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
        return "picture" if tags is None or is_plain(tags) else "GTiff"
    return "picture"
