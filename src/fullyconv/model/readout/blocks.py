"""The readout in torch alone, on any device: logits, labels, loss.

Each pixel interpolates the cells around it; along one axis that is a product with a sparse matrix. Labels and loss are
computed block by block, so that the N × C × H × W logits never exist: a block of pixels needs only the few cells around
it.
"""

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from fullyconv.geometry import Lattice
from fullyconv.model.readout.interpolation import Border, Interpolation, kept_matrix, matrix

BLOCK = (64, 256)
"""A block's height and width in pixels: enough to keep the processor busy, few enough to stay in its cache."""


def blocks_of(size: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, size[0], BLOCK[0]):
        for left in range(0, size[1], BLOCK[1]):
            yield slice(top, min(top + BLOCK[0], size[0])), slice(left, min(left + BLOCK[1], size[1]))


def filled(result: Tensor, of_block: Callable[[slice, slice], Tensor]) -> Tensor:
    """Fill ``result`` (..., H, W) with what ``of_block`` gives for the rows and columns of each block; return it."""
    for rows, columns in blocks_of((result.shape[-2], result.shape[-1])):
        result[..., rows, columns] = of_block(rows, columns)
    return result


class BlockReadout:
    """Scores (N, C, h, w), ready to be interpolated block by block; float32, or float64 if they are."""

    def __init__(self, scores: Tensor, lattice: Lattice, method: Interpolation, border: Border):
        self.scores = scores if scores.dtype == torch.float64 else scores.float()
        self.lattice, self.method, self.border = lattice, method, border

    def cells(self, rows: slice, columns: slice) -> tuple[tuple[slice, slice], Tensor, Tensor]:
        """The window of cells that a block of pixels needs, and the two matrices that interpolate it."""
        windows, matrices = [], []
        traced = torch.compiler.is_compiling() or isinstance(self.scores, FakeTensor)  # which nothing may be kept of
        for axis, pixels in enumerate((rows, columns)):
            window, weights = (matrix if traced else kept_matrix)(
                self.method,
                self.border,
                self.lattice.stride[axis],
                self.lattice.offset[axis],
                self.scores.shape[2 + axis],
                pixels.start,
                pixels.stop,
            )
            windows.append(window)
            matrices.append(weights.to(self.scores.device, self.scores.dtype))
        return (windows[0], windows[1]), matrices[0], matrices[1].T

    def block(self, rows: slice, columns: slice) -> Tensor:
        """Logits (N, C, rows, columns)."""
        (top, left), vertical, horizontal = self.cells(rows, columns)
        return vertical @ self.scores[..., top, left] @ horizontal

    def summed(
        self, size: tuple[int, int], loss: Callable[[Tensor, slice, slice], tuple[Tensor, Tensor]], with_gradient: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Add up a loss over all blocks of ``size`` pixels, and its gradient by the scores; None without gradient.

        ``loss`` is given a block's logits (N, C, rows, columns) and its place. It returns what the block adds to the
        loss, and a number with the derivatives of that.
        """
        total = self.scores.new_zeros(())
        gradient = torch.zeros_like(self.scores) if with_gradient else None
        for rows, columns in blocks_of(size):
            (top, left), vertical, horizontal = self.cells(rows, columns)
            window = self.scores[..., top, left].detach().requires_grad_(with_gradient)
            with torch.set_grad_enabled(with_gradient):
                value, slope = loss(vertical @ window @ horizontal, rows, columns)
            total += value.detach()
            if gradient is not None:
                gradient[..., top, left] += torch.autograd.grad(slope, window)[0]
        return total, gradient

    def strongest(self, rows: slice, columns: slice) -> Tensor:
        """The class of highest logit, (N, rows, columns)."""
        return self.block(rows, columns).argmax(1)


def full_precision(scores: Tensor) -> torch.autocast:
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
    with full_precision(scores):
        readout = BlockReadout(scores, lattice, method, border)
        across = math.ceil(size[1] / BLOCK[1])
        blocks = [readout.block(rows, columns) for rows, columns in blocks_of(size)]
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
    """Scores (N, C, h, w) → the class of highest logit at each pixel, (N, *size), uint8. Of 255 classes at most."""
    result = torch.empty(scores.shape[0], *size, dtype=torch.uint8, device=scores.device)
    with full_precision(scores):
        readout = BlockReadout(scores, lattice, method, border)
        return filled(result, _StrongestOnCPU(readout) if scores.device.type == "cpu" else readout.strongest)


@torch.no_grad()
def confidence(
    scores: Tensor,
    lattice: Lattice,
    size: tuple[int, int],
    method: Interpolation = "bilinear",
    border: Border = "repeat",
) -> Tensor:
    """Scores (N, C, h, w) → the highest of the class probabilities at each pixel, (N, *size), float32."""
    result = torch.empty(scores.shape[0], *size, device=scores.device)
    with full_precision(scores):
        readout = BlockReadout(scores, lattice, method, border)
        return filled(result, lambda rows, columns: readout.block(rows, columns).softmax(1).amax(1))


class _StrongestOnCPU:
    """The class of highest logit in a block of pixels, as ``BlockReadout.strongest``, several times as fast.

    torch's argmax over classes takes one pixel at a time. Its maximum pooling takes many, if it is told that pixels are
    channels (stored last) and classes rows.
    """

    def __init__(self, readout: BlockReadout):
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


class Terms(NamedTuple):
    """Of which a pixel's cross-entropy is made, besides its scores and its label."""

    weight: Tensor | None
    """Of each class."""
    ignore_index: int
    label_smoothing: float
    pixel_weight: Tensor | None = None
    """Of each pixel, (N, H, W)."""

    def cross_entropies(self, logits: Tensor, labels: Tensor, rows: slice, columns: slice) -> Tensor:
        """Of each pixel of a block, (N, rows, columns); 0 where it is ignored."""
        losses = self._cross_entropy(logits, labels, "none")
        return losses if self.pixel_weight is None else losses * self.pixel_weight[:, rows, columns]

    def cross_entropy(self, logits: Tensor, labels: Tensor, rows: slice, columns: slice) -> Tensor:
        """Summed over the pixels of a block."""
        if self.pixel_weight is None:
            return self._cross_entropy(logits, labels, "sum")
        return self.cross_entropies(logits, labels, rows, columns).sum()

    def mass(self, labels: Tensor) -> Tensor:
        """What the mean over ``labels`` divides by; see ``mass``."""
        return mass(labels, self.weight, self.pixel_weight, self.ignore_index)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, reduction: Literal["none", "sum"]) -> Tensor:
        return F.cross_entropy(
            logits,
            labels.long(),
            self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=reduction,
        )


def terms_for(
    scores: Tensor, weight: Tensor | None, pixel_weight: Tensor | None, ignore_index: int, label_smoothing: float
) -> Terms:
    """The terms of a loss of ``scores``, the classes' weights with them: on their device, of at least float32."""
    if weight is not None:
        weight = weight.to(scores.device, torch.promote_types(scores.dtype, torch.float32))
    return Terms(weight, ignore_index, label_smoothing, pixel_weight)


def averaged(total: Tensor, mass: Tensor) -> Tensor:
    """The mean of a loss whose sum is ``total``; 0 where nothing counts."""
    return total / mass.to(total.dtype).clamp(min=torch.finfo(total.dtype).tiny)


def gradient(
    scores: Tensor, labels: Tensor, lattice: Lattice, method: Interpolation, border: Border, terms: Terms
) -> Tensor:
    """The gradient of the summed loss by ``scores``, with its own graph: for derivatives of second order.

    Holds what the full logits take, unlike ``loss``.
    """
    with torch.enable_grad(), full_precision(scores):
        readout = BlockReadout(scores, lattice, method, border)
        blocks = blocks_of((labels.shape[1], labels.shape[2]))
        losses = [terms.cross_entropy(readout.block(*at), labels[:, at[0], at[1]], *at) for at in blocks]
        return torch.autograd.grad(torch.stack(losses).sum(), scores, create_graph=True)[0]


class Context(Protocol):
    """What ``torch.autograd.Function`` keeps between forward and backward pass."""

    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]
    reading: tuple[Lattice, Interpolation, Border, Terms]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Loss(torch.autograd.Function):
    """The cross-entropy summed over pixels. Its gradient is accumulated in the forward pass, block by block."""

    @staticmethod
    def forward(
        ctx: Context,
        scores: Tensor,
        labels: Tensor,
        lattice: Lattice,
        method: Interpolation,
        border: Border,
        terms: Terms,
    ) -> Tensor:
        readout = BlockReadout(scores.detach(), lattice, method, border)

        def of_block(logits: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
            loss = terms.cross_entropy(logits, labels[:, rows, columns], rows, columns)
            return loss, loss

        total, gradient = readout.summed((labels.shape[1], labels.shape[2]), of_block, ctx.needs_input_grad[0])
        if gradient is not None:
            ctx.save_for_backward(scores, labels, gradient.to(scores.dtype))
            ctx.reading = lattice, method, border, terms
        return total

    @staticmethod
    def backward(ctx: Context, *grad_output: Tensor) -> tuple[Tensor | None, ...]:
        scores, labels, first_order = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            first_order = gradient(scores, labels, *ctx.reading)
        return first_order * grad_output[0], None, None, None, None, None


def loss(
    scores: Tensor,
    labels: Tensor,
    lattice: Lattice,
    method: Interpolation = "bilinear",
    border: Border = "repeat",
    *,
    weight: Tensor | None = None,
    pixel_weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Cross-entropy of the logits that ``scores`` (N, C, h, w) interpolate to, with ``labels`` (N, H, W); a scalar.

    As ``torch.nn.functional.cross_entropy`` of the full logits, in value and derivatives, but where every pixel is
    ignored the mean is 0, not NaN. ``pixel_weight`` (N, H, W) multiplies each pixel's. The paper sums over pixels
    (section 3.4, its release); ``mean`` divides by the weight of the pixels that count.
    """
    with full_precision(scores):
        terms = terms_for(scores, weight, pixel_weight, ignore_index, label_smoothing)
        total = _Loss.apply(scores, labels, lattice, method, border, terms)
        return total if reduction == "sum" else averaged(total, terms.mass(labels))


def mass(
    labels: Tensor, weight: Tensor | None = None, pixel_weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """What the mean loss divides by: the number of pixels that count, or the sum of their weights."""
    counted = labels != ignore_index
    if pixel_weight is not None:
        pixels = pixel_weight[counted]
        return (pixels if weight is None else pixels * weight[labels[counted].long()]).sum()
    if weight is None:
        return counted.sum()
    return (torch.bincount(labels[counted].long(), minlength=len(weight)) * weight).sum()
