"""Tell whether a network sees anything in an image, given the values that it takes as black and white."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fullyconv.data.images.values import ValueRange

DARK, LIGHT = 4.0, 251.0
"""On the scale of 0 to 255, a pixel is black if all its channels are below DARK, and white if all are above LIGHT."""
NEARLY_ALL = 0.99
"""The share of black pixels from which an image is nearly black; likewise white."""


class Brightness:
    """Counts the black and the white pixels of an image that is read in parts."""

    def __init__(self) -> None:
        self._pixels = self._black = self._white = 0

    def add(self, values: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Count pixels (channels, h, w) on the scale of 0 to 255; those that are not ``valid`` (h, w) do not count."""
        black, white = values.max(axis=0) < DARK, values.min(axis=0) > LIGHT
        if valid is not None:
            black, white = black[valid], white[valid]
        self._pixels += black.size
        self._black += int(black.sum())
        self._white += int(white.sum())

    @property
    def is_faint(self) -> bool:
        """Whether nearly all pixels are black, or nearly all are white."""
        return self._pixels > 0 and max(self._black, self._white) >= NEARLY_ALL * self._pixels


def faint_warning(faint: Sequence[Path], images: int, value_range: ValueRange | None) -> str:
    """Return the warning that ``faint`` ones among so many images are nearly black or white to a network."""
    pairs = list(dict.fromkeys(map(tuple, value_range or [])))
    ends = " or ".join(f"{low:g} as black and {high:g} as white" for low, high in pairs[:2])
    ends = ends or "0 as black and 255 as white (65535 in 16-bit images)"
    return (
        f"warning: {len(faint)} of {images} images, such as {faint[0]}, {'is' if len(faint) == 1 else 'are'} nearly "
        f"black or nearly white to the network, which takes {ends}. If something should be seen in them, use images of "
        "the type and the values that it was trained on, or train one on these"
    )
