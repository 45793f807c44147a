"""The shapes that annotations consist of, in the coordinates of the image.

A coordinate (x, y) counts pixels from the image's upper left corner: the first pixel is the square from (0, 0) to
(1, 1). Each kind of shape can be drawn by each of the rules of ``stamps``.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Polygon:
    """The area within closed rings of points, each float64 (n, 2) of x and y; a ring within another is a hole."""

    rings: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Rectangle:
    """The rectangle between two corners."""

    left: float
    top: float
    right: float
    bottom: float


def turned(rectangle: Rectangle, angle: float, about: tuple[float, float]) -> Rectangle | Polygon:
    """Return a rectangle that is turned clockwise, as seen on the screen, by ``angle`` degrees about a point."""
    if not angle:
        return rectangle
    corners = [(x, y) for x, y in ((rectangle.left, rectangle.top), (rectangle.right, rectangle.top))]
    corners += [(rectangle.right, rectangle.bottom), (rectangle.left, rectangle.bottom)]
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return Polygon(((np.array(corners) - about) @ np.array([(cosine, sine), (-sine, cosine)]) + about,))


@dataclass(frozen=True)
class Ellipse:
    """An ellipse; ``angle`` in degrees turns it clockwise, as seen on the screen, about its centre."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    angle: float = 0.0


@dataclass(frozen=True, eq=False)
class Line:
    """The points (n, 2) of a line that is ``width`` pixels wide; a single point is a disc of that diameter."""

    points: np.ndarray
    width: float


@dataclass(frozen=True, eq=False)
class Runs:
    """The run lengths of a mask of the whole image, columns first: pixels outside, pixels inside, and so on.

    ``size`` is the height and width of the image that they are of.
    """

    counts: np.ndarray
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Bitmap:
    """A mask, bool (h, w), whose upper left pixel lies in this column and row of the image."""

    inside: np.ndarray
    left: int = 0
    top: int = 0


@dataclass(frozen=True, eq=False)
class ValueMask:
    """The pixels of an image of integers (H, W) that have this value; many of these share one image."""

    values: np.ndarray
    value: int


Geometry = Polygon | Rectangle | Ellipse | Line | Runs | Bitmap | ValueMask


@dataclass(frozen=True, eq=False)
class Shape:
    """What is drawn with one label: the area that any of ``parts`` covers.

    - ``label``: the index of a class, or IGNORE for pixels that have none.
    - ``fault``: why it cannot be drawn; empty if it can.
    - ``crowd``: whether it covers many objects that were not told apart.
    """

    label: int
    parts: tuple[Geometry, ...]
    fault: str = ""
    crowd: bool = False


def meets_image(shape: Shape, size: tuple[int, int]) -> bool:
    """Whether the rectangle around a part of a shape reaches into an image of ``size`` (height, width)."""
    for part in shape.parts:
        left, top, right, bottom = _around(part, size)
        if left < size[1] and right > 0 and top < size[0] and bottom > 0:
            return True
    return False


def _around(geometry: Geometry, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the left, top, right and bottom of the rectangle around a geometry."""
    match geometry:
        case Polygon():
            return _around_points(np.concatenate(geometry.rings), 0)
        case Line():
            return _around_points(geometry.points, geometry.width / 2)
        case Rectangle():
            (left, right), (top, bottom) = (
                sorted((geometry.left, geometry.right)),
                sorted((geometry.top, geometry.bottom)),
            )
            return left, top, right, bottom
        case Ellipse():
            return _around_points(np.array([(geometry.x, geometry.y)]), max(geometry.radius_x, geometry.radius_y))
        case Bitmap():
            height, width = geometry.inside.shape
            return geometry.left, geometry.top, geometry.left + width, geometry.top + height
        case Runs() | ValueMask():  # of the whole image
            return 0, 0, size[1], size[0]


def _around_points(points: np.ndarray, reach: float) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return left - reach, top - reach, right + reach, bottom + reach
