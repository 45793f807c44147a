"""From coarse scores to the image's size, in three forms: logits, labels, loss.

Scores lie on a lattice: cell i of an axis looks at pixel stride · i + offset. Each pixel interpolates the cells around
it; along one axis that is a product with a sparse matrix. Beyond the border the nearest cell is repeated, or, as in a
transposed convolution, there is nothing. Labels and loss are computed block by block, so that the N × C × H × W logits
never exist: a block of pixels needs only the few cells around it.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fullyconv.geometry import Lattice
from fullyconv.model.upsample import KERNELS

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Border = Literal["repeat", "zero"]
BLOCK = (64, 256)
"""A block's height and width in pixels: enough to keep the processor busy, few enough to stay in its cache."""


@lru_cache(maxsize=1024)
@torch.inference_mode(False)
def _interpolation(
    method: Interpolation, border: Border, stride: Fraction, offset: Fraction, cells: int, start: int, stop: int
) -> tuple[slice, Tensor]:
    """The cells that the pixels start … stop − 1 of one axis need, and the matrix (pixels, needed cells)."""
    around, shares = cells_around(method, border, stride, offset, cells, start, stop)
    needed = around.clamp(0, cells - 1)
    first, last = int(needed.min()), int(needed.max())
    weights = torch.zeros(stop - start, last + 1 - first, dtype=torch.float64, device="cpu")
    weights.scatter_add_(1, needed - first, shares)
    return slice(first, last + 1), weights


def cells_around(
    method: Interpolation, border: Border, stride: Fraction, offset: Fraction, cells: int, start: int, stop: int
) -> tuple[Tensor, Tensor]:
    """For pixels start … stop − 1 of one axis the cells around each, and their shares; both (pixels, 2 · reach).

    Cells beyond the border are counted on; their shares are those of the border's cell, or with border "zero" none.
    """
    h, reach = KERNELS[method]
    scale, origin = 1 / stride, offset / stride
    unit = math.lcm(scale.denominator, origin.denominator)  # in 1/unit of a cell every position is a whole number
    position = torch.arange(start, stop, device="cpu") * int(scale * unit) - int(origin * unit)
    floor = position.div(unit, rounding_mode="floor")
    fraction = (position - floor * unit).double() / unit
    steps = torch.arange(1 - reach, reach + 1, device="cpu")
    around, shares = floor[:, None] + steps, h(fraction[:, None] - steps)
    if border == "zero":
        shares = shares * ((around >= 0) & (around < cells))
    return around, shares


def _blocks(size: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, size[0], BLOCK[0]):
        for left in range(0, size[1], BLOCK[1]):
            yield slice(top, min(top + BLOCK[0], size[0])), slice(left, min(left + BLOCK[1], size[1]))


class _Readout:
    """Scores (N, C, h, w), ready to be interpolated block by block; float32, or float64 if they are."""

    def __init__(self, scores: Tensor, lattice: Lattice, method: Interpolation, border: Border):
        self.scores = scores if scores.dtype == torch.float64 else scores.float()
        self.lattice, self.method, self.border = lattice, method, border

    def cells(self, rows: slice, columns: slice) -> tuple[tuple[slice, slice], Tensor, Tensor]:
        """The window of cells that a block of pixels needs, and the two matrices that interpolate it."""
        windows, matrices = [], []
        for axis, pixels in enumerate((rows, columns)):
            window, matrix = _interpolation(
                self.method,
                self.border,
                self.lattice.stride[axis],
                self.lattice.offset[axis],
                self.scores.shape[2 + axis],
                pixels.start,
                pixels.stop,
            )
            windows.append(window)
            matrices.append(matrix.to(self.scores.device, self.scores.dtype))
        return (windows[0], windows[1]), matrices[0], matrices[1].T

    def block(self, rows: slice, columns: slice) -> Tensor:
        """Logits (N, C, rows, columns)."""
        (top, left), vertical, horizontal = self.cells(rows, columns)
        return vertical @ self.scores[..., top, left] @ horizontal

    def strongest(self, rows: slice, columns: slice) -> Tensor:
        """The class of highest logit, (N, rows, columns)."""
        return self.block(rows, columns).argmax(1)


def label_dtype(classes: int) -> torch.dtype:
    return torch.uint8 if classes <= 256 else torch.int16


def _full_precision(scores: Tensor) -> torch.autocast:
    """Autocast off: in half precision the borders between labels would move."""
    return torch.autocast(scores.device.type, enabled=False)


def logits(
    scores: Tensor,
    lattice: Lattice,
    size: tuple[int, int],
    method: Interpolation = "bilinear",
    border: Border = "repeat",
) -> Tensor:
    """Scores (N, C, h, w) on their lattice → logits (N, C, *size), float32 (float64 if the scores are)."""
    with _full_precision(scores):
        readout = _Readout(scores, lattice, method, border)
        across = math.ceil(size[1] / BLOCK[1])
        blocks = [readout.block(rows, columns) for rows, columns in _blocks(size)]
        bands = [torch.cat(blocks[i : i + across], dim=3) for i in range(0, len(blocks), across)]
        return torch.cat(bands, dim=2)


@torch.no_grad()
def labels(
    scores: Tensor,
    lattice: Lattice,
    size: tuple[int, int],
    method: Interpolation = "bilinear",
    border: Border = "repeat",
) -> Tensor:
    """Scores (N, C, h, w) → the class of highest logit at each pixel, (N, *size): uint8, int16 above 256 classes."""
    result = torch.empty(scores.shape[0], *size, dtype=label_dtype(scores.shape[1]), device=scores.device)
    with _full_precision(scores):
        readout = _Readout(scores, lattice, method, border)
        strongest = _StrongestOnCPU(readout) if scores.device.type == "cpu" else readout.strongest
        for rows, columns in _blocks(size):
            result[:, rows, columns] = strongest(rows, columns)
    return result


class _StrongestOnCPU:
    """The class of highest logit in a block of pixels, as ``_Readout.strongest``, several times as fast.

    torch's argmax over classes takes one pixel at a time. Its maximum pooling takes many, if it is told that pixels are
    channels (stored last) and classes rows.
    """

    def __init__(self, readout: _Readout):
        self.readout = readout
        self.scores_NhCw = readout.scores.permute(0, 2, 1, 3).contiguous()

    def __call__(self, rows: slice, columns: slice) -> Tensor:
        """Labels (N, rows, columns)."""
        (top, left), vertical, horizontal = self.readout.cells(rows, columns)
        window = self.scores_NhCw[:, top, :, left]
        images, cells, classes, across = window.shape
        height, width = len(vertical), horizontal.shape[1]
        block = vertical @ window.reshape(images, cells, classes * across)
        block = block.view(images * height * classes, across) @ horizontal
        block = block.view(images * height, classes, 1, width).permute(0, 3, 1, 2)
        _, labels = F.max_pool2d(block, (classes, 1), return_indices=True)
        return labels.view(images, height, width)


class _Loss(torch.autograd.Function):
    """The cross-entropy summed over pixels. Its gradient is accumulated in the forward pass, block by block."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        labels: Tensor,
        lattice: Lattice,
        method: Interpolation,
        border: Border,
        options: dict[str, Any],
    ) -> Tensor:
        with_gradient = ctx.needs_input_grad[0]
        readout = _Readout(scores.detach(), lattice, method, border)
        total = readout.scores.new_zeros(())
        gradient = torch.zeros_like(readout.scores) if with_gradient else None
        for rows, columns in _blocks((labels.shape[1], labels.shape[2])):
            (top, left), vertical, horizontal = readout.cells(rows, columns)
            window = readout.scores[..., top, left].detach().requires_grad_(with_gradient)
            with torch.set_grad_enabled(with_gradient):
                block = vertical @ window @ horizontal
                loss = F.cross_entropy(block, labels[:, rows, columns].long(), reduction="sum", **options)
            total += loss.detach()
            if gradient is not None:
                gradient[..., top, left] += torch.autograd.grad(loss, window)[0]
        if gradient is not None:
            ctx.save_for_backward(gradient.to(scores.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output[0], None, None, None, None, None


def loss(
    scores: Tensor,
    labels: Tensor,
    lattice: Lattice,
    method: Interpolation = "bilinear",
    border: Border = "repeat",
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Cross-entropy of the logits that ``scores`` (N, C, h, w) interpolate to, with ``labels`` (N, H, W); a scalar.

    As ``torch.nn.functional.cross_entropy`` of the full logits, in value and gradient, but where every pixel is
    ignored the mean is 0, not NaN. The paper sums over pixels (section 3.4, its release); ``mean`` divides by the
    weight of the pixels that count.
    """
    options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    with _full_precision(scores):
        if weight is not None:
            options["weight"] = weight = weight.to(scores.device, torch.promote_types(scores.dtype, torch.float32))
        total = _Loss.apply(scores, labels, lattice, method, border, options)
        if reduction == "sum":
            return total
        return total / mass(labels, weight, ignore_index).clamp(min=torch.finfo(total.dtype).tiny)


def mass(labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255) -> Tensor:
    """What the mean loss divides by: the number of pixels that count, or the sum of their classes' weights."""
    counted = labels != ignore_index
    if weight is None:
        return counted.sum()
    return (torch.bincount(labels[counted].long(), minlength=len(weight)) * weight).sum()
