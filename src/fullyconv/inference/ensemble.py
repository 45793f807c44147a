"""Several networks as one: the mean of their class probabilities says the class of a pixel.

Runs and exported files may be mixed. Classes are aligned by their names. A run's logits are interpolated block by
block, so that those of no run are ever held at the size of the image; exported files give whole probabilities, of which
the sum is held.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from fullyconv.channels import in_words
from fullyconv.classes import difference
from fullyconv.errors import ConfigError
from fullyconv.geometry import Lattice
from fullyconv.hardware import best_device
from fullyconv.inference.exported import Runner, open_model
from fullyconv.model.border import for_inference
from fullyconv.model.fcn import FCN
from fullyconv.model.readout import by_head, stacked
from fullyconv.model.readout.blocks import BlockReadout, blocks_of, filled, full_precision
from fullyconv.model.segmenter import Segmenter
from fullyconv.sharing import in_evaluation_mode

Models = str | Path | Sequence[str | Path]
"""A network, in whatever ``open_model`` takes; or several, whose probabilities are averaged."""
Read = Callable[[slice, slice], Tensor]
"""From rows and columns of pixels to the class probabilities there, (N, classes, rows, columns)."""


class Seen(NamedTuple):
    """Scores (N, classes, h, w) of a run, and where their cells look, in pixels of what is to be labelled."""

    scores: Tensor
    lattice: Lattice


class Ensemble:
    """Networks whose probabilities are averaged, with equal weights: a ``Segmenter``, as each of them is.

    ``names`` are what messages call the networks, such as their files. Classes, colours and heads are the first
    network's; the others have the same classes, in any order. Raises ConfigError where they do not, where the networks
    take other images, or where an exported file gives labels alone.
    """

    def __init__(self, networks: Sequence[Segmenter], names: Sequence[str] = ()) -> None:
        if not networks:
            raise ConfigError("an ensemble of no network: expected one or more")
        names = names or [f"network {number} ({net.name})" for number, net in enumerate(networks, 1)]
        self.networks, first = list(networks), networks[0]
        self.name = " + ".join(net.name for net in networks)
        self.classes, self.palette = list(first.classes), list(first.palette)
        self.heads: Mapping[str, int] | None = dict(first.heads) if first.heads else None
        self.in_channels, self.inputs = first.in_channels, first.inputs
        for net, name in zip(networks, names, strict=True):
            _require_same_images((first, net), (names[0], name))
            if isinstance(net, Runner) and not net.description.probabilities:
                raise ConfigError(
                    f"{name} gives labels alone, of which no mean can be taken: export the network with --probabilities"
                )
        self.orders = [_order((first, net), (names[0], name)) for net, name in zip(networks, names, strict=True)]
        self.value_range = _common_range(networks)
        self.lean = [for_inference(net) for net in networks]

    @property
    def device(self) -> torch.device:
        """Where images have to lie: where the first network is that is no file, as files take them from anywhere."""
        return next((net.device for net in self.networks if not isinstance(net, Runner)), torch.device("cpu"))

    @property
    def runs(self) -> list[FCN]:
        """The networks, if all of them are runs, whose parts can be computed alone; else none."""
        runs = [net for net in self.networks if isinstance(net, FCN)]
        return runs if len(runs) == len(self.networks) else []

    def to(self, device: str | torch.device) -> Self:
        """Move the runs to a device; return itself."""
        for net in self.networks:
            net.to(device)
        return self

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → labels (N, H, W), uint8; with heads (N, heads, H, W)."""
        return self._labels(list(self._reads(images)), len(images), (images.shape[2], images.shape[3]))

    @torch.no_grad()
    def labels_and_confidence(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) → the labels, as ``predict`` gives them, and the mean probability of each, float32."""
        heads = [len(self.heads)] if self.heads else []
        confidence = torch.empty(len(images), *heads, *images.shape[2:], device=self.device)
        reads, size = list(self._reads(images)), (images.shape[2], images.shape[3])
        return self._labels(reads, len(images), size, confidence), confidence

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → the mean of the networks' probabilities, (N, classes, H, W)."""
        reads, size = list(self._reads(images)), images.shape[2:]
        result = torch.empty(0, device=images.device)
        for rows, columns in blocks_of((size[0], size[1])):
            block = self._mean(reads, rows, columns)
            if not len(result):
                result = block.new_empty(*block.shape[:2], *size)
            result[..., rows, columns] = block
        return result

    @torch.no_grad()
    def labels_on(self, seen: Sequence[Seen], size: tuple[int, int]) -> Tensor:
        """The labels, as ``predict`` gives them, of ``size`` pixels of which each run has seen something."""
        reads = [_read_run(net, own, order) for net, own, order in zip(self.runs, seen, self.orders, strict=True)]
        return self._labels(reads, len(seen[0].scores), size)

    def given_to(self, index: int, images: Tensor) -> Tensor:
        """Images on the ensemble's scale of values, on the scale of one network."""
        own = self.networks[index].value_range
        if self.value_range is None or own is None or [*own] == self.value_range:
            return images
        (low, high), (start, end) = (
            torch.tensor(pairs, dtype=torch.float64, device=images.device).T[:, :, None, None]
            for pairs in (self.value_range, own)
        )
        factor, shift = (high - low) / (end - start), (low - start) * 255 / (end - start)
        return (images * factor.float() + shift.float()).clamp(0, 255)

    def _reads(self, images: Tensor) -> Iterator[Read]:
        """What gives each network's probabilities, those of all exported files as one sum."""
        size, total = (images.shape[2], images.shape[3]), None
        for index, (net, order) in enumerate(zip(self.lean, self.orders, strict=True)):
            given = self.given_to(index, images)
            if isinstance(net, FCN):
                scores = in_evaluation_mode(net).scores(given)
                lattice = net.lattice_for(size, (scores.shape[2], scores.shape[3]))
                yield _read_run(net, Seen(scores, lattice), order)
                continue
            found = net.probabilities(given)
            if total is None:
                total = found[:, order] if order else found
                continue
            for own, other in enumerate(order or range(len(self.classes))):  # class by class: no copy of the whole
                total[:, own] += found[:, other]
        if total is not None:
            yield partial(_part, total)

    def _mean(self, reads: Sequence[Read], rows: slice, columns: slice) -> Tensor:
        total = reads[0](rows, columns)
        for read in reads[1:]:
            total = total + read(rows, columns)
        return total / len(self.networks)

    def _labels(
        self, reads: Sequence[Read], count: int, size: tuple[int, int], confidence: Tensor | None = None
    ) -> Tensor:
        """The labels of ``count`` images; ``confidence``, of their shape, is given the probability of each."""
        heads = [len(self.heads)] if self.heads else []
        result = torch.empty(count, *heads, *size, dtype=torch.uint8, device=self.device)

        def label(rows: slice, columns: slice) -> Tensor:
            parts = by_head(self._mean(reads, rows, columns), self.heads)
            if confidence is not None:
                confidence[..., rows, columns] = stacked([part.amax(1) for part in parts], self.heads)
            return stacked([part.argmax(1).to(torch.uint8) for part in parts], self.heads)

        return filled(result, label)


def opened(model: Models) -> Segmenter:
    """Open a network, or several as an ensemble, on the best device of this machine. Raises as ``Ensemble``."""
    models = listed(model)
    return as_one([open_model(one) for one in models], [str(one) for one in models]).to(best_device())


def listed(model: Models) -> list[str | Path]:
    """Return the networks that are named, one or several."""
    return [model] if isinstance(model, str | Path) else [*model]


def as_one(networks: Sequence[Segmenter], names: Sequence[str] = ()) -> Segmenter:
    """An ensemble of several networks; a single one as it is. Raises as ``Ensemble``."""
    return networks[0] if len(networks) == 1 else Ensemble(networks, names)


def runs_of(net: Segmenter) -> list[FCN]:
    """The runs that a network consists of, if it consists of nothing else: then parts of images can be exact."""
    return [net] if isinstance(net, FCN) else net.runs if isinstance(net, Ensemble) else []


def _read_run(net: FCN, seen: Seen, order: list[int] | None) -> Read:
    """What interpolates a run's scores block by block."""
    scores = seen.scores if order is None else seen.scores[:, order]
    readout = BlockReadout(scores, seen.lattice, net.interpolation, net.border)

    def read(rows: slice, columns: slice) -> Tensor:
        with full_precision(scores):
            return torch.cat([part.softmax(1) for part in by_head(readout.block(rows, columns), net.heads)], 1)

    return read


def _part(probabilities: Tensor, rows: slice, columns: slice) -> Tensor:
    return probabilities[..., rows, columns]


def _require_same_images(networks: tuple[Segmenter, Segmenter], names: tuple[str, str]) -> None:
    """Raises ConfigError unless both networks take the same images."""
    takes = [_taken(net) for net in networks]
    if takes[0] != takes[1]:
        raise ConfigError(
            f"{names[1]} cannot be averaged with {names[0]}: it takes {takes[1]}, the other {takes[0]}. Expected "
            "networks for the same images"
        )


def _taken(net: Segmenter) -> str:
    channels = f"{net.in_channels} channel{'s' * (net.in_channels != 1)}"
    kind = channels if net.inputs == "image" else in_words(net.inputs)
    return f"{kind} of {'bytes' if net.value_range is None else 'values in a range of its own (data.range)'}"


def _order(networks: tuple[Segmenter, Segmenter], names: tuple[str, str]) -> list[int] | None:
    """Where the second network has the first one's classes; None where in the same order.

    Default names stand for the classes in their order. Raises ConfigError for other classes, or other labelings.
    """
    first, other = networks
    if (first.heads or {}).items() != (other.heads or {}).items() or [*(first.heads or ())] != [*(other.heads or ())]:
        labelings = [", ".join(net.heads) if net.heads else "one, without a name" for net in networks]
        raise ConfigError(
            f"{names[1]} cannot be averaged with {names[0]}: its labelings are {labelings[1]}, the other's "
            f"{labelings[0]}. Expected networks with the same labelings"
        )
    order: list[int] = []
    for count in first.heads.values() if first.heads else [len(first.classes)]:
        start = len(order)
        wanted, found = (list(net.classes[start : start + count if net.heads else None]) for net in networks)
        if len(set(wanted)) == len(wanted) and sorted(wanted) == sorted(found):
            order += [start + found.index(name) for name in wanted]
        elif differs := difference(found, wanted):
            raise ConfigError(
                f"{names[1]} cannot be averaged with {names[0]}: {differs}. Expected networks with the same classes, "
                "in any order"
            )
        else:
            order += range(start, start + count)
    return None if order == [*range(len(order))] else order


def _common_range(networks: Sequence[Segmenter]) -> list[tuple[float, float]] | None:
    """For each channel the range of values that holds that of every network; None: all take bytes."""
    ranges = [net.value_range for net in networks if net.value_range is not None]
    if not ranges:
        return None
    return [(min(low for low, _ in pairs), max(high for _, high in pairs)) for pairs in zip(*ranges, strict=True)]
