"""Read Label Studio's JSON export, a list of tasks with their annotations.

Coordinates are percent of the image's width and height. The regions of an annotation are painted as they follow each
other. Of several annotations of a task one is read: the ground truth, or else the newest that was not cancelled.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import NamedTuple, NotRequired
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from pydantic import JsonValue, TypeAdapter
from typing_extensions import TypedDict

from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, named_classes, named_twice
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.json_files import parse_json, read_bytes
from fullyconv.data.annotations.run_lengths import unpack_brush
from fullyconv.data.annotations.shapes import Bitmap, Ellipse, Geometry, Polygon, Rectangle, Shape, turned
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.images.files import is_image_name
from fullyconv.data.splits.names import split_among, split_of_file, split_of_folders
from fullyconv.errors import DataError

DRAWN = ("polygon", "brush", "rectangle", "ellipse")
LINES_AND_POINTS = ("keypoint", "vector", "bitmask")
"""Regions of an image that are not read."""
UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)
"""The name of an uploaded image: Label Studio puts eight hexadecimal digits before it."""


class Result(TypedDict):
    """One region, or a choice or text; regions and their labels may also be two results of one ``id``."""

    id: NotRequired[str | int | None]
    type: NotRequired[str | None]
    value: NotRequired[dict[str, JsonValue] | None]
    original_width: NotRequired[int | None]
    original_height: NotRequired[int | None]
    image_rotation: NotRequired[float | None]


class Annotation(TypedDict):
    """What one person made of a task."""

    result: NotRequired[list[Result] | None]
    was_cancelled: NotRequired[bool | None]
    skipped: NotRequired[bool | None]
    ground_truth: NotRequired[bool | None]
    created_at: NotRequired[str | float | None]


class Task(TypedDict):
    """One task; earlier versions called annotations completions."""

    id: NotRequired[int | str | None]
    data: NotRequired[dict[str, JsonValue] | None]
    annotations: NotRequired[list[Annotation] | None]
    completions: NotRequired[list[Annotation] | None]
    predictions: NotRequired[list[JsonValue] | None]
    file_upload: NotRequired[str | None]
    annotator: NotRequired[JsonValue]


TASKS = TypeAdapter(list[Task])


class Region(NamedTuple):
    """A region as it is written. ``brush`` are the bytes of a brush's mask."""

    kind: str
    labels: tuple[str, ...]
    value: Mapping[str, JsonValue]
    brush: bytes | None
    size: Size | None
    rotation: float


def read_label_studio(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read Label Studio's exports; ``root`` is the folder in which the images lie.

    Classes are the labels that occur, sorted by name, after a background. Tasks that nobody annotated are left out.
    Raises DataError for a file that is no such export, that has no labels, or that names an image twice or ambiguously.
    """
    tasks, notes = list[tuple[Path, Task, list[Region]]](), list[str]()
    for path in paths:
        whole = parse_json(path, read_bytes(path), TASKS)
        if any("annotator" in task and "annotations" not in task for task in whole):
            raise DataError(f'{path}: is an export "JSON-MIN", in which tasks are cut; export as "JSON" instead')
        chosen = [(task, _chosen(task)) for task in whole]
        tasks += [(path, task, _regions(own)) for task, own in chosen if own is not None]
        notes += _notes(path, chosen)
    if not tasks:
        raise DataError(
            f"{paths[0]}: nobody annotated its tasks, and predictions are not read; annotate some and export them"
        )
    names = {label for _, _, regions in tasks for region in regions for label in region.labels}
    classes, labels = named_classes(paths[0], sorted(names), "labels")
    index = ImageIndex(root)
    images = [_image(path, task, regions, index, labels) for path, task, regions in tasks]
    if (twice := named_twice(images)) is not None:
        raise DataError(
            f"{paths[0]}: several tasks are of the image {twice}; one for each is expected. Delete the others, or "
            "give different images that have one name different names"
        )
    return Annotations(root, "label-studio", images, classes, "coco", notes=notes)


def _annotations(task: Task) -> list[Annotation]:
    annotations = task.get("annotations") or task.get("completions") or []
    return [own for own in annotations if not (own.get("was_cancelled") or own.get("skipped"))]


def _chosen(task: Task) -> Annotation | None:
    """Return the annotation that is read: the newest of those that are ground truth, or else of all."""
    annotations = _annotations(task)
    best = [own for own in annotations if own.get("ground_truth")] or annotations
    newest = max(range(len(best)), key=lambda place: (str(best[place].get("created_at") or ""), place), default=None)
    return None if newest is None else best[newest]


def _notes(path: Path, chosen: Sequence[tuple[Task, Annotation | None]]) -> list[str]:
    counts = {
        "have several annotations; the ground truth is read, or else the newest": sum(
            len(_annotations(task)) > 1 for task, _ in chosen
        ),
        "are left out, as nobody annotated them": sum(own is None for _, own in chosen),
        "have predictions, which are not read": sum(bool(task.get("predictions")) for task, _ in chosen),
        "are annotated as empty; all pixels of their images are background": sum(
            own is not None and not _regions(own) for _, own in chosen
        ),
    }
    return [f"{path.name}: {count} of {len(chosen)} tasks {words}" for words, count in counts.items() if count]


def _regions(annotation: Annotation) -> list[Region]:
    """Return the regions of an image, in their order, with the labels of all results of the same id."""
    parts: dict[str, list[Result]] = {}
    for place, result in enumerate(annotation.get("result") or []):
        kind = (result.get("type") or "").removesuffix("labels")
        if kind in ("", *DRAWN, *LINES_AND_POINTS):
            parts.setdefault(str(result.get("id") or f"number {place}"), []).append(result)
    regions = [_region(results) for results in parts.values()]
    return [region for region in regions if region.kind]


def _region(results: Sequence[Result]) -> Region:
    kind, labels, value, size, rotation = "", list[str](), dict[str, JsonValue](), None, 0.0
    for result in results:
        own, name = result.get("value") or {}, result.get("type") or ""
        kind = kind or name.removesuffix("labels")
        value |= own
        given = own.get(name)
        labels += [label for label in given if isinstance(label, str)] if isinstance(given, list) else []
        height, width = result.get("original_height"), result.get("original_width")
        size = size or ((height, width) if height and width else None)
        rotation = rotation or result.get("image_rotation") or 0.0
    packed = value.pop("rle", None)
    return Region(kind, tuple(dict.fromkeys(labels)), value, _bytes(packed), size, rotation)


def _bytes(packed: JsonValue) -> bytes | None:
    try:
        return bytes(packed) if isinstance(packed, list) else None  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _image(
    path: Path, task: Task, regions: Sequence[Region], index: ImageIndex, labels: Mapping[str, int]
) -> AnnotatedImage:
    place = _find(path, task, index)
    split = _split(path, task, place, index.root)
    size = next((region.size for region in regions if region.size), None)
    labelled = [(labels[region.labels[0]] if len(region.labels) == 1 else None, region) for region in regions]
    shapes = partial(_shapes, labelled)
    return AnnotatedImage(place, path, shapes, digest(repr(labelled)), size, split)


def _split(path: Path, task: Task, image: Path, root: Path) -> str | None:
    """Return the split that the task's ``split`` names, or else its file or the folders of its image."""
    given = str((task.get("data") or {}).get("split") or "")
    return split_among([given]) or split_of_file(path) or split_of_folders(image, root)


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


def _shapes(labelled: Sequence[tuple[int | None, Region]], size: Size) -> list[Shape]:
    return [_shape(label, region, size) for label, region in labelled]


def _shape(label: int | None, region: Region, size: Size) -> Shape:
    fault = ""
    if region.kind not in DRAWN:
        fault = f"regions of the kind {region.kind} are not read"
    elif label is None:
        fault = f"its {region.kind} has {len(region.labels)} labels; one is expected"
    elif region.rotation:
        fault = f"it was drawn on the image turned by {region.rotation:g} degrees, which is not read"
    elif region.value.get("closed") is False:
        fault = "its polygon is not closed"
    if label is None or fault:
        return Shape(0, (), fault)
    try:
        return Shape(label, (_geometry(region, size),))
    except KeyError as error:
        return Shape(0, (), f"its {region.kind} has no {error.args[0]}")
    except (TypeError, ValueError, OverflowError) as error:
        return Shape(0, (), f"its {region.kind} cannot be read: {error}")


def _geometry(region: Region, size: Size) -> Geometry:
    height, width = size
    if region.kind == "brush":
        if region.brush is None:
            raise KeyError("rle")
        values = unpack_brush(region.brush, height * width * 4)
        return Bitmap(values.reshape(height, width, 4)[..., 3] > 0)
    if region.kind == "polygon":
        points = np.array(region.value["points"], np.float64)
        return Polygon((points.reshape(len(points), 2) * (width / 100, height / 100),))
    x, y = _number(region, "x") * width / 100, _number(region, "y") * height / 100
    turn = _number(region, "rotation") if region.value.get("rotation") else 0.0
    if region.kind == "ellipse":
        radius_x, radius_y = _number(region, "radiusX") * width / 100, _number(region, "radiusY") * height / 100
        return Ellipse(x, y, radius_x, radius_y, turn)
    right, bottom = x + _number(region, "width") * width / 100, y + _number(region, "height") * height / 100
    box = Rectangle(x, y, right, bottom)
    return turned(box, turn, (x, y)) if turn else box


def _number(region: Region, name: str) -> float:
    value = region.value[name]
    if not isinstance(value, int | float):
        raise ValueError(f"{name} is {str(value)[:40]!r}; a number is expected")
    return float(value)
