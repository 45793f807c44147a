"""Pyramids as scanners of microscope slides write them (SVS, OME-TIFF and their kin), one level of it by window."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fullyconv.errors import ConfigError, DataError
from fullyconv.inference.rasters.raster import LARGEST_BLOCK, Raster

if TYPE_CHECKING:
    from tifffile import TiffPageSeries


class Slide(Raster):
    """One level of a pyramid, read tile by tile of the file's own."""

    def __init__(self, path: Path, series: "TiffPageSeries", channels: int, level: int):
        levels = series.levels
        if not 0 <= level < len(levels):
            raise ConfigError(f"{path}: has no level {level}; its levels are 0 to {len(levels) - 1}")
        self.path, self.channels, self.tags = path, channels, []
        self.page = levels[level].keyframe
        if levels[level].axes not in ("YX", "YXS") or self.page.planarconfig == 2:
            raise DataError(
                f"{path}: is laid out as {levels[level].axes}, {levels[level].shape}; one picture of rows, columns and "
                "colours (YXS) is expected, so save it as that"
            )
        self.size = (self.page.imagelength, self.page.imagewidth)
        self.block = (self.page.chunks[0], self.page.chunks[1])
        dtype = self.page.dtype
        self.check(self.page.samplesperpixel, dtype)
        assert dtype is not None
        if self.block[0] * self.block[1] * self.page.samplesperpixel * dtype.itemsize > LARGEST_BLOCK:
            raise DataError(
                f"{path}: is stored in blocks of {self.block} pixels, too large to be decoded: store it tiled"
            )

    def pixels(self, rows: slice, columns: slice) -> np.ndarray:
        page, (height, width) = self.page, self.block
        shape = (rows.stop - rows.start, columns.stop - columns.start, page.samplesperpixel)
        result = np.full(shape, page.nodata, page.dtype)  # what blocks that were not stored hold
        across = -(-self.size[1] // width)
        for down in range(rows.start // height, -(-rows.stop // height)):
            for right in range(columns.start // width, -(-columns.stop // width)):
                block = self._block(down * across + right)
                if block is not None:
                    _paste(result, block, down * height - rows.start, right * width - columns.start)
        return result

    def _block(self, index: int) -> np.ndarray | None:
        """(h, w, bands); None where the file holds nothing."""
        page = self.page
        count = page.databytecounts[index]
        if not count:
            return None
        page.parent.filehandle.seek(page.dataoffsets[index])
        data = page.parent.filehandle.read(count)
        block, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        return None if block is None else block[0]


def _paste(onto: np.ndarray, block: np.ndarray, top: int, left: int) -> None:
    """Put ``block`` where its first pixel lies at (top, left), as much of it as there is room for."""
    height, width = onto.shape[:2]
    part = block[max(0, -top) : height - top, max(0, -left) : width - left]
    onto[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
