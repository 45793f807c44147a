"""An image and its mask."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fullyconv.data.images import read_image
from fullyconv.data.masks import MaskCode, read_mask
from fullyconv.errors import DataError


@dataclass(frozen=True)
class Pair:
    """An image and its mask; ``mask`` is None where there is none."""

    image: Path
    mask: Path | None


def read_labels(pair: Pair, code: MaskCode) -> np.ndarray:
    """The pair's mask, as ``read_mask`` gives it. Raises DataError if it is missing, broken or wrong."""
    if pair.mask is None:
        raise DataError(f"{pair.image}: has no mask; a mask with the image's name is expected")
    return read_mask(pair.mask, code)


def read_pair(pair: Pair, code: MaskCode, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Image (channels, H, W) and labels (H, W), both uint8, as ``read_image`` and ``read_mask`` give them.

    Raises DataError if one is missing, broken or wrong, or their sizes differ.
    """
    image, labels = read_image(pair.image, channels), read_labels(pair, code)
    (height, width), (mask_height, mask_width) = image.shape[1:], labels.shape
    if image.shape[1:] != labels.shape:
        raise DataError(
            f"{pair.mask}: is {mask_width}x{mask_height} (width x height), its image {pair.image} "
            f"{width}x{height}; export both at the same size"
        )
    return image, labels
