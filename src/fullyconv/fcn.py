"""The fully convolutional network: taps of a backbone → scores → fused from coarse to fine (paper, section 4).

With the class count as its width this is the paper's FCN-32s, 16s and 8s: each tap is scored by a 1×1 convolution, the
coarse scores are upsampled, aligned, and the finer ones added. With a wider one the skips carry features, which are
fused the same way and scored once, at the end. Everything after the finest map is the readout.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fullyconv import readout
from fullyconv.backbones import Backbone, backbone
from fullyconv.errors import ConfigError, GeometryError
from fullyconv.palettes import default_palette
from fullyconv.readout import Lattice
from fullyconv.upsample import KERNELS, Method, Upsample

Color = tuple[int, int, int]


class FCN(nn.Module):
    """Images (N, C, H, W), uint8 or float in 0..255, of any size → a class for every pixel.

    ``classes`` and ``palette`` (RGB 0..255) name and colour the C_out outputs. ``width`` is None for score fusion, else
    the channels of feature fusion. ``method`` upsamples between taps and at the readout (``transposed``: learnt
    between taps, and bilinear, fixed, at the readout, as the paper's section 4.3 has it).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        backbone: Backbone,
        classes: Sequence[str],
        palette: Sequence[Color],
        *,
        in_channels: int = 3,
        width: int | None = None,
        method: Method = "bilinear",
        dropout: float = 0.0,
    ):
        super().__init__()
        self.name, self.classes, self.palette = name, list(classes), list(palette)
        self.in_channels, self.width, self.method, self.dropout = in_channels, width, method, dropout
        self.backbone = backbone
        channels = width or len(classes)
        self.score = nn.ModuleDict(
            {str(s): _skip(c, width, len(classes)) for s, c in zip(backbone.strides, backbone.channels, strict=True)}
        )
        self.upsample = nn.ModuleDict(
            {
                str(fine): Upsample(channels, *_alignment(coarse_at, fine_at), method)
                for fine, fine_at, coarse_at in zip(
                    backbone.strides, backbone.lattices, backbone.lattices[1:], strict=False
                )
            }
        )
        self.head = _head(width, len(classes)) if width else nn.Identity()
        mean, std = (_per_channel(v, in_channels) for v in (backbone.mean, backbone.std))
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("std", std.view(1, -1, 1, 1))
        self.to(memory_format=torch.channels_last)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def lattice(self) -> Lattice:
        """Where the fused scores' cells look."""
        return self.backbone.lattices[0]

    @property
    def spec(self) -> dict[str, Any]:
        """The architecture, classes and palette: ``build(**net.spec)`` makes the same network, untrained."""
        return {
            "name": self.name,
            "classes": self.classes,
            "palette": [list(color) for color in self.palette],
            "in_channels": self.in_channels,
            "width": self.width,
            "upsample": self.method,
            "dropout": self.dropout,
        }

    @property
    def interpolation(self) -> readout.Interpolation:
        return "bilinear" if self.method == "transposed" else self.method

    def normalize(self, images: Tensor) -> Tensor:
        """0..255 → normalized for the backbone; extended below and to the right, by the last pixel, to whole cells."""
        if images.dim() != 4 or images.shape[1] != self.in_channels:
            raise ValueError(f"images must be (N, {self.in_channels}, H, W), got {tuple(images.shape)}")
        x = (images.to(self.mean.dtype) - self.mean) / self.std
        cell, least = self.backbone.strides[-1], self.backbone.minimum
        height, width = (max(least, math.ceil(side / cell) * cell) for side in images.shape[2:])
        x = F.pad(x, (0, width - images.shape[3], 0, height - images.shape[2]), mode="replicate")
        return x.contiguous(memory_format=torch.channels_last)

    def fuse(self, taps: Sequence[Tensor]) -> Tensor:
        """Taps from fine to coarse → scores (N, classes, h, w) on the finest tap's lattice."""
        strides = [str(stride) for stride in self.backbone.strides]
        coarsest = F.dropout2d(taps[-1], self.dropout, self.training)
        fused = self.score[strides[-1]](coarsest)
        for stride, tap in zip(reversed(strides[:-1]), reversed(taps[:-1]), strict=True):
            fused = self.upsample[stride](_activate(fused, self.width), tap.shape[2:]) + self.score[stride](tap)
        return self.head(fused)

    def scores(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → coarse scores (N, classes, h, w) on ``lattice``."""
        return self.fuse(self.backbone(self.normalize(images)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, classes, H, W)."""
        return readout.logits(self.scores(images), self.lattice, _size(images), self.interpolation)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → labels (N, H, W), uint8."""
        return readout.labels(self.scores(images), self.lattice, _size(images), self.interpolation)

    def probabilities(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → softmax over classes (N, classes, H, W)."""
        return self(images).softmax(1)

    def loss(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        label_smoothing: float = 0.0,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Pixelwise cross-entropy of labels (N, H, W), a scalar; the full logits are never held."""
        return readout.loss(
            self.scores(images),
            labels,
            self.lattice,
            self.interpolation,
            weight=weight,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            reduction=reduction,
        )


def _skip(channels: int, width: int | None, classes: int) -> nn.Module:
    if width:
        return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
    score = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)  # type: ignore[arg-type]
    return score


def _head(width: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )


def _activate(features: Tensor, width: int | None) -> Tensor:
    return F.relu(features) if width else features


def _alignment(coarse: Lattice, fine: Lattice) -> tuple[tuple[int, int], tuple[Any, Any]]:
    """The whole factor between two lattices, and where the fine one's first cell lies in coarse cells, per axis."""
    factors = [c / f for c, f in zip(coarse.stride, fine.stride, strict=True)]
    if any(factor.denominator != 1 for factor in factors):
        raise GeometryError(f"Taps of strides {fine.stride} and {coarse.stride} cannot be fused: no whole factor.")
    shifts = [(f - c) / s for f, c, s in zip(fine.offset, coarse.offset, coarse.stride, strict=True)]
    return (int(factors[0]), int(factors[1])), (shifts[0], shifts[1])


def _per_channel(values: Sequence[float], channels: int) -> Tensor:
    """ImageNet's statistics in 0..255; for other than three channels, their mean for each."""
    rgb = torch.tensor(values) * 255
    return rgb if len(rgb) == channels else rgb.mean().repeat(channels)


def _size(images: Tensor) -> tuple[int, int]:
    return (images.shape[2], images.shape[3])


def build(
    name: str,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None = None,
    *,
    in_channels: int = 3,
    width: int | None = None,
    upsample: Method = "bilinear",
    dropout: float = 0.0,
    pretrained: bool = False,
) -> FCN:
    """The network ``fcn{32,16,8,4,2}s-{timm backbone}`` for these classes; see ``FCN`` for the options.

    Raises ConfigError for a name or an option that does not exist, WeightsError where weights cannot be fetched.
    """
    match = re.fullmatch(r"fcn(32|16|8|4|2)s-(.+)", name)
    if match is None:
        raise ConfigError(
            f"Unknown network {name!r}: expected fcn32s, 16s, 8s, 4s or 2s and a backbone, as in fcn8s-resnet50."
        )
    if upsample not in KERNELS:
        raise ConfigError(f"Unknown upsampling {upsample!r}: expected one of {', '.join(KERNELS)}.")
    if palette is None:
        palette = default_palette(len(classes))
    if len(palette) != len(classes):
        raise ConfigError(f"The palette has {len(palette)} colours for {len(classes)} classes: give one for each.")
    return FCN(
        name,
        backbone(match[2], int(match[1]), in_channels, pretrained),
        classes,
        [(r, g, b) for r, g, b in palette],
        in_channels=in_channels,
        width=width,
        method=upsample,
        dropout=dropout,
    )


def create(name: str, num_classes: int, **options: Any) -> FCN:
    """As ``build``, for classes without names: ``create("fcn8s-resnet50", num_classes=12, pretrained=True)``."""
    return build(name, [f"class {i}" for i in range(num_classes)], **options)
