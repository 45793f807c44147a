"""Weights of pixels near the boundaries between classes, from the labels alone, on any device."""

import math

import torch
from torch import Tensor

SMALLEST = 1e-6
"""Weights below it, relative to that at a boundary, are 0."""


def boundary_weights(labels: Tensor, weight: float = 10.0, sigma: float = 5.0, ignore_index: int = 255) -> Tensor:
    """Return 1 + weight · exp(−d² / 2 sigma²) for each pixel, where d is its distance to the nearest boundary.

    ``labels`` (..., H, W) → float32 of the same shape. The boundary are the pixels that touch another class (see
    ``at_boundary``), where d is 0; d and ``sigma`` are in pixels. This is U-Net's weight (Ronneberger et al., MICCAI
    2015, equation 2) for classes in place of cells: it has the distances to the two nearest cells.
    """
    near = at_boundary(labels, ignore_index).float()
    reach = math.ceil(sigma * math.sqrt(-2 * math.log(SMALLEST)))
    for axis in (-2, -1):  # of all boundary pixels the nearest, whose exp is the product of that of both axes
        of_line, length = near, near.shape[axis]
        near = of_line.clone()
        for steps in range(1, min(reach, length)):
            fallen = of_line * math.exp(-(steps**2) / (2 * sigma**2))
            for source, target in ((0, steps), (steps, 0)):
                part = near.narrow(axis, target, length - steps)
                torch.maximum(part, fallen.narrow(axis, source, length - steps), out=part)
    return near.mul_(weight).add_(1)


def at_boundary(labels: Tensor, ignore_index: int = 255) -> Tensor:
    """Return whether a pixel touches one of another class: above, below, left or right of it. (..., H, W), bool.

    Ignored pixels are of no class: they make no boundary.
    """
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (-2, -1):
        pairs = labels.shape[axis] - 1
        one, other = labels.narrow(axis, 0, pairs), labels.narrow(axis, 1, pairs)
        differ = (one != other) & (one != ignore_index) & (other != ignore_index)
        found.narrow(axis, 0, pairs).logical_or_(differ)
        found.narrow(axis, 1, pairs).logical_or_(differ)
    return found
