"""Restrict which other files GDAL opens together with an image."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fullyconv.data.images.headers import MASKS
from fullyconv.errors import DataError, first_line

if TYPE_CHECKING:
    from rasterio import DatasetReader

CLOSED = {
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
}
"""GDAL options that disable plug-ins, network access and listing the folder of the image."""

LEVELS = (".ovr", ".OVR", ".aux", ".AUX")
"""Suffixes, after the name of an image, of files that GDAL reads for its levels."""


def refuse_other_files(file: "DatasetReader", path: Path, level: int) -> None:
    """Raise DataError if GDAL would also open files other than TIFF files next to ``file``, which is at ``path``.

    A file, or the description next to it, may name any file or network address as the source of its levels. GDAL opens
    masks and levels next to it in any format, and some formats refer to further files.
    """
    import rasterio

    elsewhere = [value for key, value in file.tags(ns="OVERVIEWS").items() if key.upper() == "OVERVIEW_FILE"]
    if elsewhere and level:
        raise DataError(
            f"{path}: refers to another file for its levels, {elsewhere[0][:200]!r}, which is not opened. Predict "
            "without --level, or rewrite the file with gdal_translate and its levels with gdaladdo"
        )
    names = [path.name + suffix for suffix in (*MASKS, *(LEVELS if level else ()))]
    names += [path.stem + suffix for suffix in LEVELS[2:] if level]
    for beside in dict.fromkeys(path.with_name(name) for name in names):
        if beside != path and os.path.lexists(beside):
            try:
                with rasterio.open(beside, driver="GTiff") as other:
                    refuse_other_files(other, beside, level)
            except rasterio.errors.RasterioIOError as error:
                raise DataError(
                    f"{beside}: cannot be read as a TIFF file ({first_line(error)}), but GDAL reads it together with "
                    f"{path.name}. Remove it, or convert it to a TIFF file"
                ) from error
