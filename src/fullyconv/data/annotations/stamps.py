"""Which pixels a shape covers, by the rule of the tool that it was drawn with.

Tools differ: of the square from (10, 10) to (20, 20) COCO's rule covers 100 pixels, Pillow's 121, as it draws the
outline on top. Tools' rules are ``coco`` (pycocotools) and ``pillow``; ``centre`` takes the pixels whose centre lies
inside, ``touched`` all that the shape touches (both by GDAL).
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from fullyconv.data.annotations.run_lengths import check_counts, counts_of_string
from fullyconv.data.annotations.shapes import Bitmap, Ellipse, Geometry, Line, Polygon, Rectangle, Runs, ValueMask
from fullyconv.extras import require

Rule = Literal["coco", "pillow", "centre", "touched"]
Size = tuple[int, int]
"""Height and width."""
BEYOND = 4
AROUND = 4096
OUTLINE = 1 << 25
"""Most steps, of a fifth of a pixel, in one outline that pycocotools draws: it keeps 8 bytes for each."""
FAR = 1 << 20
"""Coordinates are cut to so many pixels around the image's origin: no image is larger, and rasterizers overflow."""


class Stamp(NamedTuple):
    """The pixels of an image that a shape covers: bool (h, w), whose first pixel is at ``top`` and ``left``."""

    top: int
    left: int
    inside: np.ndarray


EMPTY = Stamp(0, 0, np.zeros((0, 0), bool))


def stamp(geometry: Geometry, size: Size, rule: Rule) -> Stamp:
    """Return which pixels of an image of ``size`` (height, width) a shape covers; what lies outside is cut off.

    Lines are drawn by Pillow whatever the rule. Raises ValueError for a shape that cannot be drawn: with too few
    points, coordinates that are no numbers, or run lengths of another image.
    """
    match geometry:
        case Bitmap():
            return _cut(geometry.inside, geometry.top, geometry.left, size)
        case ValueMask():
            return _cut(geometry.values == geometry.value, 0, 0, size)
        case Runs():
            return _stamp_runs(geometry, size)
        case Line():
            return _stamp_line(geometry, size)
        case Rectangle():
            return _RECTANGLES[rule](geometry, size)
        case Ellipse():
            return _stamp_pillow_ellipse(geometry, size) if rule == "pillow" else _stamp_ellipse(geometry, size)
        case Polygon():
            rings = [_points(ring, 3) for ring in geometry.rings]
            return _POLYGONS[rule](rings, size) if rings else EMPTY


def _points(points: np.ndarray, least: int) -> np.ndarray:
    """Return the points as float64 (n, 2), cut to FAR. Raises ValueError unless they are at least so many numbers."""
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < least:
        raise ValueError(f"it has {len(points)} points; at least {least} are expected")
    if not np.isfinite(points).all():
        raise ValueError("its coordinates are no numbers")
    return points.clip(-FAR, FAR)


def _cut(inside: np.ndarray, top: int, left: int, size: Size) -> Stamp:
    height, width = size
    rows = slice(max(0, -top), max(0, height - top))
    columns = slice(max(0, -left), max(0, width - left))
    return Stamp(max(0, top), max(0, left), inside[rows, columns])


def _box(points: np.ndarray, size: Size, margin: int = 2) -> tuple[int, int, int, int]:
    """Return the rows and columns, from and up to, of the image that points may touch."""
    (left, top), (right, bottom) = points.min(0), points.max(0)
    rows = np.clip([np.floor(top) - margin, np.ceil(bottom) + margin], 0, size[0]).astype(int)
    columns = np.clip([np.floor(left) - margin, np.ceil(right) + margin], 0, size[1]).astype(int)
    return int(rows[0]), int(rows[1]), int(columns[0]), int(columns[1])


def _stamp_runs(runs: Runs, size: Size) -> Stamp:
    height, width = runs.size
    if runs.size != size:
        raise ValueError(f"its run lengths are of an image of {width}x{height}; the image is {size[1]}x{size[0]}")
    check_counts(runs.counts, height * width)
    return _stamp_counts(runs.counts, height)


def _stamp_counts(counts: np.ndarray, height: int) -> Stamp:
    """Return the pixels of runs down the columns of an image, of the columns alone in which there are any."""
    ends = counts.cumsum()
    inside = np.flatnonzero(counts[1::2]) * 2 + 1
    if not inside.size:
        return EMPTY
    first = int(ends[inside[0] - 1]) // height
    last = (int(ends[inside[-1]]) - 1) // height
    bounds = np.clip(np.concatenate([[0], ends]), first * height, (last + 1) * height)
    flat = np.repeat(np.arange(counts.size) % 2 == 1, np.diff(bounds))
    flat = np.concatenate([flat, np.zeros((last + 1 - first) * height - flat.size, bool)])
    return Stamp(0, first, flat.reshape(last + 1 - first, height).T)


def _coco_polygon(rings: Sequence[np.ndarray], size: Size) -> Stamp:
    coco = require("pycocotools.mask", "annotations", "draws polygons as COCO's tools do")
    rings = [ring for ring in (_near_image(ring, size) for ring in rings) if len(ring)]
    if not rings:
        return EMPTY
    for ring in rings:
        steps = 5 * np.abs(np.diff(ring, axis=0, append=ring[:1])).max(1).sum()
        if steps > OUTLINE:
            raise ValueError(f"its outline is {steps / 5:,.0f} pixels long; at most {OUTLINE // 5:,} are drawn")
    stamps = [
        _stamp_counts(counts_of_string(coded["counts"]), size[0])
        for coded in coco.frPyObjects([ring.ravel().tolist() for ring in rings], *size)
    ]
    return combine(stamps, np.logical_xor)  # a ring within another is a hole


def _near_image(ring: np.ndarray, size: Size) -> np.ndarray:
    """Return a ring that goes further than ``AROUND`` and the image's size beyond it, cut there (Sutherland-Hodgman).

    Pycocotools takes time and memory for each pixel of an outline, however far away it is. Other rings stay the same.
    """
    for axis, side in enumerate(size[::-1]):
        for bound, sign in ((-side - AROUND, 1), (2 * side + AROUND, -1)):
            within = sign * (ring[:, axis] - bound)
            if (within >= 0).all():
                continue
            following, then = np.roll(ring, -1, axis=0), np.roll(within, -1)
            crosses = (within >= 0) != (then >= 0)
            share = np.divide(within, within - then, out=np.zeros_like(within), where=crosses)[:, None]
            crossings = ring + share * (following - ring)
            crossings[:, axis] = bound
            ring = np.stack([ring, crossings], 1)[np.stack([within >= 0, crosses], 1)]
    return ring


def combine(stamps: Sequence[Stamp], how: np.ufunc) -> Stamp:
    """Return one stamp from several: the pixels of any with ``np.logical_or``, those of an odd number with xor."""
    stamps = [own for own in stamps if own.inside.size]
    if len(stamps) < 2:
        return stamps[0] if stamps else EMPTY
    top, left = min(own.top for own in stamps), min(own.left for own in stamps)
    bottom = max(own.top + own.inside.shape[0] for own in stamps)
    right = max(own.left + own.inside.shape[1] for own in stamps)
    inside = np.zeros((bottom - top, right - left), bool)
    for own in stamps:
        rows, columns = own.top - top, own.left - left
        place = inside[rows : rows + own.inside.shape[0], columns : columns + own.inside.shape[1]]
        how(place, own.inside, out=place)
    return Stamp(top, left, inside)


def _with_pillow(points: np.ndarray, size: Size, draw: Callable[[ImageDraw.ImageDraw], None], margin: int = 2) -> Stamp:
    """Draw on an image of the whole size, so that Pillow rounds as it does for the tool, and cut out what was drawn."""
    top, bottom, left, right = _box(points, size, margin)
    if top >= bottom or left >= right:
        return EMPTY
    image = Image.new("1", (right, bottom))
    draw(ImageDraw.Draw(image))
    return Stamp(top, left, np.asarray(image)[top:, left:])


def _pillow_polygon(rings: Sequence[np.ndarray], size: Size) -> Stamp:
    def draw(ring: np.ndarray) -> Callable[[ImageDraw.ImageDraw], None]:
        return lambda canvas: canvas.polygon([(x, y) for x, y in ring.tolist()], fill=1, outline=1)

    return combine([_with_pillow(ring, size, draw(ring)) for ring in rings], np.logical_xor)


def _gdal_polygon(rings: Sequence[np.ndarray], size: Size, touched: bool) -> Stamp:
    require("rasterio", "raster", "finds the pixels whose centre is within a polygon, and those that it touches")
    from rasterio.features import rasterize

    rings = [ring for ring in rings if (ring != ring[0]).any()]
    if not rings:
        return EMPTY
    # drawn beyond the image's borders, as GDAL draws a polygon otherwise where the border cuts it
    around = (size[0] + 2 * BEYOND, size[1] + 2 * BEYOND)
    top, bottom, left, right = _box(np.concatenate(rings) + BEYOND, around)
    if top >= bottom or left >= right:
        return EMPTY
    polygon = {"type": "Polygon", "coordinates": [(_closed(ring) + BEYOND - (left, top)).tolist() for ring in rings]}
    inside = rasterize([polygon], (bottom - top, right - left), all_touched=touched, dtype="uint8")
    return _cut(inside.astype(bool), top - BEYOND, left - BEYOND, size)


def _closed(ring: np.ndarray) -> np.ndarray:
    return ring if (ring[0] == ring[-1]).all() else np.concatenate([ring, ring[:1]])


def _corners(rectangle: Rectangle) -> np.ndarray:
    """Return the corners in order, (4, 2)."""
    left, right = sorted((rectangle.left, rectangle.right))
    top, bottom = sorted((rectangle.top, rectangle.bottom))
    return _points(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), 4)


def _pillow_rectangle(rectangle: Rectangle, size: Size) -> Stamp:
    corners = _corners(rectangle)
    place = (*corners[0].tolist(), *corners[2].tolist())
    return _with_pillow(corners, size, lambda canvas: canvas.rectangle(place, fill=1, outline=1))


def _stamp_ellipse(ellipse: Ellipse, size: Size) -> Stamp:
    """Return the pixels whose centres lie within an ellipse."""
    reach = max(ellipse.radius_x, ellipse.radius_y)
    around = _points(np.array([(ellipse.x - reach, ellipse.y - reach), (ellipse.x + reach, ellipse.y + reach)]), 2)
    if min(ellipse.radius_x, ellipse.radius_y) <= 0:
        return EMPTY
    top, bottom, left, right = _box(around, size)
    x = np.arange(left, right) + 0.5 - ellipse.x
    y = np.arange(top, bottom)[:, None] + 0.5 - ellipse.y
    turn = np.deg2rad(ellipse.angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return Stamp(top, left, (along / ellipse.radius_x) ** 2 + (across / ellipse.radius_y) ** 2 <= 1)


def _stamp_pillow_ellipse(ellipse: Ellipse, size: Size) -> Stamp:
    if ellipse.angle % 180:
        return _stamp_ellipse(ellipse, size)  # Pillow does not turn them
    reach = (ellipse.radius_x, ellipse.radius_y)
    around = _points(
        np.array([(ellipse.x - reach[0], ellipse.y - reach[1]), (ellipse.x + reach[0], ellipse.y + reach[1])]), 2
    )
    if min(reach) < 0:
        return EMPTY
    place = (*around[0].tolist(), *around[1].tolist())
    return _with_pillow(around, size, lambda canvas: canvas.ellipse(place, fill=1, outline=1))


def _stamp_line(line: Line, size: Size) -> Stamp:
    points = _points(line.points, 1)
    if not 0 < line.width <= FAR:
        raise ValueError(f"its line is {line.width} pixels wide; a number above 0 is expected")
    if len(points) == 1:
        (x, y), radius = points[0].tolist(), line.width / 2
        return _stamp_pillow_ellipse(Ellipse(x, y, radius, radius), size)
    width = max(1, round(line.width))
    places = [(x, y) for x, y in points.tolist()]
    return _with_pillow(
        points, size, lambda canvas: canvas.line(places, fill=1, width=width, joint="curve"), margin=width + 2
    )


_POLYGONS: dict[Rule, Callable[[Sequence[np.ndarray], Size], Stamp]] = {
    "coco": _coco_polygon,
    "pillow": _pillow_polygon,
    "centre": lambda rings, size: _gdal_polygon(rings, size, touched=False),
    "touched": lambda rings, size: _gdal_polygon(rings, size, touched=True),
}
_RECTANGLES: dict[Rule, Callable[[Rectangle, Size], Stamp]] = {
    "coco": lambda rectangle, size: _coco_polygon([_corners(rectangle)], size),
    "pillow": _pillow_rectangle,
    "centre": lambda rectangle, size: _gdal_polygon([_corners(rectangle)], size, touched=False),
    "touched": lambda rectangle, size: _gdal_polygon([_corners(rectangle)], size, touched=True),
}
