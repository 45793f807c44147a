"""The layers that score: one for each tap, or one for the fused features of all."""

from torch import nn


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
