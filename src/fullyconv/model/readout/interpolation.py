"""How pixels are interpolated from cells, along one axis: the one source of what every form of the readout computes.

Scores lie on a lattice: cell i of an axis looks at pixel stride · i + offset. Beyond the border the nearest cell is
repeated, or, as in a transposed convolution, there is nothing.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fullyconv.model.upsample import KERNELS

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Border = Literal["repeat", "zero"]


class Sampling(NamedTuple):
    """Pixel p of an axis lies at cell (``step`` · p − ``origin``) / ``unit``: all whole numbers, so exactly."""

    step: int
    origin: int
    unit: int

    @classmethod
    def of(cls, stride: Fraction, offset: Fraction) -> "Sampling":
        """That of an axis whose cells look at pixels stride · i + offset."""
        scale, origin = 1 / stride, offset / stride
        unit = math.lcm(scale.denominator, origin.denominator)
        return cls(int(scale * unit), int(origin * unit), unit)

    def before(self, pixel: int) -> int:
        """The last cell that looks at this pixel or at one before it."""
        return (self.step * pixel - self.origin) // self.unit

    def cells_of(self, pixel: int, method: Interpolation) -> tuple[int, int]:
        """The first and the last cell that a pixel is interpolated from; they may lie beyond the border."""
        cell, (_, reach) = self.before(pixel), KERNELS[method]
        return cell + 1 - reach, cell + reach


def cells_around(
    method: Interpolation, border: Border, stride: Fraction, offset: Fraction, cells: int, start: int, stop: int
) -> tuple[Tensor, Tensor]:
    """For pixels start … stop − 1 of one axis the cells around each, and their shares; both (pixels, 2 · reach).

    Cells beyond the border are counted on; their shares are those of the border's cell, or with border "zero" none.
    """
    h, reach = KERNELS[method]
    step, origin, unit = Sampling.of(stride, offset)
    position = torch.arange(start, stop, device="cpu") * step - origin
    floor = position.div(unit, rounding_mode="floor")
    fraction = (position - floor * unit).double() / unit
    steps = torch.arange(1 - reach, reach + 1, device="cpu")
    around, shares = floor[:, None] + steps, h(fraction[:, None] - steps)
    if border == "zero":
        shares = shares * ((around >= 0) & (around < cells))
    return around, shares


def matrix(
    method: Interpolation, border: Border, stride: Fraction, offset: Fraction, cells: int, start: int, stop: int
) -> tuple[slice, Tensor]:
    """The cells that the pixels start … stop − 1 of one axis need, and the matrix (pixels, needed cells), float64."""
    at = Sampling.of(stride, offset)
    first, last = at.cells_of(start, method)[0], at.cells_of(stop - 1, method)[1]
    first, last = (min(max(cell, 0), cells - 1) for cell in (first, last))
    around, shares = cells_around(method, border, stride, offset, cells, start, stop)
    weights = torch.zeros(stop - start, last + 1 - first, dtype=torch.float64, device="cpu")
    return slice(first, last + 1), weights.scatter_add(1, around.clamp(0, cells - 1) - first, shares)


kept_matrix = lru_cache(maxsize=256)(torch.inference_mode(False)(matrix))
"""``matrix``, kept for the images that follow."""
