"""What can be measured beside the rates of whole areas: boundaries, calibration, and thresholds of two classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from fullyconv.errors import ConfigError
from fullyconv.evaluation.boundary import (
    Boundaries,
    BoundaryCounts,
    Length,
    Spacing,
    Written,
    boundary_counts,
    boundary_result,
    read_spacing,
)
from fullyconv.evaluation.calibration import Reliability
from fullyconv.evaluation.result import Result
from fullyconv.evaluation.thresholds import ThresholdCurve
from fullyconv.model.segmenter import Segmenter


@dataclass(frozen=True)
class Further:
    """What is asked for. ``chosen_threshold``: the best on the split val, whose rates are given too."""

    boundary: Boundaries | None = None
    calibration: bool = False
    threshold_curve: bool = False
    chosen_threshold: float | None = None

    @property
    def needs_confidence(self) -> bool:
        """Whether the probability of each label is needed."""
        return self.calibration or self.threshold_curve

    def require_fit(self, net: Segmenter) -> None:
        """Raise ConfigError for a curve of thresholds of a network without two classes and one labeling."""
        if self.threshold_curve and (net.heads or len(net.classes) != 2):
            has = f"{len(net.heads)} labelings" if net.heads else f"{len(net.classes)} classes"
            raise ConfigError(f"--threshold-curve is for networks of two classes; {net.name} has {has}: leave it out.")


def asked(
    boundary: bool = False,
    boundary_width: Written | None = None,
    boundary_tolerance: Written | None = None,
    spacing: str | float | Spacing | None = None,
    calibration: bool = False,
    threshold_curve: bool = False,
) -> Further:
    """Return what options of ``evaluate`` ask for. Raises ConfigError for those that mean nothing."""
    of_boundary = {
        "--boundary-width": boundary_width,
        "--boundary-tolerance": boundary_tolerance,
        "--spacing": spacing,
    }
    if not boundary:
        if alone := [name for name, value in of_boundary.items() if value is not None]:
            raise ConfigError(f"{' and '.join(alone)} {'are' if alone[1:] else 'is'} for --boundary: add it.")
        return Further(None, calibration, threshold_curve)
    options = Boundaries()
    if boundary_width is not None:
        options = replace(options, width=Length.read(boundary_width, "--boundary-width"))
    if boundary_tolerance is not None:
        options = replace(options, tolerance=Length.read(boundary_tolerance, "--boundary-tolerance"))
    if spacing is not None:
        height, width = read_spacing(spacing)
        options = replace(options, spacing=(height, width), unit=f"the unit of the spacing {height:g}x{width:g}")
    return Further(options, calibration, threshold_curve)


class Labelled(NamedTuple):
    """One image's truth and labels, uint8 (heads, H, W), and the probability of each label, float32, if needed."""

    truth: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray | None


class Collected:
    """What is asked for of a network, collected image by image.

    ``spacings`` are the images' sizes of a pixel in metres, where they are known. Raises ConfigError as
    ``Further.require_fit``.
    """

    def __init__(self, further: Further, net: Segmenter, spacings: Sequence[Spacing] | None = None) -> None:
        further.require_fit(net)
        names = list(net.classes)
        self.further, self.spacings = further, spacings
        ends = list(accumulate(net.heads.values() if net.heads else [len(names)], initial=0))
        self.heads = [_Head(names[first:end], further) for first, end in pairwise(ends)]

    def add(self, image: Labelled) -> None:
        """Measure an image: the next in order."""
        options = self.further.boundary
        if options is not None and self.spacings is not None:
            options = replace(options, spacing=self.spacings[len(self.heads[0].boundaries)])
        for index, head in enumerate(self.heads):
            confidence = None if image.confidence is None else image.confidence[index]
            head.add(image.truth[index], image.labels[index], confidence, options)

    def of_images(self) -> list[BoundaryCounts]:
        """Return the counts at boundaries of each head, (images, classes); empty where they are not asked for."""
        return [BoundaryCounts.stacked(head.boundaries) for head in self.heads if head.boundaries]

    def added_to(self, result: Result, absent_excluded: bool) -> Result:
        """Return the measurements with what was collected, in each head."""
        options = self.further.boundary
        if options is not None and self.spacings is not None:
            options = replace(options, unit="metres")
        results = result.get("heads", {"": result})
        done = [
            head.added_to(own, options, absent_excluded) for head, own in zip(self.heads, results.values(), strict=True)
        ]
        return {**done[0], "heads": dict(zip(results, done, strict=True))} if "heads" in result else done[0]


class _Head:
    """What is collected of one labeling."""

    def __init__(self, classes: list[str], further: Further) -> None:
        self.classes = classes
        self.boundaries: list[BoundaryCounts] = []
        """Those of each image."""
        self.reliability = Reliability(classes) if further.calibration else None
        self.thresholds = ThresholdCurve(classes, further.chosen_threshold) if further.threshold_curve else None

    def add(
        self, truth: np.ndarray, labels: np.ndarray, confidence: np.ndarray | None, options: Boundaries | None
    ) -> None:
        if options is not None:
            self.boundaries.append(boundary_counts(truth, labels, len(self.classes), options))
        for histogram in (self.reliability, self.thresholds):
            if histogram is not None and confidence is not None:
                histogram.add(truth, labels, confidence)

    def added_to(self, result: Result, options: Boundaries | None, absent_excluded: bool) -> Result:
        added: Result = {**result}
        if options is not None:
            counts = BoundaryCounts.stacked(self.boundaries)
            added["boundary"] = boundary_result(counts, self.classes, options, absent_excluded)
        if self.reliability is not None:
            added["calibration"] = self.reliability.result()
        if self.thresholds is not None:
            added["thresholds"] = self.thresholds.result()
        return added
