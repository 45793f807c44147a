"""How a backbone's taps become scores: what scores them, upsamples between them and crops (paper, section 4.2)."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from torch import Tensor, nn

from fullyconv import geometry
from fullyconv.errors import GeometryError
from fullyconv.geometry import Axis, Lattice, Layer
from fullyconv.model.backbones import Backbone
from fullyconv.model.upsample import Deconvolution, Method, Upsample


class Fusion(NamedTuple):
    """``upsample`` and ``crops`` are keyed by the stride of the finer tap; ``lattice``: where the fused cells look.

    A crop is the first row and column of the finer tap that is kept.
    """

    upsample: dict[str, nn.Module]
    crops: dict[str, tuple[int, int]]
    lattice: Lattice


def interpolated_fusion(backbone: Backbone, channels: int, method: Method) -> Fusion:
    """Coarse maps are interpolated at the finer tap's cells. Raises GeometryError where strides are no multiples."""
    upsample: dict[str, nn.Module] = {
        stride: Upsample(channels, *_alignment(coarse.lattice, fine.lattice), method)
        for stride, fine, coarse in _steps(backbone)
    }
    return Fusion(upsample, {}, backbone.lattices[0])


def cropped_fusion(backbone: Backbone, channels: int, method: Method) -> Fusion:
    """Coarse maps are upsampled whole, and finer taps cropped to them, as in the paper's release.

    Raises GeometryError where the cells of the two do not coincide.
    """
    upsample: dict[str, nn.Module] = {}
    crops = {}
    rows, cols = backbone.taps[-1].rows, backbone.taps[-1].cols
    for stride, fine, _ in _steps(backbone):
        (factor, _), _ = _alignment(_lattice(rows, cols), fine.lattice)
        deconvolution = upsample[stride] = Deconvolution(channels, factor, method)
        step = geometry.transposed_convolution(deconvolution.kernel, factor)
        rows, cols = rows.through(step), cols.through(step)
        crops[stride] = (geometry.crop(fine.rows, onto=rows), geometry.crop(fine.cols, onto=cols))
    return Fusion(upsample, crops, _lattice(rows, cols))


def _steps(backbone: Backbone) -> Iterator[tuple[str, Layer, Layer]]:
    """From coarse to fine: the finer tap's stride, it, and the coarser one."""
    pairs = list(zip(backbone.strides, backbone.taps, backbone.taps[1:], strict=False))
    for stride, fine, coarse in reversed(pairs):
        yield str(stride), fine, coarse


def _lattice(rows: Axis, cols: Axis) -> Lattice:
    return Lattice((rows.stride, cols.stride), (rows.offset, cols.offset))


def _alignment(coarse: Lattice, fine: Lattice) -> tuple[tuple[int, int], tuple[Fraction, Fraction]]:
    """The whole factor between two lattices, and where the fine one's first cell lies in coarse cells, per axis."""
    factors = [c / f for c, f in zip(coarse.stride, fine.stride, strict=True)]
    if any(factor.denominator != 1 for factor in factors):
        raise GeometryError(f"Taps of strides {fine.stride} and {coarse.stride} cannot be fused: no whole factor.")
    shifts = [(f - c) / s for f, c, s in zip(fine.offset, coarse.offset, coarse.stride, strict=True)]
    return (int(factors[0]), int(factors[1])), (shifts[0], shifts[1])


def scored_by(channels: int, width: int | None, classes: int) -> nn.Module:
    """What a tap of ``channels`` is scored by, from zero; with ``width``, what makes features of it, so many."""
    if width:
        return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
    score = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)  # type: ignore[arg-type]
    return score


def head_of(width: int, classes: int) -> nn.Module:
    """What scores the fused features."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )


def cropped(tap: Tensor, start: tuple[int, int], like: Tensor) -> Tensor:
    (top, left), (height, width) = start, like.shape[2:]
    return tap[..., top : top + height, left : left + width]
