"""Which images make up which batch. A batch depends on the seed and its number, and on nothing else.

So a resumed run draws what the uninterrupted one would have drawn, whatever the number of loader processes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate
from torchvision import tv_tensors

from fullyconv.data.dataset import Examples, SampleError, Transform

KEPT_BYTES = 2**29
"""Decoded images and masks that a loader process keeps."""


class Draw(NamedTuple):
    """One sample: the image's index, the seed of its augmentation, and which of the transforms it takes."""

    image: int
    seed: int
    transform: int


class KeptSamples:
    """The samples of a data set, of which each process keeps what it has decoded, up to ``KEPT_BYTES``.

    A small data set is decoded once.
    """

    def __init__(self, dataset: Examples) -> None:
        self.dataset = dataset
        self.kept: dict[int, tuple[Tensor, Tensor, int]] = {}
        self.room = KEPT_BYTES

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        if index in self.kept:
            return self.kept[index]
        sample = self.dataset[index]
        size = sample[0].nbytes + sample[1].nbytes
        if size <= self.room:
            self.kept[index] = sample
            self.room -= size
        return sample


class TrainingSet(Dataset[tuple[Tensor, Tensor, int]]):
    """Images augmented as a ``Draw`` says: (image (C, h, w), mask (h, w) or (heads, h, w) uint8, index)."""

    def __init__(self, samples: Examples, transforms: Sequence[Transform]):
        self.samples, self.transforms = samples, transforms

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor, int]:
        image, mask, index = self.samples[draw.image]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draw.seed)
            image, mask = self.transforms[draw.transform](tv_tensors.Image(image), tv_tensors.Mask(mask))
        return image.as_subclass(Tensor), mask.as_subclass(Tensor), index


class Batches(Sampler[list[Draw]]):
    """The next ``count`` batches: every image once, in random order, before any comes again.

    ``position()`` gives the number of the next batch, ``transform(number)`` the transform that a batch takes. Over
    several processes each takes its share of every batch.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        count: int,
        seed: int,
        position: Callable[[], int],
        transform: Callable[[int], int],
        rank: int = 0,
        world_size: int = 1,
    ):
        self.images, self.batch_size, self.count, self.seed = images, batch_size, count, seed
        self.position, self.transform = position, transform
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[Draw]]:
        start = self.position()
        for batch in range(start, start + self.count):
            whole = range(batch * self.batch_size, (batch + 1) * self.batch_size)
            yield [self._draw(number, batch) for number in whole[self.rank :: self.world_size]]

    def _draw(self, number: int, batch: int) -> Draw:
        epoch, place = divmod(number, self.images)
        order = _order(self.seed, epoch, self.images)
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)[0] >> 1)
        return Draw(int(order[place]), seed, self.transform(batch))


def collate(samples: list[tuple[Tensor, Tensor, int]]) -> list[Tensor]:
    """A batch of samples. Raises DataError where whole images that are to be one batch differ in size."""
    sizes = {tuple(image.shape[1:]) for image, _, _ in samples}
    if len(sizes) > 1:
        found = " and ".join("×".join(map(str, size)) for size in sorted(sizes)[:2])
        raise SampleError(
            f"Images of {found} pixels (height × width) cannot be one batch. Whole images of several sizes train one "
            "at a time: data.batch_size=1 (one for each process), and optimizer.accumulate for more images a step; or "
            "give data.resolutions a crop."
        )
    return default_collate(samples)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, images: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(images)
