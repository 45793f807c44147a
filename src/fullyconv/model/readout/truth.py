"""Whether labels fit the images and the classes that a loss is computed for."""

from collections.abc import Mapping

import torch
from torch import Tensor


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
