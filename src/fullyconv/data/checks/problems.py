"""The kinds of problem that a data set can have, and the report of those found."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from fullyconv.data.catalog import Data
from fullyconv.data.frequencies import ClassPixels
from fullyconv.errors import DataError


class Kind(Enum):
    """A kind of problem: its name, and what to do about it."""

    NO_IMAGE = "missing image", "add the image, or remove it from the split's list"
    NO_MASK = "image without a mask", "add the mask under the image's name, or remove the image"
    UNMATCHED_MASK = "mask without an image", "add the image under the mask's name, or remove the mask"
    DUPLICATE_NAME = (
        "images with the same name, which share one mask",
        "give each image a name and a mask of its own, or remove one",
    )
    UNREADABLE = "file that cannot be read", "download or export it again; cut images that are too large into pieces"
    SIZE = (
        "mask (or depth) of another size than its image",
        "export image and mask at the same size; scale masks by nearest neighbour only",
    )
    ROTATED = (
        "image that EXIF says to rotate",
        "rotate the pixels themselves and save without the tag (`mogrify -auto-orient FILE`), "
        "then see that the mask still fits",
    )
    VALUE = (
        "mask with values outside the classes",
        "renumber the masks' values, or correct `classes`, `ignore_index` or `palette` in dataset.yaml",
    )
    COLOUR = (
        "mask with colours not in the palette",
        "add or correct `palette` in dataset.yaml (void's colour may follow the classes'), or draw without smoothing",
    )
    LOSSY = (
        "mask saved as JPEG",
        "export the masks again as PNG: JPEG changes values, and converting the file does not undo that",
    )
    ABSENT_CLASS = "class that never occurs", "remove it from `classes` and renumber, or add images that show it"
    IN_SEVERAL_SPLITS = (
        "image in more than one split",
        "keep it in one split: results on images seen in training say nothing about new ones",
    )
    EMPTY = "split without images", "add images, or remove the split"

    def __init__(self, title: str, remedy: str) -> None:
        self.title = title
        self.remedy = remedy


@dataclass(frozen=True)
class Problem:
    """One problem: the files that have it, what was found in them, and what was expected."""

    kind: Kind
    files: tuple[Path, ...]
    found: str
    expected: str


@dataclass(frozen=True)
class Report:
    """What ``check`` found: every problem, and the pixels of each class in each split."""

    data: Data
    problems: list[Problem]
    frequencies: dict[str, ClassPixels]

    def raise_if_any(self) -> None:
        """Raise DataError, listing the problems, if there are any."""
        if self.problems:
            raise DataError(self.format_problems())

    def __str__(self) -> str:
        return f"{self.format_problems()}\n\n{self.format_frequencies()}"

    def format_problems(self, limit: int | None = 10) -> str:
        """Return the problems as plain text, grouped by kind, with at most ``limit`` of each kind (None: all)."""
        if not self.problems:
            return f"{self.data.root}: no problems in {self._size()}"
        many = len(self.problems)
        lines = [f"{self.data.root}: {many} problem{'s' * (many > 1)} in {self._size()}"]
        for kind in Kind:
            problems = [problem for problem in self.problems if problem.kind is kind]
            if not problems:
                continue
            lines += ["", f"{kind.title}: {len(problems)}"]
            lines += [f"  {self._line(problem)}" for problem in problems[:limit]]
            if limit is not None and len(problems) > limit:
                lines.append(f"  and {len(problems) - limit} more")
            lines += [f"  expected: {problems[0].expected}", f"  what to do: {kind.remedy}"]
        return "\n".join(lines)

    def format_frequencies(self) -> str:
        """Return a table of each class's share of the labelled pixels, and the number of images with it, by split."""
        width = max(map(len, [*self.data.classes, "class"]))
        heads = "".join(f"{split[:18]:>20}" for split in self.frequencies)
        lines = ["Share of labelled pixels (and images with the class)", f"{'class':{width}}{heads}"]
        starts = np.cumsum([0, *self.data.head_sizes])
        for index, name in enumerate(self.data.classes):
            labeling = np.searchsorted(starts, index, side="right")
            same_labeling = slice(starts[labeling - 1], starts[labeling])
            cells = ""
            for counted in self.frequencies.values():
                share = counted.pixels[index] / max(1, counted.pixels[same_labeling].sum())
                cells += f"{share:>13.2%}{f'({counted.images[index]})':>7}"
            lines.append(f"{name:{width}}{cells}")
        voids = [counted.void / max(1, counted.void + counted.pixels.sum()) for counted in self.frequencies.values()]
        if any(voids):
            lines.append(f"{'void':{width}}" + "".join(f"{void:>13.2%}{'':7}" for void in voids) + "  (of all pixels)")
        return "\n".join(lines)

    def _size(self) -> str:
        sizes = ", ".join(f"{split} {len(self.data.splits[split])}" for split in self.frequencies)
        many = sum(len(self.data.splits[split]) for split in self.frequencies)
        return f"{many} image{'s' * (many != 1)} ({sizes})"

    def _line(self, problem: Problem) -> str:
        names = " = ".join(map(self.data.name, problem.files))
        return f"{names}: {problem.found}" if names and problem.found else names or problem.found
