import pytest
import torch
from torch import Tensor, nn


class ColourNet(nn.Module):
    """Labels each pixel by its strongest channel: the right answer is known for any image."""

    classes = ("red", "green", "blue")
    palette = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    in_channels = 3
    heads = None
    value_range = None
    inputs = "image"
    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3)[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.conv2d(images.float(), self.weight)

    def predict(self, images: Tensor) -> Tensor:
        return self(images).argmax(1)


@pytest.fixture
def colour_net() -> ColourNet:
    return ColourNet()


def painted(labels: Tensor) -> Tensor:
    """The image that ``ColourNet`` labels so."""
    return (nn.functional.one_hot(labels.long(), 3).permute(2, 0, 1) * 200 + 20).to(torch.uint8)


@pytest.fixture
def paint():
    return painted
