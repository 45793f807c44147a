from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from fullyconv.channels import Inputs
from fullyconv.palettes import Colour


class ColourNet(nn.Module):
    """Labels each pixel by its strongest channel: the right answer is known for any image."""

    name = "colours"
    classes: Sequence[str] = ("red", "green", "blue")
    palette: Sequence[Colour] = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    in_channels = 3
    heads: Mapping[str, int] | None = None
    value_range: Sequence[tuple[float, float]] | None = None
    inputs: Inputs = "image"
    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3)[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.conv2d(images.float(), self.weight)

    def predict(self, images: Tensor) -> Tensor:
        return self(images).argmax(1)

    def labels_and_confidence(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.predict(images), self.probabilities(images).amax(1)

    def probabilities(self, images: Tensor) -> Tensor:
        return self(images).softmax(1)


@pytest.fixture
def colour_net() -> ColourNet:
    return ColourNet()


def painted(labels: Tensor) -> Tensor:
    """The image that ``ColourNet`` labels so."""
    return (nn.functional.one_hot(labels.long(), 3).permute(2, 0, 1) * 200 + 20).to(torch.uint8)


@pytest.fixture
def paint():
    return painted
