"""Measure a network on a split of a data set, also one that has only some of the network's classes."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fullyconv.classes import IGNORE, difference
from fullyconv.data import Data
from fullyconv.data.dataset import Examples, SegmentationDataset
from fullyconv.data.images.read import open_source
from fullyconv.errors import DataError
from fullyconv.evaluation.bootstrap import with_intervals
from fullyconv.evaluation.boundary import BoundaryCounts, Spacing
from fullyconv.evaluation.evaluate import ImageScore, evaluate
from fullyconv.evaluation.further import Collected, Further
from fullyconv.evaluation.metrics import Counts
from fullyconv.evaluation.result import Result
from fullyconv.model.segmenter import Segmenter


class Measured(NamedTuple):
    """What was measured: the result, that of each image, and the examples, whose labels are the network's."""

    result: Result
    scores: list[ImageScore]
    examples: Examples
    counts: Counts
    """The pixels of each class in each image, (images, classes)."""
    absent_excluded: bool
    """Whether classes that are not in the truth are left out of the means."""
    boundaries: list[BoundaryCounts]
    """What was found at the boundaries, of each labeling, (images, classes); empty if not asked for."""


class _Renumbered:
    """Examples whose labels are counted as another list of classes has them."""

    def __init__(self, examples: Examples, numbers: list[int]) -> None:
        self.examples = examples
        self.table = torch.full((IGNORE + 1,), IGNORE, dtype=torch.uint8)
        self.table[: len(numbers)] = torch.tensor(numbers, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        image, mask, number = self.examples[index]
        return image, self.table[mask.long()], number


def lacking(data: Data, net: Segmenter) -> list[str]:
    """Return the network's classes that the data do not have, where all classes of the data are the network's.

    The result is empty where the data have all of them, where they have others too, and where their classes were not
    named but only inferred from masks, as these are then read as the network's.
    """
    if data.inferred or data.heads or net.heads or not {*data.classes} <= {*net.classes}:
        return []
    return [name for name in net.classes if name not in data.classes]


def said_of_lacking(data: Data, net: Segmenter) -> str:
    """Say which of the network's classes the data lack, and what that does; empty where they have all."""
    names = lacking(data, net)
    if not names:
        return ""
    return (
        f"The data have no {', '.join(names)}, which the network knows: pixels that are given one of these count as "
        "wrong, and the means are over the classes in the truth."
    )


def measure(
    net: Segmenter,
    data: Data,
    split: str,
    progress: Callable[[int, int | None], None] | None = None,
    further: Further | None = None,
) -> Measured:
    """Measure ``net`` on a split of the data, with intervals, and what ``further`` asks for.

    The classes are matched by their names.

    Where the data lack some of the network's classes (see ``lacking``), pixels that are given one of them count as
    wrong, and the means are over the classes in the truth. Raises DataError where the data have classes that the
    network does not.
    """
    data = data if data.heads or net.heads else data.with_classes(net.classes, net.palette)
    differs = difference(data.classes, net.classes)
    absent = lacking(data, net)
    by_name = bool(differs) and not (data.heads or net.heads) and {*data.classes} <= {*net.classes}
    if differs and not by_name:
        raise DataError(
            f"{data.root}: the classes are not those of the network: {differs}. Give data with the network's classes, "
            "or some of them; if they are the same, give them the network's names in dataset.yaml"
        )
    data.require_inputs(net.inputs)
    examples: Examples = SegmentationDataset(data, split, channels=net.in_channels, value_range=net.value_range)
    if by_name:
        examples = _Renumbered(examples, [list(net.classes).index(name) for name in data.classes])
    names = [_name(data, pair.image) for pair in data.split(split)]
    absent_excluded = data.absent_excluded or bool(absent)
    further = further or Further()
    collected = Collected(further, net, _spacings(data, split, further))
    result, scores = evaluate(
        net, examples, split, names, progress=progress, absent_excluded=absent_excluded, collected=collected
    )
    counts = Counts.stacked([score.counts for score in scores])
    result = collected.added_to(with_intervals(result, counts, absent_excluded), absent_excluded)
    return Measured(result, scores, examples, counts, absent_excluded, collected.of_images())


def _spacings(data: Data, split: str, further: Further) -> list[Spacing] | None:
    """Return the size of a pixel of each image of the split in metres, if needed and known of all."""
    if further.boundary is None or further.boundary.spacing is not None:
        return None
    found = []
    for pair in data.split(split):
        with open_source(pair.image) as source:
            size = source.pixel_size()
        if size is None:
            return None
        found.append(size)
    return found


def _name(data: Data, image: Path) -> str:
    """Return an image's path within its data set, or only its name if it lies elsewhere: reports are shared."""
    name = Path(data.name(image))
    return name.name if name.is_absolute() else name.as_posix()
