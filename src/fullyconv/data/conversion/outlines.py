"""The outlines of the connected areas of each class in a mask."""

from typing import NamedTuple

import numpy as np

from fullyconv.extras import require


class Outline(NamedTuple):
    """A connected area of one label: its outer ring and those of its holes, each float64 (n, 2) of x and y, closed."""

    label: int
    rings: tuple[np.ndarray, ...]


def require_packages(tolerance: float) -> None:
    """Raise ConfigError if a package is not installed that finds outlines, or simplifies them."""
    require("rasterio", "annotations", "finds the outlines of masks")
    if tolerance:
        require("shapely", "annotations", "simplifies outlines")


def outlines(labels: np.ndarray, background: int | None, tolerance: float = 0.0) -> list[Outline]:
    """Return the outline of each connected area of a mask (H, W), along the edges of its pixels, the largest first.

    Areas of ``background`` are left out. With ``tolerance`` 0, drawing the outlines by pixels' centres gives the mask
    again. Otherwise corners are left out whose triangle covers less than ``tolerance`` squared pixels, beginning with
    the smallest (Visvalingam and Whyatt 1993).
    """
    require_packages(tolerance)
    from rasterio.features import shapes

    found = [
        Outline(int(value), tuple(np.array(ring, np.float64) for ring in geometry["coordinates"]))
        for geometry, value in shapes(labels, connectivity=4)
    ]
    if tolerance:
        found = _simplify(found, tolerance)
    wanted = [outline for outline in found if outline.label != background]
    return sorted(wanted, key=lambda outline: -area(outline.rings[0]))


def area(ring: np.ndarray) -> float:
    """Return the area within a closed ring, in pixels."""
    x, y = ring.T
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1])) / 2


def _simplify(found: list[Outline], tolerance: float) -> list[Outline]:
    """Return the outlines with fewer points; areas that touch keep one common border, so that no gaps open."""
    import shapely

    areas = [shapely.Polygon(outer, holes) for outer, *holes in (map(_every_pixel, own.rings) for own in found)]
    simpler = shapely.coverage_simplify(areas, tolerance, simplify_boundary=False)  # the image keeps its corners
    return [
        Outline(own.label, tuple(np.array(ring.coords, np.float64) for ring in (area.exterior, *area.interiors)))
        for own, area in zip(found, simpler, strict=True)
    ]


def _every_pixel(ring: np.ndarray) -> np.ndarray:
    """Return a ring along pixels' edges with a point at every corner of a pixel, as the areas beside it may have."""
    lengths = np.abs(np.diff(ring, axis=0)).sum(1).astype(int)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    along = (np.arange(lengths.sum()) - starts) / np.repeat(lengths, lengths)
    edges = np.repeat(np.arange(len(lengths)), lengths)
    points = ring[edges] + along[:, None] * (ring[edges + 1] - ring[edges])
    return np.concatenate([points.round(), ring[-1:]])


def bridged(rings: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return one ring, (n, 2), that runs along the outer ring and, over bridges without width, along its holes.

    Drawn by the even-odd rule it covers what the rings do.
    """
    outer, *holes = rings
    start = outer[0]
    pieces = [outer]
    for hole in holes:
        pieces += [hole, start[None]]
    return np.concatenate(pieces)[:-1] if not holes else np.concatenate(pieces)


def pixel_centres(ring: np.ndarray) -> np.ndarray:
    """Return the ring through the centres of the outermost pixels of an area, given the ring along its pixels' edges.

    Pillow draws an area's outline on top of it: through the pixels' centres it covers the same pixels.
    """
    points = ring[:-1]
    step = np.sign(np.roll(points, -1, 0) - points)
    x, y = ring.T
    turn = np.sign(x[:-1] @ y[1:] - x[1:] @ y[:-1])
    inward = turn * np.stack([-step[:, 1], step[:, 0]], 1)
    return points + (inward + np.roll(inward, 1, 0)) / 2 - 0.5
