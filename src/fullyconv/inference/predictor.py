"""Label one image of any form and size with a network."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fullyconv.classes import MAX_CLASSES
from fullyconv.errors import ConfigError, DataError
from fullyconv.inference.inputs import ImageLike, to_tensor
from fullyconv.model.border import for_inference
from fullyconv.results.figures import displayable
from fullyconv.results.segmentation import Segmentation


class Predictor:
    """Labels images of any form and size with a network: ``Predictor(net)("street.jpg").labels``.

    With several ``scales``, or with ``flip``, the class probabilities of the resized (bilinear, antialiased)
    and the mirrored images are averaged at the image's own size. Otherwise the labels come from
    ``net.predict``, which never holds a score for each class at each pixel. The paper's VGG-16 networks do without the
    work on their border; they may be trained further in between (see ``without_border``).

    The network is moved to ``device`` (None: it stays where it is); its mode (training or not) is left alone. ``head``
    names the labeling that is wanted of a network with several heads (None: its first). Raises ConfigError for scales
    that are not positive numbers, and for a head that is not there.
    """

    def __init__(
        self,
        net: Any,
        device: str | torch.device | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        head: str | None = None,
    ) -> None:
        if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ConfigError(
                f"scales are {list(scales)}; one or more numbers above 0 are expected, such as 0.75,1,1.25"
            )
        if len(net.classes) > MAX_CLASSES:
            raise ConfigError(f"the network has {len(net.classes)} classes; labels are bytes, {MAX_CLASSES} at most")
        self.net = net.to(device) if device is not None else net
        self.lean = for_inference(net)
        self.scales = tuple(scales)
        self.flip = flip
        self.head, self.of_head = _choose(net, head)

    def __call__(self, image: ImageLike, probabilities: bool = False) -> Segmentation:
        """Label one image; see ``to_tensor`` for the forms it may have and the errors."""
        return self.segment(self.read(image), probabilities)

    def read(self, image: ImageLike) -> Tensor:
        """As ``to_tensor`` for the network. Raises DataError for a picture where the network takes depth."""
        if isinstance(image, str | Path | Image.Image):
            self.refuse_where_depth_is_missing("the image" if isinstance(image, Image.Image) else image)
        return to_tensor(image, self.net.in_channels)

    def refuse_where_depth_is_missing(self, picture: str | Path) -> None:
        """Raises DataError where the network takes the depth that no picture has."""
        if self.net.takes_depth:
            raise DataError(
                f"{picture}: the network takes colour and depth, of which a picture has no more than the first; give "
                "an array (H, W, 4) of floats, red, green and blue in 0..255 and the natural logarithm of millimetres"
            )

    @torch.inference_mode()
    def segment(self, image: Tensor, probabilities: bool = False) -> Segmentation:
        """Label one image (C, H, W) as ``to_tensor`` gives it."""
        batch = image[None].to(self.net.device)
        scores = self._probabilities(batch) if probabilities or self.flip or self.scales != (1.0,) else None
        if scores is not None:
            scores = scores[self.of_head]
        labels = self._labels(batch) if scores is None else scores.argmax(0)
        return Segmentation(
            labels=labels.to(torch.uint8).cpu().numpy(),
            image=displayable(image),
            classes=list(self.net.classes)[self.of_head],
            palette=list(self.net.palette)[self.of_head],
            probabilities=scores.cpu().numpy() if probabilities and scores is not None else None,
        )

    def _labels(self, batch: Tensor) -> Tensor:
        """(H, W) of a batch of one."""
        labels = self.lean.predict(batch)[0]
        return labels if self.head is None else labels[self.head]

    def _probabilities(self, batch: Tensor) -> Tensor:
        """(C, H, W) float32 of a batch (1, c, H, W), averaged over scales and mirror images."""
        size = batch.shape[-2:]
        total = torch.zeros((), device=batch.device)
        for scale in self.scales:
            scaled = _resize(batch, [max(1, round(length * scale)) for length in size])
            seen = self.lean.probabilities(scaled).float()
            if self.flip:
                seen = (seen + self.lean.probabilities(scaled.flip(-1)).float().flip(-1)) / 2
            total = total + _resize(seen, list(size))[0]
        return total / len(self.scales)


def _choose(net: Any, head: str | None) -> tuple[int | None, slice]:
    """Which of the network's heads is meant, and its classes; None and all of them where it has only one."""
    heads = net.heads or {}
    if head is not None and head not in heads:
        known = ", ".join(heads) or "one labeling, without a name"
        raise ConfigError(f"--head {head}: the network has {known}; name one of its heads, or none for the first")
    if not heads:
        return None, slice(None)
    names = list(heads)
    index = 0 if head is None else names.index(head)
    first = sum(heads[name] for name in names[:index])
    return index, slice(first, first + heads[names[index]])


def _resize(images: Tensor, size: list[int]) -> Tensor:
    """(N, C, H, W) at another size; lying on its side where the result is one pixel wide.

    There torch 2.15's antialiased interpolation gives wrong values on the CPU.
    """
    if list(images.shape[-2:]) == size:
        return images
    if size[1] == 1:
        return _interpolate(images.mT.contiguous(), [1, size[0]]).mT
    return _interpolate(images, size)


def _interpolate(images: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(images.float(), size, mode="bilinear", align_corners=False, antialias=True)
