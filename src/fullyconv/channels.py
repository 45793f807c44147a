"""What the channels of the images are that a network takes and a data set holds."""

from typing import Literal

Inputs = Literal["image", "rgb+depth", "hha", "rgb+hha"]
"""What one image is made of.

- ``image``: an image as files hold it: grey, red, green and blue, or more bands.
- ``rgb+depth``: red, green, blue and the natural logarithm of the depth in millimetres.
- ``hha``: horizontal disparity, height above ground, and the angle with gravity (Gupta et al., ECCV 2014), 0..255.
- ``rgb+hha``: red, green, blue and the three of HHA.
"""

COUNTS: dict[Inputs, int] = {"rgb+depth": 4, "hha": 3, "rgb+hha": 6}
"""The number of channels, where it follows from what they are; an image may have any."""


def count_colours(inputs: Inputs, channels: int) -> int:
    """How many of an image's ``channels``, from the first on, are red, green and blue: three or none."""
    if inputs == "image":
        return 3 if channels == 3 else 0  # of four bands, nobody says which they are
    return 3 if inputs.startswith("rgb") else 0
