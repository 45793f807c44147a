"""Mirror and turn an image and its mask, exactly: no pixel is interpolated."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fullyconv.classes import unknown_class
from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.errors import ConfigError


def draw_quarters(options: Augmentation, square: bool) -> int:
    """Draw by how many quarter turns an image is turned, 0 to 3; one that is not ``square`` keeps its shape."""
    if options.quarter_turns and torch.rand(1) < options.quarter_turns:
        return int(torch.randint(1, 4, ())) if square else 2
    return 0


def turned_and_mirrored(
    image: Tensor, mask: Tensor, quarters: int, options: Augmentation, exchanged: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Turn an image (C, H, W) and its mask (..., H, W) by quarter turns, and mirror both as drawn.

    ``exchanged`` is ``exchange_table`` for the first labelings of the mask. A mirrored left hand is a right hand,
    whichever axis it is mirrored on; one that is mirrored on both, or only turned, is what it was.
    """
    across = bool(options.flip and torch.rand(1) < options.flip)
    down = bool(options.vertical_flip and torch.rand(1) < options.vertical_flip)
    if quarters:
        image, mask = (x.rot90(quarters, (-2, -1)) for x in (image, mask))
    if axes := [-2] * down + [-1] * across:
        image, mask = image.flip(axes), mask.flip(axes)
    if exchanged is not None and across != down:
        for plane, table in zip(mask.view(-1, *mask.shape[-2:]), exchanged, strict=False):
            plane.copy_(table[plane.int()])  # the mask is a copy since it was mirrored
    return image.contiguous(), mask.contiguous()


def exchange_table(pairs: Sequence[tuple[str, str]], classes: Sequence[str], labelings: Sequence[int]) -> Tensor | None:
    """Return what each label becomes in a mirrored image, uint8 (K, 256) for K labelings; None without ``pairs``.

    ``labelings`` are the numbers of classes in each; ``classes`` are the names of all. Raises ConfigError for names
    that are no class, or pairs across two labelings.
    """
    if not pairs:
        return None
    table = torch.arange(256, dtype=torch.uint8).repeat(len(labelings), 1)
    places = [(labeling, label) for labeling, count in enumerate(labelings) for label in range(count)]
    for pair in pairs:
        for name in pair:
            if name not in classes:
                raise ConfigError(f"data.augment.flip_pairs: {unknown_class(name, classes)}")
        (labeling, first), (other, second) = (places[classes.index(name)] for name in pair)
        if labeling != other:
            raise ConfigError(f"data.augment.flip_pairs: {pair[0]} and {pair[1]} are classes of two labelings")
        table[labeling, first], table[labeling, second] = second, first
    return table
