"""The figures' common look: colours, canvases, cells on a line, and small PNG files."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

INK, GREY, PALE, PAPER = "#20242c", "#8b93a1", "#e6e9ee", "#ffffff"
BLUE, ORANGE, GREEN, RED = "#2f6fb2", "#e07b28", "#2a9d74", "#c8323c"
CLASS_COLOURS = ListedColormap(["#dfe3e8", BLUE, ORANGE, GREEN])
DPI = 110
LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def blank(width: float, height: float) -> Figure:
    """A figure of ``width`` × ``height`` inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Figure, np.ndarray]:
    """A figure of ``width`` × ``height`` inches and its axes (rows, columns)."""
    figure = blank(width, height)
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=grid)


def picture(draw: Callable[[], Figure]) -> Image.Image:
    """What ``draw`` draws, in this look, with no more than 256 colours, which keeps the file small."""
    buffer = BytesIO()
    with matplotlib.rc_context(LOOK):
        draw().savefig(buffer, bbox_inches="tight", pad_inches=0.06)
    return Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)


def bare(axes: Axes) -> None:
    """No ticks and no frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def cells(
    axes: Axes,
    centres: Sequence[float],
    y: float,
    colour: str | Sequence[str] = BLUE,
    *,
    size: float = 0.8,
    labels: Sequence[object] = (),
    hollow: bool = False,
) -> None:
    """A row of square cells with their centres at (centres, y)."""
    colours = [colour] * len(centres) if isinstance(colour, str) else colour
    for number, (x, fill) in enumerate(zip(centres, colours, strict=True)):
        corner = (x - size / 2, y - size / 2)
        axes.add_patch(
            Rectangle(
                corner,
                size,
                size,
                facecolor=PAPER if hollow else fill,
                edgecolor=fill,
                linestyle=":" if hollow else "-",
                zorder=3,
            )
        )
        if labels:
            ink = INK if hollow or fill == PALE else PAPER
            axes.text(x, y, str(labels[number]), color=ink, ha="center", va="center", fontsize=8, zorder=4)
