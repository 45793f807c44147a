"""What GDAL may open beside an image, or because that image says so: judged before it is opened."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

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
"""GDAL's options: no plug-ins, nothing of the network, and of a folder no files but those of names that it expects."""

MASKS = (".msk", ".MSK")
LEVELS = (".ovr", ".OVR", ".aux", ".AUX")
"""What follows the names of files that GDAL reads with an image: with any, and for its levels."""


def refuse_other_files(file: "DatasetReader", path: Path, level: int) -> None:
    """Raise DataError where GDAL would open other files for an open one, at ``path``, than TIFF files beside it.

    A file's own description, or the one beside it, may name any file of the machine, or any address in the network,
    as that of its levels. Masks and levels beside it are opened in any format, some of which name yet other files.
    """
    import rasterio

    elsewhere = [value for key, value in file.tags(ns="OVERVIEWS").items() if key.upper() == "OVERVIEW_FILE"]
    if elsewhere and level:
        raise DataError(
            f"{path}: names another file for its levels, {elsewhere[0][:200]!r}, which is not read. Label it without "
            "--level, or write it anew with gdal_translate and its levels with gdaladdo"
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
                    f"{beside}: cannot be read ({first_line(error)}); GDAL reads it with {path.name}. Remove it, or "
                    "write it anew as a TIFF file"
                ) from error
