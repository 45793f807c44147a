"""What every kind of large file offers: its size, and its windows as the tensors a network takes."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from torch import Tensor

from fullyconv.errors import ConfigError, DataError
from fullyconv.inference.inputs import to_tensor

LARGEST_BLOCK = 512 * 2**20
"""Bytes that a file's blocks, which are decoded whole, may have."""

Tag = tuple[int, int, int, object, bool]
"""A TIFF tag as tifffile writes it: code, type, number of values, the values, and whether once for all pages."""


class Raster(ABC):
    """An open file. ``size`` is (height, width); ``tags`` are its georeference, as TIFF tags for tifffile."""

    path: Path
    size: tuple[int, int]
    channels: int
    masked = False
    tags: list[Tag]

    @abstractmethod
    def pixels(self, rows: slice, columns: slice) -> np.ndarray:
        """A window, (h, w, bands), as it is stored."""

    def valid(self, rows: slice, columns: slice) -> np.ndarray | None:
        """Which pixels of a window hold data, (h, w) bool; None: all."""
        return None

    def read(self, rows: slice, columns: slice) -> Tensor:
        """A window as the network takes it, (channels, h, w), uint8."""
        try:
            pixels = self.pixels(rows, columns)
        except ConfigError:
            raise
        except Exception as error:  # decoders raise errors of many kinds on broken files
            window = f"rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"
            raise DataError(f"{self.path}: {window} cannot be read ({error})") from error
        return to_tensor(pixels, self.channels)

    def check(self, bands: int, dtype: np.dtype | None) -> None:
        """Raises DataError where the network cannot take what the file holds."""
        if bands != self.channels and (bands, self.channels) not in ((1, 3), (3, 1), (1, 4), (3, 4)):
            raise DataError(
                f"{self.path}: holds {bands} bands; the network takes {self.channels}. Write a file of these bands, "
                f"as with gdal_translate -b 1 … -b {self.channels}, or train with in_channels={bands}"
            )
        if dtype not in (np.uint8, np.uint16):
            raise DataError(
                f"{self.path}: holds values of type {dtype}; integers of 8 or 16 bits (which are divided by 257) "
                "are expected, so scale them and save it again"
            )
