"""How often each class occurs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fullyconv.data.catalog import Data
from fullyconv.data.masks import IGNORE
from fullyconv.data.pairs import Pair, read_labels
from fullyconv.data.parallel import Progress, in_parallel


@dataclass(frozen=True)
class ClassPixels:
    """Pixels of each class in a set of masks.

    ``pixels / image_pixels`` is a class's frequency as Eigen and Fergus (ICCV 2015, section 6.3.2) balance
    classes by: among the images in which it occurs. Where images have several labelings, C runs through the
    classes of all, and a class's frequency is that in its own labeling.
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
        labels = read_labels(pair, data.codes)
        return count_labels(labels.reshape(-1, *labels.shape[-2:]), data.head_sizes)

    return total(list(in_parallel(count, data.split(split), progress)), data.head_sizes)


def count_labels(labelings: Iterable[np.ndarray], classes: Sequence[int]) -> np.ndarray:
    """int64 (C + 1,): the pixels of each class of each labeling, uint8 (H, W), and at the end those of void.

    ``classes`` is the number of classes in each labeling; C is their sum.
    """
    counts = [np.bincount(labels.ravel(), minlength=256) for labels in labelings]
    of_classes = [count[:length] for count, length in zip(counts, classes, strict=True)]
    return np.concatenate([*of_classes, [sum(count[IGNORE] for count in counts)]])


def total(counts: Sequence[np.ndarray], classes: Sequence[int]) -> ClassPixels:
    """Add up what ``count_labels`` gave for many images."""
    table = np.array(counts, np.int64).reshape(len(counts), sum(classes) + 1)
    labelled = table[:, :-1]
    occurs = labelled > 0
    of_labeling = np.add.reduceat(labelled, np.cumsum([0, *classes[:-1]]), axis=1)
    image_pixels = (occurs * np.repeat(of_labeling, classes, axis=1)).sum(axis=0)
    return ClassPixels(labelled.sum(axis=0), image_pixels, occurs.sum(axis=0), int(table[:, -1].sum()))
