"""How often each class occurs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.data.cache import Contents, contents_of
from fullyconv.data.catalog import Data
from fullyconv.data.contents import count_labels
from fullyconv.data.masks import refuse_unknown
from fullyconv.data.pairs import Pair, masks_of, read_labels
from fullyconv.data.parallel import Progress, in_parallel


@dataclass(frozen=True)
class ClassPixels:
    """How many pixels each class has in a set of masks.

    ``pixels / image_pixels`` is the frequency by which Eigen and Fergus (ICCV 2015, section 6.3.2) balance classes:
    the class's share of the images in which it occurs. Where images have several labelings, C counts the classes of
    all of them, and a class's share is that in its own labeling.
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
    """Count the pixels of each class in one split; masks that are not in the cache are read on all cores.

    Raises DataError if there is no such split, or a mask is missing, broken or wrong.
    """
    return total(pixels_of_images(data, split, progress), data.head_sizes)


def pixels_of_images(data: Data, split: str, progress: Progress | None = None) -> np.ndarray:
    """Count the pixels of each class in each image of a split, int64 (N, C + 1), void last; see ``class_pixels``."""
    files = contents_of(data.root)
    counted = list(in_parallel(lambda pair: count_cached(pair, data, files), data.split(split), progress))
    files.save()
    return np.array(counted, np.int64).reshape(len(counted), sum(data.head_sizes) + 1)


def count_cached(pair: Pair, data: Data, files: Contents) -> np.ndarray:
    """Count the pixels of each class as ``join_counts`` does, from the cache where masks are in it.

    Raises DataError if a mask is missing, broken or wrong.
    """
    if pair.valid is not None:
        return count_pair(pair, data)
    labelings = []
    for path, code in zip(masks_of(pair), data.codes, strict=True):
        content = files.mask(path, code.key)
        labelled, unknown = count_labels(content, code)
        refuse_unknown(path, unknown, code)
        labelings.append(labelled)
    return join_counts(labelings, data.head_sizes)


def count_pair(pair: Pair, data: Data) -> np.ndarray:
    """Count the pixels of each class as ``join_counts`` does, by reading the pair's labels. Raises DataError."""
    labels = read_labels(pair, data.codes)
    planes = labels.reshape(len(data.codes), -1)
    return join_counts([np.bincount(plane, minlength=256) for plane in planes], data.head_sizes)


def join_counts(labelings: Sequence[np.ndarray], classes: Sequence[int]) -> np.ndarray:
    """Join the pixel counts of one image's labelings, int64 (256,) each, into int64 (C + 1,), void last.

    ``classes`` is the number of classes in each labeling; C is their sum.
    """
    of_classes = [count[:length] for count, length in zip(labelings, classes, strict=True)]
    return np.concatenate([*of_classes, [sum(count[IGNORE] for count in labelings)]])


def total(counts: Sequence[np.ndarray] | np.ndarray, classes: Sequence[int]) -> ClassPixels:
    """Add up the ``join_counts`` of many images."""
    table = np.array(counts, np.int64).reshape(len(counts), sum(classes) + 1)
    labelled = table[:, :-1]
    occurs = labelled > 0
    of_labeling = np.add.reduceat(labelled, np.cumsum([0, *classes[:-1]]), axis=1)
    image_pixels = (occurs * np.repeat(of_labeling, classes, axis=1)).sum(axis=0)
    return ClassPixels(labelled.sum(axis=0), image_pixels, occurs.sum(axis=0), int(table[:, -1].sum()))


def frequency_lines(
    data: Data, frequencies: Mapping[str, ClassPixels], rows: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Return a table, by split, of each class's share of the labelled pixels and the number of images with it.

    ``rows`` are further rows at the top, with a cell for each split. Names are not escaped; see ``visible``.
    """
    rows = rows or {}
    width = max(map(len, [*data.classes, *rows, "class"]))
    column = 20 if len(frequencies) < 5 else 15
    lines = [f"{'class':{width}}" + "".join(f"{split[: column - 2]:>{column}}" for split in frequencies)]
    lines += [f"{name:{width}}" + "".join(f"{cell:>{column}}" for cell in cells) for name, cells in rows.items()]
    starts = np.cumsum([0, *data.head_sizes])
    for index, name in enumerate(data.classes):
        labeling = np.searchsorted(starts, index, side="right")
        same_labeling = slice(starts[labeling - 1], starts[labeling])
        cells = ""
        for counted in frequencies.values():
            share = counted.pixels[index] / max(1, counted.pixels[same_labeling].sum())
            cells += f"{share:>{column - 7}.2%}{f'({counted.images[index]})':>7}"
        lines.append(f"{name:{width}}{cells}")
    voids = [counted.void / max(1, counted.void + counted.pixels.sum()) for counted in frequencies.values()]
    if any(voids):
        lines.append(
            f"{'void':{width}}" + "".join(f"{void:>{column - 7}.2%}{'':7}" for void in voids) + "  (of all pixels)"
        )
    return lines
