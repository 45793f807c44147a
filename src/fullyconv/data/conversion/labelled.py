"""What writers are given: the classes of a data set, and its images one after the other with their labels."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fullyconv.palettes import Colour


class Labelled(NamedTuple):
    """One image to be written: its name without suffix, its split, its file, and its labels, uint8 (H, W)."""

    name: str
    split: str
    image: Path
    labels: np.ndarray

    @property
    def file_name(self) -> str:
        """The image's name with its suffix."""
        return f"{self.name}{self.image.suffix.lower()}"


@dataclass(frozen=True)
class Target:
    """Where and how a data set is written.

    - ``classes``, ``palette``: the names of the classes and a colour for each.
    - ``background``: the label of the class whose pixels need no outline; None if every class needs one.
    - ``splits``: the names of the splits of its images.
    - ``tolerance``: how much outlines are simplified (see ``outlines``); 0 is exact.
    - ``predicted``: whether a network made the labels, so that people will correct them.
    """

    folder: Path
    classes: list[str]
    palette: list[Colour]
    background: int | None
    splits: tuple[str, ...]
    tolerance: float = 0.0
    predicted: bool = False


Writer = Callable[[Target, Iterable[Labelled]], None]
"""Writes all images, which it is given one at a time, and what describes them."""

VOID = "void"
"""The name under which pixels without a class are written where a format has no way to say so."""


def copy_image(image: Path, target: Path) -> None:
    """Copy an image to where it is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image, target)
