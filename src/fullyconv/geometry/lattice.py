"""Where the cells of a map look, rows and columns alike."""

from fractions import Fraction
from typing import NamedTuple


class Lattice(NamedTuple):
    """Where a map's cells look: cell (i, j) at pixel (stride[0] · i + offset[0], stride[1] · j + offset[1])."""

    stride: tuple[Fraction, Fraction]
    offset: tuple[Fraction, Fraction]

    @classmethod
    def stretched(cls, cells: tuple[int, int], size: tuple[int, int]) -> "Lattice":
        """``cells`` that cover ``size`` pixels from border to border (torch's ``align_corners=False``)."""
        rows, columns = (Fraction(pixels, n) for pixels, n in zip(size, cells, strict=True))
        return cls((rows, columns), ((rows - 1) / 2, (columns - 1) / 2))
