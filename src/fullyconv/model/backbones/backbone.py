"""What an FCN asks of a trunk: taps from fine to coarse, their strides and channels, and where their cells look."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from fullyconv import geometry
from fullyconv.errors import GeometryError

COARSEST = 32
Alignment = Literal["cells", "crop", "half-pixel"]
"""How an FCN on this trunk frames its image, and where its maps meet.

- cells: the image is extended to whole cells; coarse maps are interpolated onto the finer tap's cells, and beyond the
  border the nearest cell is repeated.
- crop: the trunk pads enough by itself; coarse maps are upsampled whole, nothing lies beyond their border, and finer
  taps are cropped to them (the paper's release).
- half-pixel: scores are stretched over the image (torchvision).
"""
Padding = Literal["paper", "same"]
"""How the paper's trunks pad: 100 pixels around the image, as in the release, or as other trunks do."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Image (N, C, H, W), normalized → taps from fine to coarse, each (N, channels[i], h, w).

    Where ``alignment`` is "cells", H and W are multiples of ``strides[-1]``, at least ``minimum``. ``taps[i]`` and
    ``lattices[i]`` say where tap i's cells look. ``mean`` and ``std`` (fractions of 255) are what the trunk's images
    are normalized by. ``drops``: the trunk has dropout of its own.
    """

    def __init__(
        self,
        name: str,
        body: nn.Module,
        strides: Sequence[int],
        channels: Sequence[int],
        in_channels: int,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        *,
        alignment: Alignment = "cells",
        drops: bool = False,
        channels_last: bool = False,
    ):
        """``body`` gives the taps; ``channels_last``: as (N, h, w, channels).

        Raises GeometryError where its cells cannot be followed, or are not square.
        """
        super().__init__()
        self.body, self.strides, self.channels = body, list(strides), list(channels)
        self.mean, self.std, self.alignment, self.drops = mean, std, alignment, drops
        self.channels_last = channels_last
        self.minimum, traced = _trace(body, name, self.strides[-1], in_channels)
        self.taps = traced.outputs
        self.lattices = [tap.lattice for tap in self.taps]
        for stride, lattice in zip(self.strides, self.lattices, strict=True):
            if lattice.stride != (stride, stride):
                rows, columns = lattice.stride
                raise GeometryError(f"{name}: the feature map named stride {stride} has stride {rows} × {columns}.")

    def forward(self, images: Tensor) -> list[Tensor]:
        taps = self.body(images)
        return [tap.permute(0, 3, 1, 2) for tap in taps] if self.channels_last else list(taps)


def _trace(body: nn.Module, name: str, stride: int, in_channels: int) -> tuple[int, geometry.Trace]:
    """The smallest image side, a multiple of the stride, at which every tap has a cell; and the trace there."""
    for side in (k * stride for k in (1, 2, 3, 4, 6, 8)):
        try:
            return side, geometry.trace(body, (side, side), in_channels)
        except GeometryError as error:
            reason = error
    raise GeometryError(f"{name} cannot be a backbone: {reason}")


def per_channel(values: Sequence[float], channels: int, further: Sequence[float] = ()) -> Tensor:
    """Statistics in fractions of 255 → 0..255, then ``further``; for other channels the former's mean."""
    known = torch.tensor(values) * 255
    if len(known) + len(further) == channels:
        return torch.cat([known, torch.tensor(further)])
    return known if len(known) == channels else known.mean().repeat(channels)
