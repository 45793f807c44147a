"""What every open image file offers: its size and bands, and its windows, as they are stored."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from fullyconv.errors import DataError, FullyConvError, first_line

LARGEST_BLOCK = 512 * 2**20
"""Bytes that a file's blocks, which are decoded whole, may have."""
LONGEST_SIDE = 4096
"""Pixels that a side of a block may have where the image has fewer."""
SHARE = 4
"""A block may take at most this part of the memory that is left: it is copied on its way to the network."""
ALWAYS = 2**24
"""Pixels of an image, and bytes of a block, that are read without a look at what memory is left."""

Tag = tuple[int, int, int, object, bool]
"""A TIFF tag as tifffile takes it."""


class Stored(NamedTuple):
    """A window as the file holds it.

    ``values`` is (bands, h, w) of the file's type, a palette's colours in place of its numbers. ``valid`` is (h, w)
    bool: which pixels hold data; None: all.
    """

    values: np.ndarray
    valid: np.ndarray | None


class Source(AbstractContextManager["Source"], ABC):
    """An open image file.

    ``size`` is (height, width). ``bands`` leaves out an alpha band, which ``alpha`` says the file has: pixels of
    alpha 0 hold no data, unless alpha is asked for as a band of its own. ``colour``: the three bands are red, green
    and blue.
    """

    path: Path
    size: tuple[int, int]
    bands: int
    dtype: np.dtype
    colour = False
    alpha = False
    has_gaps = False
    """Whether pixels without data are possible."""
    orientation = 1
    """What EXIF says of how the picture is to be turned, where that was not done; 1: not at all."""

    @abstractmethod
    def stored(self, rows: slice, columns: slice, with_alpha: bool) -> np.ndarray:
        """A window (bands, h, w); ``with_alpha``: with the alpha band, where the file has it."""

    @abstractmethod
    def mask(self, rows: slice, columns: slice) -> np.ndarray | None:
        """Which pixels of a window hold data by what the file says (alpha, nodata, a mask band), (h, w); None: all."""

    def numbers(self) -> np.ndarray:
        """All values (bands, H, W) as a mask's: a palette's numbers, not its colours; single bits as 0 and 1."""
        return self.whole().values

    def georeference(self) -> list[Tag]:
        """Where it lies on the earth, as TIFF tags; nothing where it does not say."""
        return []

    def close(self) -> None:
        """Close the file."""

    def __exit__(self, *_: object) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def window(self, rows: slice, columns: slice, with_alpha: bool = False) -> Stored:
        """A window as it is stored. Pixels that are not finite hold no data.

        Raises DataError for a broken file, and for more pixels than memory holds.
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
        """The whole image as it is stored. Raises DataError for a broken file."""
        return self.window(slice(0, self.size[0]), slice(0, self.size[1]), with_alpha)

    def check_memory(self, pixels: int) -> None:
        """Raise DataError where memory does not hold so many pixels as stored, and once more as floats."""
        refuse_too_large(self.path, pixels, (self.bands + self.alpha) * (self.dtype.itemsize + 4))

    def check_block(self, height: int, width: int, bands: int) -> None:
        """Raise DataError where a block of the file has a size that should not, or cannot, be decoded whole."""
        if height > max(self.size[0], LONGEST_SIDE) or width > max(self.size[1], LONGEST_SIDE):
            raise DataError(
                f"{self.path}: is stored in blocks of {height}×{width} pixels, larger than the image, which has "
                f"{self.size[0]}×{self.size[1]}: it is damaged, or was written to take much memory"
            )
        size = height * width * bands * self.dtype.itemsize
        if size > ALWAYS and size > (most := min(LARGEST_BLOCK, _memory_left() // SHARE)):
            raise DataError(
                f"{self.path}: is stored in blocks of {height}×{width} pixels, each of which has to be decoded whole: "
                f"{size / 2**20:.0f} MiB, where {most / 2**20:.0f} may be taken. Store it in tiles: "
                "gdal_translate -co TILED=YES"
            )

    def describe(self) -> str:
        """Its bands and type in words; see ``describe_bands``."""
        return describe_bands(self.bands, self.alpha, self.dtype)


def describe_bands(bands: int, alpha: bool, dtype: np.dtype | str) -> str:
    """An image's bands and type in words: "3 bands and alpha of type uint8"."""
    return f"{bands} band{'s' * (bands != 1)}{' and alpha' * alpha} of type {dtype}"


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Raise errors of the libraries that decode files, which have many kinds, as DataError: ``what``, and why."""
    try:
        yield
    except FullyConvError:
        raise
    except Exception as error:
        raise DataError(f"{what} ({first_line(_root(error))})") from error


def refuse_too_large(path: Path, pixels: int, bytes_a_pixel: int) -> None:
    """Raise DataError where memory does not hold so many pixels at once."""
    if pixels <= ALWAYS:
        return
    needed, left = pixels * bytes_a_pixel, _memory_left()
    if needed > left:
        raise DataError(
            f"{path}: its {pixels:,} pixels need {needed / 2**30:.1f} GiB to be read at once; {left / 2**30:.1f} GiB "
            "are left. Cut it into smaller images; prediction reads tiled TIFF files by window"
        )


def _memory_left() -> int:
    import torch

    from fullyconv.resources import available_memory

    return available_memory(torch.device("cpu"))


def _root(error: BaseException) -> BaseException:
    """Return the first of the errors that led to ``error``: GDAL's last one says no more than that reading failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
