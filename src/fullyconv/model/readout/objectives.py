"""Losses beside cross-entropy, block by block, in torch alone: focal, OHEM, Dice, Tversky, and sums of them.

A focal loss is a sum over pixels, so one pass over the blocks gives the value and its gradient. The others first need
passes without a gradient over all pixels: Dice and Tversky one, which sums probabilities by class; OHEM two (four in
double precision), which find the smallest loss that counts. The last pass is again a sum over pixels, and accumulates
the gradient. Nothing is kept for a pixel between the passes.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fullyconv.geometry import Lattice
from fullyconv.model.readout.blocks import (
    BlockReadout,
    Context,
    Terms,
    averaged,
    blocks_of,
    full_precision,
    mass,
    terms_for,
)
from fullyconv.model.readout.interpolation import Border, Interpolation
from fullyconv.objective import Objective

DIGIT = 16
"""Bits of a loss that one pass of the search for the k-th largest determines."""


class _Hardest(NamedTuple):
    """The pixels of the largest losses: those above ``least``, and a share of those at it."""

    least: Tensor
    share: Tensor

    def shares(self, losses: Tensor) -> Tensor:
        """Which share of each pixel counts."""
        return torch.where(losses == self.least, self.share, (losses > self.least).to(losses.dtype))


class _Batch(NamedTuple):
    """All pixels of a batch, to be gone through block by block."""

    readout: BlockReadout
    labels: Tensor
    objective: Objective
    terms: Terms

    @property
    def size(self) -> tuple[int, int]:
        return self.labels.shape[1], self.labels.shape[2]

    @property
    def blocks(self) -> Iterator[tuple[slice, slice]]:
        return blocks_of(self.size)

    def focal_losses(self, logits: Tensor, labels: Tensor, rows: slice, columns: slice) -> Tensor:
        """Of each pixel of a block; 0 where it is ignored."""
        unweighted = F.cross_entropy(logits, labels, reduction="none", ignore_index=self.terms.ignore_index)
        weighted = self.terms.weight is not None or self.terms.pixel_weight is not None or self.terms.label_smoothing
        losses = self.terms.cross_entropies(logits, labels, rows, columns) if weighted else unweighted
        missing = -torch.expm1(-unweighted)  # 1 − p; at 0 a root has no slope
        return missing.clamp(min=torch.finfo(missing.dtype).tiny) ** self.objective.focal_gamma * losses

    def overlaps(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over the pixels of a block, (C,) each: of probabilities, of those of true classes, of true classes."""
        classes = torch.arange(logits.shape[1], device=logits.device)
        counted = (labels != self.terms.ignore_index)[:, None]
        true = (labels[:, None] == classes[:, None, None]) & counted
        probabilities = logits.softmax(1).masked_fill(~counted, 0)
        pixels = (0, 2, 3)
        return probabilities.sum(pixels), (probabilities * true).sum(pixels), true.sum(pixels)

    def region_loss(self, predicted: Tensor, overlap: Tensor, true: Tensor) -> Tensor:
        """Dice and Tversky of the whole batch's ``overlaps``."""
        weight = torch.ones_like(predicted) if self.terms.weight is None else self.terms.weight
        weight = weight * (true > 0)
        smallest = torch.finfo(predicted.dtype).tiny
        losses = torch.zeros_like(predicted)
        for term in self.objective.terms:
            if term in ("dice", "tversky"):
                alpha, beta = self.objective.tversky if term == "tversky" else (0.5, 0.5)
                union = overlap + alpha * (predicted - overlap) + beta * (true - overlap)
                losses = losses + 1 - overlap / union.clamp(min=smallest)
        return (weight * losses).sum() / weight.sum().clamp(min=smallest)

    def region(self) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of regions, and its derivatives by the sums of probabilities and of those of true classes."""
        sums = self.readout.scores.new_zeros(3, self.readout.scores.shape[1])
        with torch.no_grad():
            for rows, columns in self.blocks:
                found = self.overlaps(self.readout.block(rows, columns), self.labels[:, rows, columns].long())
                sums += torch.stack([part.to(sums.dtype) for part in found])
        found_all = sums[2].sum() == mass(self.labels, ignore_index=self.terms.ignore_index)
        sums = sums.where(found_all, torch.nan)  # a label is no class
        predicted, overlap = (part.requires_grad_() for part in sums[:2].clone().unbind())
        with torch.enable_grad():
            value = self.region_loss(predicted, overlap, sums[2])
        by_predicted, by_overlap = torch.autograd.grad(value, (predicted, overlap))
        return value.detach(), by_predicted, by_overlap

    def hardest(self, count: int) -> _Hardest:
        """The ``count`` pixels of the largest cross-entropies."""

        def losses(rows: slice, columns: slice) -> Tensor:
            labels = self.labels[:, rows, columns].long()
            entropies = self.terms.cross_entropies(self.readout.block(rows, columns), labels, rows, columns)
            return entropies[labels != self.terms.ignore_index]

        with torch.no_grad():
            return largest(lambda: (losses(*at) for at in self.blocks), count, self.readout.scores)


def largest(blocks: Callable[[], Iterator[Tensor]], count: int, like: Tensor) -> _Hardest:
    """Which of the numbers of all blocks, of the type of ``like`` and none negative, are the ``count`` largest.

    Numbers that are not negative are in the order of their bits, read as a whole number. So a histogram of their first
    16 bits tells those of the ``count``-th largest; one of the next 16 bits, of the numbers that begin like it, tells
    its next ones; and so on to the last: exactly. ``blocks()`` goes through the same numbers once for each histogram.
    """
    bits = torch.finfo(like.dtype).bits
    whole = torch.int64 if bits == 64 else torch.int32
    begins = torch.zeros((), dtype=torch.int64, device=like.device)
    wanted, ties = torch.full_like(begins, count), begins
    for shift in range(bits - DIGIT, -1, -DIGIT):
        histogram = begins.new_zeros(2**DIGIT)
        for numbers in blocks():
            keys = numbers.abs().view(whole).long()  # abs for the zero that has a sign
            if shift + DIGIT < bits:
                keys = keys[keys >> (shift + DIGIT) == begins]
            histogram += torch.bincount(keys >> shift & 2**DIGIT - 1, minlength=2**DIGIT)
        from_above = histogram.flip(0).cumsum(0)
        place = torch.searchsorted(from_above, wanted)
        ties = histogram.flip(0)[place]
        wanted = wanted - (from_above[place] - ties)
        begins = begins << DIGIT | 2**DIGIT - 1 - place
    return _Hardest(begins.to(whole).view(like.dtype), wanted.to(like.dtype) / ties)


class _Loss(torch.autograd.Function):
    """The objective times the batch's ``mass``. Its gradient is accumulated in the forward pass, block by block."""

    @staticmethod
    def forward(
        ctx: Context,
        scores: Tensor,
        labels: Tensor,
        lattice: Lattice,
        method: Interpolation,
        border: Border,
        objective: Objective,
        terms: Terms,
        mass: Tensor,
    ) -> Tensor:
        readout = BlockReadout(scores.detach(), lattice, method, border)
        batch = _Batch(readout, labels, objective, terms)
        counted = int((labels != terms.ignore_index).sum())
        if counted:
            summed = _Summed(batch, counted, mass.to(readout.scores.dtype))
            total, gradient = readout.summed(batch.size, summed.of_block, ctx.needs_input_grad[0])
            total += summed.value
        else:
            total, gradient = readout.scores.new_zeros(()), torch.zeros_like(readout.scores)
        if gradient is not None and ctx.needs_input_grad[0]:
            ctx.save_for_backward(gradient.to(scores.dtype))
        return total

    @staticmethod
    def backward(ctx: Context, *grad_output: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError("this loss can be differentiated only once; cross_entropy has second derivatives")
        return ctx.saved_tensors[0] * grad_output[0], *[None] * 7


class _Summed:
    """The objective as a sum over pixels: what the first passes find out about the whole batch is a constant of it."""

    def __init__(self, batch: _Batch, counted: int, mass: Tensor):
        self.batch, self.mass = batch, mass
        self.value: Tensor = torch.zeros_like(mass)
        """What is known of the loss before the last pass."""
        self.slopes: tuple[Tensor, Tensor] | None = None
        self.hardest: _Hardest | None = None
        self.count = max(1, round(batch.objective.ohem_fraction * counted))
        terms = batch.objective.terms
        if "dice" in terms or "tversky" in terms:
            value, by_predicted, by_overlap = batch.region()
            self.value, self.slopes = mass * value, (mass * by_predicted, mass * by_overlap)
        if "ohem" in terms:
            self.hardest = batch.hardest(self.count)

    def of_block(self, logits: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """What a block adds to the loss; and a number with the derivatives of that and of what is known."""
        labels = self.batch.labels[:, rows, columns].long()
        value = known = logits.new_zeros(())
        if "focal" in self.batch.objective.terms:
            value = value + self.batch.focal_losses(logits, labels, rows, columns).sum()
        plain = "cross_entropy" in self.batch.objective.terms
        if plain or self.hardest:
            losses = self.batch.terms.cross_entropies(logits, labels, rows, columns)
            shares = torch.full_like(losses, float(plain))
            if self.hardest:
                counted = labels != self.batch.terms.ignore_index
                shares += self.hardest.shares(losses.detach()) * counted * (self.mass / self.count)
            value = value + (losses * shares).sum()
        if self.slopes:
            predicted, overlap, _ = self.batch.overlaps(logits, labels)
            known = (predicted * self.slopes[0]).sum() + (overlap * self.slopes[1]).sum()
        return value, value + known


def loss(
    scores: Tensor,
    labels: Tensor,
    lattice: Lattice,
    method: Interpolation = "bilinear",
    border: Border = "repeat",
    *,
    objective: Objective,
    weight: Tensor | None = None,
    pixel_weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """``objective`` of the logits that ``scores`` (N, C, h, w) interpolate to, with ``labels`` (N, H, W); a scalar.

    ``sum`` is the mean times ``mass``, whatever the objective. Dice and Tversky average classes by ``weight``, and
    know no smoothing. Where every pixel is ignored the loss is 0; a label that is no class is an error, or NaN.
    Can be differentiated once.
    """
    with full_precision(scores):
        terms = terms_for(scores, weight, pixel_weight, ignore_index, label_smoothing)
        pixels = terms.mass(labels)
        total = _Loss.apply(scores, labels, lattice, method, border, objective, terms, pixels)
        return total if reduction == "sum" else averaged(total, pixels)
