"""Read image files of any usual form into arrays; write PNG and JPEG."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fullyconv.errors import ConfigError, DataError
from fullyconv.files import absence, write_whole

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"))
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
"""The formats that Pillow may decode; others start programs (EPS starts Ghostscript), or are seldom tested."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder by name, hidden ones left out; nothing where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def open_image(path: str | Path) -> Image.Image:
    """Open and decode an image file to its last byte.

    Raises DataError, naming the file, if it is absent, unreadable, truncated, or a stack of several images.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: {absence(path)}")
    try:
        with Image.open(path, formats=FORMATS) as image:
            stack = getattr(image, "n_frames", 1) if image.format in ("TIFF", "GIF") else 1
            image.load()
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: cannot be read as an image (its content has no known format)") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{path}: is larger than the {most:,} pixels that are read whole") from error
    except Exception as error:  # Pillow's readers raise errors of many kinds on broken files
        raise DataError(f"{path}: cannot be read as an image ({error})") from error
    if stack > 1:
        raise DataError(
            f"{path}: holds {stack} images; one image a file is expected, so split it or save it as one image"
        )
    # Who writes a GIF may number its colours anew: they alone can be trusted.
    return image.convert("RGB") if image.format == "GIF" else image


def read_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """Read an image as uint8 (channels, H, W), as it is stored: an EXIF orientation is not applied.

    ``channels`` is 1 (grey), 3 (RGB) or 4 (RGBA). Grey is repeated over RGB, RGB is weighed to grey (ITU-R
    601-2), transparency is dropped (not blended) where it is not asked for and opaque where it is missing,
    and 16-bit values are divided by 257. The array is a view of (H, W, channels) memory, as it was decoded.

    Raises DataError if the file cannot be read and ConfigError for another number of channels.
    """
    try:
        return to_array(open_image(path), channels)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def to_array(image: Image.Image, channels: int) -> np.ndarray:
    """Return the pixels of an open image in the form of ``read_image``.

    Raises ValueError for values beyond 16 bits and ConfigError for another number of channels.
    """
    if channels not in _MODES:
        raise ConfigError(f"channels is {channels}; images can be read with 1 (grey), 3 (RGB) or 4 (RGBA) channels")
    image = eight_bits(image)
    if image.mode == "P":
        image = image.convert("RGBA")  # the only conversion that respects every kind of palette
    if image.mode != _MODES[channels]:
        image = image.convert(_MODES[channels])
    array = np.array(image)
    return array.reshape(*array.shape[:2], channels).transpose(2, 0, 1)


def to_planes(image: Image.Image) -> np.ndarray:
    """Return the channels that an open file adds to those of the image that it accompanies.

    - 8-bit colour, such as HHA: three channels, uint8 (3, H, W), as they are.
    - 16-bit grey, depth in millimetres: its natural logarithm, float32 (1, H, W). Unknown depths (0) are replaced by
      the mean of the image's other logarithms, which carries no information.

    Raises ValueError for an image of another kind, and for a depth image without any depth.
    """
    if image.mode in ("RGB", "RGBA", "P"):
        return to_array(image, 3)
    if not image.mode.startswith("I"):
        raise ValueError(f"has mode {image.mode}; a colour image, or a 16-bit one of depths in mm, is expected")
    depth = np.asarray(image)
    known = depth > 0
    if not known.any():
        raise ValueError("holds no depth above 0; depths in millimetres are expected")
    logarithms = np.log(depth, where=known, out=np.zeros(depth.shape, np.float32), casting="unsafe")
    logarithms[~known] = logarithms[known].mean()
    return logarithms[None]


def eight_bits(image: Image.Image) -> Image.Image:
    """Return the image itself, or, if it has more than 8 bits, its values divided by 257.

    Raises ValueError for values that are not from 0 to 65535, or not whole.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"has values from {values.min()} to {values.max()} (mode {image.mode}); integers of 8 or 16 bits "
            "are expected, so scale them and save it again"
        )
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def write_image(path: Path, picture: Image.Image, **options: int | str) -> None:
    """Write a picture to ``path`` (.png or .jpg), whole or not at all. ``options`` are Pillow's.

    It is first encoded in memory, because Pillow raises no error where the disk is full while it writes a JPEG file.
    """
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG" if path.suffix.lower() == ".png" else "JPEG", **options)
    write_whole(path, encoded.getvalue())
