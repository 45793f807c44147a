"""The shapes in labelme's files, as labelme itself draws them (``shape_to_mask``)."""

import math
from collections.abc import Mapping
from typing import NamedTuple, NotRequired

import numpy as np
from typing_extensions import TypedDict

from fullyconv.data.annotations.formats.embedded import decode_mask
from fullyconv.data.annotations.json_files import Many
from fullyconv.data.annotations.shapes import Bitmap, Ellipse, Geometry, Line, Polygon, Rectangle, Shape
from fullyconv.data.annotations.stamps import FAR, Size

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
    points: NotRequired[Many[tuple[float, float]] | None]
    shape_type: NotRequired[str | None]
    mask: NotRequired[str | None]


class Outline(NamedTuple):
    """A shape as it is kept until it is drawn: its points in an array, its mask still compressed."""

    label: str
    kind: str
    points: np.ndarray
    mask: str | None


def outline_of(shape: LabelmeShape) -> Outline:
    """Return a shape in the form in which it is kept."""
    label, points = shape.get("label"), shape.get("points") or []
    kind = (shape.get("shape_type") or "polygon").removeprefix("ai_")
    array = np.array(points, np.float64).reshape(-1, 2)
    return Outline("" if label is None else str(label), kind, array, shape.get("mask"))


def shape_of(outline: Outline, labels: Mapping[str, int], size: Size) -> Shape:
    """Return what is drawn for a shape. Raises ValueError, with the reason, where labelme draws nothing."""
    if outline.label not in labels:
        raise ValueError(f"its {outline.kind} has no label")
    return Shape(labels[outline.label], (_geometry(outline, size),))


def _geometry(outline: Outline, size: Size) -> Geometry:
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


def _bitmap(outline: Outline, size: Size) -> Bitmap:
    """Return a mask where labelme puts it: cut to a box of whole corners, else as large as it is stored."""
    if not outline.mask:
        raise ValueError("its mask is missing")
    inside = decode_mask(outline.mask, size)
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
