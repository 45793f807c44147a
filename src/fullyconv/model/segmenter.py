"""The contract of what labels images: a network, an exported file on its runtime, several of them, another machine."""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

import torch
from torch import Tensor

from fullyconv.channels import Inputs
from fullyconv.palettes import Colour


class Segmenter(Protocol):
    """What prediction and evaluation need of a network: ``FCN`` and ``Runner`` have it.

    Images are (N, in_channels, H, W), uint8 or float in 0..255, of any size. ``predict``, ``labels_and_confidence`` and
    ``probabilities`` take them on ``device``.
    """

    @property
    def name(self) -> str:
        """The architecture, as ``fcn8s-resnet18``."""

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes; with heads those of all heads, one after the other."""

    @property
    def palette(self) -> Sequence[Colour]:
        """A colour (red, green, blue in 0..255) for each class."""

    @property
    def heads(self) -> Mapping[str, int] | None:
        """The number of classes of each head, by its name; None where the network has one labeling without a name."""

    @property
    def in_channels(self) -> int:
        """The number of channels of an image."""

    @property
    def value_range(self) -> Sequence[tuple[float, float]] | None:
        """For each channel of an image file the value that becomes 0, and the one that becomes 255; None: bytes."""

    @property
    def inputs(self) -> Inputs:
        """What the channels of an image are."""

    @property
    def device(self) -> torch.device:
        """Where images have to lie."""

    def predict(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → labels (N, H, W), or with heads (N, heads, H, W)."""

    def labels_and_confidence(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) → what ``predict`` gives, and the probability of each of these labels."""

    def probabilities(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, classes, H, W), which sum to 1 over the classes of each head."""

    def to(self, device: str | torch.device) -> Self:
        """Move to a device, where that can be chosen, and return itself."""
