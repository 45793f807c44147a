"""Measure a network on a data set: every image whole and at its own size, one at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchmetrics import SumMetric

from fullyconv.data.dataset import Examples
from fullyconv.data.loaders import killed_loaders_explained
from fullyconv.errors import DataError
from fullyconv.evaluation.further import Collected, Labelled
from fullyconv.evaluation.metrics import ConfusionMatrix, Counts, joint_labels, metrics_of_heads
from fullyconv.evaluation.result import Result
from fullyconv.model.segmenter import Segmenter
from fullyconv.results.figures import displayable

Example = tuple[Tensor, Tensor, int]
"""An image (C, H, W), its mask, (H, W) or (K, H, W) for K heads, and its number."""


@dataclass(frozen=True)
class ImageScore:
    """The metrics of one image; None where it has no pixel with a class."""

    index: int
    name: str
    mean_iou: float | None
    pixel_accuracy: float | None
    counts: Counts
    """The pixels of each class, (classes,); with heads those of all heads, one after the other."""


@dataclass(frozen=True)
class Comparison:
    """One image, (H, W, 3) uint8, beside its truth and its prediction, (H, W) uint8."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    mean_iou: float


@killed_loaders_explained("Free some memory and evaluate again.")
def evaluate(
    net: Segmenter,
    examples: Examples | Iterable[Example],
    split: str = "",
    names: Sequence[str] | None = None,
    workers: int = 2,
    progress: Callable[[int, int | None], None] | None = None,
    absent_excluded: bool = False,
    collected: Collected | None = None,
) -> tuple[Result, list[ImageScore]]:
    """Return the metrics of ``net`` over all ``examples``, and those of each image.

    - ``net``: stays on its device and in its mode (training or evaluation).
    - ``examples``: a data set, which ``workers`` processes load, or any iterable.
    - ``names``: the images' names, in order.
    - ``progress``: called with the images done and their total (None if unknown) after each image.
    - ``absent_excluded``: see ``metrics``.
    - ``collected``: collects what else is asked for of each image, in order.

    Under DDP each process measures its own part of the data; the metrics are those of all parts, the scores and what is
    collected those of this process's images.

    Raises DataError for a mask that does not fit its image or the classes and where no pixel has a class, LoaderError
    where the system kills a process that loads images.
    """
    confusion, images = ConfusionMatrix(len(net.classes)).to(net.device), SumMetric().to(net.device)
    total = len(examples) if isinstance(examples, Sized) else None
    scores: list[ImageScore] = []
    for index, (image, mask) in enumerate(_load(examples, workers)):
        name = names[index] if names else f"image {index}"
        try:
            labels, confidence = _labelled(net, image, collected is not None and collected.further.needs_confidence)
            counts = confusion(*(joint_labels(x, net.heads) for x in (labels, mask.to(net.device))))
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        images.update(1)
        if collected is not None:
            collected.add(Labelled(_planes(mask), _planes(labels), confidence))
        matrix = counts.cpu().numpy().reshape(len(net.classes), -1)
        own = metrics_of_heads(matrix, net.classes, net.heads)
        scores.append(ImageScore(index, name, own["mean_iou"], own["pixel_accuracy"], Counts.of(matrix)))
        if progress:
            progress(index + 1, total)
    if not scores:
        raise DataError(f"there is nothing to evaluate: the split {split!r} has no image with a mask")
    total_counts, count = confusion.compute().cpu(), int(images.compute())
    if not total_counts.any():
        raise DataError(
            f"there is nothing to measure: no pixel of the {count} images of the split {split!r} has a class, all are "
            "void; see that the masks and the value of void (ignore_index) are what they should be"
        )
    return metrics_of_heads(total_counts, net.classes, net.heads, count, split, absent_excluded), scores


def best_and_worst(
    net: Segmenter, dataset: Examples, scores: Sequence[ImageScore], count: int = 3
) -> tuple[list[Comparison], list[Comparison]]:
    """Return the ``count`` images of highest mean IoU, best first, and as many of the lowest, worst first.

    ``dataset[i]`` is the example of ``ImageScore.index`` i; only the chosen images are predicted again. No image is in
    both lists.
    """
    scored = [score for score in scores if score.mean_iou is not None]
    ranked = sorted(scored, key=lambda score: score.mean_iou or 0.0, reverse=True)
    count = min(count, (len(ranked) + 1) // 2)
    best = [_compare(net, dataset, score) for score in ranked[:count]]
    worst = [_compare(net, dataset, score) for score in ranked[count:][::-1][:count]]
    return best, worst


def _compare(net: Segmenter, dataset: Examples, score: ImageScore) -> Comparison:
    image, mask, _ = dataset[score.index]
    prediction = _predict(net, image).cpu().numpy().astype(np.uint8)
    truth = mask.cpu().numpy().astype(np.uint8)
    if net.heads:
        prediction, truth = prediction[0], truth[0]
    return Comparison(score.name, displayable(image), truth, prediction, score.mean_iou or 0.0)


def _load(examples: Examples | Iterable[Example], workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the image and the mask of each example; a data set is read ahead by ``workers`` processes."""
    stream = cast(Iterable[Example], examples)
    if hasattr(examples, "__getitem__"):
        stream = DataLoader(cast(Dataset, examples), batch_size=1, num_workers=workers, collate_fn=_only)
    for image, mask, _ in stream:
        yield image, mask


def _only(batch: list[Example]) -> Example:
    return batch[0]


@torch.inference_mode()
def _labelled(net: Segmenter, image: Tensor, with_confidence: bool) -> tuple[Tensor, np.ndarray | None]:
    """Label one image as ``_predict``, and return the probability of each label, (K, H, W), if asked."""
    if not with_confidence:
        return _predict(net, image), None
    labels, confidence = net.labels_and_confidence(image[None].to(net.device))
    return labels[0], confidence[0].cpu().numpy().reshape(-1, *image.shape[1:])


def _planes(labels: Tensor) -> np.ndarray:
    """Labels (H, W) or (K, H, W) → uint8 (K, H, W)."""
    return labels.cpu().numpy().astype(np.uint8).reshape(-1, *labels.shape[-2:])


@torch.inference_mode()
def _predict(net: Segmenter, image: Tensor) -> Tensor:
    """Label one image (C, H, W) on the network's device: (H, W), or (K, H, W) with K heads."""
    return net.predict(image[None].to(net.device))[0]
