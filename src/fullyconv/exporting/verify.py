"""Verify that an exported graph labels images as its network does."""

import random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fullyconv.errors import ConfigError
from fullyconv.inference.exported import Runner
from fullyconv.model.fcn import FCN
from fullyconv.sharing import in_evaluation_mode

SIZES = 10
LONGEST = 160
"""Longest side, in pixels, of the images that are compared."""
TIE = 1e-4
"""Logits that differ by less, as a fraction of the image's largest, are a tie, which rounding decides."""


class Agreement(NamedTuple):
    """The result of comparing a graph with its network.

    - ``sizes``: heights and widths of the images.
    - ``pixels``: the number of pixels compared.
    - ``ties``: the number of pixels whose labels differ because the best two logits are a tie.
    - ``labels``: the number of different labels that were given; if it is 1, the agreement says little.
    """

    sizes: list[tuple[int, int]]
    pixels: int
    ties: int
    labels: int

    def __str__(self) -> str:
        ties = f", except for {self.ties} ties" if self.ties else ""
        seen = f"{self.labels} different ones" if self.labels > 1 else "a single one"
        return f"labels ({seen}) equal on {self.pixels} pixels of images of {len(self.sizes)} sizes{ties}."


@torch.inference_mode()
def verify(net: FCN, runner: Runner, probabilities: bool = False, seed: int = 0) -> Agreement:
    """Compare ``net`` in evaluation mode and ``runner`` on images of ten random sizes, one of them 1×1.

    Labels must be equal except for ties, and probabilities as close as ties allow. Raises ConfigError, with the first
    size at which they are not.
    """
    net = in_evaluation_mode(net)
    chance = random.Random(seed)
    sizes = [(1, 1)] + [(chance.randint(1, LONGEST), chance.randint(1, LONGEST)) for _ in range(SIZES - 1)]
    generator = torch.Generator().manual_seed(seed)
    pixels = ties = 0
    seen: set[int] = set()
    for batch, size in enumerate(sizes):
        images = _images((1 + batch % 2, net.in_channels, *size), generator).to(runner.dtype)
        expected, found = net.predict(images), runner.predict(images)
        if found.dtype != expected.dtype or found.shape != expected.shape:
            raise ConfigError(
                f"{runner.path.name} gives labels {tuple(found.shape)} {found.dtype} where {net.name} gives "
                f"{tuple(expected.shape)} {expected.dtype}; it is not kept."
            )
        differ = found != expected
        wrong = int((differ & ~_ties(net, images)).sum())
        if wrong:
            raise ConfigError(
                f"{runner.path.name} labels {wrong} of {differ.numel()} pixels of a {size[0]}×{size[1]} image unlike "
                f"{net.name}; it is not kept. Export to another format (.onnx, .xml, .pt2)."
            )
        seen.update(expected.unique().tolist())
        pixels, ties = pixels + differ.numel(), ties + int(differ.sum())
        if probabilities:
            apart = float((runner.probabilities(images) - net.probabilities(images)).abs().max())
            if not apart <= TIE * max(1.0, float(net(images).abs().max())):
                raise ConfigError(
                    f"{runner.path.name} gives probabilities that differ by {apart:.2g} from those of {net.name}, on a "
                    f"{size[0]}×{size[1]} image; it is not kept. Export to another format (.onnx, .xml, .pt2)."
                )
    return Agreement(sizes, pixels, ties, len(seen))


def _images(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return random images of whole numbers in 0..255: large patches of colour, and noise."""
    count, channels, height, width = shape
    patches = torch.rand(count, channels, height // 24 + 1, width // 24 + 1, generator=generator)
    noise = torch.rand(shape, generator=generator)
    return (F.interpolate(patches, (height, width)) * 192 + noise * 63).round()


def _ties(net: FCN, images: Tensor) -> Tensor:
    """Return where the two best logits are a tie, in the shape of labels."""
    planes = []
    for part in net.by_head(net(images)):
        best = part.topk(min(2, part.shape[1]), 1).values
        least = TIE * part.abs().amax((1, 2, 3), keepdim=True)[:, 0]
        planes.append(best[:, 0] - best[:, -1] < least if part.shape[1] > 1 else torch.zeros_like(best[:, 0]).bool())
    return net.stacked(planes)
