"""Heat maps of one class at every stage of an FCN that fuses scores: what each tap contributes, and their sums.

Everything between the taps' scores and the logits is linear. The logits are therefore a sum with one term per tap, and
each term can be shown by itself, brought to the image's size by the network's own upsampling.
"""

from itertools import accumulate

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from torch import Tensor, nn

from fullyconv.errors import ConfigError
from fullyconv.fonts import fonts_for
from fullyconv.model import readout
from fullyconv.model.fcn import FCN
from fullyconv.results.figures import overlay
from fullyconv.sharing import in_evaluation_mode, shared_copy


@torch.no_grad()
def heat_maps(net: FCN, image: Tensor, index: int) -> dict[str, Tensor]:
    """Return the score of class ``index`` at each stage, each (H, W), for an image (C, H, W) in 0..255.

    ``stride 32``, ``stride 16``, ... are what each tap contributes; ``32 + 16``, ... are their sums, the last of which
    is the logits. Raises ConfigError if the network fuses features: those become scores only at the end.
    """
    if net.width:
        raise ConfigError(
            f"{net.name} fuses {net.width} features and scores them at the end, so that no stage has scores. Heat maps "
            "need a network that fuses scores (width None)."
        )
    own = contributions(net, image[None])
    parts = {stride: part[0, index] for stride, part in own.items()}
    sums = list(accumulate(parts.values()))
    names = [" + ".join(list(parts)[: count + 1]) for count in range(len(parts))]
    return {f"stride {stride}": part for stride, part in parts.items()} | dict(zip(names[1:], sums[1:], strict=True))


@torch.no_grad()
def contributions(net: FCN, images: Tensor) -> dict[str, Tensor]:
    """Return what each tap adds to the logits of ``images`` (N, C, H, W), by stride, from coarse to fine.

    Each term is (N, classes, H, W), and the terms add up to the logits. They are computed in evaluation mode, and only
    for a network that fuses scores.
    """
    net = in_evaluation_mode(net)
    taps = net.backbone(net.normalize(images))
    size = (images.shape[2], images.shape[3])
    terms = {}
    for stride in sorted(net.score, key=int, reverse=True):
        scores = _alone(net, stride).fuse(taps)
        lattice = net.lattice_for(size, (scores.shape[2], scores.shape[3]))
        terms[stride] = readout.logits(scores, lattice, size, net.interpolation, net.border)
    return terms


def _alone(net: FCN, stride: str) -> FCN:
    """Return a copy in which the scores of all taps but the one of ``stride`` are zero."""

    def silence(_: nn.Module, __: tuple[Tensor, ...], scores: Tensor) -> Tensor:
        return torch.zeros_like(scores)

    copy = shared_copy(net)
    for other, score in copy.score.items():
        if other != stride:
            score.register_forward_hook(silence)
    return copy


@torch.no_grad()
def figure(net: FCN, image: Tensor, index: int, picture: np.ndarray) -> Figure:
    """Draw ``heat_maps`` beside ``picture`` (H, W, 3), all in one scale; below them their sums, beside the labels.

    Of a network with several heads, the labels are those of the first.
    """
    maps = {name: values.cpu().numpy() for name, values in heat_maps(net, image, index).items()}
    predicted = net.predict(image[None])[0]
    labels = (predicted[0] if net.heads else predicted).cpu().numpy()
    taps = len(net.score)
    most = max(float(np.abs(values).max()) for values in maps.values()) or 1.0
    rows = 2 if taps > 1 else 1
    height = rows * (2.5 * picture.shape[0] / picture.shape[1] + 0.6)
    drawn = Figure(figsize=(2.7 * (taps + 1), height), dpi=100, layout="constrained")
    grid = drawn.subplots(rows, taps + 1, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    grid[0, 0].imshow(picture)
    grid[0, 0].set_title("image", fontsize=10)
    shown = None
    places = [grid[0, 1 + tap] for tap in range(taps)] + [grid[1, 2 + step] for step in range(taps - 1)]
    for axes, (name, values) in zip(places, maps.items(), strict=True):
        shown = axes.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most)
        axes.set_axis_on()
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{name}\n{values.min():.1f} to {values.max():.1f}", fontsize=10)
    if taps > 1:
        grid[1, 0].imshow(overlay(picture, labels, net.palette, 0.65))
        grid[1, 0].set_title("labels", fontsize=10)
        words = "above: what\neach tap says\n\nright: the sums"
        grid[1, 1].text(0.5, 0.5, words, ha="center", va="center", fontsize=10)
    if shown is not None:
        ((text, font),) = fonts_for([f"score of {net.classes[index]}"])
        bar = drawn.colorbar(shown, ax=grid, shrink=0.7)
        bar.set_label(text, font=FontProperties(fname=font), parse_math=False)
    return drawn
