"""Read the whole of ADE20K (Zhou et al., IJCV 2019), as published in 2021: over 3,000 classes in numbered colours."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from fullyconv.classes import IGNORE, MAX_CLASSES, printable
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest
from fullyconv.data.annotations.formats.numbered import read_colours
from fullyconv.data.annotations.json_files import Many, read_json
from fullyconv.data.annotations.shapes import Shape, ValueMask
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.splits.names import split_of_folders
from fullyconv.errors import DataError
from fullyconv.files import file_state

_IMAGE = re.compile(r"ADE_(train|val)_\d{8}")
_PLACES = ("images/ADE", "ADE", ".")
ROWS = 256
"""Rows of a PNG that are looked at at once."""


class Part(TypedDict):
    """Whether an object is part of another: 0 if it is none, else 1, 2, …"""

    part_level: int


class Object(TypedDict):
    """One object of an image: the synonyms of its class, and the number of that."""

    name: str
    name_ndx: int
    parts: Part


class Content(TypedDict):
    """What a file says of its image."""

    object: Many[Object]


class File(TypedDict):
    """A file of the annotations of one image."""

    annotation: Content


FILE = TypeAdapter(File)


class _Read(NamedTuple):
    path: Path
    synonyms: dict[int, str]
    """Of the classes of the image's objects, by their numbers; parts of objects are left out."""


def ade20k_files(path: Path) -> list[Path]:
    """Return the files of the whole of ADE20K in ``images/ADE`` of a folder, or of one in it; [] if it has none."""
    for root in (path, *sorted(path.glob("ADE20K_*"))):
        for place in _PLACES:
            folder = root / place
            if (folder / "training").is_dir() and (found := _files(folder / "training")):
                return found + _files(folder / "validation")
    return []


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*/*/ADE_*.json") if _IMAGE.fullmatch(file.stem))


def read_ade20k(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read images with their ``_seg.png``; the MAX_CLASSES classes of most images are kept, the others are void.

    Raises DataError for a file that is not ADE20K's.
    """
    files = [_read(path) for path in paths]
    images_of = Counter(number for file in files for number in file.synonyms)
    kept = sorted(number for number, _ in sorted(images_of.items(), key=lambda own: (-own[1], own[0]))[:MAX_CLASSES])
    synonyms = {number: words for file in files for number, words in file.synonyms.items()}
    labels = {number: label for label, number in enumerate(kept)}
    images = [_image(root, file, labels) for file in files]
    notes = []
    if left_out := len(images_of) - len(kept):
        most = max(count for number, count in images_of.items() if number not in labels)
        notes.append(f"{left_out:,} of {len(images_of):,} classes, in at most {most} images each, are read as void")
    return Annotations(root, "ade20k-full", images, _names(synonyms, kept), "coco", background=IGNORE, notes=notes)


def _read(path: Path) -> _Read:
    content, _ = read_json(path, FILE)
    objects = [own for own in content["annotation"]["object"] if own["parts"]["part_level"] == 0]
    try:
        return _Read(path, {own["name_ndx"]: printable(own["name"]) for own in objects})
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def _names(synonyms: Mapping[int, str], numbers: Sequence[int]) -> list[str]:
    """Return the first synonym of each class, with the others or the number if it has it in common with another."""
    first = {number: synonyms[number].split(",")[0].strip() for number in numbers}
    for other in (synonyms, {number: f"{name} ({number})" for number, name in first.items()}):
        common = Counter(first.values())
        first = {number: other[number] if common[name] > 1 else name for number, name in first.items()}
    return list(first.values())


def _image(root: Path, file: _Read, labels: Mapping[int, int]) -> AnnotatedImage:
    png = file.path.with_name(f"{file.path.stem}_seg.png")
    own = {number: labels.get(number) for number in file.synonyms}
    return AnnotatedImage(
        file.path.with_suffix(".jpg"),
        file.path,
        partial(_shapes, png, own),
        digest(str(own), str(file_state(png))),
        split=split_of_folders(file.path, root),
    )


def _shapes(png: Path, labels: Mapping[int, int | None], size: Size) -> list[Shape]:
    """Return a shape for each class in a PNG, whose pixels have the number R // 10 * 256 + G; 0 is void.

    Raises DataError for another PNG.
    """
    numbers, pixels = np.empty(size, np.uint16), read_colours(png, size, "classes")
    for top in range(0, size[0], ROWS):
        red, green = pixels[top : top + ROWS, :, 0].astype(np.uint16), pixels[top : top + ROWS, :, 1]
        numbers[top : top + ROWS] = red // 10 * 256 + green
    shapes = []
    for number in np.unique(numbers[numbers > 0]).tolist():
        if number not in labels:
            shapes.append(Shape(0, (), f"the number {number} in its PNG is of no object"))
        elif (label := labels[number]) is not None:
            shapes.append(Shape(label, (ValueMask(numbers, number),)))
    return shapes
