"""Label maps in MATLAB files."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from fullyconv.errors import DataError

SUFFIX = ".mat"


def read_matrix(path: str | Path, key: str) -> np.ndarray:
    """The matrix of whole numbers, (H, W), that a MATLAB file holds under ``key``.

    ``key`` is a variable's name, or the way into a struct, with dots: ``GTcls.Segmentation``. Floating-point matrices
    of whole numbers, MATLAB's default type, are given as int64.
    Raises DataError, naming the file, if it is absent, broken, of version 7.3, or holds no such matrix.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    variable, *fields = key.split(".")
    value = _load(path, variable)
    for field in fields:
        names = getattr(value.dtype, "names", None) or ()
        if field not in names or value.size != 1:
            found = f"is {value.size} struct(s) with {', '.join(names)}" if names else "is no struct"
            raise DataError(f"{path}: {field!r} of {key} is expected, but what is there {found}")
        value = value[field].item()
    return _whole_numbers(path, key, value)


def _load(path: Path, variable: str) -> Any:
    try:
        variables = loadmat(path, variable_names=[variable])
    except NotImplementedError as error:
        raise DataError(
            f"{path}: is a MATLAB 7.3 (HDF5) file; the published files are of version 5, so fetch it again "
            "or save it in MATLAB with `save -v6`"
        ) from error
    except Exception as error:  # SciPy's reader raises errors of many kinds on broken files
        raise DataError(f"{path}: cannot be read as a MATLAB file ({error})") from error
    if variable not in variables:
        raise DataError(f"{path}: holds no variable {variable!r}, which the layout of this data set expects")
    return variables[variable]


def _whole_numbers(path: Path, key: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "uif" or not value.size:
        found = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise DataError(f"{path}: {key} is {found}; a matrix of whole numbers (height x width) is expected")
    if value.dtype.kind != "f":
        return value
    if not (np.isfinite(value).all() and (value == np.floor(value)).all() and np.abs(value).max() < 2**53):
        raise DataError(f"{path}: {key} holds fractions; whole numbers are expected, one for each class")
    return value.astype(np.int64)
