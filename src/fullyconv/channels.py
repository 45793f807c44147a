"""Names of what the channels of images contain."""

from typing import Literal

Inputs = Literal["image", "rgb+depth", "hha", "rgb+hha"]
"""What the channels of an image contain.

- ``image``: the bands of an image file: grey, or red, green and blue, or any others.
- ``rgb+depth``: red, green, blue and the natural logarithm of the depth in millimetres.
- ``hha``: horizontal disparity, height above ground, and the angle with gravity (Gupta et al., ECCV 2014), 0..255.
- ``rgb+hha``: red, green, blue and the three channels of HHA.
"""

COUNTS: dict[Inputs, int] = {"rgb+depth": 4, "hha": 3, "rgb+hha": 6}
"""The number of channels, except for ``image``, which may have any number."""

MAX_CHANNELS = 4096
"""Maximum number of channels of an image."""


def count_colours(inputs: Inputs, channels: int) -> int:
    """Return how many of the first channels of an image are colours: 3 (red, green, blue) or 0."""
    if inputs == "image":
        return 3 if channels == 3 else 0  # the meaning of other bands is unknown
    return 3 if inputs.startswith("rgb") else 0


def count_intensities(inputs: Inputs, channels: int) -> int:
    """Return how many of the first channels of an image are intensities of light, and not depth or HHA."""
    return channels if inputs == "image" else count_colours(inputs, channels)


def in_words(inputs: Inputs) -> str:
    """Return in words what the channels of an image contain."""
    words: dict[Inputs, str] = {"image": "the channels of a picture", "hha": "HHA"}
    return words.get(inputs) or ("colour and HHA" if inputs == "rgb+hha" else "colour and depth")
