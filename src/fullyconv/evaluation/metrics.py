"""The paper's four metrics (section 5, "Metrics") and the table per class, from a confusion matrix."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from fullyconv.data import IGNORE
from fullyconv.errors import DataError

METRICS = {
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iou": "mean IoU",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
"""The paper's four, in its order, and what they are called."""


class ClassResult(TypedDict):
    """One class; a rate is None where it has no meaning (see ``metrics``)."""

    name: str
    iou: float | None
    accuracy: float | None
    pixels: int


class Result(TypedDict):
    """What ``evaluation.json`` holds; rates are fractions in 0..1."""

    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iou: float | None
    frequency_weighted_iou: float | None
    per_class: list[ClassResult]
    confusion: list[list[int]]
    images: int
    split: str
    heads: NotRequired[dict[str, "Result"]]
    """Where images have several labelings: each one's result. The entries beside this one are the first's."""


class ConfusionMatrix(MulticlassConfusionMatrix):
    """Pixels by true class (rows) and predicted class (columns), those marked ``IGNORE`` left out.

    Accumulates over calls and sums over processes, as every torchmetrics metric does. Counting is our own
    because torchmetrics counts through a (pixels, classes²) table, gigabytes for one image, where
    deterministic algorithms are asked for. Counts of integers are exact in any order.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, ignore_index=IGNORE, validate_args=False)

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
                    f"0..{self.num_classes - 1}, and {IGNORE} marks pixels without one"
                )
        pairs = torch.bincount(truth * self.num_classes + labels, minlength=self.num_classes**2)
        self.confmat += pairs.reshape(self.num_classes, self.num_classes)


def _size(labels: Tensor) -> str:
    return "×".join(str(length) for length in labels.shape[-2:])


def one_count(labels: Tensor, heads: Mapping[str, int] | None) -> Tensor:
    """Labels (..., K, H, W) that count from 0 for each of K heads → the same counting through all heads' classes."""
    if heads is None:
        return labels
    first = torch.tensor([0, *accumulate(heads.values())][:-1], device=labels.device)[:, None, None]
    return torch.where(labels == IGNORE, IGNORE, labels.long() + first)


def metrics_of_heads(
    confusion: ArrayLike | Tensor,
    classes: Sequence[str],
    heads: Mapping[str, int] | None,
    images: int = 0,
    split: str = "",
    absent_excluded: bool = False,
) -> Result:
    """As ``metrics``, for each head's classes alone; what stands for the whole is the first head's."""
    if heads is None:
        return metrics(confusion, classes, images, split, absent_excluded)
    counts = np.asarray(confusion)
    results: dict[str, Result] = {}
    first = 0
    for name, size in heads.items():
        own = slice(first, first + size)
        results[name] = metrics(counts[own, own], classes[own], images, split, absent_excluded)
        first += size
    return {**next(iter(results.values())), "heads": results}


def metrics(
    confusion: ArrayLike | Tensor,
    classes: Sequence[str],
    images: int = 0,
    split: str = "",
    absent_excluded: bool = False,
) -> Result:
    """The four metrics of a (C, C) confusion matrix (rows: truth), as ``evaluation.json`` holds them.

    With n_ij the pixels of class i labelled j and t_i = Σ_j n_ij (section 5 of the paper):

    * pixel accuracy: Σ_i n_ii / Σ_i t_i
    * mean accuracy: the mean of n_ii / t_i, over the classes that occur in the truth
    * mean IU: the mean of n_ii / (t_i + Σ_j n_ji − n_ii), over the classes that occur in truth or prediction
    * frequency-weighted IU: Σ_i t_i · IU_i / Σ_i t_i

    A class in neither truth nor prediction has ``iou`` None and is left out of the mean. One that is only
    predicted has IU 0, which counts (unless ``absent_excluded``, as the paper's section 5 has it for SIFT Flow), and
    ``accuracy`` None. With no pixel at all the four are None too.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    right, truth, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    union = truth + predicted - right
    in_truth, seen = truth > 0, union > 0
    accuracy = right / np.where(in_truth, truth, 1)
    iou = right / np.where(seen, union, 1)
    total = int(truth.sum())
    return {
        "pixel_accuracy": int(right.sum()) / total if total else None,
        "mean_accuracy": float(accuracy[in_truth].mean()) if total else None,
        "mean_iou": float(iou[in_truth if absent_excluded else seen].mean()) if total else None,
        "frequency_weighted_iou": float((truth * iou).sum() / total) if total else None,
        "per_class": [
            {
                "name": name,
                "iou": float(iou[i]) if seen[i] else None,
                "accuracy": float(accuracy[i]) if in_truth[i] else None,
                "pixels": int(truth[i]),
            }
            for i, name in enumerate(classes)
        ],
        "confusion": counts.tolist(),
        "images": images,
        "split": split,
    }
