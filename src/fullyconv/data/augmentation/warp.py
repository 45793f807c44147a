"""Rotate, shear and deform an image and its mask, together with the scale and the crop, in one resampling."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from fullyconv.classes import IGNORE
from fullyconv.data.augmentation.crop import Pixel, resized
from fullyconv.data.augmentation.settings import Augmentation


def warped_crop(
    image: Tensor,
    mask: Tensor,
    size: tuple[int, int],
    factor: float,
    options: Augmentation,
    held: Pixel | None = None,
    centred: bool = False,
) -> tuple[Tensor, Tensor]:
    """Scale, rotate, shear and deform an image (C, H, W) and its mask (..., H, W), and crop both to ``size``.

    Angles and displacements are drawn by the settings, and where the crop lies: within the image as far as it fits
    into it, ``centred`` on it, or so that a pixel of the crop is the pixel ``held``. What is outside the image
    has the mean colour of what is inside, and in the mask IGNORE. Images are interpolated bilinearly, after
    antialiasing where they become smaller; masks take the pixel nearest to each new pixel's centre.
    """
    offsets = source_offsets(size, draw_matrix(options, factor), draw_displacements(options, size))
    lengths = torch.tensor(image.shape[-2:], dtype=torch.float64)
    centre = lengths / 2 if centred else draw_centre(offsets, lengths, held)
    return resample(image, mask, offsets + centre[:, None, None].float(), factor)


def draw_matrix(options: Augmentation, factor: float) -> Tensor:
    """Draw a rotation and a shear: the matrix (2, 2) by which offsets in the crop become offsets in the image.

    Offsets are (rows, columns), in pixels. A shear slants either the vertical or the horizontal lines.
    """
    angle = math.radians(_evenly(options.rotate)) if options.rotate else 0.0
    slant = torch.eye(2)
    if options.shear:
        tangent = math.tan(math.radians(_evenly(options.shear)))
        axis = int(torch.randint(2, ()))
        slant[axis, 1 - axis] = tangent
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn @ slant / factor


def draw_displacements(options: Augmentation, size: tuple[int, int]) -> Tensor | None:
    """Draw an elastic deformation: by how many pixels each pixel of the crop is displaced, (2, h, w); None for none.

    Points of a coarse grid are displaced at random, and pixels between them by bicubic interpolation, as for the U-Net
    (Ronneberger, Fischer and Brox, MICCAI 2015, section 3.1).
    """
    if not options.elastic:
        return None
    down, across = (_between_points(length, options.elastic_spacing) for length in size)
    points = torch.randn(2, down.shape[1], across.shape[1]) * options.elastic
    return down @ points @ across.T


def source_offsets(size: tuple[int, int], matrix: Tensor, displacements: Tensor | None) -> Tensor:
    """Return from where each pixel of the crop is taken, (2, h, w): an offset from the centre, in pixels of the image.

    ``matrix`` and ``displacements`` are those of ``draw_matrix`` and ``draw_displacements``.
    """
    rows, columns = (torch.arange(length) - (length - 1) / 2 for length in size)
    rows, columns = rows[:, None], columns[None]
    if displacements is not None:
        rows, columns = rows + displacements[0], columns + displacements[1]
    return torch.stack([by_row * rows + by_column * columns for by_row, by_column in matrix.tolist()])


def draw_centre(offsets: Tensor, lengths: Tensor, held: Pixel | None) -> Tensor:
    """Draw where the centre of the crop lies in the image, (2,) float64, in pixels from its upper left corner.

    Along an axis on which the crop fits into the image it lies within it; on another, the image lies within the
    crop's bounding box. Some pixel of the crop is taken from the centre of the pixel ``held`` or, without one,
    from within the image.
    """
    lowest, highest = offsets.amin((1, 2)).double(), offsets.amax((1, 2)).double()
    first, last = torch.minimum(-lowest, lengths - highest), torch.maximum(-lowest, lengths - highest)
    if held is None:
        centre = first + (last - first) * torch.rand(2, dtype=torch.float64)
        if bool(((centre >= 0) & (centre <= lengths)).all()):
            return centre
        anchor = centre.clamp(torch.full_like(lengths, 0.5), lengths - 0.5)
    else:
        anchor = torch.tensor(held, dtype=torch.float64) + 0.5
        drawn = int(torch.randint(offsets[0].numel(), ()))
        centre = (anchor - offsets.flatten(1)[:, drawn]).clamp(first, last)
    away = (offsets - (anchor - centre)[:, None, None].float()).square().sum(0)
    return anchor - offsets.flatten(1)[:, int(away.argmin())]


def resample(image: Tensor, mask: Tensor, places: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """Take image (C, H, W) and mask (..., H, W) at ``places``, (2, h, w): pixels from the upper left corner.

    The centre of the first pixel is at (0.5, 0.5). ``factor``, where below 1, is by how much the image is shrunk,
    with antialiasing, before it is interpolated.
    """
    lengths = image.shape[-2:]
    spans = [_reached(along, length) for along, length in zip(places, lengths, strict=True)]
    outside = ~torch.stack([(x >= 0) & (x < length) for x, length in zip(places, lengths, strict=True)]).all(0)

    rows, columns = (x.floor().long().clamp_(0, length - 1) for x, length in zip(places, lengths, strict=True))
    labels = mask.flatten(-2).index_select(-1, (rows * lengths[1] + columns).flatten())
    labels = labels.reshape(*mask.shape[:-2], *outside.shape).masked_fill(outside, IGNORE)

    region = image[:, slice(*spans[0]), slice(*spans[1])]
    fill = region.float().mean(dim=(1, 2))
    if factor < 1:
        height, width = (max(1, round(length * factor)) for length in region.shape[1:])
        region = resized(region, (height, width))
    # grid_sample has columns first, and -1 and 1 at the outer edges of the region
    down, across = (2 * (x - start) / (end - start) - 1 for x, (start, end) in zip(places, spans, strict=True))
    grid = torch.stack([across, down], dim=-1)[None]
    taken = grid_sample(region.float()[None], grid, padding_mode="border", align_corners=False)[0]
    if outside.any():
        taken = torch.where(outside, fill[:, None, None], taken)
    return taken if image.is_floating_point() else taken.round_().to(image.dtype), labels


def _reached(along: Tensor, length: int) -> tuple[int, int]:
    """Return the pixels, from and to, that interpolation at these places needs."""
    first, last = math.floor(along.amin().item() - 0.5), math.floor(along.amax().item() + 0.5)
    start = min(max(first, 0), length - 1)
    return start, max(start + 1, min(last + 1, length))


@lru_cache(maxsize=8)
def _between_points(length: int, spacing: int) -> Tensor:
    """Return the matrix (length, points) of bicubic interpolation between points ``spacing`` pixels apart."""
    points = math.ceil(length / spacing) + 4  # two beyond each end
    whole = interpolate(torch.eye(points)[None, None], size=(points * spacing, points), mode="bicubic")[0, 0]
    start = (len(whole) - length) // 2
    return whole[start : start + length]


def _evenly(limit: float) -> float:
    return float(torch.empty(()).uniform_(-limit, limit))
