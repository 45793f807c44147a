"""Small classifiers whose heads are easy to say."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def worked_example(classes: int = 3, channels: int = 3) -> nn.Module:
    """For images of 14×14 pixels, which its convolutions bring to one cell."""
    convolutions = [nn.Conv2d(channels, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, classes))


class Net(nn.Module):
    """A 3×3 convolution without padding (6 channels, 6×6 of an 8×8 image), then a head: a function."""

    def __init__(self, head: Callable[["Net", Tensor], object], **layers: nn.Module) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 6, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat_fc = nn.Linear(6 * 6 * 6, 5)
        self.fc = nn.Linear(6, 5)
        self.relu = nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.vector = nn.Parameter(torch.ones(6))
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.head = head

    def forward(self, x: Tensor) -> object:
        return self.head(self, self.trunk(x))
