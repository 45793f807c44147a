"""Read data sets for Ultralytics' YOLO with outlines, also Roboflow's exports of them.

A ``data.yaml`` names the classes and the images of each split. The text file of an image has a row for each object: its
class and the points of one polygon, as fractions of the width and height of the upright image. Ultralytics paints the
smaller of two objects on top; polygons are drawn by COCO's rule, for its own (``cv2.fillPoly`` of points that were cut
to whole pixels, at the size of the network's input) makes small objects a quarter larger than they were outlined.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Annotated

import numpy as np
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, named_classes
from fullyconv.data.annotations.faults import shapes_or_faults
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.json_files import read_bytes
from fullyconv.data.annotations.shapes import Polygon, Shape
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.images.files import is_image_name
from fullyconv.data.layouts.files import images_under
from fullyconv.data.published.archive import read_list
from fullyconv.data.splits.names import original_of
from fullyconv.errors import DataError
from fullyconv.validation import words
from fullyconv.yaml_data import read_yaml

USUAL = ("data", "dataset")
"""The names of the file to take where a folder holds several."""
BEYOND = 0.01
"""Ultralytics takes coordinates that are so far beyond 0 to 1."""


def _listed(given: object) -> object:
    return [] if given is None else given if isinstance(given, list) else [given]


def _numbered(given: object) -> object:
    named = dict(enumerate(given)) if isinstance(given, list) else given or {}
    return {key: str(name) for key, name in named.items()} if isinstance(named, dict) else named


Places = Annotated[list[str], BeforeValidator(_listed)]
"""Folders of images, or text files with their paths; one or several."""
Names = Annotated[dict[int, str], BeforeValidator(_numbered)]
"""The names of classes by their number, also given as a list."""


class YoloFile(BaseModel):
    """What a ``data.yaml`` says; other keys are Ultralytics' own."""

    path: str | None = None
    train: Places = []
    val: Places = Field([], validation_alias=AliasChoices("val", "validation"))
    test: Places = []
    names: Names = {}
    nc: int | None = None
    kpt_shape: list[int] | None = None


def read_yolo(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read the data set that a YAML file in ``root`` describes; of several files, the one called data.yaml.

    Images are sought in the folder that ``path`` names if that exists, else beside the file. Classes are ``names``,
    after a background. Raises DataError if the file is wrong, the images of train are not found, or no image has a file
    with its outlines.
    """
    file = _one_of(paths)
    content = _parse(file)
    named = [content.names[key] for key in sorted(content.names)]
    classes, labels = named_classes(file, named, "classes")
    label_of = {key: labels[name] for key, name in content.names.items()}
    root = file.parent / content.path if content.path and (file.parent / content.path).is_dir() else file.parent
    splits, notes = _find_images(file, content, root)
    images, without = list[AnnotatedImage](), list[Path]()
    for split, found in splits.items():
        for image in found:
            rows = rows_of(image, root)
            if not rows.is_file():
                without.append(rows)
            text = read_bytes(rows) if rows.is_file() else b""
            shapes = partial(shapes_of, text, label_of)
            version = digest(text, repr(label_of))
            images.append(AnnotatedImage(image, rows, shapes, version, None, split, original_of(image.stem)))
    if len(without) == len(images):
        raise DataError(
            f"{file}: none of the {len(images)} images has a file with its outlines; for the first, {without[0]} is "
            "expected"
        )
    if without:
        notes.append(
            f"{len(without)} of {len(images)} images, such as the one of {without[0].name}, have no file of outlines; "
            "all of their pixels are background"
        )
    if 0 not in label_of.values():
        notes.append(f"background was added as class 0, before the classes of {file.name}: {classes[1]} is class 1")
    return Annotations(root, "yolo", images, classes, "coco", "smaller-on-top", notes=notes)


def rows_of(image: Path, root: Path) -> Path:
    """Return the file of an image's outlines: in ``labels`` where the image is in ``images``, else beside it."""
    parts = list(image.relative_to(root).parts) if image.is_relative_to(root) else [image.name]
    folders = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return (root if image.is_relative_to(root) else image.parent).joinpath(*parts).with_suffix(".txt")


def _one_of(paths: Sequence[Path]) -> Path:
    if len(paths) == 1:
        return paths[0]
    named = [path for usual in USUAL for path in paths if path.stem.lower() == usual]
    if not named:
        listed = ", ".join(path.name for path in paths[:5])
        raise DataError(f"{paths[0].parent}: holds several descriptions of YOLO data sets ({listed}); give one of them")
    return named[0]


def _parse(file: Path) -> YoloFile:
    try:
        read = read_yaml(file)
        content = YoloFile.model_validate(read)
        if content.kpt_shape:
            raise ValueError("describes key points (`kpt_shape`); outlines are expected")
        content.names = content.names or {index: f"class_{index}" for index in range(min(content.nc or 0, 1 << 10))}
        if content.nc is not None and content.nc != len(content.names):
            raise ValueError(f"`nc` is {content.nc}, but `names` has {len(content.names)} entries")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, problem["loc"]))[:200]
        raise DataError(f"{file}: {f'`{place}`: ' if place else ''}{words(problem)}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: {error}") from error
    return content


def _find_images(file: Path, content: YoloFile, root: Path) -> tuple[dict[str | None, list[Path]], list[str]]:
    """Return the images of each split; of None, to be divided, where only those of train are there."""
    index: ImageIndex | None = None
    splits: dict[str | None, list[Path]] = {}
    notes = []
    for split, entries in (("train", content.train), ("val", content.val), ("test", content.test)):
        found: dict[Path, None] = {}
        for entry in entries:
            place = next(_places(root, entry), None)
            if place is None or place.is_dir():
                found |= dict.fromkeys(images_under(place)) if place else {}
            elif is_image_name(place):
                found[place] = None
            else:
                index = index or ImageIndex(root)
                found |= dict.fromkeys(index.find(line, place, split) for line in read_list(place))
        if found:
            splits[split] = list(found)
        elif split == "train":
            raise DataError(f"{file}: `train` is {entries!r}, where no images are found below {root}")
        elif entries:
            notes.append(f"{file.name}: `{split}` is {', '.join(entries)[:200]}, where no images are; it is left out")
    if list(splits) == ["train"]:
        splits = {None: splits["train"]}
    return splits, notes


def _places(root: Path, entry: str) -> Iterator[Path]:
    """Yield the files and folders below ``root`` that a path may mean.

    Roboflow writes ../train/images for what is beside the file. Of a path on another machine, the ending is taken: at
    least two names, unless the first is that of a file or follows the name of ``root``.
    """
    path = PureWindowsPath(entry)
    parts = [part for part in path.relative_to(path.anchor).parts if part not in ("..", ".")]
    for first in range(len(parts) if path.anchor and parts else 1):
        place = root.joinpath(*parts[first:])
        told = first == 0 or len(parts) - first > 1 or parts[first - 1] == root.name or place.is_file()
        if told and place.exists():
            yield place


def shapes_of(text: bytes, labels: Mapping[int, int], size: Size) -> list[Shape]:
    """Return the shapes in a file of outlines; ``labels`` are those of YOLO's classes, ``size`` is the image's."""
    rows = text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").splitlines()
    return shapes_or_faults(_shape, [row.split() for row in rows if row.strip()], labels, size)


def _shape(row: Sequence[str], labels: Mapping[int, int], size: Size) -> Shape:
    """Return the shape of a row: its class and points. Raises ValueError for a box, or no polygon of a known class."""
    try:
        values = np.array(row, np.float64)
    except ValueError:
        raise ValueError("its row holds what is no number") from None
    points = values[1:]
    if len(points) == 4:
        raise ValueError("it is a box (a class and four numbers); boxes are not painted")
    if len(points) < 6 or len(points) % 2:
        raise ValueError(f"its row has {len(row)} numbers; a class and at least three points are expected")
    if not np.isfinite(values).all() or points.min() < -BEYOND or points.max() > 1 + BEYOND:
        raise ValueError("its coordinates are not within 0 to 1, fractions of the image's width and height")
    if values[0] not in labels:
        raise ValueError(f"its class {row[0][:20]} is not among the names")
    return Shape(labels[int(values[0])], (Polygon((points.reshape(-1, 2) * size[::-1],)),))
