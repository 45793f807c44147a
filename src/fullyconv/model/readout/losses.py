"""The loss of the logits that scores interpolate to, without the logits: of one labeling, or of several heads."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from fullyconv.geometry import Lattice
from fullyconv.model.readout import blocks, objectives
from fullyconv.model.readout.fused import readout_for
from fullyconv.model.readout.heads import by_head
from fullyconv.model.readout.interpolation import Border, Interpolation
from fullyconv.objective import Objective

Heads = Mapping[str, int] | None
"""The number of classes of each head, by its name; None: one labeling without a name."""


def loss(
    scores: Tensor,
    labels: Tensor,
    lattice: Lattice,
    method: Interpolation = "bilinear",
    border: Border = "repeat",
    *,
    objective: Objective | None = None,
    weight: Tensor | None = None,
    pixel_weight: Tensor | None = None,
    ignore_index: int = 255,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """The loss of the logits that ``scores`` (N, C, h, w) interpolate to, with ``labels`` (N, H, W); a scalar.

    By default cross-entropy, as ``torch.nn.functional.cross_entropy`` of the full logits, in value and derivatives, but
    where every pixel is ignored the mean is 0, not NaN. ``weight`` (C,) multiplies each class's pixels,
    ``pixel_weight`` (N, H, W) each pixel, such as ``boundary_weights``. The paper sums over pixels (section 3.4, its
    release); ``mean`` divides by the weight of the pixels that count. A label that is no class is an error, on CUDA
    NaN. For other objectives, which can be differentiated only once, see ``Objective``; their ``sum`` is the mean times
    that weight.
    """
    form: Callable[..., Tensor]
    if objective is not None and not objective.is_cross_entropy:
        form = partial(objectives.loss, objective=objective, pixel_weight=pixel_weight)
    elif pixel_weight is not None:  # which the kernels do not take
        form = partial(blocks.loss, pixel_weight=pixel_weight)
    else:
        form = readout_for(scores, method, border).loss
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


def loss_of_heads(
    scores: Tensor,
    labels: Tensor,
    heads: Heads,
    lattice: Lattice,
    method: Interpolation,
    border: Border,
    *,
    objective: Objective,
    weight: Tensor | None,
    pixel_weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: Literal["mean", "sum"],
) -> Tensor:
    """``loss`` of scores (N, classes of all heads, h, w) with labels (N, H, W), or (N, heads, H, W); a scalar.

    Heads' pixels count alike: ``mean`` divides the sum over all of them by ``mass_of_heads``. ``weight`` has one for
    each class of all heads, ``pixel_weight`` one for each label.
    """
    parts = by_head(scores, heads)
    losses = [
        loss(
            part,
            plane,
            lattice,
            method,
            border,
            objective=objective,
            weight=own,
            pixel_weight=pixels,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            reduction="sum",
        )
        for part, (plane, own, pixels) in zip(parts, _planes(labels, heads, weight, pixel_weight), strict=True)
    ]
    total = torch.stack(losses).sum()
    if reduction == "sum":
        return total
    return blocks.averaged(total, mass_of_heads(labels, heads, weight, pixel_weight, ignore_index))


def mass_of_heads(
    labels: Tensor, heads: Heads, weight: Tensor | None, pixel_weight: Tensor | None, ignore_index: int
) -> Tensor:
    """What the mean loss divides by: the pixels that count, of all heads, or the sum of their weights."""
    planes = _planes(labels, heads, weight, pixel_weight)
    return torch.stack([blocks.mass(*plane, ignore_index) for plane in planes]).sum()


def _planes(
    labels: Tensor, heads: Heads, weight: Tensor | None, pixel_weight: Tensor | None
) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
    """Yield each head's labels (N, H, W), and the weights of its classes and of its pixels."""
    weight = None if weight is None else weight.to(labels.device)
    if not heads:
        yield labels, weight, pixel_weight
        return
    first = 0
    for index, classes in enumerate(heads.values()):
        own = None if weight is None else weight[first : first + classes]
        yield labels[:, index], own, None if pixel_weight is None else pixel_weight[:, index]
        first += classes


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
