"""What every open image file offers: its size and bands, and its windows, as they are stored."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from fullyconv.errors import DataError, FullyConvError, first_line

LARGEST_BLOCK = 512 * 2**20
"""Bytes that a file's blocks, which are decoded whole, may have."""


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
        """A window as it is stored. Pixels that are not finite hold no data. Raises DataError for a broken file."""
        try:
            values = self.stored(rows, columns, with_alpha)
            valid = None if with_alpha else self.mask(rows, columns)
        except FullyConvError:
            raise
        except Exception as error:  # decoders raise errors of many kinds on broken files
            whole = rows == slice(0, self.size[0]) and columns == slice(0, self.size[1])
            window = "" if whole else f"rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop} "
            raise DataError(f"{self.path}: {window}cannot be read as an image ({first_line(error)})") from error
        if values.dtype.kind == "f":
            finite = np.isfinite(values).all(axis=0)
            if not finite.all():
                valid = finite if valid is None else finite & valid
        return Stored(values, valid)

    def whole(self, with_alpha: bool = False) -> Stored:
        """The whole image as it is stored. Raises DataError for a broken file."""
        return self.window(slice(0, self.size[0]), slice(0, self.size[1]), with_alpha)

    def describe(self) -> str:
        """Its bands and type in words: "3 bands and alpha of type uint8"."""
        bands = f"{self.bands} band{'s' * (self.bands != 1)}{' and alpha' * self.alpha}"
        return f"{bands} of type {self.dtype}"
