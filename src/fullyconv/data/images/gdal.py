"""Read images with GDAL: TIFF files of any bands, type, layout and size; 16-bit PNG; JPEG 2000."""

import logging
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.data.images.headers import GEOREFERENCE
from fullyconv.data.images.neighbours import CLOSED, refuse_other_files
from fullyconv.data.images.source import Source, Tag, decoding
from fullyconv.errors import ConfigError, DataError, first_line
from fullyconv.extras import require

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window

CACHE = 64 * 2**20
"""Size of GDAL's cache in bytes; by default it takes 5% of the machine's memory."""


class GdalFile(Source):
    """An image read by a GDAL driver. ``level`` is the overview that is read (0: full resolution)."""

    def __init__(self, path: Path, driver: str, level: int = 0) -> None:
        rasterio = _rasterio()
        self.path = path
        with ExitStack() as stack, decoding(f"{path}: cannot be read as an image"):
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE, **CLOSED))
            self._dataset = self._opened(path.resolve(), driver, level)
            stack.callback(self._dataset.close)
            self._describe()
            self._open = stack.pop_all()  # close() closes it from here on

    def _opened(self, path: Path, driver: str, level: int) -> "DatasetReader":
        """Open the file, or one of its levels. Raises ConfigError if the level does not exist."""
        import rasterio

        finest = rasterio.open(path, driver=driver)
        try:
            refuse_other_files(finest, path, level)
        except BaseException:
            finest.close()
            raise
        if level == 0:
            return finest
        finest.close()
        try:
            return rasterio.open(path, driver=driver, overview_level=level - 1)
        except Exception as error:
            raise ConfigError(f"{self.path}: has no level {level} ({first_line(error)})") from error

    def _describe(self) -> None:
        from rasterio.enums import ColorInterp, MaskFlags

        dataset, path = self._dataset, self.path
        kinds = dataset.colorinterp
        self.size = (dataset.height, dataset.width)
        self._bands = [band for band, kind in zip(dataset.indexes, kinds, strict=True) if kind != ColorInterp.alpha]
        self._alpha = [band for band in dataset.indexes if band not in self._bands]
        types = {np.dtype(name) for name in dataset.dtypes}
        if len(types) > 1 or any(kind.kind == "c" for kind in types):
            found = ", ".join(sorted(map(str, types)))
            raise DataError(
                f"{path}: has bands of type {found}; expected the same real type for all bands, so convert it"
            )
        (self.dtype,) = types
        self._palette: np.ndarray | None = None
        if kinds[0] == ColorInterp.palette and len(self._bands) == 1 and self.dtype == np.uint8:
            colours = dataset.colormap(1)
            self._palette = np.array([colours.get(i, (0, 0, 0, 0))[:3] for i in range(256)], np.uint8)
            if (self._palette == self._palette[:, :1]).all():  # a palette of greys, such as of 1-bit images
                self._palette = self._palette[:, :1]
        self._one_bit = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1"
        self.bands = len(self._bands) if self._palette is None else self._palette.shape[1]
        named = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        self.colour = self.bands == 3 and (self._palette is not None or tuple(kinds[:3]) == named)
        self.alpha = len(self._alpha) == 1
        self.has_gaps = any(MaskFlags.all_valid not in own for own in dataset.mask_flag_enums)
        if self._palette is None and any(value is not None for value in dataset.nodatavals):
            self.nodata = [dataset.nodatavals[band - 1] for band in self._bands]
        for height, width in dataset.block_shapes:
            self.check_block(height, width, dataset.count)

    def georeference(self) -> list[Tag]:
        return _georeference(self._dataset, self.has_gaps) if self._dataset.driver == "GTiff" else []

    def pixel_size(self) -> tuple[float, float] | None:
        system, transform = self._dataset.crs, self._dataset.transform
        if not system or not system.is_projected or transform.b or transform.d:
            return None
        _, metres = system.linear_units_factor
        return abs(transform.e) * metres, abs(transform.a) * metres

    def stored(self, rows: slice, columns: slice, with_alpha: bool) -> np.ndarray:
        bands = sorted(self._bands + self._alpha) if with_alpha else self._bands  # in the order of the file
        values = self._read(lambda: self._dataset.read(bands, window=_window(rows, columns)))
        if self._palette is None:
            return values * np.uint8(255) if self._one_bit else values
        shown = self._palette[values[0]].transpose(2, 0, 1)
        return np.concatenate([shown, values[1:]]) if with_alpha else shown

    def numbers(self) -> np.ndarray:
        self.check_memory(self.size[0] * self.size[1])
        with decoding(f"{self.path}: cannot be read as an image"):
            return self._read(lambda: self._dataset.read(self._bands))

    def mask(self, rows: slice, columns: slice) -> np.ndarray | None:
        if not self.has_gaps:
            return None
        return self._read(lambda: self._dataset.dataset_mask(window=_window(rows, columns))) > 0

    def _read(self, read: Callable[[], np.ndarray]) -> np.ndarray:
        """Call ``read``. Raises DataError if GDAL warns meanwhile, because it returns partial data of damaged files."""
        complaints: list[str] = []
        _heard.complaints = complaints
        try:
            found = read()
        finally:
            _heard.complaints = None
        if complaints:
            raise DataError(f"{self.path}: cannot be read as an image ({complaints[0]})")
        return found

    def close(self) -> None:
        self._open.close()


@lru_cache(maxsize=1)
def _rasterio() -> ModuleType:
    """Import rasterio, and silence its warning about images without a georeference."""
    rasterio = require("rasterio", "raster", "reads images of more than bytes in grey, RGB or with a palette")
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    return rasterio


_heard = threading.local()
"""``complaints``: GDAL's warnings while this thread reads."""


class _Listener(logging.Handler):
    """Collects GDAL's warnings, which do not name the file, instead of printing them."""

    def emit(self, record: logging.LogRecord) -> None:
        complaints = getattr(_heard, "complaints", None)
        if complaints is not None:
            complaints.append(record.getMessage())


for _name in ("rasterio._err", "rasterio._env"):
    logging.getLogger(_name).addHandler(_Listener(logging.WARNING))


def _window(rows: slice, columns: slice) -> "Window":
    from rasterio.windows import Window

    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


def _georeference(dataset: "DatasetReader", gaps: bool) -> list[Tag]:
    """Return a data set's georeference as TIFF tags; with ``gaps``, they also declare 255 as nodata."""
    import rasterio
    import tifffile

    points, system = dataset.gcps
    with rasterio.MemoryFile() as memory:
        options = {"crs": dataset.crs} if dataset.crs else {}
        if not dataset.transform.is_identity:
            options["transform"] = dataset.transform
        if gaps:
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
            found = [tag for tag in file.pages.first.tags.values() if tag.code in KEPT]
            return [(tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in found]


KEPT = (*GEOREFERENCE, 34736, 34737, 42113, 50844)
"""GEOREFERENCE, its numeric and text parameters, nodata, and rational polynomial coefficients."""
