"""How far the measurements would move with other images: bootstrap intervals over images, of one network or of two."""

from collections.abc import Iterator

import numpy as np

from fullyconv.evaluation.metrics import Counts, Rates, mean_over_classes, rates
from fullyconv.evaluation.result import Result

RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 0
_LARGEST_DRAW = 10_000_000
"""Most numbers drawn at once: 80 MB."""


def resampled(counts: Counts, seed: int = SEED) -> Counts:
    """Draw as many images as there are, with replacement, ``RESAMPLES`` times, and add up the pixels of those drawn.

    ``counts`` are those of each image, (images, classes); the result is (RESAMPLES, classes). The same seed draws the
    same images, so that two networks can be compared on each draw.
    """
    images = len(counts.truth)
    by_image = np.concatenate(counts, 1).astype(np.float64)  # the sums are exact up to 2^53 pixels
    sums = np.concatenate([drawn @ by_image for drawn in _draws(images, seed)])
    return Counts(*np.split(sums, 3, axis=1))


def _draws(images: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each image is drawn, (draws, images), in all ``RESAMPLES`` draws."""
    random, left = np.random.default_rng(seed), RESAMPLES
    while left:
        draws = min(left, max(1, _LARGEST_DRAW // images))
        yield random.multinomial(images, np.full(images, 1 / images), size=draws)
        left -= draws


def interval(values: np.ndarray) -> list[float] | None:
    """Return the bounds of the middle 95% of resampled values (RESAMPLES,); None where all are NaN."""
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    tail = (1 - CONFIDENCE) / 2
    return [float(bound) for bound in np.quantile(known, (tail, 1 - tail))]


def with_intervals(result: Result, counts: Counts, absent_excluded: bool = False) -> Result:
    """Return ``result`` with the intervals of the mean IoU and of each class's IoU, also in each of its heads.

    ``counts`` are those of each image, (images, classes of all heads). With a single image there is nothing to
    resample, and no interval.
    """
    if len(counts.truth) < 2:
        return result
    drawn = resampled(counts)
    heads = result.get("heads")
    if heads is None:
        return _with_intervals(result, drawn, absent_excluded)
    done, first = {}, 0
    for name, own in heads.items():
        size = len(own["per_class"])
        of_head = drawn.of_classes(slice(first, first + size))
        done[name] = _with_intervals(own, of_head, absent_excluded)
        first += size
    return {**next(iter(done.values())), "heads": done}


def _with_intervals(result: Result, drawn: Counts, absent_excluded: bool) -> Result:
    own: Rates = rates(drawn)
    done: Result = {
        **result,
        "mean_iou_interval": interval(mean_over_classes(own.iou, drawn, absent_excluded)),
        "per_class": [
            {**row, "iou_interval": interval(iou)} for row, iou in zip(result["per_class"], own.iou.T, strict=True)
        ],
    }
    return done
