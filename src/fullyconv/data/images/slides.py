"""Pyramids as scanners of microscope slides write them (SVS, OME-TIFF and their kin), one level of it by window."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fullyconv.data.images.source import Source
from fullyconv.data.images.tile_sizes import read_tile, refuse_unbounded
from fullyconv.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries


class Slide(Source):
    """One level of a pyramid, read tile by tile of the file's own."""

    def __init__(self, path: Path, file: "TiffFile", series: "TiffPageSeries", level: int) -> None:
        levels = series.levels
        if not 0 <= level < len(levels):
            raise ConfigError(f"{path}: has no level {level}; its levels are 0 to {len(levels) - 1}")
        self.path, self._file = path, file
        self._page = page = levels[level].keyframe
        if levels[level].axes not in ("YX", "YXS") or page.planarconfig == 2:
            raise DataError(
                f"{path}: is laid out as {levels[level].axes}, {levels[level].shape}; one picture of rows, columns and "
                "colours (YXS) is expected, so save it as that"
            )
        self.size = (page.imagelength, page.imagewidth)
        self.bands, self.dtype = page.samplesperpixel, np.dtype(page.dtype)
        self.colour = self.bands == 3
        self._block_size = (page.chunks[0], page.chunks[1])
        self.check_block(*self._block_size, self.bands)
        refuse_unbounded(path, page)

    def stored(self, rows: slice, columns: slice, with_alpha: bool) -> np.ndarray:
        height, width = self._block_size
        shape = (rows.stop - rows.start, columns.stop - columns.start, self.bands)
        result = np.full(shape, self._page.nodata, self.dtype)  # what blocks that were not stored hold
        across = -(-self.size[1] // width)
        for down in range(rows.start // height, -(-rows.stop // height)):
            for right in range(columns.start // width, -(-columns.stop // width)):
                block = self._block(down * across + right)
                if block is not None:
                    _paste(result, block, down * height - rows.start, right * width - columns.start)
        return result.transpose(2, 0, 1)

    def mask(self, rows: slice, columns: slice) -> np.ndarray | None:
        return None

    def close(self) -> None:
        self._file.close()

    def _block(self, index: int) -> np.ndarray | None:
        """(h, w, bands); None where the file holds nothing."""
        page, data = self._page, read_tile(self._page, self._page, index)
        if not data:
            return None
        block, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        return None if block is None else block[0]


def _paste(onto: np.ndarray, block: np.ndarray, top: int, left: int) -> None:
    """Put ``block`` where its first pixel lies at (top, left), as much of it as there is room for."""
    height, width = onto.shape[:2]
    part = block[max(0, -top) : height - top, max(0, -left) : width - left]
    onto[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
