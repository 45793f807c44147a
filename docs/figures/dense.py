"""From a classifier to a dense one: sliding windows, heat maps, shift-and-stitch, receptive fields."""

import numpy as np
import torch
from looks import BLUE, GREEN, GREY, ORANGE, PALE, bare, canvas, cells
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

import fullyconv as fc
from fullyconv import geometry
from fullyconv.demo.outlines import Shape
from fullyconv.geometry import Axis, Layer
from fullyconv.model.backbones.paper import VGG16, AlexNet, GoogLeNet

EXAMPLE = (geometry.convolution(5), geometry.pooling(2), geometry.convolution(5))
"""The small classifier of the text: conv 5×5, pool 2×2, then a fully connected layer as conv 5×5."""
PATCH = 65
NAMES = ("disc", "cross", "triangle")


def sliding() -> Figure:
    sizes = (14, 16, 28)
    figure, grid = canvas(8.8, 4.2, 1, 3, width_ratios=sizes)
    for axes, n in zip(grid[0], sizes, strict=True):
        axis = Axis.image(n)
        for step in EXAMPLE:
            axis = axis.through(step)
        axes.add_patch(Rectangle((-0.5, -0.5), n, n, facecolor=PALE, edgecolor=GREY))
        for line in range(1, n):
            axes.axhline(line - 0.5, color="white", lw=0.6)
            axes.axvline(line - 0.5, color="white", lw=0.6)
        centres = [float(axis.stride * i + axis.offset) for i in range(axis.size)]
        across, down = np.meshgrid(centres, centres)
        axes.plot(across, down, "o", color=BLUE, ms=5)
        for (row, col), colour in (((0, 0), ORANGE), ((axis.size - 1, axis.size - 1), GREEN)):
            (top, bottom), (left, right) = axis.seen[row], axis.seen[col]
            corner = (left - 0.5, top - 0.5)
            size = (right - left + 1, bottom - top + 1)
            axes.add_patch(Rectangle(corner, *size, facecolor="none", edgecolor=colour, lw=2.2, zorder=5))
            axes.plot(centres[col], centres[row], "o", color=colour, ms=7)
        bare(axes)
        axes.set(xlim=(-0.8, n - 0.2), ylim=(n - 0.2, -0.8), aspect="equal", anchor="N")
        axes.set_title(f"{n}×{n} → {axis.size}×{axis.size}", loc="left")
    return figure


def heatmaps() -> Figure:
    """A linear classifier of silhouettes, made convolutional: its scores at every place."""
    figure, grid = canvas(8.8, 2.4, 1, 4)
    dense = fc.convolutionalize(silhouette_classifier(), PATCH, channels=1)
    picture = silhouettes()
    scores = dense(picture[None, None])[0].detach()
    margin = PATCH // 2
    height, width = picture.shape
    grid[0, 0].imshow(picture.numpy(), cmap="Greys", vmin=0, vmax=1.4)
    grid[0, 0].set_title(f"{height}×{width}")
    bare(grid[0, 0])
    for axes, name, heat in zip(grid[0, 1:], NAMES, scores, strict=True):
        axes.imshow(picture.numpy(), cmap="Greys", vmin=0, vmax=5)
        extent = (margin - 0.5, width - margin - 0.5, height - margin - 0.5, margin - 0.5)
        axes.imshow(heat.numpy(), cmap="magma", extent=extent, alpha=0.9, vmin=0, vmax=1)
        peak = (heat > heat.max() - 1e-3).nonzero()[0].tolist()  # the first of those equal but for rounding
        axes.add_patch(
            Rectangle((peak[1] - 0.5, peak[0] - 0.5), PATCH, PATCH, facecolor="none", edgecolor=ORANGE, lw=1.8)
        )
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.set_title(f"{name}: {heat.shape[0]}×{heat.shape[1]}")
        bare(axes)
    return figure


def silhouette_classifier() -> nn.Module:
    """Images (N, 1, PATCH, PATCH) of silhouettes → (N, 3): how much of each name's outline they share, at most 1."""
    linear = nn.Linear(PATCH * PATCH, len(NAMES))
    for row, name in enumerate(NAMES):
        template = _drawn([Shape(name, PATCH / 2, PATCH / 2, 28, 0, 0.5)], PATCH, PATCH).flatten()
        weight = template - template.mean()
        linear.weight.data[row] = weight / (weight @ template)
    linear.bias.data.zero_()
    return nn.Sequential(nn.Flatten(), linear)


def silhouettes() -> Tensor:
    """A picture (162, 260) of two discs, a cross and a triangle."""
    places = (("disc", 58, 48), ("cross", 130, 100), ("triangle", 206, 56), ("disc", 58, 114))
    return _drawn([Shape(name, x, y, 28, 0, 0.5) for name, x, y in places], 162, 260)


def _drawn(shapes: list[Shape], height: int, width: int) -> Tensor:
    picture = np.zeros((height, width), np.float32)
    for shape in shapes:
        picture = np.maximum(picture, shape.coverage(slice(0, height), slice(0, width), samples=3))
    return torch.from_numpy(picture)


def rarefaction() -> Figure:
    """Pooling by 2 then a convolution: over the stitched shifts, and rarefied over the dense map."""
    figure, grid = canvas(8.8, 3.0, 1, 2)
    stitched, rarefied = grid[0]
    n = 10
    pool, convolution, holes = geometry.pooling(2, 2), geometry.convolution(3), geometry.convolution(3, dilation=2)
    for axes in grid[0]:
        bare(axes)
        axes.set(xlim=(-0.8, n - 0.2), ylim=(-0.7, 4.3), aspect="equal")
        cells(axes, range(n), 0, GREY)
    stitched.set_title("S=2, shift 0 + shift 1")
    rarefied.set_title("S=1, holes: 1 0 1 0 1")
    for shift, colour in ((0, BLUE), (1, ORANGE)):
        axis = Axis.image(n - shift).through(pool)
        pooled = [float(axis.stride * i + axis.offset) + shift for i in range(axis.size)]
        for cell, x in enumerate(pooled):
            for tap in pool.taps(cell):
                stitched.plot([x, tap + shift], [1.5, 0.4], color=colour, lw=0.8, alpha=0.6)
        fine = axis.through(convolution)
        out = [float(fine.stride * i + fine.offset) + shift for i in range(fine.size)]
        for cell, x in enumerate(out):
            for tap in convolution.taps(cell):
                stitched.plot([x, pooled[tap]], [3.3, 2.3], color=colour, lw=1.6 if cell == 1 else 0.5)
        cells(stitched, pooled, 1.9, colour)
        cells(stitched, out, 3.7, colour)
    axis = Axis.image(n).through(geometry.pooling(2, 1))
    pooled = [float(axis.stride * i + axis.offset) for i in range(axis.size)]
    for x in pooled:
        for tap in (x - 0.5, x + 0.5):
            rarefied.plot([x, tap], [1.5, 0.4], color=GREEN, lw=0.8, alpha=0.6)
    fine = axis.through(holes)
    out = [float(fine.stride * i + fine.offset) for i in range(fine.size)]
    for cell, x in enumerate(out):
        for tap in holes.taps(cell):
            rarefied.plot([x, pooled[tap]], [3.3, 2.3], color=GREEN, lw=1.6 if cell in (2, 3) else 0.5)
    cells(rarefied, pooled, 1.9, GREEN)
    cells(rarefied, out, 3.7, GREEN)
    return figure


def fields() -> Figure:
    """How receptive fields grow with depth, and VGG-16's on an image of 500 pixels."""
    figure, grid = canvas(8.8, 3.9, 1, 2, width_ratios=(1.55, 1))
    growth, nested = grid[0]
    with torch.device("meta"):
        trunks = {"AlexNet": AlexNet(), "VGG-16": VGG16(), "GoogLeNet": GoogLeNet()}
    layers = {name: _widening(geometry.trace(trunk, (500, 500)).layers) for name, trunk in trunks.items()}
    for (name, found), colour in zip(layers.items(), (ORANGE, BLUE, GREEN), strict=True):
        sizes = [layer.field[0] for layer in found if layer.field]
        growth.plot(range(1, len(sizes) + 1), sizes, "o-", color=colour, ms=4, lw=1.6, label=name)
        growth.annotate(
            str(sizes[-1]), (len(sizes), sizes[-1]), xytext=(6, -3), textcoords="offset points", color=colour
        )
    growth.set(xlim=(0, 27), ylim=(0, 780))
    growth.grid(axis="y", color=PALE)
    growth.legend(loc="upper left")
    nested.add_patch(Rectangle((-0.5, -0.5), 500, 500, facecolor=PALE, edgecolor=GREY))
    found = {layer.name.split(".")[-1]: layer for layer in layers["VGG-16"]}
    shown = [("conv2_2", GREY), ("conv3_3", GREY), ("conv4_3", GREEN), ("conv5_3", ORANGE), ("fc6", BLUE)]
    for name, colour in shown:
        layer = found[name]
        middle = min(range(layer.size[0]), key=lambda i: abs(float(layer.stride[0] * i + layer.offset[0]) - 250))
        interval = layer.rows.reaches(middle)
        assert interval is not None
        low, high = interval
        nested.add_patch(
            Rectangle((low - 0.5, low - 0.5), high - low + 1, high - low + 1, fill=False, edgecolor=colour, lw=2)
        )
        if high - low > 60:
            nested.text(low, low - 4, f"{name}: {high - low + 1}", color=colour, va="bottom", fontsize=8)
    bare(nested)
    nested.set(xlim=(-2, 502), ylim=(502, -2), aspect="equal", title="500×500")
    return figure


def _widening(layers: list[Layer]) -> list[Layer]:
    """Those after which cells see more than ever before: one for each convolution or pool on the longest way."""
    found: list[Layer] = []
    for layer in layers:
        if layer.field and (not found or layer.field[0] > found[-1].field[0]):  # type: ignore[index]
            found.append(layer)
    return found
