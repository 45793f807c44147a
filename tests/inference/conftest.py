import pytest
import torch
from torch import Tensor, nn

from fullyconv.channels import Inputs


class ColourNet(nn.Module):
    """Labels each pixel by its strongest channel; its probabilities are the channels' shares of the sum."""

    name = "colours"
    heads: dict[str, int] | None = None
    inputs: Inputs = "image"
    value_range: list[tuple[float, float]] | None = None
    device = torch.device("cpu")

    def __init__(self, classes: tuple[str, ...], in_channels: int = 3) -> None:
        super().__init__()
        self.classes, self.in_channels = list(classes), in_channels
        self.palette = [(250 - 40 * i, 40 * i, 10) for i in range(len(classes))]
        self.seen: list[tuple[str, tuple[int, ...]]] = []

    def predict(self, images: Tensor) -> Tensor:
        self.seen.append(("predict", tuple(images.shape)))
        return images.float().argmax(1).to(torch.uint8)

    def labels_and_confidence(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.predict(images), self.probabilities(images).amax(1)

    def probabilities(self, images: Tensor) -> Tensor:
        self.seen.append(("probabilities", tuple(images.shape)))
        positive = images.float() + 1
        return positive / positive.sum(1, keepdim=True)


@pytest.fixture
def colour_net() -> ColourNet:
    return ColourNet(("red", "green", "blue"))


@pytest.fixture(scope="session")
def make_net():
    return ColourNet
