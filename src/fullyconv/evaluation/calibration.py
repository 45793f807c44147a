"""Whether probabilities are what they say: of the pixels that are given 80%, are 80% right?

With two classes it is the probability of the second that is measured, wherever it lies; with more, that of each pixel's
label. A histogram holds all that is needed: the probabilities of a class at every pixel are never kept.
"""

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.evaluation.metrics import defined, share
from fullyconv.evaluation.result import CalibrationResult

BINS = 15
"""Ranges of probability of equal width, as Guo et al. have them (ICML 2017)."""


class Reliability:
    """The pixels of one labeling by their probability: how many, the sum of it, and for how many it came true."""

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes
        self.pixels, self.right = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
        self.probability = np.zeros(BINS)

    def add(self, truth: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> None:
        """Count an image's pixels. All are (H, W); ``confidence`` has the probability of the label of each."""
        known = truth != IGNORE
        truth, labels, probability = truth[known], labels[known], confidence[known].astype(np.float64)
        right = truth == labels
        if len(self.classes) == 2:
            probability, right = of_second(labels, probability), truth == 1
        bins = np.minimum((probability * BINS).astype(int), BINS - 1)
        self.pixels += np.bincount(bins, minlength=BINS)
        self.right += np.bincount(bins[right], minlength=BINS)
        self.probability += np.bincount(bins, weights=probability, minlength=BINS)

    def result(self) -> CalibrationResult:
        """Return the table of the bins, and the mean distance of probability and frequency (ECE), by pixels."""
        total = self.pixels.sum()
        probability, frequency = share(self.probability, self.pixels), share(self.right, self.pixels)
        distance = np.abs(self.probability - self.right).sum()
        return {
            "of": self.classes[1] if len(self.classes) == 2 else "the labels",
            "ece": defined(share(distance, total)),
            "probability": defined(share(self.probability.sum(), total)),
            "frequency": defined(share(self.right.sum(), total)),
            "bins": [
                {
                    "low": index / BINS,
                    "high": (index + 1) / BINS,
                    "pixels": int(self.pixels[index]),
                    "probability": defined(probability[index]),
                    "frequency": defined(frequency[index]),
                }
                for index in range(BINS)
            ],
        }


def of_second(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the probability of the second of two classes from that of the label."""
    return np.where(labels == 1, probability, 1 - probability)
