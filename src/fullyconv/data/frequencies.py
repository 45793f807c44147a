"""How often each class occurs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fullyconv.data.layouts import Data
from fullyconv.data.masks import IGNORE
from fullyconv.data.pairs import Pair, read_labels
from fullyconv.data.parallel import Progress, in_parallel


@dataclass(frozen=True)
class ClassPixels:
    """Pixels of each class in a set of masks.

    ``pixels / image_pixels`` is a class's frequency as Eigen and Fergus (ICCV 2015, section 6.3.2) balance
    classes by: among the images in which it occurs.
    """

    pixels: np.ndarray
    """int64 (C,): the pixels of each class."""
    image_pixels: np.ndarray
    """int64 (C,): for each class, the labelled pixels of all images in which it occurs."""
    images: np.ndarray
    """int64 (C,): the images in which each class occurs."""
    void: int
    """Pixels without a class."""


def class_pixels(data: Data, split: str, progress: Progress | None = None) -> ClassPixels:
    """Count the classes' pixels in one split, reading its masks on all cores.

    Raises DataError if there is no such split, or a mask is missing, broken or wrong.
    """

    def count(pair: Pair) -> np.ndarray:
        return count_labels(read_labels(pair, data.mask_code))

    return total(in_parallel(count, data.split(split), progress), len(data.classes))


def count_labels(labels: np.ndarray) -> np.ndarray:
    """int64 (256,): the pixels of each label of a mask, uint8 (H, W)."""
    return np.bincount(labels.ravel(), minlength=256)


def total(counts: Sequence[np.ndarray], classes: int) -> ClassPixels:
    """Add up the counts (256,) of many masks."""
    table = np.array(counts, np.int64).reshape(len(counts), 256)
    labelled = table[:, :classes]
    occurs = labelled > 0
    image_pixels = (occurs * labelled.sum(axis=1, keepdims=True)).sum(axis=0)
    return ClassPixels(labelled.sum(axis=0), image_pixels, occurs.sum(axis=0), int(table[:, IGNORE].sum()))
