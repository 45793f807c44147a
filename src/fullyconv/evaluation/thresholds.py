"""How the second of two classes is found where pixels are given it from another probability on than one half.

A histogram of its probability in steps of 1/``STEPS`` holds all that is needed, exactly for probabilities rounded down
to these steps.
"""

import json
from pathlib import Path

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.evaluation.calibration import of_second
from fullyconv.evaluation.metrics import defined, share
from fullyconv.evaluation.result import ThresholdRates, ThresholdResult

STEPS = 10_000
SHOWN = 100
"""Steps of the curve in the result."""


class ThresholdCurve:
    """The pixels of one labeling of two classes by their truth and their probability of the second."""

    def __init__(self, classes: list[str], chosen: float | None = None) -> None:
        """``chosen``: the threshold that was the best on other images."""
        self.name, self.chosen = classes[1], chosen
        self.pixels = np.zeros((2, STEPS + 1), np.int64)

    def add(self, truth: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> None:
        """Count an image's pixels. All are (H, W); ``confidence`` has the probability of the label of each."""
        known = truth != IGNORE
        probability = of_second(labels[known], confidence[known].astype(np.float64))
        places = (STEPS + 1) * truth[known].astype(np.int64) + (probability * STEPS).astype(np.int64)
        self.pixels += np.bincount(places, minlength=self.pixels.size).reshape(self.pixels.shape)

    def result(self) -> ThresholdResult:
        """Return the rates at each threshold, the best by F1, and the area below precision over recall.

        That is the average precision: the sum of precision times the gain in recall, from the highest threshold down,
        without interpolation.
        """
        wrong, right = self.pixels[:, ::-1].cumsum(1)[:, ::-1]  # at and above each threshold
        true = right[0]
        precision, recall = share(right, right + wrong), share(right, np.full_like(right, true))
        f1, iou = share(2 * right, true + right + wrong), share(right, true + wrong)

        def rates(step: int) -> ThresholdRates:
            return {
                "threshold": step / STEPS,
                "precision": defined(precision[step]),
                "recall": defined(recall[step]),
                "f1": defined(f1[step]),
                "iou": defined(iou[step]),
            }

        result: ThresholdResult = {
            "name": self.name,
            "average_precision": float((self.pixels[1] / true * np.nan_to_num(precision)).sum()) if true else None,
            "half": rates(STEPS // 2),
            "best": rates(_best(f1)) if true else None,
            "curve": [rates(step) for step in range(0, STEPS + 1, STEPS // SHOWN)],
        }
        return result if self.chosen is None else {**result, "chosen": rates(round(self.chosen * STEPS))}


def _best(f1: np.ndarray) -> int:
    """Return the step of the highest F1; of several the nearest to one half."""
    highest = np.flatnonzero(f1 == np.nanmax(f1))
    return int(highest[np.abs(highest - STEPS // 2).argmin()])


def named_rates(result: ThresholdResult) -> dict[str, ThresholdRates]:
    """Return the rates at the thresholds that have a name: of the labels, the best on val, and the best here."""
    named = {"as labelled": result["half"]}
    if "chosen" in result:
        named["best on val"] = result["chosen"]
    if result["best"] is not None:
        named["best here"] = result["best"]
    return named


def best_threshold(measurements: Path) -> float | None:
    """Return the best threshold in a file of measurements; None if there is no such file, or it has none."""
    try:
        found = json.loads(measurements.read_text(encoding="utf-8"))["thresholds"]["best"]["threshold"]
        return float(found) if 0 <= found <= 1 else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
