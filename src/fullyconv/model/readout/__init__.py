"""Everything after the finest scores, in three forms: logits, labels, loss."""

from torch import Tensor

from fullyconv.classes import MAX_CLASSES
from fullyconv.geometry import Lattice
from fullyconv.model.readout.blocks import confidence, logits, mass
from fullyconv.model.readout.boundaries import boundary_weights
from fullyconv.model.readout.fused import readout_for
from fullyconv.model.readout.heads import by_head, stacked
from fullyconv.model.readout.interpolation import Border, Interpolation, Sampling
from fullyconv.model.readout.losses import check_labels, loss, loss_of_heads, mass_of_heads

__all__ = [
    "Border",
    "Interpolation",
    "Sampling",
    "boundary_weights",
    "by_head",
    "check_labels",
    "confidence",
    "labels",
    "logits",
    "loss",
    "loss_of_heads",
    "mass",
    "mass_of_heads",
    "stacked",
]


def labels(
    scores: Tensor,
    lattice: Lattice,
    size: tuple[int, int],
    method: Interpolation = "bilinear",
    border: Border = "repeat",
) -> Tensor:
    """Scores (N, C, h, w) → the class of highest logit at each pixel, (N, *size), uint8.

    Raises ValueError for more classes than ``MAX_CLASSES``, which bytes hold beside the value of void pixels.
    """
    if scores.shape[1] > MAX_CLASSES:
        raise ValueError(f"scores of {scores.shape[1]} classes: labels are bytes, {MAX_CLASSES} classes at most")
    return readout_for(scores, method, border).labels(scores, lattice, size, method, border)
