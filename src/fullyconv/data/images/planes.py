"""Read HHA or depth files that add channels to an image."""

from pathlib import Path

import numpy as np

from fullyconv.data.images.read import open_source
from fullyconv.errors import DataError


def read_planes(path: Path) -> np.ndarray:
    """Read the channels that a file adds to those of an image.

    - 8-bit colour, such as HHA: the three channels unchanged, uint8 (3, H, W).
    - 16-bit single band, depth in millimetres: its natural logarithm, float32 (1, H, W). Unknown depths (0) become the
      mean of the other logarithms, a neutral value.

    Raises DataError if the file cannot be read, is another kind of image, or has no depth above 0.
    """
    with open_source(path, upright=False) as source:
        stored, kind = source.whole().values, source.describe()
    if stored.dtype == np.uint8 and len(stored) == 3:
        return stored
    if len(stored) != 1 or stored.dtype.kind not in "ui" or stored.dtype == np.uint8:
        raise DataError(f"{path}: has {kind}; expected an 8-bit colour image, or 16-bit depths in millimetres")
    depth = stored[0]
    known = depth > 0
    if not known.any():
        raise DataError(f"{path}: holds no depth above 0; expected depths in millimetres")
    logarithms = np.log(depth, where=known, out=np.zeros(depth.shape, np.float32), casting="unsafe")
    logarithms[~known] = logarithms[known].mean()
    return logarithms[None]
