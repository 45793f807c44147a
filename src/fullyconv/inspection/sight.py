"""What one cell of a network's scores sees of the image: as text, and as a figure with its neighbours' windows."""

from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fullyconv.errors import GeometryError
from fullyconv.geometry import Interval, Layer, Trace

Cell = tuple[int, int]
WINDOW, NEIGHBOUR, INK = "#d62728", "#4d9bff", "#20242c"


def describe(traced: Trace, cell: Cell) -> str:
    """Describe in a sentence what ``cell`` (row, column) of the scores sees; the rows and columns named are included.

    Raises GeometryError if there is no such cell.
    """
    scores = traced.outputs[0]
    seen = scores.sees(*cell)
    row, col = _centre(scores, cell)
    start = f"Cell ({cell[0]}, {cell[1]}) of {scores.size[0]} × {scores.size[1]} looks at pixel ({row:g}, {col:g})"
    if scores.field is None:
        layer, kind = traced.whole_image[0]
        return f"{start} and sees the whole image, through {layer} ({kind})."
    if seen is None:
        return f"{start} and sees nothing but padding."
    window = _window(scores, cell)
    if window is None or window == seen:
        return f"{start} and sees {_words(seen)}, all of it image."
    return f"{start} and sees {_words(window)}; of the image that is {_words(seen)}, the rest is padding."


def figure(traced: Trace, cell: Cell, image: np.ndarray) -> Figure:
    """Draw the windows of ``cell`` and its neighbours on ``image`` (H, W, 3), uint8, beside the map of scores.

    Raises GeometryError if there is no such cell, or if it sees the whole image and so has no window.
    """
    scores = traced.outputs[0]
    scores.sees(*cell)
    if scores.field is None:
        layer, kind = traced.whole_image[0]
        raise GeometryError(f"each cell sees the whole image, through {layer} ({kind}): there is no window to draw")
    drawn = Figure(figsize=(10.4, 6.4), dpi=110, layout="constrained")
    left, right = drawn.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_windows(left, scores, cell, image)
    _draw_cells(right, scores, cell)
    drawn.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return drawn


def _draw_windows(axes: Axes, scores: Layer, cell: Cell, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, zorder=1)
    axes.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=INK, linewidth=1, zorder=2))
    around = _neighbours(scores, cell)
    for number, other in enumerate(around):
        label = "its neighbours" if number == 0 else None
        _outline(axes, scores, other, NEIGHBOUR, 0.9, 3, label, alpha=0.65)
    for other in around:
        row, col = _centre(scores, other)
        axes.plot(col, row, "o", color=NEIGHBOUR, markersize=3, zorder=4)
    _outline(axes, scores, cell, WINDOW, 2.2, 5, f"what cell {cell} sees")
    row, col = _centre(scores, cell)
    axes.plot(col, row, "+", color=WINDOW, markersize=13, markeredgewidth=2.2, zorder=6, label="its centre")
    windows = [window for other in (cell, *around) if (window := _window(scores, other))]
    margin = 0.03 * max(height, width)
    bottom = max(height, *(down[1] for down, _ in windows)) + margin
    top = min(0, *(down[0] for down, _ in windows)) - margin
    axes.set_ylim(bottom, top)
    axes.set_xlim(
        min(0, *(across[0] for _, across in windows)) - margin,
        max(width, *(across[1] for _, across in windows)) + margin,
    )
    axes.set_facecolor("#eceff3")
    axes.set_title(f"image of {height} × {width} pixels; grey: beyond it", fontsize=10)


def _draw_cells(axes: Axes, scores: Layer, cell: Cell) -> None:
    height, width = scores.size
    axes.set_facecolor("#f7f8fa")
    for other in _neighbours(scores, cell):
        axes.add_patch(Rectangle((other[1] - 0.5, other[0] - 0.5), 1, 1, facecolor=NEIGHBOUR, alpha=0.4))
    axes.add_patch(Rectangle((cell[1] - 0.5, cell[0] - 0.5), 1, 1, facecolor=WINDOW))
    axes.set_xticks(np.arange(-0.5, width), minor=True)
    axes.set_yticks(np.arange(-0.5, height), minor=True)
    axes.grid(which="minor", color="#b9c0ca", linewidth=0.6 if max(height, width) < 60 else 0.2)
    axes.tick_params(which="minor", length=0)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.locator_params(integer=True)
    axes.set_aspect("equal")
    axes.set_title(f"scores: {height} × {width} cells, {float(scores.stride[0]):g} pixels apart", fontsize=10)


def _outline(
    axes: Axes, scores: Layer, cell: Cell, colour: str, width: float, order: int, label: str | None, alpha: float = 1.0
) -> None:
    """Draw the edge of a cell's window, if it has one; edges of higher ``order`` lie above."""
    window = _window(scores, cell)
    if window is None:
        return
    (top, bottom), (left, right) = window
    edge = Rectangle((left - 0.5, top - 0.5), right - left + 1, bottom - top + 1, fill=False, edgecolor=colour)
    edge.set(linewidth=width, zorder=order, label=label, alpha=alpha)
    axes.add_patch(edge)


def _neighbours(scores: Layer, cell: Cell) -> list[Cell]:
    """Return the up to eight cells around ``cell``."""
    around = product(range(cell[0] - 1, cell[0] + 2), range(cell[1] - 1, cell[1] + 2))
    return [(r, c) for r, c in around if (r, c) != cell and 0 <= r < scores.size[0] and 0 <= c < scores.size[1]]


def _window(scores: Layer, cell: Cell) -> tuple[Interval, Interval] | None:
    """Return the rows and columns that a cell would see of an endless image; None if it sees none."""
    rows, cols = scores.rows.reaches(cell[0]), scores.cols.reaches(cell[1])
    return None if rows is None or cols is None else (rows, cols)


def _centre(scores: Layer, cell: Cell) -> tuple[float, float]:
    """Return the row and column, in pixels, of a cell's centre."""
    row, col = (s * i + o for s, i, o in zip(scores.stride, cell, scores.offset, strict=True))
    return float(row), float(col)


def _words(window: tuple[Interval, Interval]) -> str:
    (top, bottom), (left, right) = window
    return f"rows {top} to {bottom} and columns {left} to {right} ({bottom - top + 1} × {right - left + 1} pixels)"
