"""Read the JSON files of labelme (wkentaro/labelme), one for each image.

A file lists ``shapes``, each painted over those before it. The label ``_background_`` is class 0, as for holes, and
``__ignore__`` is void. Lines and points have the widths that labelme itself draws them with.
"""

import base64
import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, NotRequired

import numpy as np
from PIL import Image
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from fullyconv.classes import printable
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, named_classes
from fullyconv.data.annotations.drawing import MAX_PIXELS
from fullyconv.data.annotations.formats.embedded import keep_image
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.json_files import parse_json, read_bytes
from fullyconv.data.annotations.shapes import Bitmap, Ellipse, Geometry, Line, Polygon, Rectangle, Shape
from fullyconv.data.annotations.stamps import FAR, Size
from fullyconv.data.parallel import in_parallel
from fullyconv.data.splits.names import split_of_folders
from fullyconv.errors import DataError

LINE_WIDTH = 10
POINTS = {"circle": (2,), "rectangle": (2, 4), "oriented_rectangle": (4,), "rotation": (4,)} | {
    "line": (2,),
    "point": (1,),
    "mask": (2,),
}
"""The numbers of points of the shapes that have a fixed one; X-AnyLabeling's rectangles have four, and ``rotation``."""


class LabelmeShape(TypedDict):
    """A shape; without a type it is a polygon."""

    label: NotRequired[str | int | None]
    points: NotRequired[list[tuple[float, float]] | None]
    shape_type: NotRequired[str | None]
    mask: NotRequired[str | None]


class Labelme(TypedDict):
    """A file of labelme's: the shapes of one image, and the image itself in Base64 unless that was not wanted."""

    shapes: list[LabelmeShape]
    imagePath: NotRequired[str | None]
    imageData: NotRequired[str | None]
    imageHeight: NotRequired[int | None]
    imageWidth: NotRequired[int | None]


LABELME = TypeAdapter(Labelme)


class _Outline(NamedTuple):
    """A shape as it is kept until it is drawn: its points in an array, its mask still compressed."""

    label: str
    kind: str
    points: np.ndarray
    mask: str | None


class _File(NamedTuple):
    path: Path
    image: Path
    size: Size | None
    split: str | None
    outlines: list[_Outline]
    digest: str
    embedded: bool


def read_labelme(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read the JSON files of a data set, one for each image; ``root`` is the folder in which the images lie.

    Classes are the labels, sorted by name, after a background. An image is sought by ``imagePath``, else by the name of
    the JSON file, and else taken out of the file. Raises DataError that names the files that are not labelme's, labels
    that cannot be a class's name, and two files of one image.
    """
    index = ImageIndex(root)
    files, faults = list[_File](), list[str]()
    for file in in_parallel(partial(_read, index=index), paths):
        if isinstance(file, DataError):
            faults.append(str(file))
        else:
            files.append(file)
    if len(faults) == 1:
        raise DataError(faults[0])
    if faults:
        raise DataError(f"{root}: {len(faults)} JSON files cannot be read:", *(f"  {line}" for line in faults[:10]))
    _refuse_twice(files)
    named = sorted({outline.label for file in files for outline in file.outlines} - {""})
    classes, labels = named_classes(root, named, "labels")
    images = [
        AnnotatedImage(
            file.image, file.path, partial(_shapes, file.outlines, labels), file.digest, file.size, file.split
        )
        for file in files
    ]
    return Annotations(root, "labelme", images, classes, "pillow", notes=_notes(files, index, classes))


def _read(path: Path, index: ImageIndex) -> _File | DataError:
    """Read a file; return the error rather than raise it, so that all such files can be named."""
    try:
        content = read_bytes(path)
        parsed = parse_json(path, content, LABELME)
        outlines = [_outline(shape) for shape in parsed["shapes"]]
        for label in {outline.label for outline in outlines}:
            printable(label)
        split = split_of_folders(path, index.root)
        image, embedded = _find(index, path, split, parsed)
    except ValueError as error:
        return DataError(f"{path}: {error}")
    except DataError as error:
        return error
    height, width = parsed.get("imageHeight"), parsed.get("imageWidth")
    size = (height, width) if height and width else None
    split = split or split_of_folders(image, index.root)
    return _File(path, image, size, split, outlines, digest(content), embedded)


def _outline(shape: LabelmeShape) -> _Outline:
    label, points = shape.get("label"), shape.get("points") or []
    kind = (shape.get("shape_type") or "polygon").removeprefix("ai_")
    array = np.array(points, np.float64).reshape(-1, 2)
    return _Outline("" if label is None else str(label), kind, array, shape.get("mask"))


def _find(index: ImageIndex, path: Path, split: str | None, parsed: Labelme) -> tuple[Path, bool]:
    """Return the image of a file, and whether it was taken out of the file itself."""
    named = parsed.get("imagePath") or ""
    for name in (named, path.name):
        if name.strip("./\\") and (image := index.find(name, path, split)) in index:
            return image, False
    if data := parsed.get("imageData"):
        return keep_image(index.root, path, data), True
    return index.find(named, path, split) if named.strip("./\\") else path.with_suffix(".jpg"), False


def _refuse_twice(files: Sequence[_File]) -> None:
    first: dict[Path, Path] = {}
    for file in files:
        if (other := first.setdefault(file.image, file.path)) != file.path:
            raise DataError(
                f"{file.path}: annotates {file.image.name}, as {other} does; keep one of the two, or mend `imagePath`"
            )


def _notes(files: Sequence[_File], index: ImageIndex, classes: Sequence[str]) -> list[str]:
    notes = []
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike["".join(name.lower().split())].append(name)
    for names in alike.values():
        if len(names) > 1:
            listed = " and ".join(map(repr, names))
            notes.append(f"the labels {listed} differ only by case or spaces; they are classes of their own")
    if empty := sum(not file.outlines for file in files):
        notes.append(f"{empty} of {len(files)} files have no shapes; all pixels of their images are background")
    if embedded := sum(file.embedded for file in files):
        notes.append(f"{embedded} images were taken out of their JSON files, as no files of them were found")
    known, folders = {file.image.with_suffix("") for file in files}, {file.image.parent for file in files}
    # an image with the name of another, but for its ending, is its mask
    if left := sorted(image for image in index if image.parent in folders and image.with_suffix("") not in known):
        notes.append(f"{len(left)} images, such as {left[0].name}, have no JSON file among these; they are left out")
    paths = {file.path for file in files}
    others = sorted(own for folder in {path.parent for path in paths} for own in folder.glob("[!.]*.json"))
    if len(paths) > 1 and (strange := [own for own in others if own not in paths]):
        notes.append(f"{len(strange)} JSON files, such as {strange[0].name}, are not labelme's; they are left out")
    return notes


def _shapes(outlines: Sequence[_Outline], labels: Mapping[str, int], size: Size) -> list[Shape]:
    return [_shape(outline, labels, size) for outline in outlines]


def _shape(outline: _Outline, labels: Mapping[str, int], size: Size) -> Shape:
    label = labels.get(outline.label)
    if label is None:
        return Shape(0, (), f"its {outline.kind} has no label")
    try:
        return Shape(label, (_geometry(outline, size),))
    except ValueError as error:
        return Shape(0, (), str(error))


def _geometry(outline: _Outline, size: Size) -> Geometry:
    """Return what labelme draws for a shape (``shape_to_mask``). Raises ValueError where it draws nothing."""
    kind, points, count = outline.kind, outline.points, len(outline.points)
    if count not in (expected := POINTS.get(kind, (count,))):
        raise ValueError(f"its {kind} has {count} points; {' or '.join(map(str, expected))} are expected")
    if not np.isfinite(points).all():
        raise ValueError("its coordinates are no numbers")
    if kind == "mask":
        return _bitmap(outline, size)
    if kind == "circle":
        (x, y), (over_x, over_y) = points.tolist()
        radius = math.hypot(x - over_x, y - over_y)
        return Ellipse(x, y, radius, radius)
    if kind == "rectangle" and count == 2:
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        return Rectangle(left, top, right, bottom)
    if kind in ("line", "linestrip", "point"):
        if kind == "linestrip" and count < 2:
            raise ValueError(f"its linestrip has {count} points; at least 2 are expected")
        return Line(points, LINE_WIDTH)
    if kind not in ("polygon", "rectangle", "oriented_rectangle", "rotation"):
        raise ValueError(f"its type {kind[:40]!r} is not one of labelme's")
    return Polygon((points,))


def _bitmap(outline: _Outline, size: Size) -> Bitmap:
    """Return a mask where labelme puts it: cut to a box of whole corners, else as large as it is stored."""
    if not outline.mask:
        raise ValueError("its mask is missing")
    inside = _decode(outline.mask)
    (left, top), (right, bottom) = (
        (int(x), int(y)) for x, y in outline.points.clip(-FAR, FAR).round().astype(int).tolist()
    )
    if (outline.points == np.trunc(outline.points)).all():
        height, width = max(0, bottom - top + 1), max(0, right - left + 1)
        if inside.shape[0] < min(height, size[0] - top) or inside.shape[1] < min(width, size[1] - left):
            found = f"{inside.shape[1]}x{inside.shape[0]}"
            raise ValueError(f"its mask has {found} pixels; those of its box, {width}x{height}, are expected")
        inside = inside[:height, :width]
    return Bitmap(inside, left, top)


def _decode(mask: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(base64.b64decode(mask)), formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
            inside = np.asarray(picture).astype(bool)
    except Exception as error:  # Pillow raises errors of many types for broken files
        raise ValueError(f"its mask cannot be read as a PNG image: {error}") from error
    if inside.ndim != 2:
        raise ValueError("its mask is in colour; a mask of one channel is expected")
    return inside
