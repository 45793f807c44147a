"""A network against a data set: every image whole and at its own size, one at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchmetrics import SumMetric

from fullyconv.errors import DataError
from fullyconv.evaluation.metrics import ConfusionMatrix, Result, metrics_of_heads, one_count
from fullyconv.results.figures import displayable


@dataclass(frozen=True)
class ImageScore:
    """How one image went; None where it has no pixel with a class."""

    index: int
    name: str
    mean_iou: float | None
    pixel_accuracy: float | None


@dataclass(frozen=True)
class Comparison:
    """One image, (H, W, 3) uint8, beside its truth and its prediction, (H, W) uint8."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    mean_iou: float


def evaluate(
    net: Any,
    examples: Dataset | Iterable,
    split: str = "",
    names: Sequence[str] | None = None,
    workers: int = 2,
    progress: Callable[[int, int | None], None] | None = None,
    absent_excluded: bool = False,
) -> tuple[Result, list[ImageScore]]:
    """The metrics of ``net`` over ``examples``, and each image's own.

    ``net`` stays on its device and in its mode (training or not). ``examples`` gives
    (image (C, H, W), mask (H, W), ...): a data set (which ``workers`` processes then load) or any iterable.
    A network with heads is measured on masks (K, H, W), one for each. ``absent_excluded``: see ``metrics``.
    ``names`` are the images' names, in order; ``progress(done, total)`` is called after each image, with
    total None where the length is not known. Under DDP each process gives its own part of the data; the
    result is that of all parts, the scores are those of this one.

    Raises DataError for a mask that does not fit its image or the classes.
    """
    confusion, images = ConfusionMatrix(len(net.classes)).to(net.device), SumMetric().to(net.device)
    total = len(examples) if isinstance(examples, Sized) else None
    scores: list[ImageScore] = []
    for index, (image, mask) in enumerate(_load(examples, workers)):
        name = names[index] if names else f"image {index}"
        try:
            labels, truth = (one_count(x, net.heads) for x in (_predict(net, image), mask.to(net.device)))
            counts = confusion(labels, truth)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        images.update(1)
        own = metrics_of_heads(counts.cpu(), net.classes, net.heads)
        scores.append(ImageScore(index, name, own["mean_iou"], own["pixel_accuracy"]))
        if progress:
            progress(index + 1, total)
    if not scores:
        raise DataError(f"there is nothing to evaluate on: the split {split!r} holds no image with a mask")
    total_counts, count = confusion.compute().cpu(), int(images.compute())
    return metrics_of_heads(total_counts, net.classes, net.heads, count, split, absent_excluded), scores


def best_and_worst(
    net: Any, dataset: Any, scores: Sequence[ImageScore], count: int = 3
) -> tuple[list[Comparison], list[Comparison]]:
    """The ``count`` images with the highest mean IoU, best first, and as many with the lowest, worst first.

    ``dataset[i]`` gives (image, mask, ...) for ``ImageScore.index`` i; only the chosen images are predicted
    again. No image is in both lists.
    """
    scored = [score for score in scores if score.mean_iou is not None]
    ranked = sorted(scored, key=lambda score: score.mean_iou or 0.0, reverse=True)
    count = min(count, (len(ranked) + 1) // 2)
    best = [_compare(net, dataset, score) for score in ranked[:count]]
    worst = [_compare(net, dataset, score) for score in ranked[count:][::-1][:count]]
    return best, worst


def _compare(net: Any, dataset: Any, score: ImageScore) -> Comparison:
    image, mask = dataset[score.index][:2]
    prediction = _predict(net, image).cpu().numpy().astype(np.uint8)
    truth = mask.cpu().numpy().astype(np.uint8)
    if net.heads:
        prediction, truth = prediction[0], truth[0]
    return Comparison(score.name, displayable(image), truth, prediction, score.mean_iou or 0.0)


def _load(examples: Dataset | Iterable, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(image, mask) of each example; a data set is read ahead by ``workers`` processes."""
    if hasattr(examples, "__getitem__"):
        examples = DataLoader(cast(Dataset, examples), batch_size=1, num_workers=workers, collate_fn=_only)
    for example in examples:
        yield example[0], example[1]


def _only(batch: list) -> Any:
    return batch[0]


@torch.inference_mode()
def _predict(net: Any, image: Tensor) -> Tensor:
    """Labels (H, W), or (K, H, W) of K heads, of one image (C, H, W), on the network's device."""
    return net.predict(image[None].to(net.device))[0]
