"""The layers that score: one for each tap, or one for the fused features of all."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def scored_by(channels: int, width: int | None, classes: int) -> nn.Module:
    """What a tap of ``channels`` is scored by, from zero; with ``width``, what makes features of it, so many."""
    if width:
        return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
    score = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)  # type: ignore[arg-type]
    return score


def head_of(width: int, classes: int) -> nn.Module:
    """What scores the fused features."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )


def cropped(tap: Tensor, start: tuple[int, int], like: Tensor) -> Tensor:
    (top, left), (height, width) = start, like.shape[2:]
    return tap[..., top : top + height, left : left + width]


def per_channel(values: Sequence[float], channels: int, further: Sequence[float] = ()) -> Tensor:
    """Statistics in fractions of 255 → 0..255, then ``further``; for other channels the former's mean."""
    known = torch.tensor(values) * 255
    if len(known) + len(further) == channels:
        return torch.cat([known, torch.tensor(further)])
    return known if len(known) == channels else known.mean().repeat(channels)
