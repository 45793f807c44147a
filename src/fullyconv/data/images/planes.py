"""Files that accompany a picture: HHA, or depth in millimetres."""

from pathlib import Path

import numpy as np

from fullyconv.data.images.read import open_source
from fullyconv.errors import DataError


def read_planes(path: Path) -> np.ndarray:
    """Read what a file that accompanies a picture adds to its channels.

    - 8-bit colour, as HHA: three channels, uint8 (3, H, W), as they are.
    - one band of 16 bits, depth in millimetres: its natural logarithm, float32 (1, H, W). Where the depth is not known
      (0), the mean of the image's other logarithms stands, which says nothing to a network.

    Raises DataError, naming the file, if it cannot be read or is another kind of image, or a depth without any depth.
    """
    with open_source(path, upright=False) as source:
        stored, kind = source.whole().values, source.describe()
    if stored.dtype == np.uint8 and len(stored) == 3:
        return stored
    if len(stored) != 1 or stored.dtype.kind not in "ui" or stored.dtype == np.uint8:
        raise DataError(f"{path}: has {kind}; a colour image, or a 16-bit one of depths in mm, is expected")
    depth = stored[0]
    known = depth > 0
    if not known.any():
        raise DataError(f"{path}: holds no depth above 0; depths in millimetres are expected")
    logarithms = np.log(depth, where=known, out=np.zeros(depth.shape, np.float32), casting="unsafe")
    logarithms[~known] = logarithms[known].mean()
    return logarithms[None]
