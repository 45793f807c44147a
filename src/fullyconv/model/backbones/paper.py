"""The paper's trunks, layer by layer as in its Caffe release: VGG-16, AlexNet, GoogLeNet, and two streams of VGG-16.

Layers have the release's names. With ``padding="paper"`` the first convolution pads by 100 pixels, nothing else does
but the 3×3 and 5×5 convolutions, and sizes are rounded up: any image gives at least one cell, and whatever is
upsampled covers the image. With ``padding="same"`` no layer loses cells at the border. Fully connected layers are
convolutions (section 3.1). A trunk gives its taps from fine to coarse: pools, and last what fc7 gives.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fullyconv.model.backbones.backbone import Padding

BORDER = 100
"""Pixels of padding in the first convolution of the release's networks."""
AT_ONCE = {16: 0.01, 8: 0.0001}
"""FCN-8s at once: what its skips' features are multiplied by before they are scored."""


class VGG16(nn.Module):
    """Image (N, in_channels, H, W) → taps of ``strides`` out of 8 (pool3), 16 (pool4) and 32 (fc7).

    ``scaled``: the taps of strides 16 and 8 are multiplied by ``AT_ONCE``.
    """

    widths = (64, 128, 256, 512, 512)
    depths = (2, 2, 3, 3, 3)
    hidden = 4096

    def __init__(
        self,
        in_channels: int = 3,
        padding: Padding = "paper",
        strides: Sequence[int] = (32,),
        *,
        scaled: bool = False,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.strides, self.dropout = tuple(strides), dropout
        inputs = in_channels
        for block, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True), 1):
            for number in range(1, depth + 1):
                first = padding == "paper" and block == number == 1
                convolution = nn.Conv2d(inputs, width, 3, padding=BORDER if first else 1)
                self.add_module(f"conv{block}_{number}", convolution)
                inputs = width
        self.fc6 = nn.Conv2d(inputs, self.hidden, 7, padding=0 if padding == "paper" else 3)
        self.fc7 = nn.Conv2d(self.hidden, self.hidden, 1)
        if scaled:
            self.register_buffer("scale_pool4", torch.tensor(AT_ONCE[16]))
            self.register_buffer("scale_pool3", torch.tensor(AT_ONCE[8]))
        _initialize(self)

    @property
    def channels(self) -> list[int]:
        """Of the taps, from fine to coarse."""
        return [{8: self.widths[2], 16: self.widths[3], 32: self.hidden}[stride] for stride in self.strides]

    def forward(self, x: Tensor) -> list[Tensor]:
        taps = {}
        for block in range(1, len(self.depths) + 1):
            x = self.block(x, block)
            taps[2**block] = x
        taps[32] = self.classify(x)
        return [self.scaled(taps[stride], stride) for stride in self.strides]

    def block(self, x: Tensor, number: int) -> Tensor:
        """The convolutions of one block, and its pool."""
        for layer in range(1, self.depths[number - 1] + 1):
            x = _relu_of(self, f"conv{number}_{layer}", x)
        return F.max_pool2d(x, 2, 2, ceil_mode=True)

    def classify(self, x: Tensor) -> Tensor:
        """pool5 → fc7."""
        return _classify(self, x)

    def scaled(self, tap: Tensor, stride: int) -> Tensor:
        """The tap as it is scored: at once, pool4 and pool3 are scaled."""
        scale = getattr(self, {16: "scale_pool4", 8: "scale_pool3"}.get(stride, ""), None)
        return tap if scale is None else tap * scale


class AlexNet(nn.Module):
    """CaffeNet's layers: image (N, in_channels, H, W) → the tap of stride 32 (fc7)."""

    widths = (96, 256, 384, 384, 256)
    hidden = 4096

    def __init__(self, in_channels: int = 3, padding: Padding = "paper", *, dropout: float = 0.5):
        super().__init__()
        self.dropout, self.same = dropout, padding == "same"
        a, b, c, d, e = self.widths
        self.conv1 = nn.Conv2d(in_channels, a, 11, 4, padding=5 if self.same else BORDER)
        self.conv2 = nn.Conv2d(a, b, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(b, c, 3, padding=1)
        self.conv4 = nn.Conv2d(c, d, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(d, e, 3, padding=1, groups=2)
        self.fc6 = nn.Conv2d(e, self.hidden, 6)
        self.fc7 = nn.Conv2d(self.hidden, self.hidden, 1)
        _initialize(self)

    @property
    def channels(self) -> list[int]:
        """Of the one tap."""
        return [self.hidden]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = _normalize(_halve(F.relu(self.conv1(x)), self.same))
        x = _normalize(_halve(F.relu(self.conv2(x)), self.same))
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x))
        x = _halve(F.relu(self.conv5(x)), self.same)
        if self.same:
            x = F.pad(x, (2, 3, 2, 3))
        return [_classify(self, x)]


class Inception(nn.Module):
    """(N, inputs, h, w) → four branches side by side, (N, Σ outputs, h, w)."""

    def __init__(self, inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int):
        super().__init__()
        self.add_module("1x1", nn.Conv2d(inputs, one, 1))
        self.add_module("3x3_reduce", nn.Conv2d(inputs, reduce3, 1))
        self.add_module("3x3", nn.Conv2d(reduce3, three, 3, padding=1))
        self.add_module("5x5_reduce", nn.Conv2d(inputs, reduce5, 1))
        self.add_module("5x5", nn.Conv2d(reduce5, five, 5, padding=2))
        self.pool_proj = nn.Conv2d(inputs, pool, 1)
        self.outputs = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            _relu_of(self, "1x1", x),
            _relu_of(self, "3x3", _relu_of(self, "3x3_reduce", x)),
            _relu_of(self, "5x5", _relu_of(self, "5x5_reduce", x)),
            _relu_of(self, "pool_proj", F.max_pool2d(x, 3, 1, padding=1)),
        ]
        return torch.cat(branches, 1)


class GoogLeNet(nn.Module):
    """Inception v1 without its auxiliary heads, its last average pool and its classifier.

    Image (N, in_channels, H, W) → the tap of stride 32 (inception 5b).
    """

    stem = (64, 64, 192)
    inceptions: ClassVar = {
        "3a": (64, 96, 128, 16, 32, 32),
        "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128),
        "5b": (384, 192, 384, 48, 128, 128),
    }

    def __init__(self, in_channels: int = 3, padding: Padding = "paper", *, dropout: float = 0.5):
        super().__init__()
        self.dropout, self.same = dropout, padding == "same"
        first, reduce, second = self.stem
        self.conv1, self.conv2 = nn.Module(), nn.Module()
        self.conv1.add_module("7x7_s2", nn.Conv2d(in_channels, first, 7, 2, padding=3 if self.same else BORDER))
        self.conv2.add_module("3x3_reduce", nn.Conv2d(first, reduce, 1))
        self.conv2.add_module("3x3", nn.Conv2d(reduce, second, 3, padding=1))
        inputs = second
        for name, widths in self.inceptions.items():
            block = Inception(inputs, *widths)
            self.add_module(f"inception_{name}", block)
            inputs = block.outputs
        self.channels = [inputs]
        _initialize(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = _normalize(_halve(_relu_of(self.conv1, "7x7_s2", x), self.same))
        x = _relu_of(self.conv2, "3x3", _relu_of(self.conv2, "3x3_reduce", x))
        x = _halve(_normalize(x), self.same)
        for name in self.inceptions:
            if name in ("4a", "5a"):
                x = _halve(x, self.same)
            x = self.get_submodule(f"inception_{name}")(x)
        return [F.dropout(x, self.dropout, self.training)]


class LateFusion(nn.Module):
    """NYUDv2's two streams, colour (N, 3, H, W) and HHA (N, 3, H, W) side by side → one tap of stride 32.

    The tap is both streams' fc7, halved: its score is the mean of the two streams' scores.
    """

    def __init__(self, padding: Padding = "paper", *, dropout: float = 0.5):
        super().__init__()
        self.color = VGG16(3, padding, dropout=dropout)
        self.hha = VGG16(3, padding, dropout=dropout)
        self.channels = [2 * VGG16.hidden]

    def forward(self, x: Tensor) -> list[Tensor]:
        (color,), (hha,) = self.color(x[:, :3]), self.hha(x[:, 3:])
        return [torch.cat([color, hha], 1) / 2]


def _relu_of(parent: nn.Module, name: str, x: Tensor) -> Tensor:
    return F.relu(parent.get_submodule(name)(x))


def _classify(trunk: VGG16 | AlexNet, x: Tensor) -> Tensor:
    """fc6 and fc7, each with ReLU and dropout."""
    for name in ("fc6", "fc7"):
        x = F.dropout(_relu_of(trunk, name, x), trunk.dropout, trunk.training)
    return x


def _halve(x: Tensor, same: bool) -> Tensor:
    """3×3 maxima, 2 cells apart: sizes rounded up as in Caffe, or with a cell of padding to half the size."""
    return F.max_pool2d(x, 3, 2, padding=1) if same else F.max_pool2d(x, 3, 2, ceil_mode=True)


def _normalize(x: Tensor) -> Tensor:
    """Local response normalization across channels (AlexNet, section 3.3) with Caffe's constants."""
    return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)


def _initialize(trunk: nn.Module) -> None:
    """He's initialization: without it nothing reaches fc7 in an untrained network of this depth."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
