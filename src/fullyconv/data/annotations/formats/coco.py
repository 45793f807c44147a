"""Read COCO's annotation files: instances and stuff, as polygons or run lengths, and Roboflow's exports of them.

A file lists ``images``, ``categories`` and ``annotations``. An annotation's polygons are one object's parts, all of
which it covers. Nothing in the format says which of two objects is on top: the smaller one is.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, NotRequired

import numpy as np
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, named_classes, size_if_given
from fullyconv.data.annotations.faults import reading, shapes_or_faults
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.json_files import Many, UpToFault, read_json
from fullyconv.data.annotations.run_lengths import counts_of_string
from fullyconv.data.annotations.shapes import Geometry, Polygon, Runs, Shape
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.splits.names import original_of, split_of_file

Id = int | str
Ring = Annotated[tuple[float, ...], UpToFault()]
"""The coordinates of a polygon, x and y in turn. Unlike a list, garbage collection passes over a tuple of numbers."""


class Rle(TypedDict):
    """Run lengths of a mask of the whole image, down its columns: numbers, or COCO's compressed text."""

    size: tuple[int, int]
    counts: Many[int] | str


Outline = Annotated[tuple[Ring, ...], UpToFault()] | Ring | Rle
"""The outlines of an object's parts, of its only part, or its mask."""


class Image(TypedDict):
    """An image of a COCO file."""

    id: Id
    file_name: str
    width: NotRequired[int | None]
    height: NotRequired[int | None]


class Category(TypedDict):
    """A category of a COCO file."""

    id: int
    name: str
    supercategory: NotRequired[str | None]


class Annotation(TypedDict):
    """One object, or a region of many (``iscrowd``)."""

    image_id: Id
    category_id: int
    segmentation: NotRequired[Outline | None]
    iscrowd: NotRequired[int | None]


class Coco(TypedDict):
    """A COCO file."""

    images: Many[Image]
    categories: Many[Category]
    annotations: Many[Annotation]


COCO = TypeAdapter(Coco)


class _File(NamedTuple):
    path: Path
    content: Coco
    categories: list[Category]
    """Those that are classes."""
    digest: str
    split: str | None


def read_coco(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read the COCO files of a data set, as one for each split; ``root`` is the folder in which the images lie.

    Classes are the categories by their order, after a background. Raises DataError for a file that is not COCO's, that
    has no categories, or that names an image ambiguously.
    """
    files = [_read(path) for path in paths]
    named = list(dict.fromkeys(category["name"] for file in files for category in file.categories))
    classes, labels = named_classes(files[0].path, named, "categories")
    index, notes, images = ImageIndex(root), _notes(files), list[AnnotatedImage]()
    for file in files:
        images += _images(file, index, {category["id"]: labels[category["name"]] for category in file.categories})
    return Annotations(
        root, "coco", images, classes, "coco", "smaller-on-top", background_shapes=0 in labels.values(), notes=notes
    )


def _read(path: Path) -> _File:
    content, version = read_json(path, COCO)
    return _File(path, content, _categories(content), version, split_of_file(path))


def _categories(content: Coco) -> list[Category]:
    """Return the categories without Roboflow's synthetic parent: one that others name as theirs and no object has."""
    categories = content["categories"]
    used = {annotation["category_id"] for annotation in content["annotations"]}
    parents = {own.get("supercategory") for own in categories if own.get("supercategory") != own["name"]}
    return [own for own in categories if own["id"] in used or own["name"] not in parents]


def _notes(files: Sequence[_File]) -> list[str]:
    notes = []
    for path, content, *_ in files:
        names = Counter(category["name"] for category in content["categories"])
        if several := [name for name, count in names.items() if count > 1]:
            notes.append(f"{path.name}: several categories are called {several[0]}; they are one class")
        known = {image["id"] for image in content["images"]}
        annotated = {annotation["image_id"] for annotation in content["annotations"]}
        if strange := sum(own["image_id"] not in known for own in content["annotations"]):
            notes.append(f"{path.name}: {strange} annotations are of images that it does not list; they are left out")
        if empty := len(known - annotated):
            notes.append(
                f"{path.name}: {empty} of {len(known)} images have no annotation; all of their pixels are background"
            )
    return notes


def _images(file: _File, index: ImageIndex, labels: Mapping[int, int]) -> list[AnnotatedImage]:
    of_image: defaultdict[Id, list[Annotation]] = defaultdict(list)
    for annotation in file.content["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    images = []
    for image in file.content["images"]:
        place = index.find(image["file_name"], file.path, file.split)
        images.append(
            AnnotatedImage(
                place,
                file.path,
                partial(shapes_or_faults, _shape, of_image.get(image["id"], []), labels),
                f"{file.digest} {image['id']}",
                size_if_given(image.get("height"), image.get("width")),
                file.split,
                original_of(place.stem),
            )
        )
    return images


def _shape(annotation: Annotation, labels: Mapping[int, int], size: Size) -> Shape:
    category, outline = annotation["category_id"], annotation.get("segmentation")
    if category not in labels:
        raise ValueError(f"its category {category} is not among the categories")
    if not outline:
        raise ValueError("it has a box and no outline; boxes are not painted")
    with reading("its outline"):
        return Shape(labels[category], _parts(outline), crowd=bool(annotation.get("iscrowd")))


def _parts(outline: Outline) -> tuple[Geometry, ...]:
    if isinstance(outline, dict):
        counts = outline["counts"]
        lengths = counts_of_string(counts) if isinstance(counts, str) else np.array(counts, np.int64)
        return (Runs(lengths, outline["size"]),)
    rings = [outline] if isinstance(outline[0], float) else outline
    return tuple(Polygon((np.array(ring, np.float64).reshape(-1, 2),)) for ring in rings)
