"""PNGs of annotations whose colours are numbers, of segments or of classes."""

from pathlib import Path

import numpy as np

from fullyconv.data.annotations.stamps import Size
from fullyconv.data.images.headers import is_lossy
from fullyconv.data.images.pictures import open_picture
from fullyconv.errors import DataError
from fullyconv.files import absence


def read_colours(png: Path, size: Size, what: str) -> np.ndarray:
    """Return the colours, uint8 (H, W, 3) or with alpha (H, W, 4), of an image's PNG; ``what`` its numbers are of.

    Raises DataError if it is missing, no PNG of red, green and blue, or not of the image's ``size``.
    """
    if not png.is_file():
        raise DataError(f"{png}: {absence(png)}; expected the PNG of the image's {what}")
    picture = open_picture(png)
    if picture.mode not in ("RGB", "RGBA") or is_lossy(png):
        raise DataError(f"{png}: is {picture.format} with mode {picture.mode}; expected a PNG of red, green and blue")
    if (picture.height, picture.width) != size:
        raise DataError(f"{png}: is {picture.width}x{picture.height} for an image of {size[1]}x{size[0]}")
    return np.asarray(picture)
