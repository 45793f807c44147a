"""Everything after the finest scores, in three forms: logits, labels, loss."""

from typing import Literal

from torch import Tensor

from fullyconv.classes import MAX_CLASSES
from fullyconv.geometry import Lattice
from fullyconv.model.readout.blocks import logits, mass
from fullyconv.model.readout.fused import readout_for
from fullyconv.model.readout.interpolation import Border, Interpolation, Sampling

__all__ = ["Border", "Interpolation", "Sampling", "labels", "logits", "loss", "mass"]


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


def loss(
    scores: Tensor,
    labels: Tensor,
    lattice: Lattice,
    method: Interpolation = "bilinear",
    border: Border = "repeat",
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Cross-entropy of the logits that ``scores`` (N, C, h, w) interpolate to, with ``labels`` (N, H, W); a scalar.

    As ``torch.nn.functional.cross_entropy`` of the full logits, in value and derivatives, but where every pixel is
    ignored the mean is 0, not NaN. The paper sums over pixels (section 3.4, its release); ``mean`` divides by the
    weight of the pixels that count. A label that is no class is an error, on CUDA NaN.
    """
    return readout_for(scores, method, border).loss(
        scores,
        labels,
        lattice,
        method,
        border,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
