"""For networks whose cells see the whole image: overlapping tiles, their probabilities blended.

Each tile is labelled as an image of its own. In a tile's middle it counts in full, towards its border less and less.
The result is near what the whole image would give, and not the same.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fullyconv.errors import ConfigError
from fullyconv.inference.tiles import unfilled_labels
from fullyconv.model.readout import by_head, stacked
from fullyconv.model.segmenter import Segmenter


@torch.no_grad()
def predict_approximate(net: Segmenter, images: Tensor, tile: int, overlap: int) -> Tensor:
    """Labels as ``net.predict`` gives them, from tiles of ``tile`` pixels a side that overlap by ``overlap``.

    Probabilities are held for one row of tiles at a time. Raises ConfigError where tiles overlap by more than half.
    """
    if not 0 <= overlap <= tile // 2:
        raise ConfigError(f"tiles of {tile} pixels cannot overlap by {overlap}: expected 0 to {tile // 2}")
    height, width = images.shape[2:]
    tops, lefts = (_starts(side, tile, overlap) for side in (height, width))
    fade = _fade(tile, overlap).to(net.device)
    result = unfilled_labels(net, images)
    total = torch.zeros(())
    for number, top in enumerate(tops):
        bottom = min(top + tile, height)
        sums = torch.zeros(len(images), len(net.classes), bottom - top, width, device=net.device)
        if number:  # what the tiles above have left for rows of both
            begun = total[:, :, top - tops[number - 1] :]
            sums[:, :, : begun.shape[2]] = begun
        for left in lefts:
            right = min(left + tile, width)
            weight = fade[: bottom - top, None] * fade[: right - left]
            seen = net.probabilities(images[..., top:bottom, left:right].to(net.device))
            sums[..., left:right] += weight * seen
        total = sums
        done = bottom if number == len(tops) - 1 else tops[number + 1]
        found = [part.argmax(1).to(torch.uint8) for part in by_head(total[:, :, : done - top], net.heads)]
        result[..., top:done, :] = stacked(found, net.heads)
    return result


def _starts(side: int, tile: int, overlap: int) -> Sequence[int]:
    """Where tiles start: the last one ends where the image does."""
    last = max(0, side - tile)
    return [*range(0, last, max(1, tile - overlap)), last]


def _fade(tile: int, overlap: int) -> Tensor:
    """Weights along one side: a cosine's rise over ``overlap`` pixels, one, and its fall."""
    place = torch.arange(tile, dtype=torch.float32) + 0.5
    from_border = torch.minimum(place, tile - place) / max(overlap, 1)
    return (1 - torch.cos(torch.pi * from_border.clamp(max=1))) / 2
