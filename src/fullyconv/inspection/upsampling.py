"""One coarse map of scores, upsampled to the image's size in four ways: nearest, bilinear, bicubic, learnt."""

from fractions import Fraction
from typing import get_args

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from fullyconv.errors import ConfigError
from fullyconv.geometry import Lattice
from fullyconv.inspection.heat import contributions
from fullyconv.model.fcn import FCN
from fullyconv.model.upsample import Method, Upsample
from fullyconv.palettes import Colour
from fullyconv.results.figures import colourize

METHODS: tuple[Method, ...] = get_args(Method)


@torch.no_grad()
def four_ways(coarse: Tensor, lattice: Lattice, size: tuple[int, int]) -> dict[str, Tensor]:
    """Upsample scores (C, h, w) by each method, to (C, *size) each.

    ``lattice``, of whole strides, says where the cells look. ``transposed`` is the learnt method before it is trained,
    which interpolates bilinearly.
    """
    factor = (int(lattice.stride[0]), int(lattice.stride[1]))
    shift = (-lattice.offset[0] / lattice.stride[0], -lattice.offset[1] / lattice.stride[1])
    upsamplings = {method: Upsample(len(coarse), factor, shift, method) for method in METHODS}
    return {method: upsample(coarse[None].cpu().float(), size)[0] for method, upsample in upsamplings.items()}


@torch.no_grad()
def of_network(net: FCN, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the coarsest tap's scores (C, h, w) of an image (C, H, W), and ``four_ways`` of upsampling them.

    If the network has learnt its upsampling, ``transposed`` is what it has learnt.
    Raises ConfigError where the network's taps have no scores, or their cells are not whole strides apart.
    """
    if net.width or net.backbone.alignment == "half-pixel":
        raise ConfigError(
            f"{net.name} has no coarse scores whose cells are whole strides apart: use a network of the paper's, or an "
            "fcn{32,16,8}s on a timm backbone that fuses scores."
        )
    size = (image.shape[1], image.shape[2])
    tap = net.backbone(net.normalize(image[None]))[-1]
    coarse = net.score[str(net.backbone.strides[-1])](tap)[0]
    ways = four_ways(coarse, net.backbone.lattices[-1], size)
    if net.method == "transposed":
        ways["transposed"] = contributions(net, image[None])[str(net.backbone.strides[-1])][0].cpu()
    return coarse, ways


def of_mask(mask: Tensor, classes: int, stride: int = 32) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the best scores that cells ``stride`` pixels apart can give for a mask (H, W), and ``four_ways`` of them.

    The scores are each class's share of the cell's pixels.
    """
    height, width = mask.shape
    one_hot = F.one_hot(mask.long(), classes).permute(2, 0, 1).float()
    whole = F.pad(one_hot[None], (0, -width % stride, 0, -height % stride), mode="replicate")
    coarse = F.avg_pool2d(whole, stride)[0]
    middle = Fraction(stride - 1, 2)
    return coarse, four_ways(coarse, Lattice((Fraction(stride),) * 2, (middle, middle)), (height, width))


def figure(
    picture: np.ndarray,
    coarse: Tensor,
    ways: dict[str, Tensor],
    classes: list[str],
    palette: list[Colour],
    learnt: bool = False,
) -> Figure:
    """Draw the labels by each of ``ways`` beside ``picture`` (H, W, 3), and the scores of one class below them.

    That class is the most frequent one apart from the first, the background. ``learnt`` says whether the transposed
    convolution was trained.
    """
    labels = {name: scores.argmax(0).numpy().astype(np.uint8) for name, scores in ways.items()}
    counts = np.bincount(labels["bilinear"].ravel(), minlength=len(classes))
    index = int(counts[1:].argmax()) + 1 if len(classes) > 1 else 0
    shown = [coarse[index].cpu(), *(scores[index] for scores in ways.values())]
    low, high = min(float(x.min()) for x in shown), max(float(x.max()) for x in shown)
    aspect = picture.shape[0] / picture.shape[1]
    drawn = Figure(figsize=(13, 2 * 2.3 * aspect + 0.9), dpi=100, layout="constrained")
    grid = drawn.subplots(2, 1 + len(ways))
    _show(grid[0, 0], picture, "image")
    _show(grid[1, 0], coarse[index].cpu().numpy(), f"coarse scores\n{coarse.shape[1]} × {coarse.shape[2]}", low, high)
    for column, (name, scores) in enumerate(ways.items(), 1):
        kind = {True: " (learnt)", False: " (not trained)"}[learnt] if name == "transposed" else ""
        _show(grid[0, column], colourize(labels[name], palette), f"{name}{kind}")
        _show(grid[1, column], scores[index].numpy(), "", low, high)
    drawn.colorbar(grid[1, 0].images[0], ax=grid, shrink=0.6, label=f"score of {classes[index]}")
    return drawn


def _show(axes: Axes, values: np.ndarray, title: str, low: float | None = None, high: float | None = None) -> None:
    axes.imshow(values, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=10)
