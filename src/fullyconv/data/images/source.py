"""The interface of open image files: their size, their bands, and windows of their stored values."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from fullyconv.errors import DataError, FullyConvError, first_line

LARGEST_BLOCK = 512 * 2**20
"""Maximum size in bytes of a block of a file; blocks are decoded whole."""
LONGEST_SIDE = 4096
"""Maximum side of a block in pixels, if it is longer than the side of the image."""
SHARE = 4
"""A block may take 1/SHARE of the available memory, because it is copied on its way to the network."""
ALWAYS = 2**24
"""Pixels of an image, or bytes of a block, up to which the available memory is not checked."""

Tag = tuple[int, int, int, object, bool]
"""A TIFF tag in the form that tifffile writes."""


class Stored(NamedTuple):
    """A window of an image as stored in the file.

    ``values`` is (bands, h, w) with the type of the file; palette images have colours instead of indices. ``valid`` is
    bool (h, w), true where pixels hold data; None if all do.
    """

    values: np.ndarray
    valid: np.ndarray | None


class Sample(NamedTuple):
    """Evenly spaced pixels of an image, as in ``Stored``, and the ``share`` of all its pixels that hold data."""

    values: np.ndarray
    valid: np.ndarray | None
    share: float


class Source(AbstractContextManager["Source"], ABC):
    """An open image file.

    ``size`` is (height, width). ``bands`` is the number of bands without alpha, and ``alpha`` whether there is an alpha
    band. Pixels of alpha 0 hold no data, unless alpha is requested as a band. ``colour``: the three bands are red,
    green and blue.
    """

    path: Path
    size: tuple[int, int]
    bands: int
    dtype: np.dtype
    colour = False
    alpha = False
    has_gaps = False
    """Whether the file may have pixels without data."""
    nodata: Sequence[float | None] = ()
    """The nodata value of each band, or empty. A pixel is without data only if all bands hold their nodata value."""
    orientation = 1
    """The EXIF orientation that is still to be applied; 1: none."""

    @abstractmethod
    def stored(self, rows: slice, columns: slice, with_alpha: bool) -> np.ndarray:
        """Return the stored values of a window, (bands, h, w); ``with_alpha`` adds the alpha band if there is one."""

    @abstractmethod
    def mask(self, rows: slice, columns: slice) -> np.ndarray | None:
        """Return where a window holds data by alpha, nodata or mask band, bool (h, w); None: everywhere."""

    def numbers(self) -> np.ndarray:
        """Return all values as needed for masks, (bands, H, W): palette indices instead of colours; bits as 0 and 1."""
        return self.whole().values

    def georeference(self) -> list[Tag]:
        """Return the georeference as TIFF tags; empty if the file has none."""
        return []

    def pixel_size(self) -> tuple[float, float] | None:
        """Return the height and width of a pixel on the ground in metres; None if the file does not say."""
        return None

    def close(self) -> None:
        """Close the file."""

    def __exit__(self, *_: object) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def window(self, rows: slice, columns: slice, with_alpha: bool = False) -> Stored:
        """Return a window as stored; pixels that are not finite are marked as without data.

        Raises DataError if the file is broken, or the window does not fit into memory.
        """
        self.check_memory((rows.stop - rows.start) * (columns.stop - columns.start))
        whole = rows == slice(0, self.size[0]) and columns == slice(0, self.size[1])
        window = "" if whole else f"rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop} "
        with decoding(f"{self.path}: {window}cannot be read as an image"):
            values = self.stored(rows, columns, with_alpha)
            valid = None if with_alpha else self.mask(rows, columns)
        if values.dtype.kind == "f":
            finite = np.isfinite(values).all(axis=0)
            if not finite.all():
                valid = finite if valid is None else finite & valid
        return Stored(values, valid)

    def whole(self, with_alpha: bool = False) -> Stored:
        """Return the whole image as stored; it raises the same errors as ``window``."""
        return self.window(slice(0, self.size[0]), slice(0, self.size[1]), with_alpha)

    def sample(self, step: int) -> Sample:
        """Return every ``step``-th pixel of every ``step``-th row; it raises the same errors as ``window``."""
        values, valid = self.whole()
        if valid is None:
            return Sample(values[:, ::step, ::step], None, 1.0)
        return Sample(values[:, ::step, ::step], valid[::step, ::step], float(valid.mean()))

    def check_memory(self, pixels: int) -> None:
        """Raise DataError if memory cannot hold so many pixels both as stored and as floats."""
        refuse_too_large(self.path, pixels, (self.bands + self.alpha) * (self.dtype.itemsize + 4))

    def check_block(self, height: int, width: int, bands: int) -> None:
        """Raise DataError if the blocks of the file are larger than the image or too large for memory."""
        if height > max(self.size[0], LONGEST_SIDE) or width > max(self.size[1], LONGEST_SIDE):
            raise DataError(
                f"{self.path}: is stored in blocks of {height}×{width} pixels, larger than the image of "
                f"{self.size[0]}×{self.size[1]} pixels. It may be damaged, so export it again"
            )
        size = height * width * bands * self.dtype.itemsize
        if size > ALWAYS and size > (most := min(LARGEST_BLOCK, _memory_left() // SHARE)):
            raise DataError(
                f"{self.path}: is stored in blocks of {height}×{width} pixels; decoding one takes {size / 2**20:.0f} "
                f"MiB, more than the limit of {most / 2**20:.0f} MiB. Store it in tiles: gdal_translate -co TILED=YES"
            )

    def describe(self) -> str:
        """Return the bands and type in words; see ``describe_bands``."""
        return describe_bands(self.bands, self.alpha, self.dtype)


def describe_bands(bands: int, alpha: bool, dtype: np.dtype | str) -> str:
    """Return an image's bands and type in words: "3 bands and alpha of type uint8"."""
    return f"{bands} band{'s' * (bands != 1)}{' and alpha' * alpha} of type {dtype}"


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turn any error of a decoding library into a DataError that says ``what`` and the reason."""
    try:
        yield
    except FullyConvError:
        raise
    except Exception as error:
        raise DataError(f"{what} ({first_line(_root(error))})") from error


def refuse_too_large(path: Path, pixels: int, bytes_a_pixel: int) -> None:
    """Raise DataError if memory cannot hold so many pixels at once."""
    if pixels <= ALWAYS:
        return
    needed, left = pixels * bytes_a_pixel, _memory_left()
    if needed > left:
        raise DataError(
            f"{path}: reading its {pixels:,} pixels at once needs {needed / 2**30:.1f} GiB of memory, but "
            f"{left / 2**30:.1f} GiB are available. Cut it into smaller images; prediction reads tiled TIFF by window"
        )


def _memory_left() -> int:
    import torch

    from fullyconv.resources import available_memory

    return available_memory(torch.device("cpu"))


def _root(error: BaseException) -> BaseException:
    """Return the error at the root of a chain, because GDAL's last one only says that reading failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
