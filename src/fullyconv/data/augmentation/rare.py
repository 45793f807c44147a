"""Draw classes by their rarity, and pixels of a class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fullyconv.data.augmentation.crop import Pixel


def draw_class(weights: Sequence[Tensor]) -> tuple[int, int] | None:
    """Draw a labeling and a class of it by their weights, (C,) for each labeling; None where all weights are 0."""
    joined = torch.cat(list(weights))
    if not joined.any():
        return None
    drawn, labeling = int(torch.multinomial(joined, 1)), 0
    while drawn >= len(weights[labeling]):
        drawn -= len(weights[labeling])
        labeling += 1
    return labeling, drawn


def draw_rare_pixel(mask: Tensor, rarity: Sequence[Tensor]) -> Pixel | None:
    """Draw a class of the mask (..., H, W) by ``rarity``, then one of its pixels; None where there is none to draw."""
    planes = mask.reshape(-1, *mask.shape[-2:])
    found = [
        plane.flatten().bincount(minlength=len(rare))[: len(rare)] for plane, rare in zip(planes, rarity, strict=True)
    ]
    drawn = draw_class([rare * (count > 0) for rare, count in zip(rarity, found, strict=True)])
    return drawn and draw_pixel(planes[drawn[0]] == drawn[1])


def draw_pixel(chosen: Tensor) -> Pixel | None:
    """Draw one of the pixels that are true in ``chosen``, bool (H, W), all alike; None where none is."""
    of_rows = chosen.sum(1).cumsum(0)
    if not of_rows[-1]:
        return None
    number = int(torch.randint(int(of_rows[-1]), ()))
    row = int(torch.searchsorted(of_rows, number, right=True))
    before = int(of_rows[row - 1]) if row else 0
    return row, int(chosen[row].nonzero()[number - before])
