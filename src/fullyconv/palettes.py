"""Colours for classes: PASCAL VOC's, and a default that colour-blind readers can tell apart."""

from collections.abc import Sequence
from functools import cache

import numpy as np

Colour = tuple[int, int, int]
VOC_VOID: Colour = (224, 224, 192)

# Okabe and Ito, "Color Universal Design" (2008).
_OKABE_ITO: list[Colour] = [
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
]

# sRGB as seen without green cones: Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
_DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.089])


def voc_palette(count: int) -> list[Colour]:
    """Return the first ``count`` colours of PASCAL VOC: the index's bits, dealt in turn to red, green and blue."""

    def channel(index: int, first: int) -> int:
        return sum(((index >> (first + 3 * bit)) & 1) << (7 - bit) for bit in range(8))

    return [(channel(index, 0), channel(index, 1), channel(index, 2)) for index in range(count)]


def default_palette(count: int) -> list[Colour]:
    """Return ``count`` distinct colours (up to 255): Okabe and Ito's eight, then always the farthest from all before.

    The distance is that of CIELAB, the smaller of those for a viewer with all cones and for one without green cones.
    """
    return list(_far_apart()[:count])


def table(palette: Sequence[Colour], void: Colour = VOC_VOID) -> np.ndarray:
    """Return the 256 colours of an index image, (256, 3) uint8: the last is ``void``, unused ones are black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    colours[255] = void
    return colours


@cache
def _far_apart() -> tuple[Colour, ...]:
    levels = range(0, 256, 51)
    grid = [(r, g, b) for r in range(0, 256, 32) for g in levels for b in range(0, 256, 32)]
    candidates = np.array(_OKABE_ITO + grid)
    seen = [_lab(linear) for linear in (_linear(candidates), _linear(candidates) @ _DEUTERANOPIA.T)]

    def distance(index: int) -> np.ndarray:
        return np.minimum(*(np.linalg.norm(lab - lab[index], axis=1) for lab in seen))

    chosen = list(range(len(_OKABE_ITO)))
    nearest = np.min([distance(index) for index in chosen], axis=0)
    while len(chosen) < 255:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distance(chosen[-1]))
    return tuple((int(r), int(g), int(b)) for r, g, b in candidates[chosen])


def _linear(rgb: np.ndarray) -> np.ndarray:
    share = rgb / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    ratio = np.clip(linear, 0, 1) @ _XYZ.T / _WHITE
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
