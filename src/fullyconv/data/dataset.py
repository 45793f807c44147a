"""Images and masks as tensors, for torch's DataLoader."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from fullyconv.data.catalog import Data
from fullyconv.data.images.values import ValueRange
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

Transform = Callable[[tv_tensors.Image, tv_tensors.Mask], tuple[Tensor, Tensor]]
"""Any torchvision v2 transform; it is given an image (C, H, W) and its mask, (H, W) or (K, H, W)."""


class Examples(Protocol):
    """Numbered images and masks to train or evaluate on, however they are stored.

    ``SegmentationDataset`` is one implementation; any class with these two methods is another.
    """

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        """Return image ``index`` (C, H, W), its mask (H, W), or (K, H, W) for K labelings, and ``index`` itself.

        Raises IndexError where there is no such image, which ends a ``for`` loop.
        """
        ...


class SampleError(DataError):
    """An image or a mask could not be loaded.

    A DataLoader passes on a worker's error by calling its class with a message that begins with the worker's
    traceback and ends with the original message; only the latter is kept.
    """

    def __init__(self, message: str) -> None:
        original = message.rpartition(f"{type(self).__module__}.{type(self).__qualname__}: ")[2]
        super().__init__(original.rstrip("\n"))


class SegmentationDataset(Dataset[tuple[Tensor, Tensor, int]]):
    """One split of a data set, for torch's DataLoader.

    An item is the image (channels, H, W) as ``read_pixels`` gives it for this ``value_range``, the mask, uint8 (H, W)
    with IGNORE where a pixel has no class or the image no data, and its index in ``data.split(split)``. Images with
    depth are float32; with K labelings masks are (K, H, W). ``transform`` changes image and mask together.
    Raises ConfigError if the data's images have another number of channels, and DataError (also out of a
    DataLoader's workers) naming the file, if one is missing, broken or wrong.
    """

    def __init__(
        self,
        data: Data,
        split: str,
        transform: Transform | None = None,
        channels: int = 3,
        value_range: ValueRange | None = None,
    ) -> None:
        data.require_channels(channels)
        self.pairs = data.split(split)
        self.codes = data.codes
        self.inputs = data.inputs
        self.transform = transform
        self.channels, self.value_range = channels, value_range
        self.upright = not data.published  # published masks fit the pixels as they are stored

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        try:
            pixels, labels = read_pair(self.pairs[index], self.codes, self.channels, self.value_range, self.upright)
        except DataError as error:
            raise SampleError(str(error)) from None
        image, mask = torch.from_numpy(pixels), torch.from_numpy(labels)
        if self.transform is not None:
            image, mask = self.transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
        return image.as_subclass(Tensor).contiguous(), mask.as_subclass(Tensor).contiguous(), index
