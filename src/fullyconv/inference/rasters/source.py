"""Windows of TIFF files of any size, as the tensors a network takes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import TiffImagePlugin

from fullyconv.classes import IGNORE
from fullyconv.errors import ConfigError, DataError
from fullyconv.extras import require
from fullyconv.files import absence
from fullyconv.inference.rasters.raster import LARGEST_BLOCK, Raster, Tag
from fullyconv.inference.rasters.slides import Slide

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window

WIDTH, HEIGHT, SAMPLES, TILE_WIDTH = 256, 257, 277, 322
ORIENTATION = 274
"""TIFF tag: how the picture is turned. A georeference is of the rows as they lie: beside it GDAL ignores the tag."""
GEOREFERENCE = (33550, 33922, 34264, 34735)
"""TIFF tags: pixel scale, tie points, transformation, coordinate system."""
LARGE = 64 * 2**20
"""Pixels from which on even a plain TIFF is read by window."""
CACHE = 64 * 2**20
"""Bytes that GDAL may keep of what it has decoded; by itself it takes 5% of the machine's memory."""


def by_window(path: Path) -> bool:
    """Whether a TIFF is one to be read by window: georeferenced, tiled, large, or beyond what pictures hold."""
    try:
        tags = _first_directory(path)
        large = tags.get(WIDTH, 0) * tags.get(HEIGHT, 0) > LARGE
        return large or TILE_WIDTH in tags or tags.get(SAMPLES, 1) > 4 or any(tag in tags for tag in GEOREFERENCE)
    except Exception:  # a damaged file, or none of TIFF's: Pillow's errors have many kinds, and what reads it has words
        return False


def _first_directory(path: Path) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags of a TIFF's first image. Raises an error of whatever kind where the file is none."""
    with path.open("rb") as file:
        header = file.read(8)
        header += file.read(8) if header[2:3] == b"\x2b" or header[3:4] == b"\x2b" else b""
        tags = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(tags.next)
        tags.load(file)
    return tags


CLOSED = {
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
}
"""GDAL opens TIFF files of this machine: it loads no plug-ins and follows no file beside them to the network."""


@contextmanager
def open_raster(path: Path, channels: int, level: int = 0) -> Iterator[Raster]:
    """A TIFF file for a network of ``channels``: with GDAL, or, a pyramid without a georeference, with tifffile.

    ``level`` is that of a pyramid (0: the finest). Raises DataError for what cannot be read or does not fit the
    network, ConfigError for a level that is not there, and where the extra ``raster`` is not installed.
    """
    if not path.is_file():
        raise DataError(f"{path}: {absence(path)}")
    use = "reads georeferenced, tiled and large TIFF files"
    rasterio, tifffile = (require(name, "raster", use) for name in ("rasterio", "tifffile"))
    try:
        file = tifffile.TiffFile(path)
    except Exception as error:  # as above
        raise DataError(f"{path}: cannot be read as a TIFF file ({error})") from error
    with file:
        try:
            georeferenced = file.pages.first.is_geotiff
            slide = file.series[0].is_pyramidal and not georeferenced
            turned = 1 if georeferenced else file.pages.first.tags.valueof(ORIENTATION, 1)
        except Exception as error:
            raise DataError(f"{path}: cannot be read as a TIFF file ({error})") from error
        if turned > 1:
            raise DataError(
                f"{path}: is stored turned or mirrored (orientation {turned}), which is not read by window. Store it "
                f"upright, or, if it is, say so: tiffset -s {ORIENTATION} 1 {path.name}"
            )
        if slide:
            yield Slide(path, file.series[0], channels, level)
            return
    with rasterio.Env(GDAL_CACHEMAX=CACHE, **CLOSED), warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            options = {"overview_level": level - 1} if level else {}
            dataset = rasterio.open(path.resolve(), driver="GTiff", **options)
        except rasterio.errors.RasterioIOError as error:
            if level:
                raise ConfigError(f"{path}: has no level {level} ({error})") from error
            raise DataError(f"{path}: cannot be read ({error})") from error
        with dataset:
            yield GeoRaster(path, dataset, channels)


class GeoRaster(Raster):
    """What GDAL reads. Transparency is nodata; a palette is turned into its colours."""

    def __init__(self, path: Path, dataset: "DatasetReader", channels: int):
        from rasterio.enums import ColorInterp, MaskFlags

        self.path, self.dataset, self.channels = path, dataset, channels
        self.size = (dataset.height, dataset.width)
        if dataset.subdatasets:
            raise DataError(
                f"{path}: holds {len(dataset.subdatasets)} images; one image a file is expected, so split it or save "
                "it as one image"
            )
        kinds = dataset.colorinterp
        self.bands = [band for band, kind in zip(dataset.indexes, kinds, strict=True) if kind != ColorInterp.alpha]
        if len(dataset.indexes) == channels:
            self.bands = list(dataset.indexes)
        self.masked = any(MaskFlags.all_valid not in flags for flags in dataset.mask_flag_enums)
        self.palette = None
        if kinds[0] == ColorInterp.palette:
            colours = dataset.colormap(1)
            self.palette = np.array([colours.get(i, (0, 0, 0, 0))[:3] for i in range(256)], np.uint8)
        self.check(3 if self.palette is not None else len(self.bands), np.dtype(dataset.dtypes[0]))
        for (height, width), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
            if height * width * np.dtype(dtype).itemsize * len(self.bands) > LARGEST_BLOCK:
                raise DataError(
                    f"{path}: is stored in blocks of {height}×{width} pixels, each of which has to be decoded whole. "
                    "Store it in tiles: gdal_translate -co TILED=YES"
                )
        self.tags = _georeference(dataset, self.masked)

    def pixels(self, rows: slice, columns: slice) -> np.ndarray:
        stored = self.dataset.read(self.bands, window=_window(rows, columns))
        return stored.transpose(1, 2, 0) if self.palette is None else self.palette[stored[0]]

    def valid(self, rows: slice, columns: slice) -> np.ndarray | None:
        return self.dataset.dataset_mask(window=_window(rows, columns)) > 0 if self.masked else None


def _window(rows: slice, columns: slice) -> "Window":
    from rasterio.windows import Window

    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


def _georeference(dataset: "DatasetReader", masked: bool) -> list[Tag]:
    """The tags that GDAL writes for this georeference, wherever it found it. ``masked``: labels of 255 are nodata."""
    import rasterio
    import tifffile

    points, system = dataset.gcps
    with rasterio.MemoryFile() as memory:
        options = {"crs": dataset.crs} if dataset.crs else {}
        if not dataset.transform.is_identity:
            options["transform"] = dataset.transform
        if masked:
            options["nodata"] = IGNORE
        with memory.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", **options) as small:
            if points:
                small.gcps = (points, system)
            if dataset.rpcs:
                small.rpcs = dataset.rpcs
            point = dataset.tags().get("AREA_OR_POINT")
            if point:
                small.update_tags(AREA_OR_POINT=point)
        with tifffile.TiffFile(memory) as file:
            tags = file.pages.first.tags
            found = [tag for tag in tags.values() if tag.code in KEPT]
            return [(tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in found]


KEPT = (*GEOREFERENCE, 34736, 34737, 42113, 50844)
"""Also its parameters as numbers and text, nodata, and rational polynomials."""
