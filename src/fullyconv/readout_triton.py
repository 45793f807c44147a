"""``readout.labels`` and ``readout.loss`` on a GPU: each interpolates and reduces in one kernel, in Triton.

Bands. Along an axis each pixel interpolates a window of neighbouring cells (two, if bilinear), and the pixels of one
window follow one another: they are its band. A tile of pixels, one band of rows by one of columns, needs the same few
scores, so that they are read once for all of it. What the border does is in the weights.

The kernels go over the classes one by one and hold a tile's running maximum, or its log-sum-exp: nothing of the
logits' size exists anywhere. Arithmetic is float32 whatever the scores are. The gradient is deterministic: bands whose
windows overlap add to it in separate launches ("colours"), all others at once, without atomic operations.

Needs the package ``triton``, which comes with torch on Linux; ``readout`` is the same in torch alone.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any, Literal, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from fullyconv.readout import Border, Interpolation, Lattice
from fullyconv.upsample import KERNELS

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
    h, reach = KERNELS[method]
    scale, origin = 1 / stride, offset / stride
    unit = math.lcm(scale.denominator, origin.denominator)  # in 1/unit of a cell every position is a whole number
    position = torch.arange(pixels, device="cpu") * int(scale * unit) - int(origin * unit)
    floor = position.div(unit, rounding_mode="floor")
    fraction = (position - floor * unit).double() / unit
    steps = torch.arange(1 - reach, reach + 1, device="cpu")
    around = floor[:, None] + steps
    needed = around.clamp(0, cells - 1)
    shares = h(fraction[:, None] - steps)
    if border == "zero":
        shares = shares * (around == needed)
    taps = min(2 * reach, cells)
    window = around[:, 0].clamp(0, cells - taps)
    weights = torch.zeros(taps, pixels, dtype=torch.float64, device="cpu")
    weights.scatter_add_(0, (needed - window[:, None]).T, shares.T)
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


@triton.jit
def _bands(row_count, column_count, GROUP: tl.constexpr):
    """This program's image, band of rows and GROUP bands of columns, int64; some may lie beyond ``column_count``."""
    program = tl.program_id(0)
    groups = tl.cdiv(column_count, GROUP)
    columns = (program % groups) * GROUP + tl.arange(0, GROUP)
    row = (program // groups) % row_count
    image = program // groups // row_count
    return image.to(tl.int64), row.to(tl.int64), columns.to(tl.int64)


@triton.jit
def _span(starts, band, inside):
    """First pixel of each band, and the one after its last."""
    return tl.load(starts + band, mask=inside, other=0), tl.load(starts + band + 1, mask=inside, other=0)


@triton.jit
def _weights(table, length, pixels, inside, TAPS: tl.constexpr):
    """The weights of the pixels' cells, a tensor for each tap; 0 where not ``inside``."""
    weights = ()
    for tap in tl.static_range(TAPS):
        weights = weights + (tl.load(table + tap * length + pixels, mask=inside, other=0.0),)  # noqa: RUF005
    return weights


@triton.jit
def _logit(
    cells, row_stride, column_stride, inside, vertical, horizontal, ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr
):
    """One class: scores at ``cells`` (GROUP), the windows' first → logits (GROUP, ROWS, COLUMNS), float32."""
    logit = 0.0
    for i in tl.static_range(ROW_TAPS):
        along = 0.0
        for j in tl.static_range(COLUMN_TAPS):
            score = tl.load(cells + i * row_stride + j * column_stride, mask=inside, other=0.0).to(tl.float32)
            along += score[:, None] * horizontal[j]
        logit += along[:, None, :] * vertical[i][None, :, None]
    return logit


@triton.jit
def _labels_kernel(
    scores, image_stride, class_stride, row_stride, column_stride, classes,
    row_weights, row_starts, column_weights, column_starts, row_bands, column_bands, height, width,
    labels,
    ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr,
    GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    image, row, column = _bands(row_bands, column_bands, GROUP)
    inside = column < column_bands
    top, bottom = _span(row_starts, row, True)
    left, right = _span(column_starts, column, inside)
    first = scores + image * image_stride + row * row_stride + column * column_stride
    for y0 in range(top, bottom, ROWS):
        y = y0 + tl.arange(0, ROWS)
        vertical = _weights(row_weights, height, y, y < bottom, ROW_TAPS)
        for x0 in range(0, tl.max(right - left), COLUMNS):
            x = left[:, None] + x0 + tl.arange(0, COLUMNS)[None, :]
            horizontal = _weights(column_weights, width, x, x < right[:, None], COLUMN_TAPS)
            highest = tl.full((GROUP, ROWS, COLUMNS), float("-inf"), tl.float32)
            label = tl.zeros((GROUP, ROWS, COLUMNS), tl.int32)
            cells = first
            for c in range(classes):
                logit = _logit(cells, row_stride, column_stride, inside, vertical, horizontal, ROW_TAPS, COLUMN_TAPS)
                label = tl.where(logit > highest, c, label)
                highest = tl.maximum(highest, logit)
                cells += class_stride
            pixel = ((image * height + y) * width)[None, :, None] + x[:, None, :]
            drawn = (y < bottom)[None, :, None] & (x < right[:, None])[:, None, :]
            tl.store(labels + pixel, label.to(labels.dtype.element_ty), mask=drawn)


@triton.jit
def _loss_kernel(
    scores, image_stride, class_stride, row_stride, column_stride, classes,
    row_weights, row_starts, column_weights, column_starts, row_bands, column_bands, height, width,
    labels, class_weights, ignore_index, smoothing, normalizers, totals, masses,
    WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr, NORMALIZERS: tl.constexpr,
    ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr,
    GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    image, row, column = _bands(row_bands, column_bands, GROUP)
    inside = column < column_bands
    top, bottom = _span(row_starts, row, True)
    left, right = _span(column_starts, column, inside)
    first = scores + image * image_stride + row * row_stride + column * column_stride
    total = tl.zeros((GROUP, ROWS, COLUMNS), tl.float32)
    mass = tl.zeros((GROUP, ROWS, COLUMNS), tl.float32)
    for y0 in range(top, bottom, ROWS):
        y = y0 + tl.arange(0, ROWS)
        vertical = _weights(row_weights, height, y, y < bottom, ROW_TAPS)
        for x0 in range(0, tl.max(right - left), COLUMNS):
            x = left[:, None] + x0 + tl.arange(0, COLUMNS)[None, :]
            horizontal = _weights(column_weights, width, x, x < right[:, None], COLUMN_TAPS)
            pixel = ((image * height + y) * width)[None, :, None] + x[:, None, :]
            drawn = (y < bottom)[None, :, None] & (x < right[:, None])[:, None, :]
            label = tl.load(labels + pixel, mask=drawn, other=0).to(tl.int32)
            counts = drawn & (label != ignore_index)
            highest = tl.full((GROUP, ROWS, COLUMNS), float("-inf"), tl.float32)
            exponentials = tl.zeros((GROUP, ROWS, COLUMNS), tl.float32)  # Σ exp(logit − highest)
            target = tl.full((GROUP, ROWS, COLUMNS), float("nan"), tl.float32)  # stays so for a label that is no class
            spread = tl.zeros((GROUP, ROWS, COLUMNS), tl.float32)  # Σ weight · logit
            whole = 0.0  # Σ weight
            cells = first
            for c in range(classes):
                logit = _logit(cells, row_stride, column_stride, inside, vertical, horizontal, ROW_TAPS, COLUMN_TAPS)
                above = logit - highest
                smaller = tl.exp(-tl.abs(above))  # the smaller of the two, relative to the greater
                exponentials = tl.where(above > 0, exponentials * smaller + 1, exponentials + smaller)
                highest = tl.maximum(highest, logit)
                target = tl.where(label == c, logit, target)
                if SMOOTHED:
                    share = tl.load(class_weights + c) if WEIGHTED else 1.0
                    spread += share * logit
                    whole += share
                cells += class_stride
            normalizer = highest + tl.log(exponentials)
            if WEIGHTED:
                known = counts & (label >= 0) & (label < classes)
                weight = tl.load(class_weights + label, mask=known, other=1.0)
            else:
                weight = tl.full((GROUP, ROWS, COLUMNS), 1.0, tl.float32)
            loss = (1 - smoothing) * weight * (normalizer - target)
            if SMOOTHED:
                loss += smoothing / classes * (whole * normalizer - spread)
            total += tl.where(counts, loss, 0.0)
            mass += tl.where(counts, weight, 0.0)
            if NORMALIZERS:
                tl.store(normalizers + pixel, tl.where(counts & (target != target), target, normalizer), mask=drawn)
    tl.store(totals + tl.program_id(0), tl.sum(total))
    tl.store(masses + tl.program_id(0), tl.sum(mass))


@triton.jit
def _gradient_kernel(
    scores, image_stride, class_stride, row_stride, column_stride, classes,
    row_weights, row_starts, column_weights, column_starts, row_bands, column_bands, height, width,
    labels, class_weights, ignore_index, smoothing, normalizers, scale,
    gradient, g_image_stride, g_class_stride, g_row_stride, g_column_stride, first_row, first_column, rows, columns,
    WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr,
    ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr,
    GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Of one colour: every ROW_TAPS-th band of rows from ``first_row`` on, so likewise of columns; no cell is shared.

    ``rows`` and ``columns`` are the numbers of such bands.
    """
    image, row, column = _bands(rows, columns, GROUP)
    row = first_row + row * ROW_TAPS
    column = first_column + column * COLUMN_TAPS
    inside = column < column_bands
    top, bottom = _span(row_starts, row, True)
    left, right = _span(column_starts, column, inside)
    first = scores + image * image_stride + row * row_stride + column * column_stride
    g_first = gradient + image * g_image_stride + row * g_row_stride + column * g_column_stride
    factor = tl.load(scale)
    whole = 0.0
    if SMOOTHED:
        for c in range(classes):
            whole += tl.load(class_weights + c) if WEIGHTED else 1.0
    for y0 in range(top, bottom, ROWS):
        y = y0 + tl.arange(0, ROWS)
        vertical = _weights(row_weights, height, y, y < bottom, ROW_TAPS)
        for x0 in range(0, tl.max(right - left), COLUMNS):
            x = left[:, None] + x0 + tl.arange(0, COLUMNS)[None, :]
            horizontal = _weights(column_weights, width, x, x < right[:, None], COLUMN_TAPS)
            pixel = ((image * height + y) * width)[None, :, None] + x[:, None, :]
            drawn = (y < bottom)[None, :, None] & (x < right[:, None])[:, None, :]
            label = tl.load(labels + pixel, mask=drawn, other=0).to(tl.int32)
            normalizer = tl.load(normalizers + pixel, mask=drawn, other=0.0)
            counts = drawn & (label != ignore_index)
            if WEIGHTED:
                known = counts & (label >= 0) & (label < classes)
                weight = tl.load(class_weights + label, mask=known, other=1.0)
            else:
                weight = tl.full((GROUP, ROWS, COLUMNS), 1.0, tl.float32)
            of_target = tl.where(counts, factor * (1 - smoothing) * weight, 0.0)
            of_all = tl.where(counts, factor * smoothing / classes, 0.0)
            of_probability = of_target + of_all * whole
            cells, g_cells = first, g_first
            for c in range(classes):
                logit = _logit(cells, row_stride, column_stride, inside, vertical, horizontal, ROW_TAPS, COLUMN_TAPS)
                by_logit = of_probability * tl.exp(logit - normalizer) - tl.where(label == c, of_target, 0.0)
                if SMOOTHED:
                    by_logit -= of_all * (tl.load(class_weights + c) if WEIGHTED else 1.0)
                for i in tl.static_range(ROW_TAPS):
                    along = tl.sum(by_logit * vertical[i][None, :, None], 1)
                    for j in tl.static_range(COLUMN_TAPS):
                        cell = g_cells + i * g_row_stride + j * g_column_stride
                        share = tl.sum(along * horizontal[j], 1)
                        tl.store(cell, tl.load(cell, mask=inside, other=0.0) + share, mask=inside)
                cells += class_stride
                g_cells += g_class_stride
            tl.debug_barrier()  # the next pixels of these bands add to what all threads have written


def _on(device: torch.device) -> AbstractContextManager[Any]:
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
    """``readout.labels``: scores (N, C, h, w), of at most single precision → (N, *size), uint8 or int16."""
    dtype = torch.uint8 if scores.shape[1] <= 256 else torch.int16
    result = torch.empty(scores.shape[0], *size, dtype=dtype, device=scores.device)
    tiling = _tiling(scores, lattice, size, method, border)
    with _on(scores.device):
        _labels_kernel[(tiling.programs(len(scores)),)](*_arguments(scores, tiling, size), result, **tiling.constants())
    return result


def _arguments(scores: Tensor, tiling: _Tiling, size: tuple[int, int]) -> tuple[Any, ...]:
    """The arguments that all kernels begin with."""
    bands = tiling.rows.bands, tiling.columns.bands
    return scores, *scores.stride(), scores.shape[1], *tiling.tables(), *bands, *size


def _colours(tiling: _Tiling) -> Iterator[tuple[int, int, int, int]]:
    """For every class of bands whose windows are apart: the first row and column, the numbers of rows and columns."""
    rows, columns = tiling.rows, tiling.columns
    for row, column in product(range(min(rows.taps, rows.bands)), range(min(columns.taps, columns.bands))):
        yield row, column, triton.cdiv(rows.bands - row, rows.taps), triton.cdiv(columns.bands - column, columns.taps)


class _Loss(torch.autograd.Function):
    """The cross-entropy and the weight, both summed over the pixels that count."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        labels: Tensor,
        weight: Tensor | None,
        tiling: _Tiling,
        ignore_index: int,
        smoothing: float,
    ) -> tuple[Tensor, Tensor]:
        with_gradient = ctx.needs_input_grad[0]
        programs = tiling.programs(len(scores))
        totals, masses = torch.empty(2, programs, device=scores.device).unbind()
        normalizers = torch.empty(labels.shape if with_gradient else (1,), device=scores.device)
        with _on(scores.device):
            _loss_kernel[(programs,)](
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
        total, mass = (part.sum(dtype=torch.float64).float() for part in (totals, masses))
        ctx.mark_non_differentiable(mass)
        return total, mass

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, scale: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        scores, labels, weight, normalizers = ctx.saved_tensors
        tiling: _Tiling = ctx.tiling
        gradient = torch.zeros_like(scores, dtype=torch.float32)
        with _on(scores.device):
            for first_row, first_column, rows, columns in _colours(tiling):
                _gradient_kernel[(len(scores) * rows * triton.cdiv(columns, tiling.group),)](
                    *_arguments(scores, tiling, (labels.shape[1], labels.shape[2])),
                    labels,
                    scores if weight is None else weight,
                    ctx.ignore_index,
                    ctx.smoothing,
                    normalizers,
                    scale.float(),
                    gradient,
                    *gradient.stride(),
                    first_row,
                    first_column,
                    rows,
                    columns,
                    WEIGHTED=weight is not None,
                    SMOOTHED=ctx.smoothing > 0,
                    **tiling.constants(),
                )
        return gradient.to(scores.dtype), None, None, None, None, None


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
    total, mass = _Loss.apply(scores, labels.contiguous(), weight, tiling, ignore_index, label_smoothing)
    return total if reduction == "sum" else total / mass.clamp(min=torch.finfo(torch.float32).tiny)
