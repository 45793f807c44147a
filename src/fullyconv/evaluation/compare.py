"""Which of two networks is better on the same images, and how sure that is: a paired bootstrap over images."""

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np

from fullyconv.classes import difference
from fullyconv.data import Data
from fullyconv.errors import ConfigError, DataError
from fullyconv.evaluation.bootstrap import CONFIDENCE, RESAMPLES, interval, resampled
from fullyconv.evaluation.measure import measure
from fullyconv.evaluation.metrics import Counts, defined, mean_over_classes, rates
from fullyconv.model.segmenter import Segmenter


class Difference(TypedDict):
    """A rate of the first and the second network, and by how much the second's is higher; None where undefined."""

    name: str
    first: float | None
    second: float | None
    difference: float | None
    interval: list[float] | None
    """The 95% interval of the difference over images."""


class PairedResult(TypedDict):
    """The comparison of two networks, as it is written to a file."""

    models: list[str]
    split: str
    images: int
    mean_iou: Difference
    p: float
    """The two-sided p-value of the difference in mean IoU."""
    per_class: list[Difference]
    """The same for the IoU of each class."""
    verdict: str


def require_comparable(nets: tuple[Segmenter, Segmenter], models: tuple[str, str]) -> None:
    """Raise ConfigError unless both networks have the same classes in the same order, and one labeling."""
    first, second = nets
    if [*first.classes] != [*second.classes] or first.heads or second.heads:
        differs = difference(second.classes, first.classes) or "not the same names, or several labelings"
        raise ConfigError(
            f"{models[1]} cannot be compared with {models[0]}: {differs}. Expected two networks with the same classes "
            "in the same order, and one labeling."
        )


def compare_networks(
    nets: tuple[Segmenter, Segmenter],
    models: tuple[str, str],
    data: Data,
    split: str,
    progress: Callable[[int, int | None], None] | None = None,
) -> PairedResult:
    """Measure two networks on a split of the data, one after the other, and compare them."""
    first, second = (measure(net, data, split, progress) for net in nets)
    return compare(first.counts, second.counts, nets[0].classes, models, split, first.absent_excluded)


def compare(
    first: Counts,
    second: Counts,
    classes: Sequence[str],
    models: tuple[str, str],
    split: str = "",
    absent_excluded: bool = False,
) -> PairedResult:
    """Compare two networks' counts of the same images in the same order, each (images, classes).

    In each of the bootstrap's draws both networks are measured on the images drawn, so that what makes an image hard
    for both cancels. The p-value is twice the share of draws in which the difference has the other sign or is 0, of one
    draw more than there were, but at least what a sign test gives where all images speak for one network: few images
    that agree by chance would else seem to be sure. Raises DataError for a single image, which cannot tell.
    """
    images = len(first.truth)
    if images < 2:
        raise DataError(f"the split {split!r} has one image; to compare networks takes at least two, better 20 or more")
    whole = [counts.over_images() for counts in (first, second)]
    drawn = [resampled(counts) for counts in (first, second)]
    of_classes, drawn_of_classes = ([rates(counts).iou for counts in both] for both in (whole, drawn))
    means = [mean_over_classes(iou, own, absent_excluded) for iou, own in zip(of_classes, whole, strict=True)]
    drawn_means = [
        mean_over_classes(iou, own, absent_excluded) for iou, own in zip(drawn_of_classes, drawn, strict=True)
    ]
    mean = _difference("mean IoU", means[0], means[1], drawn_means[1] - drawn_means[0])
    p = max(_p_value(drawn_means[1] - drawn_means[0]), 2.0 ** (1 - images))
    return {
        "models": [*models],
        "split": split,
        "images": images,
        "mean_iou": mean,
        "p": p,
        "per_class": [
            _difference(name, of_classes[0][i], of_classes[1][i], drawn_of_classes[1][:, i] - drawn_of_classes[0][:, i])
            for i, name in enumerate(classes)
        ],
        "verdict": _verdict(mean, p, models, images),
    }


def _difference(name: str, first: np.ndarray, second: np.ndarray, drawn: np.ndarray) -> Difference:
    return {
        "name": name,
        "first": defined(first),
        "second": defined(second),
        "difference": defined(second - first),
        "interval": interval(drawn),
    }


def _p_value(drawn: np.ndarray) -> float:
    known = drawn[~np.isnan(drawn)]
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(known)))


def _verdict(mean: Difference, p: float, models: tuple[str, str], images: int) -> str:
    """Say in a sentence which network is better, or that the images do not tell."""
    difference, bounds = mean["difference"], mean["interval"]
    if difference is None or bounds is None:
        return "No pixel has a class: nothing can be compared."
    higher, lower = models[::-1] if difference >= 0 else models
    low, high = bounds if difference >= 0 else (-bounds[1], -bounds[0])
    figures = (
        f"{100 * abs(difference):.1f} points higher (95% interval {100 * low:.1f} to {100 * high:.1f}, "
        f"p {f'= {p:.3f}' if p > 2 / RESAMPLES else '< 0.002'}, {images} images)"
    )
    if low > 0 and p < 1 - CONFIDENCE:
        return f"{higher} is better than {lower}: its mean IoU is {figures}."
    if not difference:
        return f"The mean IoU of {models[0]} and {models[1]} is the same on these {images} images."
    return f"These images do not tell which is better: the mean IoU of {higher} is {figures}."
