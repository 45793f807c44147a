"""Read any image file as the channels and values that a network takes."""

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from fullyconv.data.images.files import NOT_READ
from fullyconv.data.images.headers import Decoder, decoder_of
from fullyconv.data.images.pictures import Picture
from fullyconv.data.images.source import Source, Stored
from fullyconv.data.images.values import ValueRange, on_scale
from fullyconv.errors import DataError
from fullyconv.files import absence


class Pixels(NamedTuple):
    """An image as a network takes it.

    ``values`` is (channels, H, W) in 0..255, uint8, or float32 if bytes would lose precision. ``valid`` is bool (H, W),
    true where pixels hold data; None if all do.
    """

    values: np.ndarray
    valid: np.ndarray | None


class Banded(Protocol):
    """An image or a set of images with bands; see ``Source`` for the attributes."""

    @property
    def bands(self) -> int: ...
    @property
    def colour(self) -> bool: ...
    @property
    def alpha(self) -> bool: ...


def read_pixels(
    path: str | Path, channels: int = 3, value_range: ValueRange | None = None, upright: bool = True
) -> Pixels:
    """Read an image file as input for a network.

    - ``channels``: the number of channels that the network takes. A grey image is repeated over three channels; for
      one channel, a colour image becomes grey (ITU-R 601-2). An alpha band is a channel if the network takes one more
      than the image has other bands; otherwise, pixels of alpha 0 hold no data.
    - ``value_range``: the values that become 0 and 255 (see ``on_scale``).
    - ``upright``: apply the EXIF orientation; else the image is as stored.

    Raises DataError if the file cannot be read, or its bands do not fit ``channels``.
    """
    with open_source(path, upright=upright) as source:
        return read_window(source, slice(0, source.size[0]), slice(0, source.size[1]), channels, value_range)


def read_image(
    path: str | Path, channels: int = 3, value_range: ValueRange | None = None, upright: bool = True
) -> np.ndarray:
    """Return only the values that ``read_pixels`` returns, (channels, H, W)."""
    return read_pixels(path, channels, value_range, upright).values


def read_window(
    source: Source, rows: slice, columns: slice, channels: int, value_range: ValueRange | None = None
) -> Pixels:
    """Read a window of an open image as ``read_pixels`` reads the whole; it raises the same errors."""
    check_bands(source, channels)
    stored = source.window(rows, columns, with_alpha=takes_alpha(source, channels))
    return as_channels(stored, channels, value_range, str(source.path))


def open_source(path: str | Path, level: int = 0, upright: bool = True) -> Source:
    """Open an image file of any format.

    ``level`` is the level of a pyramid (0: full resolution); for ``upright`` see ``read_pixels``. Raises DataError if
    the file does not exist or cannot be read, and ConfigError if the package that reads it is not installed.
    """
    path = Path(path)
    decoder = find_decoder(path)
    if decoder == "picture":
        return Picture(path, upright)
    if decoder == "GTiff":
        from fullyconv.data.images.tiff import open_tiff

        return open_tiff(path, level)
    from fullyconv.data.images.gdal import GdalFile

    return GdalFile(path, decoder)


def find_decoder(path: Path) -> Decoder:
    """Return the decoder for a file. Raises DataError if the file does not exist or its format is not supported."""
    if not path.is_file():
        raise DataError(f"{path}: {absence(path)}")
    if (what := NOT_READ.get(path.suffix.lower())) is not None:
        raise DataError(f"{path}: is {what}")
    return decoder_of(path)


def takes_alpha(image: Banded, channels: int) -> bool:
    """Whether the alpha band is one of the ``channels`` that a network takes."""
    return image.alpha and channels == image.bands + 1


def check_bands(source: Source, channels: int) -> None:
    """Raise DataError if an image's bands do not fit the ``channels`` that a network takes."""
    if not fits(source, channels):
        raise DataError(wrong_bands(str(source.path), source.describe(), channels))


def fits(image: Banded, channels: int) -> bool:
    """Whether bands fit channels: unchanged, grey repeated, colour turned into grey, or with alpha as a channel."""
    as_they_are = image.bands == channels or takes_alpha(image, channels)
    return as_they_are or (image.bands, channels) == (1, 3) or (image.colour and channels == 1)


def wrong_bands(source: str, has: str, channels: int) -> str:
    """Return the message that the bands of an image do not fit the channels of a network."""
    return (
        f"{source}: has {has}; the network takes {channels} channel{'s' * (channels != 1)}. Use images with the "
        "bands that it was trained on (gdal_translate -b selects bands), or train one for these (model.in_channels)"
    )


def as_channels(stored: Stored, channels: int, value_range: ValueRange | None, source: str) -> Pixels:
    """Turn stored bands into the channels of a network. The bands must have passed ``check_bands``."""
    bands = len(stored.values)
    if bands == 1 and channels == 3:
        if value_range is None or len(set(value_range)) == 1:
            grey = on_scale(stored.values, value_range and value_range[:1], source)
            return Pixels(grey.repeat(3, axis=0), stored.valid)
        return Pixels(on_scale(stored.values.repeat(3, axis=0), value_range, source), stored.valid)
    if bands == 3 and channels == 1:
        return Pixels(luma(on_scale(stored.values, value_range and [*value_range] * 3, source)), stored.valid)
    return Pixels(on_scale(stored.values, value_range, source), stored.valid)


def luma(values: np.ndarray) -> np.ndarray:
    """Return the luma of red, green and blue (3, h, w) as (1, h, w), by ITU-R 601-2 with Pillow's coefficients."""
    red, green, blue = values.astype(np.float64)
    grey = (19595 * red + 38470 * green + 7471 * blue) / 65536
    return (np.floor(grey + 0.5) if values.dtype == np.uint8 else grey).astype(values.dtype)[None]
