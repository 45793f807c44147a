"""Open TIFF files of every kind: one image, a pyramid, or an image whose channels are pages."""

import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fullyconv.data.images.gdal import GdalFile
from fullyconv.data.images.headers import ORIENTATION
from fullyconv.data.images.pictures import refuse_stack
from fullyconv.data.images.slides import Slide
from fullyconv.data.images.source import Source, decoding
from fullyconv.data.images.tile_sizes import DECODED, refuse_larger_tiles, refuse_unbounded
from fullyconv.errors import ConfigError, DataError
from fullyconv.extras import require

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

MAX_PAGES = 256
"""A file with more pages is refused as a stack without a look at the pages."""


def open_tiff(path: Path, level: int = 0) -> Source:
    """Open a TIFF file with GDAL, or with tifffile if it is a pyramid without georeference or has channels in pages.

    ``level`` is the level of a pyramid (0: full resolution). Raises DataError if the file cannot be read, and
    ConfigError if the level does not exist or the extra ``raster`` is not installed.
    """
    use = "reads TIFF files of more than bytes in grey, RGB or with a palette"
    tifffile = require("tifffile", "raster", use)
    with ExitStack() as stack, decoding(f"{path}: cannot be read as a TIFF file"):
        file = stack.enter_context(tifffile.TiffFile(path))
        source = _by_tifffile(path, file, level)
        if source is not None:
            stack.pop_all()  # the source closes it
            return source
    return GdalFile(path, "GTiff", level)


def _by_tifffile(path: Path, file: "TiffFile", level: int) -> Source | None:
    """Return the image if tifffile should read it; None if GDAL should."""
    first = file.pages.first
    georeferenced = first.is_geotiff
    turned = 1 if georeferenced else first.tags.valueof(ORIENTATION, 1)
    if turned != 1 and turned in range(9):
        raise DataError(
            f"{path}: is marked as rotated or mirrored (orientation {turned}), which is supported only for plain 8-bit "
            f"TIFF; store it upright, or if it is upright, correct the tag: tiffset -s {ORIENTATION} 1 {path.name}"
        )
    if georeferenced:
        return None
    series = file.series[0]
    if series.is_pyramidal and series.keyframe.compression in DECODED:
        return Slide(path, file, series, level)
    further = {axis: n for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS" and n > 1}
    if set(further) == {"C"} and series.axes.replace("C", "", 1).strip("S") in ("YX", "TZYX", "ZYX", "TYX"):
        if level:
            raise ConfigError(f"{path}: has no level {level}; it is not a pyramid, so leave out --level")
        return ChannelPages(path, file, series)
    if further:
        refuse_stack(path, math.prod(further.values()))
    if len(file.pages) > 1:
        _refuse_other_images(path, file)
    return None


def _refuse_other_images(path: Path, file: "TiffFile") -> None:
    """Raise DataError if further pages are images of their own, neither masks nor smaller copies of the first page."""
    if len(file.pages) > MAX_PAGES:
        refuse_stack(path, len(file.pages))
    first = file.pages.first
    pages = [page.aspage() for page in file.pages[1:]]
    others = [page for page in pages if not (page.is_reduced or page.is_mask)]
    smaller = all(
        page.imagelength < first.imagelength
        and abs(page.imagewidth * first.imagelength / page.imagelength - first.imagewidth)
        <= first.imagelength / page.imagelength + 1
        and (page.samplesperpixel, page.dtype) == (first.samplesperpixel, first.dtype)
        for page in others
    )
    if others and not smaller:
        refuse_stack(path, 1 + len(others))


class ChannelPages(Source):
    """An image whose channels are pages of the file, as ImageJ and OME write them; it is read whole."""

    def __init__(self, path: Path, file: "TiffFile", series: "TiffPageSeries") -> None:
        self.path, self._file, self._series = path, file, series
        shape = dict(zip(series.axes, series.shape, strict=True))
        self.size, self.bands, self.dtype = (shape["Y"], shape["X"]), shape["C"], np.dtype(series.dtype)
        self._pixels: np.ndarray | None = None
        page = series.keyframe
        self.check_block(page.chunks[0], page.chunks[1], page.samplesperpixel)
        refuse_unbounded(path, page)

    def stored(self, rows: slice, columns: slice, with_alpha: bool) -> np.ndarray:
        if self._pixels is None:
            for page in self._series.pages:
                if page is not None:
                    refuse_larger_tiles(page, self._series.keyframe)
            self._pixels = self._series.asarray().reshape(self.bands, *self.size)
        return self._pixels[:, rows, columns]

    def mask(self, rows: slice, columns: slice) -> np.ndarray | None:
        return None

    def close(self) -> None:
        self._file.close()
