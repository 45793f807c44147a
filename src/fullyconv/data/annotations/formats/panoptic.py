"""Read COCO's panoptic annotations: a file of segments, and a PNG for each image whose colours are their numbers.

A pixel's number is red + 256 green + 65536 blue; 0 is void. Categories are things and stuff, so no background is added.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, NotRequired

import numpy as np
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from fullyconv.classes import IGNORE
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, named_classes, size_if_given
from fullyconv.data.annotations.formats.coco import Id, Image
from fullyconv.data.annotations.formats.numbered import read_colours
from fullyconv.data.annotations.formats.recognize import annotation_files
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.json_files import Many, read_json
from fullyconv.data.annotations.shapes import Shape, ValueMask
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.splits.names import split_of_file
from fullyconv.files import file_state

Channel = Annotated[int, Field(ge=0, le=255)]
SEGMENTS = 1 << 24
"""The numbers that a colour can hold."""
ROWS = 1024
"""Rows of a PNG that are looked up at once."""


class Category(TypedDict):
    """A category of a panoptic file."""

    id: int
    name: str
    color: NotRequired[tuple[Channel, Channel, Channel] | None]


class Segment(TypedDict):
    """An object, or an area of stuff, in an image."""

    id: Annotated[int, Field(gt=0, lt=SEGMENTS)]
    category_id: int
    iscrowd: NotRequired[int | None]


class Annotation(TypedDict):
    """The segments of an image, and the PNG that shows them."""

    image_id: Id
    file_name: str
    segments_info: Many[Segment]


class Panoptic(TypedDict):
    """A panoptic file."""

    images: Many[Image]
    categories: Many[Category]
    annotations: Many[Annotation]


PANOPTIC = TypeAdapter(Panoptic)


class _File(NamedTuple):
    path: Path
    content: Panoptic
    split: str | None


def panoptic_files(path: Path) -> list[Path]:
    """Return the panoptic files at a path; none of a folder without their PNGs that has other COCO files as well."""
    found = annotation_files(path, "coco-panoptic")
    whole = [file for file in found if file == path or _has_pngs(file)]
    return whole or ([] if annotation_files(path, "coco") else found)


def read_panoptic(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read the panoptic files of a data set, as one for each split; ``root`` is the folder in which the images lie.

    Classes are the categories by their order, in the colours of the file. PNGs lie in the folder with the name of their
    file, or beside it. Raises DataError for a file that is not panoptic, or whose images or PNGs are ambiguous.
    """
    files = [_File(path, read_json(path, PANOPTIC)[0], split_of_file(path)) for path in paths]
    categories = [category for file in files for category in file.content["categories"]]
    named = list(dict.fromkeys(own["name"] for own in categories))
    classes, labels = named_classes(paths[0], named, "categories", add_background=False)
    colours = {own["name"]: colour for own in categories if (colour := own.get("color"))}
    pngs = {file.path: _pngs(file) for file in files}
    index = ImageIndex(root, {png for of_file in pngs.values() for png in of_file.values()})
    images, notes = list[AnnotatedImage](), list[str]()
    for file in files:
        own_labels = {category["id"]: labels[category["name"]] for category in file.content["categories"]}
        segments = {own["image_id"]: own["segments_info"] for own in file.content["annotations"]}
        listed = [own for own in file.content["images"] if own["id"] in segments]
        images += [
            _image(own, file, index, pngs[file.path][own["id"]], segments[own["id"]], own_labels) for own in listed
        ]
        if without := len(file.content["images"]) - len(listed):
            notes.append(f"{file.path.name}: {without} images have no annotation; they are left out")
    palette = [colours[name] for name in classes] if colours.keys() == labels.keys() else None
    return Annotations(root, "coco-panoptic", images, classes, "coco", background=IGNORE, palette=palette, notes=notes)


def _has_pngs(file: Path) -> bool:
    return file.with_suffix("").is_dir() or any(file.parent.glob("*.png"))


def _pngs(file: _File) -> dict[Id, Path]:
    """Return the PNG of each image."""
    beside = file.path.with_suffix("")
    index = ImageIndex(beside if beside.is_dir() else file.path.parent)
    return {own["image_id"]: index.find(own["file_name"], file.path, file.split) for own in file.content["annotations"]}


_Kind = tuple[int | None, bool]
"""The label of a segment, None if its category is not listed, and whether it is a crowd."""


def _image(
    image: Image, file: _File, index: ImageIndex, png: Path, segments: list[Segment], labels: Mapping[int, int]
) -> AnnotatedImage:
    known = {segment["id"]: (labels.get(segment["category_id"]), bool(segment.get("iscrowd"))) for segment in segments}
    version = digest(str(known), str(file_state(png)))
    return AnnotatedImage(
        index.find(image["file_name"], file.path, file.split),
        file.path,
        partial(_shapes, png, known),
        version,
        size_if_given(image.get("height"), image.get("width")),
        file.split,
    )


def _shapes(png: Path, segments: Mapping[int, _Kind], size: Size) -> list[Shape]:
    """Return a shape for each class in a PNG, another for its crowds, and faults. Raises DataError for another PNG."""
    pixels = read_colours(png, size, "segments")
    kinds = list(dict.fromkeys(segments.values()))
    table, seen = np.full(SEGMENTS, len(kinds), np.uint16), np.zeros(SEGMENTS, bool)
    for number, kind in segments.items():
        table[number] = kinds.index(kind)
    found = np.empty(size, np.uint16)
    for top in range(0, size[0], ROWS):
        numbers = pixels[top : top + ROWS, :, :3].astype(np.int32) @ np.array([1, 256, 65536], np.int32)
        found[top : top + ROWS] = table[numbers]
        seen[numbers] = True
    shapes = [
        Shape(0, (), "its category is not among the categories")
        if label is None
        else Shape(label, (ValueMask(found, value),), crowd=crowd)
        for value, (label, crowd) in enumerate(kinds)
    ]
    shapes += [Shape(0, (), f"no pixel has the number of its segment {own}") for own in segments if not seen[own]]
    seen[[0, *segments]] = False
    if strange := np.flatnonzero(seen).tolist():
        shapes.append(Shape(0, (), f"{len(strange)} numbers in its PNG, such as {strange[0]}, are of no segment"))
    return shapes
