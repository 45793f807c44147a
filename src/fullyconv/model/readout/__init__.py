"""Everything after the finest scores, in three forms: logits, labels, loss."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from fullyconv.classes import MAX_CLASSES
from fullyconv.geometry import Lattice
from fullyconv.model.readout import objectives
from fullyconv.model.readout.blocks import logits, mass
from fullyconv.model.readout.fused import readout_for
from fullyconv.model.readout.interpolation import Border, Interpolation, Sampling
from fullyconv.objective import Objective

__all__ = ["Border", "Interpolation", "Sampling", "check_labels", "labels", "logits", "loss", "mass"]


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
    objective: Objective | None = None,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """The loss of the logits that ``scores`` (N, C, h, w) interpolate to, with ``labels`` (N, H, W); a scalar.

    By default cross-entropy, as ``torch.nn.functional.cross_entropy`` of the full logits, in value and derivatives, but
    where every pixel is ignored the mean is 0, not NaN. The paper sums over pixels (section 3.4, its release); ``mean``
    divides by the weight of the pixels that count. A label that is no class is an error, on CUDA NaN. For other
    objectives, which can be differentiated only once, see ``Objective``; their ``sum`` is the mean times that weight.
    """
    if objective is None or objective.is_cross_entropy:
        form = readout_for(scores, method, border).loss
    else:
        form = partial(objectives.loss, objective=objective)
    return form(
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


def check_labels(
    labels: Tensor, images: Tensor, classes: int, heads: Mapping[str, int] | None, ignore_index: int
) -> None:
    """Raises ValueError unless ``labels`` are whole numbers, (N, H, W) as the images, or (N, heads, H, W) with heads.

    On a CPU also for a label that is neither a class nor ``ignore_index``; on a GPU that would wait for the GPU.
    """
    size = tuple(images.shape[2:])
    expected = (len(images), *([len(heads)] if heads else []), *size)
    if tuple(labels.shape) != expected:
        form = f"(N, {', '.join(heads)}, H, W)" if heads else "(N, H, W)"
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}; images {tuple(images.shape)} need {expected}, {form}. Load or "
            "crop image and mask together."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels are {labels.dtype}; expected whole numbers, such as torch.uint8 or torch.long")
    if labels.device.type != "cpu" or torch.compiler.is_compiling():
        return
    planes = zip(labels.unbind(1), heads.values(), strict=True) if heads else [(labels, classes)]
    for plane, count in planes:
        wrong = ((plane < 0) | (plane >= count)) & (plane != ignore_index)
        if bool(wrong.any()):
            found = plane[wrong].unique().tolist()
            raise ValueError(
                f"labels hold {', '.join(map(str, found[:5]))}{' and others' * (len(found) > 5)}; expected 0 to "
                f"{count - 1}, one for each class, or {ignore_index} for pixels to ignore"
            )
