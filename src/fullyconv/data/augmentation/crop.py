"""Scale and crop an image and its mask along the axes."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from fullyconv.classes import IGNORE

Pixel = tuple[int, int]
"""A row and a column."""


class Span(NamedTuple):
    """A crop along one axis: ``taken`` pixels from ``start`` become ``filled`` pixels from ``place``."""

    start: int
    taken: int
    place: int
    filled: int


def scaled_crop(
    image: Tensor, mask: Tensor, size: tuple[int, int], factor: float, held: Pixel | None = None
) -> tuple[Tensor, Tensor]:
    """Scale an image (C, H, W) and its mask (..., H, W) by ``factor`` and crop both to ``size`` at a random place.

    The crop is taken first and only it is scaled, which gives the same at a fraction of the cost. It takes the pixel
    ``held``, of the image before it is scaled, where one is given. Where the scaled image is smaller than the crop it
    is placed at random, surrounded by its mean colour, and in the mask by IGNORE. Images are interpolated bilinearly,
    with antialiasing; masks take the pixel nearest to each new pixel's centre.
    """
    row, column = (None, None) if held is None else held
    (top, height, out_top, out_height), (left, width, out_left, out_width) = (
        draw_span(image.shape[-2], size[0], factor, row),
        draw_span(image.shape[-1], size[1], factor, column),
    )
    region, labels = (x[..., top : top + height, left : left + width] for x in (image, mask))
    padding = [out_left, out_top, size[1] - out_left - out_width, size[0] - out_top - out_height]
    # v2 resizes masks by NEAREST, which takes the pixel at the cell's corner, up to half a cell off
    labels = F.resize_image(labels[None], [out_height, out_width], InterpolationMode.NEAREST_EXACT)
    labels = F.pad_image(labels, padding, fill=IGNORE)[0]
    region = resized(region, (out_height, out_width))
    if any(padding):
        region = F.pad_image(region, padding, fill=region.float().mean(dim=(1, 2)).tolist())
    return region, labels


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize an image (C, H, W), bilinearly and with antialiasing."""
    if size == (1, 1):  # torch 2.15 cannot do this to an RGB image stored plane by plane
        image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    return F.resize_image(image, list(size), antialias=True)


def draw_span(length: int, out: int, factor: float, held: int | None = None) -> Span:
    """Draw where a crop of ``out`` pixels lies along an axis; it takes the pixel ``held`` where one is given."""
    wanted = round(out / factor)
    if wanted <= length:
        taken = max(1, wanted)
        first, last = (0, length) if held is None else (held + 1 - taken, held)
        first, last = max(0, first), min(length - taken, last)
        return Span(first + _start(last - first), taken, 0, out)
    filled = min(out, max(1, round(length * factor)))
    return Span(0, length, _start(out - filled), filled)


def _start(room: int) -> int:
    return int(torch.randint(room + 1, ()))
