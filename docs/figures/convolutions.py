"""Convolution arithmetic, interpolation as a transposed convolution, and checkerboards."""

from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from looks import BLUE, GREEN, GREY, INK, ORANGE, PALE, bare, canvas, cells
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fullyconv import geometry
from fullyconv.geometry import Step
from fullyconv.model.upsample import Deconvolution, Upsample

HALF_PIXEL = Fraction(-7, 16)
"""Where the first cell of an eight times finer map lies, in coarse cells, if their borders coincide."""


def arithmetic() -> Figure:
    figure, grid = canvas(8.8, 3.1, 2, 3)
    convolution, transposed = geometry.convolution, geometry.transposed_convolution
    _windows(grid[0, 0], "valid", "F=3 S=1 P=0", 6, convolution(3), 0)
    _windows(grid[0, 1], "same", "F=3 S=1 P=1", 6, convolution(3, padding=1), 1)
    _windows(grid[0, 2], "full", "F=3 S=1 P=2", 6, convolution(3, padding=2), 2)
    _windows(grid[1, 0], "strided", "F=3 S=2 P=1", 7, convolution(3, 2, 1), 1)
    _spread(grid[1, 1], "F=4 S=2 P=1", 3, 2, transposed(4, 2, 1))
    _spread(grid[1, 2], "F=4 S=2 P=0", 3, 2, transposed(4, 2))
    return figure


def _windows(axes: Axes, name: str, arguments: str, n: int, step: Step, padding: int) -> None:
    """A convolution: each output cell above the middle of the window that it reads."""
    size = step.size(n)
    shown = size // 2
    for cell in range(size):
        at = float(step.stride * cell + step.offset)
        for tap in step.taps(cell):
            axes.plot([at, tap], [1.6, 0.4], color=ORANGE if cell == shown else PALE, lw=1.6 if cell == shown else 1)
    border = [*range(-padding, 0), *range(n, n + padding)]
    cells(axes, border, 0, GREY, hollow=True, labels=[0] * len(border))
    read = step.reads(shown, n)
    cells(axes, range(n), 0, [ORANGE if i in read else BLUE for i in range(n)])
    places = [float(step.stride * cell + step.offset) for cell in range(size)]
    cells(axes, places, 2, [ORANGE if i == shown else GREEN for i in range(size)])
    _frame(axes, f"{name}   {arguments}   {n} → {size}", (-2.6, 7.6))


def _spread(axes: Axes, arguments: str, n: int, stride: int, step: Step) -> None:
    """A transposed convolution: each input cell above the middle of the window that it is added to."""
    size = step.size(n)
    shown = n // 2
    places = [float((i - step.offset) * stride) for i in range(n)]
    for cell in range(size):
        for tap in step.reads(cell, n):
            lit = tap == shown
            axes.plot([places[tap], cell], [1.6, 0.4], color=ORANGE if lit else PALE, lw=1.6 if lit else 1)
    reached = [shown in step.reads(cell, n) for cell in range(size)]
    cells(axes, range(size), 0, [ORANGE if lit else GREEN for lit in reached])
    cells(axes, places, 2, [ORANGE if i == shown else BLUE for i in range(n)])
    _frame(axes, f"transposed   {arguments}   {n} → {size}", (size / 2 - 5.6, size / 2 + 4.6))


def _frame(axes: Axes, title: str, span: tuple[float, float]) -> None:
    bare(axes)
    axes.set(xlim=span, ylim=(-0.7, 2.7), aspect="equal", title=title)


def interpolation() -> Figure:
    figure, grid = canvas(8.8, 4.6, 2, 4, height_ratios=(1, 1.6))
    coarse = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(3))
    kernel = Deconvolution(1, 32, "bilinear").weight[0, 0]
    grid[0, 0].imshow(kernel.numpy(), cmap="Blues")
    grid[0, 0].set_title(f"{kernel.shape[0]}×{kernel.shape[1]}, S=32")
    grid[1, 0].imshow(coarse[0, 0].numpy(), cmap="viridis", vmin=0, vmax=1)
    grid[1, 0].set_title("5×5")
    bare(grid[0, 0])
    bare(grid[1, 0])
    for column, method in enumerate(("nearest", "bilinear", "bicubic"), 1):
        upsample = Upsample(1, (8, 8), (HALF_PIXEL, HALF_PIXEL), method)
        taps = upsample.rows.kernel
        places = [(upsample.rows.first_tap + i) / 8 + float(HALF_PIXEL) for i in range(len(taps))]
        above, below = grid[:, column]
        above.axhline(0, color=GREY, lw=0.8)
        above.vlines(places, 0, taps.numpy(), color=BLUE, lw=1.2)
        above.plot(places, taps.numpy(), ".", color=BLUE, ms=4)
        above.set(title=f"{method}: F={len(taps)}, S=8", xlim=(-2.1, 2.1), ylim=(-0.25, 1.1), xticks=range(-2, 3))
        below.imshow(upsample(coarse, (40, 40))[0, 0].numpy(), cmap="viridis", vmin=0, vmax=1)
        below.set_title("40×40")
        bare(below)
    return figure


def checkerboard() -> Figure:
    """How many inputs each output of a transposed convolution sums: kernels of ones on maps of ones."""
    figure, grid = canvas(8.8, 2.9, 1, 4)
    for axes, (kernel, stride) in zip(grid[0], ((3, 2), (5, 2), (4, 2), (6, 3)), strict=True):
        counts = F.conv_transpose2d(torch.ones(1, 1, 9, 9), torch.ones(1, 1, kernel, kernel), stride=stride)[0, 0]
        inner = counts[6:12, 6:12]
        axes.imshow(inner.numpy(), cmap="Oranges", vmin=0, vmax=10)
        for row, column in np.ndindex(6, 6):
            axes.text(column, row, int(inner[row, column]), ha="center", va="center", color=INK, fontsize=8)
        sign = "=" if len(inner.unique()) == 1 else "≠"
        axes.set_title(f"F={kernel}, S={stride}   {sign}", color=INK)
        bare(axes)
    return figure
