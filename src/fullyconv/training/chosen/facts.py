"""Facts of the data that settings are chosen by: sizes of images, shares of classes, widths of their structures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.data.cache import contents_of
from fullyconv.data.catalog import Data
from fullyconv.data.frequencies import class_pixels
from fullyconv.data.pairs import read_labels
from fullyconv.data.parallel import in_parallel

EXAMINED = 32
"""Masks, spread evenly over the train split, in which the widths of structures are measured."""


@dataclass(frozen=True)
class Facts:
    """A train split in a few numbers."""

    images: int
    validated: int
    """Images of the split val."""
    height: int
    """Of the image in the middle of all, in pixels."""
    width: int
    shares: Sequence[float]
    """Of each class that occurs, in the labelled pixels; the classes of several labelings count as those of one."""
    structures: Callable[[], Sequence[float]]
    """Measures the width of each of these classes' structures, in pixels; infinite where a class has no border."""


def facts_of(data: Data) -> Facts:
    """Return the facts of the train split. Raises DataError if images or masks cannot be read."""
    pairs = data.split("train")
    files = contents_of(data.root)
    sizes = list(in_parallel(lambda pair: files.image(pair.image).size, pairs))
    pixels = class_pixels(data, "train").pixels
    occurs = pixels > 0

    def structures() -> list[float]:
        places = np.linspace(0, len(pairs) - 1, min(EXAMINED, len(pairs))).round().astype(int)
        labels = in_parallel(lambda place: read_labels(pairs[place], data.codes), places.tolist())
        borders = np.sum([borders_of(found, data.head_sizes) for found in labels], axis=0)
        return widths(borders)[occurs].tolist()

    return Facts(
        images=len(pairs),
        validated=len(data.splits.get("val", [])),
        height=int(median(height for _, height in sizes)),
        width=int(median(width for width, _ in sizes)),
        shares=(pixels[occurs] / max(1, pixels.sum())).tolist(),
        structures=structures,
    )


def borders_of(labels: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Count the pixels of each class, and their sides that touch another class: int64 (2, C). Void touches nothing.

    ``labels`` is (H, W), or (K, H, W) for K labelings, of the numbers of ``classes``.
    """
    counts = []
    for plane, count in zip(labels.reshape(-1, *labels.shape[-2:]), classes, strict=True):
        border = np.zeros(256, np.int64)
        for one, other in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            differ = (one != other) & (one != IGNORE) & (other != IGNORE)
            border += np.bincount(one[differ], minlength=256) + np.bincount(other[differ], minlength=256)
        counts.append(np.stack([np.bincount(plane.ravel(), minlength=256), border])[:, :count])
    return np.concatenate(counts, axis=1)


def widths(borders: np.ndarray) -> np.ndarray:
    """Return the mean width of the structures of each class, in pixels, from ``borders_of``: (C,).

    A strip has twice its length as border. A border in all directions has 4/π times its length in sides of pixels.
    """
    area, sides = borders.astype(float)
    return np.divide(2 * area, sides * math.pi / 4, out=np.full(len(area), math.inf), where=sides > 0)
