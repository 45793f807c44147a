"""``readout.labels`` and ``readout.loss`` on a GPU: each interpolates and reduces in one kernel, in Triton.

Bands. Along an axis each pixel interpolates a window of neighbouring cells (two, if bilinear), and the pixels of one
window follow one another: they are its band. A tile of pixels, one band of rows by one of columns, needs the same few
scores, so that they are read once for all of it. What the border does is in the weights.

The gradient is deterministic: bands whose windows overlap add to it in separate launches ("colours"), all others at
once, without atomic operations. Needs the package ``triton``, which comes with torch on Linux; ``readout`` is the same
in torch alone.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple, Protocol

import torch
import triton
from torch import Tensor

from fullyconv.geometry import Lattice
from fullyconv.model.readout.blocks import Terms, gradient
from fullyconv.model.readout.interpolation import Border, Interpolation, cells_around
from fullyconv.model.readout.kernels import gradient_kernel, labels_kernel, loss_kernel

PIXELS = 256
"""Pixels that a program works on at a time, two for each of its threads; fewer where each pixel reads more cells."""
WARPS = 4


class _Axis(NamedTuple):
    """The bands of one axis. Band b reads the cells b … b + taps − 1."""

    weights: Tensor  # (taps, pixels), float32
    starts: Tensor  # (bands + 1), int32: band b is the pixels starts[b] … starts[b + 1] − 1
    taps: int
    tile: int  # pixels of a band that are worked on at a time, a power of two

    @property
    def bands(self) -> int:
        return len(self.starts) - 1


@lru_cache(maxsize=1024)
@torch.inference_mode(False)
def _axis(
    method: Interpolation,
    border: Border,
    stride: Fraction,
    offset: Fraction,
    cells: int,
    pixels: int,
    longest: int,
    device: torch.device,
) -> _Axis:
    """The bands of an axis, on ``device``; a tile takes at most ``longest`` pixels of it."""
    around, shares = cells_around(method, border, stride, offset, cells, 0, pixels)
    taps = min(around.shape[1], cells)
    window = around[:, 0].clamp(0, cells - taps)
    weights = torch.zeros(taps, pixels, dtype=torch.float64, device="cpu")
    weights.scatter_add_(0, (around.clamp(0, cells - 1) - window[:, None]).T, shares.T)
    starts = torch.searchsorted(window, torch.arange(cells - taps + 2, device="cpu"), out_int32=True)
    tile = min(longest, triton.next_power_of_2(math.ceil(stride)))
    return _Axis(weights.float().to(device), starts.to(device), taps, tile)


class _Tiling(NamedTuple):
    """The bands of both axes, and how many bands of columns a program takes."""

    rows: _Axis
    columns: _Axis
    group: int

    def tables(self) -> tuple[Tensor, ...]:
        """The kernels' arguments ``row_weights, row_starts, column_weights, column_starts``."""
        return self.rows.weights, self.rows.starts, self.columns.weights, self.columns.starts

    def constants(self) -> dict[str, int]:
        """The kernels' compile-time arguments."""
        return {
            "ROW_TAPS": self.rows.taps,
            "COLUMN_TAPS": self.columns.taps,
            "GROUP": self.group,
            "ROWS": self.rows.tile,
            "COLUMNS": self.columns.tile,
            "num_warps": WARPS,
        }

    def programs(self, images: int) -> int:
        return images * self.rows.bands * triton.cdiv(self.columns.bands, self.group)


def _tiling(scores: Tensor, lattice: Lattice, size: tuple[int, int], method: Interpolation, border: Border) -> _Tiling:
    rows, columns = (
        _axis(
            method,
            border,
            lattice.stride[axis],
            lattice.offset[axis],
            scores.shape[2 + axis],
            size[axis],
            longest,
            scores.device,
        )
        for axis, longest in ((0, 8), (1, 32))
    )
    pixels = 4 * PIXELS // max(4, rows.taps * columns.taps)
    return _Tiling(rows, columns, max(1, pixels // (rows.tile * columns.tile)))


def _on(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@torch.no_grad()
def labels(
    scores: Tensor,
    lattice: Lattice,
    size: tuple[int, int],
    method: Interpolation = "bilinear",
    border: Border = "repeat",
) -> Tensor:
    """``readout.labels``: scores (N, C, h, w), of at most single precision → (N, *size), uint8."""
    result = torch.empty(scores.shape[0], *size, dtype=torch.uint8, device=scores.device)
    tiling = _tiling(scores, lattice, size, method, border)
    with _on(scores.device):
        labels_kernel[(tiling.programs(len(scores)),)](*_arguments(scores, tiling, size), result, **tiling.constants())
    return result


def _arguments(scores: Tensor, tiling: _Tiling, size: tuple[int, int]) -> tuple[Tensor | int, ...]:
    """The arguments that all kernels begin with."""
    bands = tiling.rows.bands, tiling.columns.bands
    return scores, *scores.stride(), scores.shape[1], *tiling.tables(), *bands, *size


def _colours(tiling: _Tiling) -> Iterator[tuple[int, int, int, int]]:
    """For every class of bands whose windows are apart: the first row and column, the numbers of rows and columns."""
    rows, columns = tiling.rows, tiling.columns
    for row, column in product(range(min(rows.taps, rows.bands)), range(min(columns.taps, columns.bands))):
        yield row, column, triton.cdiv(rows.bands - row, rows.taps), triton.cdiv(columns.bands - column, columns.taps)


class Context(Protocol):
    """What ``torch.autograd.Function`` keeps between forward and backward pass."""

    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, Tensor, Tensor | None, Tensor]
    tiling: _Tiling
    ignore_index: int
    smoothing: float
    reading: tuple[Lattice, Interpolation, Border, Terms]

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...

    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...


class _Loss(torch.autograd.Function):
    """The cross-entropy and the weight, both summed over the pixels that count."""

    @staticmethod
    def forward(
        ctx: Context,
        scores: Tensor,
        labels: Tensor,
        weight: Tensor | None,
        tiling: _Tiling,
        ignore_index: int,
        smoothing: float,
        lattice: Lattice,
        method: Interpolation,
        border: Border,
    ) -> tuple[Tensor, Tensor]:
        with_gradient = ctx.needs_input_grad[0]
        programs = tiling.programs(len(scores))
        totals, masses = torch.empty(2, programs, device=scores.device).unbind()
        normalizers = torch.empty(labels.shape if with_gradient else (1,), device=scores.device)
        with _on(scores.device):
            loss_kernel[(programs,)](
                *_arguments(scores, tiling, (labels.shape[1], labels.shape[2])),
                labels,
                scores if weight is None else weight,
                ignore_index,
                smoothing,
                normalizers,
                totals,
                masses,
                WEIGHTED=weight is not None,
                SMOOTHED=smoothing > 0,
                NORMALIZERS=with_gradient,
                **tiling.constants(),
            )
        ctx.save_for_backward(scores, labels, weight, normalizers)
        ctx.tiling, ctx.ignore_index, ctx.smoothing = tiling, ignore_index, smoothing
        ctx.reading = lattice, method, border, Terms(weight, ignore_index, smoothing)
        total, mass = (part.sum(dtype=torch.float64).float() for part in (totals, masses))
        ctx.mark_non_differentiable(mass)
        return total, mass

    @staticmethod
    def backward(ctx: Context, scale: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        scores, labels, weight, normalizers = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            return gradient(scores, labels, *ctx.reading) * scale, *[None] * 8
        tiling = ctx.tiling
        by_scores = torch.zeros_like(scores, dtype=torch.float32)
        with _on(scores.device):
            for first_row, first_column, rows, columns in _colours(tiling):
                gradient_kernel[(len(scores) * rows * triton.cdiv(columns, tiling.group),)](
                    *_arguments(scores, tiling, (labels.shape[1], labels.shape[2])),
                    labels,
                    scores if weight is None else weight,
                    ctx.ignore_index,
                    ctx.smoothing,
                    normalizers,
                    scale.float(),
                    by_scores,
                    *by_scores.stride(),
                    first_row,
                    first_column,
                    rows,
                    columns,
                    WEIGHTED=weight is not None,
                    SMOOTHED=ctx.smoothing > 0,
                    **tiling.constants(),
                )
        return by_scores.to(scores.dtype), *[None] * 8


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
    """``readout.loss``: scores (N, C, h, w), of at most single precision, labels (N, H, W) → a scalar, float32.

    NaN if a label is neither a class nor ``ignore_index``. Nothing waits for the GPU, so that CUDA graphs can hold it.
    """
    if weight is not None:
        weight = weight.to(scores.device, torch.float32).contiguous()
    tiling = _tiling(scores.detach(), lattice, (labels.shape[1], labels.shape[2]), method, border)
    options = (weight, tiling, ignore_index, label_smoothing, lattice, method, border)
    total, mass = _Loss.apply(scores, labels.contiguous(), *options)
    return total if reduction == "sum" else total / mass.clamp(min=torch.finfo(torch.float32).tiny)
