"""Read data sets with one mask file for each object of an image, as the Data Science Bowl of 2018."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fullyconv.classes import FOREGROUND
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, with_background
from fullyconv.data.annotations.shapes import Bitmap, Shape
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.masks import read_area
from fullyconv.errors import DataError
from fullyconv.files import file_state

MAX_NAMED = 20
"""Most classes that are taken from the names of masks; with more, the names are those of objects."""
_NO_CLASS = frozenset(("mask", "masks", "object", "obj", "instance", "inst", "label", "seg", "segmentation", "gt"))


def read_objects(
    root: Path, layout: str, of_image: Mapping[Path, Sequence[Path]], splits: Mapping[Path, str | None]
) -> Annotations:
    """Return the union of the masks of each image as its foreground; ``splits`` has the split of each image.

    If the names of all masks have a class beside the image's name and numbers, as nucleus in ``a_nucleus_3.png``, the
    masks of a class are its pixels.
    """
    classes, labels = _classes(of_image)
    images = [
        AnnotatedImage(
            image,
            image,
            partial(_shapes, [(mask, labels[mask]) for mask in masks]),
            digest(*(f"{mask.name} {labels[mask]} {file_state(mask)}" for mask in masks)),
            split=splits[image],
        )
        for image, masks in of_image.items()
    ]
    many = sum(map(len, of_image.values()))
    named = "the class in their names" if classes != FOREGROUND else classes[1]
    note = f"{many:,} masks of {len(of_image):,} images are read as one object each; what they cover is {named}"
    return Annotations(root, layout, images, classes, "coco", "smaller-on-top", notes=[note])


def _classes(of_image: Mapping[Path, Sequence[Path]]) -> tuple[list[str], dict[Path, int]]:
    """Return the classes, and the label of each mask."""
    words = {mask: _word(image.stem, mask.stem) for image, masks in of_image.items() for mask in masks}
    names = sorted(set(words.values()))
    if not all(names) or len(names) > min(MAX_NAMED, len(words) / 2):
        return list(FOREGROUND), dict.fromkeys(words, 1)
    classes, labels = with_background(names)
    return classes, {mask: labels[word] for mask, word in words.items()}


def _word(image: str, mask: str) -> str:
    """Return what a mask's name says besides its image's name, numbers and that it is a mask; "" if that is no word."""
    parts = [part.rstrip("0123456789") for part in re.split(r"[\W_]+", mask.removeprefix(image))]
    parts = [part for part in parts if part and part.lower() not in _NO_CLASS]
    return "_".join(parts) if all(part.isalpha() and len(part) > 1 for part in parts) else ""


def _shapes(masks: Sequence[tuple[Path, int]], size: Size) -> list[Shape]:
    """Return the union of the masks of each label. Raises DataError for a mask of another size than the image."""
    unions: dict[int, np.ndarray] = {}
    for mask, label in masks:
        inside = read_area(mask)
        if inside.shape != size:
            height, width = inside.shape
            raise DataError(f"{mask}: is {width}x{height} (width x height) for an image of {size[1]}x{size[0]}")
        unions[label] = unions[label] | inside if label in unions else inside
    return [Shape(label, (Bitmap(inside),)) for label, inside in unions.items()]
