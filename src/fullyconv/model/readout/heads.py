"""Several labelings of one image: the classes of each head are neighbours."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def by_head(of_classes: Tensor, heads: Mapping[str, int] | None) -> Sequence[Tensor]:
    """(N, classes, …) head by head."""
    return of_classes.split(list(heads.values()), 1) if heads else [of_classes]


def stacked(planes: Sequence[Tensor], heads: Mapping[str, int] | None) -> Tensor:
    """A plane (N, H, W) of each head → (N, heads, H, W); without heads the only one."""
    return torch.stack(list(planes), 1) if heads else planes[0]
