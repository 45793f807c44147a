"""The paper's four metrics (section 5, "Metrics") and those of each class, from a confusion matrix."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torchmetrics import Metric

from fullyconv.data import IGNORE
from fullyconv.errors import DataError
from fullyconv.evaluation.result import Result

Metrics = Literal["pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"]
METRICS: dict[Metrics, str] = {
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iou": "mean IoU",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
"""The paper's four metrics in its order: key in ``evaluation.json`` → name."""


class Counts(NamedTuple):
    """The pixels of each class, integers (..., classes), of which all of its rates are made."""

    right: np.ndarray
    """Those of the class that are labelled so."""
    truth: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, confusion: np.ndarray) -> "Counts":
        """Count in a confusion matrix (classes, classes)."""
        return cls(np.diag(confusion), confusion.sum(1), confusion.sum(0))

    @classmethod
    def stacked(cls, counts: "Sequence[Counts]") -> "Counts":
        """Stack the counts of images, each (classes,), to (images, classes)."""
        return cls(*(np.stack(part) for part in zip(*counts, strict=True)))

    def of_classes(self, classes: slice) -> "Counts":
        """Return the counts of these classes, as of one labeling."""
        return Counts(*(part[..., classes] for part in self))

    def over_images(self) -> "Counts":
        """Add up the counts (images, classes) of all images."""
        return Counts(*(part.sum(0) for part in self))


class Rates(NamedTuple):
    """The rates of each class, (..., classes); NaN where they are undefined."""

    iou: np.ndarray
    dice: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


class ConfusionMatrix(Metric):
    """Count pixels by true class (rows) and predicted class (columns), leaving out those marked ``IGNORE``.

    Accumulates over calls and sums over processes, as every torchmetrics metric does. torchmetrics' own confusion
    matrix takes gigabytes for one image where deterministic algorithms are required, as it then counts through a
    (pixels, classes²) table. Here sums of integers are exact in any order.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("counts", torch.zeros(num_classes, num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count labels ``preds`` against the truth ``target``: integers, (N, H, W) or (H, W).

        Raises DataError where the shapes differ or a value is neither a class nor ``IGNORE``.
        """
        if preds.shape != target.shape:
            raise DataError(f"the mask is {_size(target)} pixels, its image {_size(preds)}; they must be equal")
        known = target != IGNORE
        truth, labels = target[known].long(), preds[known].long()
        for what, values in (("mask", truth), ("prediction", labels)):
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < self.num_classes:
                raise DataError(
                    f"the {what} holds values {int(values.min())}..{int(values.max())}; the classes are "
                    f"0..{self.num_classes - 1}, and {IGNORE} marks pixels without a class"
                )
        pairs = torch.bincount(truth * self.num_classes + labels, minlength=self.num_classes**2)
        self.counts = self.counts + pairs.reshape(self.num_classes, self.num_classes)

    def compute(self) -> Tensor:
        """Return the counts so far, (classes, classes) int64; torchmetrics squeezes those of a single class."""
        return self.counts


def _size(labels: Tensor) -> str:
    return "×".join(str(length) for length in labels.shape[-2:])


def joint_labels(labels: Tensor, heads: Mapping[str, int] | None) -> Tensor:
    """Renumber labels (..., K, H, W), from 0 in each of K heads, as indices into the classes of all heads.

    Without heads the labels are returned unchanged.
    """
    if heads is None:
        return labels
    first = torch.tensor([0, *accumulate(heads.values())][:-1], device=labels.device)[:, None, None]
    return torch.where(labels == IGNORE, IGNORE, labels.long() + first)


def _square(confusion: ArrayLike | Tensor, classes: int) -> np.ndarray:
    return np.asarray(confusion, dtype=np.int64).reshape(classes, classes)


def metrics_of_heads(
    confusion: ArrayLike | Tensor,
    classes: Sequence[str],
    heads: Mapping[str, int] | None,
    images: int = 0,
    split: str = "",
    absent_excluded: bool = False,
) -> Result:
    """Compute ``metrics`` of each head's classes; the entries beside ``heads`` are those of the first head."""
    if heads is None:
        return metrics(confusion, classes, images, split, absent_excluded)
    counts = _square(confusion, len(classes))
    results: dict[str, Result] = {}
    first = 0
    for name, size in heads.items():
        own = slice(first, first + size)
        results[name] = metrics(counts[own, own], classes[own], images, split, absent_excluded)
        first += size
    return {**next(iter(results.values())), "heads": results}


def rates(counts: Counts) -> Rates:
    """Compute IoU, Dice, precision and recall of each class.

    A class in neither truth nor prediction has none of them, one that is not predicted no precision, and one that is
    not in the truth no recall.
    """
    right, truth, predicted = counts
    return Rates(
        iou=share(right, truth + predicted - right),
        dice=share(2 * right, truth + predicted),
        precision=share(right, predicted),
        recall=share(right, truth),
    )


def mean_over_classes(values: np.ndarray, counts: Counts, absent_excluded: bool = False) -> np.ndarray:
    """Return the mean over the last axis of a rate (..., classes) where it is defined; NaN where it is nowhere.

    ``absent_excluded`` leaves out classes that are not in the truth.
    """
    counted = ~np.isnan(values) & ((counts.truth > 0) if absent_excluded else True)
    return share(np.where(counted, values, 0).sum(-1), counted.sum(-1))


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, element by element; NaN where ``whole`` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def metrics(
    confusion: ArrayLike | Tensor,
    classes: Sequence[str],
    images: int = 0,
    split: str = "",
    absent_excluded: bool = False,
) -> Result:
    """Compute the paper's four metrics from a (C, C) confusion matrix (rows: truth), as ``evaluation.json`` has them.

    With n_ij the pixels of class i labelled j and t_i = Σ_j n_ij (section 5 of the paper):

    * pixel accuracy: Σ_i n_ii / Σ_i t_i
    * mean accuracy: the mean of n_ii / t_i, over the classes that occur in the truth
    * mean IU: the mean of n_ii / (t_i + Σ_j n_ji − n_ii), over the classes that occur in truth or prediction
    * frequency-weighted IU: Σ_i t_i · IU_i / Σ_i t_i

    and further those that other fields ask for, Dice (F1), precision and recall. A rate that is undefined (see
    ``rates``) is None and left out of the mean. A class that is only predicted has IU and Dice 0, which count (unless
    ``absent_excluded``, as the paper's section 5 has it for SIFT Flow). With no pixel at all the means are None too.
    """
    matrix = _square(confusion, len(classes))
    counts = Counts.of(matrix)
    own = rates(counts)
    total = int(counts.truth.sum())

    def mean(values: np.ndarray) -> float | None:
        return defined(mean_over_classes(values, counts, absent_excluded)) if total else None

    recall, weighted = mean(own.recall), counts.truth * np.nan_to_num(own.iou)
    return {
        "pixel_accuracy": int(counts.right.sum()) / total if total else None,
        "mean_accuracy": recall,
        "mean_iou": mean(own.iou),
        "frequency_weighted_iou": float(weighted.sum() / total) if total else None,
        "mean_dice": mean(own.dice),
        "mean_precision": mean(own.precision),
        "mean_recall": recall,
        "per_class": [
            {
                "name": name,
                "iou": defined(own.iou[i]),
                "dice": defined(own.dice[i]),
                "precision": defined(own.precision[i]),
                "recall": defined(own.recall[i]),
                "accuracy": defined(own.recall[i]),
                "pixels": int(counts.truth[i]),
            }
            for i, name in enumerate(classes)
        ],
        "confusion": matrix.tolist(),
        "images": images,
        "split": split,
    }


def defined(value: float | np.ndarray) -> float | None:
    """Return a number, or None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)
