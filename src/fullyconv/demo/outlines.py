"""The exact outlines of the built-in data set's shapes: which points lie inside each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fullyconv.demo.drawing import Array

Inside = NDArray[np.bool_]


@dataclass(frozen=True)
class Shape:
    """One shape of class ``name``: its outline in the unit circle, scaled, turned and placed.

    ``x``, ``y`` and ``radius`` are in pixels, ``angle`` in radians. ``form``, in 0..1, varies the outline within its
    class, from thin to thick.
    """

    name: str
    x: float
    y: float
    radius: float
    angle: float
    form: float

    def contains(self, x: Array, y: Array) -> Inside:
        """Return which of the points lie inside; they are in pixels, and the first pixel's centre is (0.5, 0.5)."""
        dx, dy = (x - np.float32(self.x)) / self.radius, (y - np.float32(self.y)) / self.radius
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return OUTLINES[self.name](cos * dx + sin * dy, cos * dy - sin * dx, np.float32(self.form))

    def coverage(self, rows: slice, cols: slice, samples: int = 1) -> Array:
        """Return the covered fraction of each pixel of a window, from ``samples`` points per axis (one: its centre)."""
        y = (np.arange(rows.start * samples, rows.stop * samples)[:, None] + 0.5) / samples
        x = (np.arange(cols.start * samples, cols.stop * samples)[None, :] + 0.5) / samples
        inside = self.contains(x.astype(np.float32), y.astype(np.float32))
        inside = inside.reshape(y.size // samples, samples, x.size // samples, samples)
        return inside.mean((1, 3), dtype=np.float32)

    def window(self, height: int, width: int, margin: float = 0) -> tuple[slice, slice]:
        """Return the picture's rows and columns that enclose the shape with ``margin`` pixels around it."""
        reach = self.radius + margin
        rows = slice(max(0, int(self.y - reach)), min(height, int(self.y + reach) + 1))
        cols = slice(max(0, int(self.x - reach)), min(width, int(self.x + reach) + 1))
        return rows, cols


def _disc(x: Array, y: Array, form: np.float32) -> Inside:
    return x * x + y * y <= 1


def _ring(x: Array, y: Array, form: np.float32) -> Inside:
    square = x * x + y * y
    return (square <= 1) & (square >= (0.7 - 0.2 * form) ** 2)


def _triangle(x: Array, y: Array, form: np.float32) -> Inside:
    # Corners at the top (0, -1) and at (±cos, sin) of an angle: from slender to equilateral.
    angle = 1 - (1 - np.pi / 6) * form
    base, half = np.sin(angle), np.cos(angle)
    return (y <= base) & (np.abs(x) * (1 + base) <= half * (1 + y))


def _rectangle(x: Array, y: Array, form: np.float32) -> Inside:
    corner = np.pi / 4 * (0.6 + 0.4 * form)
    return (np.abs(x) <= np.cos(corner)) & (np.abs(y) <= np.sin(corner))


def _star(x: Array, y: Array, form: np.float32) -> Inside:
    # Folded onto a tenth of the circle, the outline is the line from the tip at the top to an inner corner.
    turn = np.arctan2(x, -y) * np.float32(5 / (2 * np.pi))
    folded = np.abs(turn - np.round(turn)) * np.float32(2 * np.pi / 5)
    inner = 0.42 + 0.12 * form
    corner_x, corner_y = inner * np.cos(np.pi / 5), inner * np.sin(np.pi / 5)
    return np.hypot(x, y) * (corner_y * np.cos(folded) + (1 - corner_x) * np.sin(folded)) <= corner_y


def _cross(x: Array, y: Array, form: np.float32) -> Inside:
    x, y, half = np.abs(x), np.abs(y), 0.2 + 0.12 * form
    return (np.minimum(x, y) <= half) & (np.maximum(x, y) <= np.sqrt(1 - half**2))


def _crescent(x: Array, y: Array, form: np.float32) -> Inside:
    return (x * x + y * y <= 1) & ((x - (0.45 + 0.2 * form)) ** 2 + y * y >= 0.85**2)


OUTLINES: dict[str, Callable[[Array, Array, np.float32], Inside]] = {
    "disc": _disc,
    "ring": _ring,
    "triangle": _triangle,
    "rectangle": _rectangle,
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
}
