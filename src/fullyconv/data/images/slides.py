"""Read one level of a whole-slide image (SVS, OME-TIFF and similar pyramids) by window."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fullyconv.data.images.source import Source
from fullyconv.data.images.tile_sizes import read_tile, refuse_unbounded
from fullyconv.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries


class Slide(Source):
    """One level of a pyramid; a window reads only the tiles of the file that it touches."""

    def __init__(self, path: Path, file: "TiffFile", series: "TiffPageSeries", level: int) -> None:
        levels = series.levels
        if not 0 <= level < len(levels):
            raise ConfigError(f"{path}: has no level {level}; its levels are 0 to {len(levels) - 1}")
        self.path, self._file = path, file
        self._page = page = levels[level].keyframe
        if levels[level].axes not in ("YX", "YXS") or page.planarconfig == 2:
            raise DataError(
                f"{path}: has the axes {levels[level].axes}, {levels[level].shape}; expected one image with rows, "
                "columns and interleaved colours (YXS), so save it as such"
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
        result = np.full(shape, self._page.nodata, self.dtype)  # the value of blocks that the file leaves out
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
        """Decode a block, (h, w, bands); None if the file leaves it out."""
        page, data = self._page, read_tile(self._page, self._page, index)
        if not data:
            return None
        block, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        return None if block is None else block[0]


def _paste(onto: np.ndarray, block: np.ndarray, top: int, left: int) -> None:
    """Copy ``block`` to (top, left) of ``onto``, clipped to its borders."""
    height, width = onto.shape[:2]
    part = block[max(0, -top) : height - top, max(0, -left) : width - left]
    onto[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
