"""Read Label Studio's JSON export, a list of tasks with their annotations.

Coordinates are percent of the image's width and height. The regions of an annotation are painted as they follow each
other. Of several annotations of a task one is read: the ground truth, or else the newest that was not cancelled.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PureWindowsPath
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, named_classes, refuse_twice
from fullyconv.data.annotations.faults import reading, shapes_or_faults
from fullyconv.data.annotations.formats.label_studio_tasks import (
    DRAWN,
    Region,
    Task,
    finished,
    read_tasks,
    regions_of,
)
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.run_lengths import unpack_brush
from fullyconv.data.annotations.shapes import Bitmap, Ellipse, Geometry, Polygon, Rectangle, Shape, turned
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.images.files import is_image_name
from fullyconv.data.splits.names import split_among, split_of_file, split_of_folders
from fullyconv.errors import DataError

UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)
"""The name of an uploaded image: Label Studio puts eight hexadecimal digits before it."""


def read_label_studio(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read Label Studio's exports; ``root`` is the folder in which the images lie.

    Classes are the labels that occur, sorted by name, after a background. Tasks that nobody annotated are left out.
    Raises DataError for a file that is no such export, that has no labels, or that names an image twice or ambiguously.
    """
    tasks, notes = list[tuple[Path, Task, list[Region]]](), list[str]()
    for path in paths:
        read = [(task, regions_of(task)) for task in read_tasks(path)]
        tasks += [(path, task, regions) for task, regions in read if regions is not None]
        notes += _notes(path, read)
    if not tasks:
        raise DataError(
            f"{paths[0]}: nobody annotated its tasks, and predictions are not read; annotate some and export them"
        )
    names = {label for _, _, regions in tasks for region in regions for label in region.labels}
    classes, labels = named_classes(paths[0], sorted(names), "labels")
    index = ImageIndex(root)
    images = [_image(path, task, regions, index, labels) for path, task, regions in tasks]
    refuse_twice(
        images,
        "one task for each image is expected; delete the others, or give different images that have one name different "
        "names",
    )
    return Annotations(
        root, "label-studio", images, classes, "coco", background_shapes=0 in labels.values(), notes=notes
    )


def _notes(path: Path, read: Sequence[tuple[Task, list[Region] | None]]) -> list[str]:
    several = sum(len(finished(task)) > 1 for task, _ in read)
    counts = {
        "have several annotations; the ground truth is read, or else the newest": several,
        "are left out, as nobody annotated them": sum(regions is None for _, regions in read),
        "have predictions, which are not read": sum(bool(task.get("predictions")) for task, _ in read),
        "are annotated as empty; all pixels of their images are background": sum(regions == [] for _, regions in read),
    }
    return [f"{path.name}: {count} of {len(read)} tasks {words}" for words, count in counts.items() if count]


def _image(
    path: Path, task: Task, regions: Sequence[Region], index: ImageIndex, labels: Mapping[str, int]
) -> AnnotatedImage:
    place = _find(path, task, index)
    given = str((task.get("data") or {}).get("split") or "")
    split = split_among([given]) or split_of_file(path) or split_of_folders(place, index.root)
    size = next((region.size for region in regions if region.size), None)
    shapes = partial(shapes_or_faults, _shape, regions, labels)
    return AnnotatedImage(place, path, shapes, digest(repr(regions)), size, split)


def _find(path: Path, task: Task, index: ImageIndex) -> Path:
    """Return the image of a task: by its name, without what Label Studio puts before it, or by the uploaded file."""
    names, split = _names(path, task), split_of_file(path)
    for name in names:
        if (found := index.find(name, path, split)) in index:
            return found
    return index.find(PureWindowsPath(unquote(names[0])).name, path, split)


def _names(path: Path, task: Task) -> list[str]:
    texts = {key: text for key, text in (task.get("data") or {}).items() if isinstance(text, str) and key != "split"}
    named = [text for text in texts.values() if is_image_name(_path_in(text))]
    named = named or [text for key, text in texts.items() if key.lower() in ("image", "img", "photo", "picture")]
    if len(named) != 1:
        raise DataError(
            f"{path}: task {task.get('id')} names {len(named)} images; tasks of one image are expected, named in `data`"
        )
    names = [_path_in(named[0]), unquote(_path_in(named[0]))]
    names += [upload] if (upload := task.get("file_upload")) else []
    for name in dict.fromkeys(names):
        if prefixed := UPLOADED.fullmatch(PureWindowsPath(name).name):
            names.append(prefixed[1])
    return [name for name in dict.fromkeys(names) if PureWindowsPath(name).name]


def _path_in(text: str) -> str:
    """Return the path in an image's address: of the web, a bucket, or Label Studio's own ``/data/local-files/?d=``."""
    try:
        address = urlsplit(text)
    except ValueError:
        return text
    if "local-files" in address.path and (served := parse_qs(address.query).get("d")):
        return served[0]
    return address.path if address.netloc or address.scheme in ("s3", "gs", "azure-blob") else text


def _shape(region: Region, labels: Mapping[str, int], size: Size) -> Shape:
    if region.kind not in DRAWN:
        raise ValueError(f"regions of the kind {region.kind} are not read")
    if len(region.labels) != 1:
        raise ValueError(f"its {region.kind} has {len(region.labels)} labels; one is expected")
    if region.rotation:
        raise ValueError(f"it was drawn on the image turned by {region.rotation:g} degrees, which is not read")
    if region.value.get("closed") is False:
        raise ValueError("its polygon is not closed")
    with reading(f"its {region.kind}"):
        return Shape(labels[region.labels[0]], (_geometry(region, size),))


def _geometry(region: Region, size: Size) -> Geometry:
    height, width = size
    if region.kind == "brush":
        if region.brush is None:
            raise KeyError("rle")
        values = unpack_brush(region.brush, height * width * 4)
        return Bitmap(values.reshape(height, width, 4)[..., 3] > 0)
    if region.kind == "polygon":
        points = np.array(region.value["points"], np.float64)
        return Polygon((points.reshape(len(points), 2) / 100 * (width, height),))  # in this order, as its SDK does
    x, y = _number(region, "x") * width / 100, _number(region, "y") * height / 100
    turn = _number(region, "rotation") if region.value.get("rotation") else 0.0
    if region.kind == "ellipse":
        radius_x, radius_y = _number(region, "radiusX") * width / 100, _number(region, "radiusY") * height / 100
        return Ellipse(x, y, radius_x, radius_y, turn)
    right, bottom = x + _number(region, "width") * width / 100, y + _number(region, "height") * height / 100
    return turned(Rectangle(x, y, right, bottom), turn, (x, y))


def _number(region: Region, name: str) -> float:
    value = region.value[name]
    if not isinstance(value, int | float):
        raise ValueError(f"{name} is {str(value)[:40]!r}; a number is expected")
    return float(value)
