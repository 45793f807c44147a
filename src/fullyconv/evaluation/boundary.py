"""How well the boundaries of classes are found: boundary IoU, boundary F1, and the Hausdorff distance HD95.

A class's area ends where another class begins, and at the edge of the image, as in the code that these measures were
published with. It does not end at void: what lies there is not known.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.spatial import cKDTree

from fullyconv.classes import IGNORE
from fullyconv.errors import ConfigError
from fullyconv.evaluation.metrics import Counts, defined, mean_over_classes, rates, share
from fullyconv.evaluation.result import BoundaryResult
from fullyconv.model.readout.boundaries import at_boundary

Spacing = tuple[float, float]
"""Height and width of a pixel."""
Written = str | float
"""A length as people write it: "2%" of the image's diagonal, or a number of pixels."""


class Length(NamedTuple):
    """A number of pixels, or a share of the image's diagonal."""

    number: float
    of_diagonal: bool

    @classmethod
    def read(cls, written: Written, name: str) -> Self:
        """Read a length. Raises ConfigError that names it."""
        match = re.fullmatch(r"\s*(\d*\.?\d+(?:e-?\d+)?)\s*(%|px)?\s*", str(written).lower())
        number = float(match[1]) if match else 0.0
        if match is None or not 0 < number < (100 if match[2] == "%" else math.inf):
            raise ConfigError(f"{name} {written}: expected pixels, such as 3, or a share of the diagonal, such as 2%")
        return cls(number / 100, True) if match[2] == "%" else cls(number, False)

    def pixels(self, image: np.ndarray) -> float:
        """In an image (H, W); at least 1."""
        return max(1.0, self.number * math.hypot(*image.shape) if self.of_diagonal else self.number)

    def __str__(self) -> str:
        return f"{100 * self.number:g}%" if self.of_diagonal else f"{self.number:g} pixel{'s' * (self.number != 1)}"


WIDTH, TOLERANCE = Length(0.02, True), Length(0.0075, True)


def read_spacing(written: str | float | Spacing) -> Spacing:
    """Read the size of a pixel: a number, two, or text such as "0.5x0.7" (height x width). Raises ConfigError."""
    parts = str(written).lower().split("x") if isinstance(written, str | int | float) else [*map(str, written)]
    try:
        sides = [float(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or not all(0 < side < math.inf for side in sides):
        raise ConfigError(f"--spacing {written}: expected the size of a pixel, such as 0.5, or height x width, 0.5x0.7")
    return sides[0], sides[-1]


@dataclass(frozen=True)
class Boundaries:
    """What is measured of boundaries.

    - ``width``: how far the areas along the boundaries reach, of which boundary IoU is the IoU, in rows and columns.
    - ``tolerance``: how far from each other, in a straight line, two boundary pixels may be to count as the same.
    - ``spacing``: the size of a pixel in the unit in which HD95 is given; None: as ``unit`` says.
    """

    width: Length = WIDTH
    tolerance: Length = TOLERANCE
    spacing: Spacing | None = None
    unit: str = "pixels"


class BoundaryCounts(NamedTuple):
    """What was found at the boundaries of each class, (classes,), or (images, classes)."""

    areas: Counts
    """The pixels near boundaries, within ``width``."""
    lines: Counts
    """The pixels at boundaries. Of the truth's those are right that have one of the labels' within ``tolerance``."""
    right_lines: np.ndarray
    """The labels' that have one of the truth's within ``tolerance``."""
    hd95: np.ndarray
    """NaN unless truth and labels both have the class."""
    one_sided: np.ndarray
    """Whether only one of them has it."""

    @classmethod
    def stacked(cls, counts: "Sequence[BoundaryCounts]") -> "BoundaryCounts":
        """Stack the counts of images, each (classes,), to (images, classes)."""
        areas, lines, *others = zip(*counts, strict=True)
        return cls(Counts.stacked(areas), Counts.stacked(lines), *(np.stack(part) for part in others))

    def over_images(self) -> "BoundaryCounts":
        """Add up the counts (images, classes) of all images, and take the mean of HD95 where it is known."""
        known = ~np.isnan(self.hd95)
        hd95 = share(np.where(known, self.hd95, 0).sum(0), known.sum(0))
        areas, lines = self.areas.over_images(), self.lines.over_images()
        return BoundaryCounts(areas, lines, self.right_lines.sum(0), hd95, self.one_sided.sum(0))


def boundary_counts(truth: np.ndarray, labels: np.ndarray, classes: int, options: Boundaries) -> BoundaryCounts:
    """Measure the boundaries of one image: ``truth`` and ``labels``, uint8 (H, W). Where truth is void none count."""
    labels = np.where(truth == IGNORE, np.uint8(IGNORE), labels)
    reach = min(round(options.width.pixels(truth)), max(truth.shape))
    near_truth, near_labels = near_boundary(truth, reach), near_boundary(labels, reach)
    areas = Counts(
        right=_count(truth[near_truth & near_labels & (truth == labels)], classes),
        truth=_count(truth[near_truth], classes),
        predicted=_count(labels[near_labels], classes),
    )
    lines = [dict(_lines(of_one)) for of_one in (truth, labels)]
    lengths = [np.array([len(own.get(index, ())) for index in range(classes)]) for own in lines]
    right = np.zeros((2, classes), int)
    hd95 = np.full(classes, np.nan)
    within = options.tolerance.pixels(truth)
    for index in lines[0].keys() & lines[1].keys():
        pixels = [own[index].astype(float) for own in lines]
        distances = _nearest(*pixels)
        right[:, index] = [(own <= within).sum() for own in distances]
        if options.spacing is not None:
            distances = _nearest(*(own * options.spacing for own in pixels))
        hd95[index] = max(np.percentile(own, 95) for own in distances)
    one_sided = (lengths[0] > 0) != (lengths[1] > 0)
    return BoundaryCounts(areas, Counts(right[0], *lengths), right[1], hd95, one_sided)


def near_boundary(labels: np.ndarray, reach: int) -> np.ndarray:
    """Return whether a pixel has one of another class at most ``reach`` rows and columns away, bool (H, W).

    Beyond the edge of the image is another class; void is none.
    """
    side = 2 * reach + 1
    above_void = labels + np.uint8(1)  # void, the highest byte, becomes the lowest
    mixed = (minimum_filter(labels, side) != labels) | (maximum_filter(above_void, side) != above_void)
    for axis, length in enumerate(labels.shape):
        edge = np.arange(length)
        mixed |= np.expand_dims(np.minimum(edge, edge[::-1]) < reach, 1 - axis)
    return mixed & (labels != IGNORE)


def _lines(labels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each class and the places (n, 2) of its pixels that touch another class or the edge of the image."""
    touching = at_boundary(torch.from_numpy(labels), IGNORE).numpy()
    touching[[0, -1]] = touching[:, [0, -1]] = True
    places = np.argwhere(touching & (labels != IGNORE))
    of_class = labels[tuple(places.T)]
    order = np.argsort(of_class, kind="stable")
    found, starts = np.unique(of_class[order], return_index=True)
    yield from zip(found.tolist(), np.split(places[order], starts[1:]), strict=True) if len(found) else ()


def _nearest(truth: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance from each place (n, 2) to the nearest of the others."""
    return cKDTree(labels).query(truth)[0], cKDTree(truth).query(labels)[0]


def _count(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels, minlength=classes)


def boundary_rates(counts: BoundaryCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return boundary IoU, F1, precision and recall of each class, (..., classes); NaN where undefined (see ``rates``).

    F1 is 0 where only one of truth and labels has the class.
    """
    lines = counts.lines
    precision, recall = share(counts.right_lines, lines.predicted), share(lines.right, lines.truth)
    both = np.nan_to_num(precision) + np.nan_to_num(recall)
    f1 = np.where(both > 0, share(2 * np.nan_to_num(precision) * np.nan_to_num(recall), both), 0.0)
    return rates(counts.areas).iou, np.where(lines.truth + lines.predicted > 0, f1, np.nan), precision, recall


def boundary_result(
    images: BoundaryCounts, classes: Sequence[str], options: Boundaries, absent_excluded: bool = False
) -> BoundaryResult:
    """Return the measurements of all images, whose pixels are added up; of HD95 the mean over images.

    ``images`` are the counts (images, classes). Means over classes are taken as those of the IoU of whole areas.
    """
    whole = images.over_images()
    iou, f1, precision, recall = boundary_rates(whole)
    measured = (~np.isnan(images.hd95)).sum(0)
    return {
        "width": str(options.width),
        "tolerance": str(options.tolerance),
        "hd95_unit": options.unit,
        "mean_iou": defined(mean_over_classes(iou, whole.areas, absent_excluded)),
        "mean_f1": defined(mean_over_classes(f1, whole.lines, absent_excluded)),
        "mean_hd95": defined(mean_over_classes(whole.hd95, whole.lines, absent_excluded)),
        "per_class": [
            {
                "name": name,
                "iou": defined(iou[i]),
                "f1": defined(f1[i]),
                "precision": defined(precision[i]),
                "recall": defined(recall[i]),
                "hd95": defined(whole.hd95[i]),
                "hd95_images": int(measured[i]),
                "one_sided_images": int(whole.one_sided[i]),
            }
            for i, name in enumerate(classes)
        ],
    }
