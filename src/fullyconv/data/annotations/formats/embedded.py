"""Images and masks that annotation files hold in Base64."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from fullyconv.data.annotations.drawing import MAX_PIXELS, folder_of_masks, refuse_links
from fullyconv.data.annotations.stamps import Size
from fullyconv.errors import DataError, first_line
from fullyconv.files import write_whole

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif", "WEBP": ".webp"}
"""The formats of images that are taken out, by Pillow's names for them."""
LARGEST_MASK = 1 << 24
"""Pixels of a mask up to which it may be larger than its image."""


def keep_image(root: Path, source: Path, encoded: str, home: Path) -> Path:
    """Write an image in Base64 into the folder of drawn masks in ``home``, unless it is there, and return its path.

    ``source`` is the file in the data set ``root`` that holds it; the image has its name. Raises DataError if it is no
    image that Pillow verifies, or cannot be written.
    """
    try:
        content = base64.b64decode(encoded)
        with Image.open(io.BytesIO(content), formats=(*SUFFIXES,)) as picture:
            suffix = SUFFIXES.get(picture.format or "", ".jpg")  # of a kind of JPEG, such as MPO
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
            picture.verify()
    except Exception as error:  # Pillow raises errors of many types for broken files
        raise DataError(f"{source}: the image that it holds cannot be read: {first_line(error)}") from error
    folder = folder_of_masks(home) / "embedded"
    path = folder / source.relative_to(root).with_suffix(suffix)
    refuse_links(path)
    try:
        if not path.is_file() or path.read_bytes() != content:
            write_whole(path, content)
    except OSError as error:
        raise DataError(f"{path}: the image that {source} holds cannot be written: {first_line(error)}") from error
    return path


def decode_mask(encoded: str, size: Size) -> np.ndarray:
    """Return the mask, bool (H, W), of a PNG image in Base64; ``size`` is that of the image that it is of.

    Raises ValueError if it is none, or has far more pixels than the image.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded)), formats=("PNG",)) as picture:
            if picture.width * picture.height > max(LARGEST_MASK, size[0] * size[1]):
                raise ValueError(f"it has {picture.width}x{picture.height} pixels, far more than the image")
            inside = np.asarray(picture).astype(bool)
    except Exception as error:  # Pillow raises errors of many types for broken files
        raise ValueError(f"its mask cannot be read as a PNG image: {error}") from error
    if inside.ndim != 2:
        raise ValueError("its mask is in colour; a mask of one channel is expected")
    return inside
