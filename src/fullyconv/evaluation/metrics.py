"""The paper's four metrics (section 5, "Metrics") and those of each class, from a confusion matrix."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal, NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torchmetrics import Metric

from fullyconv.data import IGNORE
from fullyconv.errors import DataError

Metrics = Literal["pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"]
METRICS: dict[Metrics, str] = {
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iou": "mean IoU",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
"""The paper's four metrics in its order: key in ``evaluation.json`` → name."""


class ClassResult(TypedDict):
    """How one class was labelled; a rate is None where it is undefined (see ``metrics``)."""

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
    """The result of each labeling, where images have several; the entries beside this one are the first labeling's."""


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

    A class in neither truth nor prediction has ``iou`` None and is left out of the mean. One that is only
    predicted has IU 0, which counts (unless ``absent_excluded``, as the paper's section 5 has it for SIFT Flow), and
    ``accuracy`` None. With no pixel at all the four are None too.
    """
    counts = _square(confusion, len(classes))
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
