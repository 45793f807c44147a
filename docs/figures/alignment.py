"""Where cells look: lattices, what a wrong one does, and the crops of FCN-8s."""

from fractions import Fraction
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from looks import BLUE, CLASS_COLOURS, GREEN, GREY, INK, ORANGE, PALE, RED, bare, blank, canvas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from fullyconv import geometry
from fullyconv.demo.outlines import Shape
from fullyconv.evaluation.metrics import ConfusionMatrix, metrics
from fullyconv.geometry import Axis, Lattice
from fullyconv.model import readout
from fullyconv.model.backbones.paper import VGG16

SIDE = 320
SHAPES = (
    Shape("star", 108, 120, 84, 0.1, 0.2),
    Shape("ring", 224, 84, 54, 0, 0.9),
    Shape("crescent", 200, 224, 70, 0.3, 0),
)


def lattices() -> Figure:
    figure = blank(8.8, 5.2)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.7))
    pixels, n = 128, 4
    with torch.device("meta"):
        vgg = geometry.trace(VGG16(padding="same"), (pixels, pixels)).outputs[-1].rows
        resnet = nn.Sequential(*list(torchvision.models.resnet50().children())[:-2])
    resnet_axis = geometry.trace(resnet, (pixels, pixels)).outputs[-1].rows
    rows = [
        ("VGG-16", [float(vgg.stride * i + vgg.offset) for i in range(n)], BLUE),
        ("ResNet-50", [float(resnet_axis.stride * i + resnet_axis.offset) for i in range(n)], GREEN),
        ("align_corners=False", [(i + 0.5) * pixels / n - 0.5 for i in range(n)], GREY),
        ("align_corners=True", [i * (pixels - 1) / (n - 1) for i in range(n)], GREY),
    ]
    top = upper.subplots()
    for y, (_, centres, colour) in enumerate(reversed(rows)):
        top.hlines(y, 0, pixels - 1, color=PALE, lw=5, zorder=1)
        top.plot(centres, [y] * n, "o", color=colour, ms=8)
        for x in centres:
            top.text(x, y + 0.24, f"{x:.4g}", ha="center", fontsize=8)
    top.set(yticks=range(4), yticklabels=[name for name, *_ in reversed(rows)], xlim=(-4, 131), ylim=(-0.4, 3.7))
    top.set_xticks([0, 32, 64, 96, 127])
    top.tick_params(length=0)
    top.spines["left"].set_visible(False)

    truth = scene()
    scores = _pooled(truth, 33, 32, 16)
    cells = (scores.shape[2], scores.shape[3])
    asked = Lattice((resnet_axis.stride,) * 2, (resnet_axis.offset,) * 2)
    stretched = Lattice.stretched(cells, (SIDE, SIDE))
    panels = [(f"{SIDE}×{SIDE}", truth)]
    for name, lattice in (("32i", asked), ("32i + 15.5", stretched)):
        labels = readout.labels(scores, lattice, (SIDE, SIDE))[0]
        panels.append((f"{cells[0]}×{cells[1]}, {name}: mean IU {mean_iu(labels, truth):.3f}", labels))
    for axes, (title, labels) in zip(lower.subplots(1, 3), panels, strict=True):
        axes.imshow(labels.numpy(), cmap=CLASS_COLOURS, vmin=0, vmax=3, interpolation="nearest")
        axes.contour((truth > 0).numpy(), [0.5], colors=INK, linewidths=0.8)
        axes.set_title(title)
        bare(axes)
    return figure


def bounds() -> Figure:
    """A scene, and the labels that faultless scores of each stride interpolate to."""
    figure, grid = canvas(8.8, 2.2, 1, 5)
    truth = scene()
    panels = [(f"{SIDE}×{SIDE}", truth)]
    for stride in (32, 16, 8, 4):
        labels, score = best_at(stride)
        panels.append((f"{stride}: {score:.3f}", labels))
    for axes, (title, labels) in zip(grid[0], panels, strict=True):
        axes.imshow(labels.numpy(), cmap=CLASS_COLOURS, vmin=0, vmax=3, interpolation="nearest")
        axes.set_title(title)
        bare(axes)
    return figure


def best_at(stride: int) -> tuple[Tensor, float]:
    """Labels (SIDE, SIDE) from each class's share of every cell, and their mean IU."""
    offset = Fraction(stride - 1, 2)
    scores = _pooled(scene(), stride, stride, 0)
    labels = readout.labels(scores, Lattice((Fraction(stride),) * 2, (offset,) * 2), (SIDE, SIDE))[0]
    return labels, mean_iu(labels, scene())


@cache
def scene() -> Tensor:
    """Labels (SIDE, SIDE): a star, a ring and a crescent on the background."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for number, shape in enumerate(SHAPES, 1):
        labels[shape.coverage(slice(0, SIDE), slice(0, SIDE)) > 0.5] = number
    return torch.from_numpy(labels)


def mean_iu(labels: Tensor, truth: Tensor) -> float:
    count = ConfusionMatrix(4)
    count.update(labels, truth)
    return metrics(count.compute(), ("background", "star", "ring", "crescent"))["mean_iou"] or 0.0


def _pooled(truth: Tensor, window: int, stride: int, padding: int) -> Tensor:
    """Each class's share of each window, (1, 4, h, w): the scores of a network that makes no mistake."""
    one_hot = F.one_hot(truth.long(), 4).permute(2, 0, 1)[None].float()
    return F.avg_pool2d(one_hot, window, stride, padding, count_include_pad=False)


def crops() -> Figure:
    """FCN-8s on 500 pixels: what each map covers of the padded image, and what is cropped."""
    figure, grid = canvas(8.8, 3.9)
    axes = grid[0, 0]
    with torch.device("meta"):
        trunk = VGG16(strides=(8, 16, 32))
    pool3, pool4, fc7 = (tap.rows for tap in geometry.trace(trunk, (500, 500)).outputs)
    image = Axis.image(500)
    upscore2 = fc7.through(geometry.transposed_convolution(4, 2))
    upscore_pool4 = upscore2.through(geometry.transposed_convolution(4, 2))
    upscore8 = upscore_pool4.through(geometry.transposed_convolution(16, 8))
    rows = [
        ("image", image, image, BLUE),
        ("pool3", pool3, upscore_pool4, BLUE),
        ("pool4", pool4, upscore2, BLUE),
        ("fc7", fc7, fc7, BLUE),
        ("upscore2", upscore2, upscore2, GREEN),
        ("upscore_pool4", upscore_pool4, upscore_pool4, GREEN),
        ("upscore8", upscore8, image, GREEN),
    ]
    for place, (name, axis, onto, colour) in enumerate(rows):
        _extent(axes, -place, name, axis, onto, colour)
    for edge in (0, 500):
        axes.axvline(edge - 0.5, color=RED, lw=1, ls="--", zorder=0)
    axes.set(xlim=(-108, 612), ylim=(-len(rows) + 0.4, 0.6), yticks=[-i for i in range(len(rows))])
    axes.set_yticklabels([name for name, *_ in rows])
    axes.set_xticks([-100, 0, 100, 200, 300, 400, 500, 600])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _extent(axes: Axes, y: float, name: str, axis: Axis, onto: Axis, colour: str) -> None:
    """A bar from border to border of the map's cells; what ``onto`` has no room for in orange."""
    stride = float(axis.stride)
    start = float(axis.offset) - stride / 2
    off = geometry.crop(axis, onto=onto)
    end = axis.size - off - onto.size
    parts = [
        (start, off, ORANGE),
        (start + off * stride, onto.size, colour),
        (start + (off + onto.size) * stride, end, ORANGE),
    ]
    for left, count, fill in parts:
        if count > 0:
            axes.add_patch(Rectangle((left, y - 0.3), count * stride, 0.6, facecolor=fill, edgecolor="none"))
            if stride >= 8:
                axes.vlines([left + i * stride for i in range(1, count)], y - 0.3, y + 0.3, color="white", lw=0.5)
            shown = f"{count}" if fill == ORANGE else f"{count} × {axis.stride}"
            axes.text(
                left + count * stride / 2, y, shown, ha="center", va="center", color="white", weight="bold", zorder=5
            )
