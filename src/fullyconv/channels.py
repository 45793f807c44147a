"""What the channels of images are."""

from typing import Literal

Inputs = Literal["image", "rgb+depth", "hha", "rgb+hha"]
"""What one image is made of.

- ``image``: the channels of an image file: grey, or red, green and blue, or more bands.
- ``rgb+depth``: red, green, blue and the natural logarithm of the depth in millimetres.
- ``hha``: horizontal disparity, height above ground, and the angle with gravity (Gupta et al., ECCV 2014), 0..255.
- ``rgb+hha``: red, green, blue and the three of HHA.
"""

COUNTS: dict[Inputs, int] = {"rgb+depth": 4, "hha": 3, "rgb+hha": 6}
"""The number of channels, except of ``image``, which may have any."""

MAX_CHANNELS = 4096
"""More are not taken for the channels of an image."""


def count_colours(inputs: Inputs, channels: int) -> int:
    """Return how many of an image's first ``channels`` are red, green and blue: three or none."""
    if inputs == "image":
        return 3 if channels == 3 else 0  # what four or more bands are is not known
    return 3 if inputs.startswith("rgb") else 0


def in_words(inputs: Inputs) -> str:
    """Say what the channels of an image are."""
    words: dict[Inputs, str] = {"image": "the channels of a picture", "hha": "HHA"}
    return words.get(inputs) or ("colour and HHA" if inputs == "rgb+hha" else "colour and depth")
