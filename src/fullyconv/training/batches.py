"""Which images make up which step. A step's batch depends on the seed and the step's number, and on nothing else.

So a resumed run draws what the uninterrupted one would have drawn, whatever the number of loader processes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision import tv_tensors

from fullyconv.data.dataset import SegmentationDataset, Transform


class Draw(NamedTuple):
    """One sample: the image's index, the seed of its augmentation, and which of the transforms it takes."""

    image: int
    seed: int
    transform: int


class TrainingSet(Dataset[tuple[Tensor, Tensor, int]]):
    """Images augmented as a ``Draw`` says: (image (C, h, w) uint8, mask (h, w) uint8, index)."""

    def __init__(self, dataset: SegmentationDataset, transforms: Sequence[Transform]):
        self.dataset, self.transforms = dataset, transforms

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor, int]:
        image, mask, index = self.dataset[draw.image]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draw.seed)
            image, mask = self.transforms[draw.transform](tv_tensors.Image(image), tv_tensors.Mask(mask))
        return image.as_subclass(Tensor), mask.as_subclass(Tensor), index


class Batches(Sampler[list[Draw]]):
    """The batches of the next ``steps`` steps: every image once, in random order, before any comes again.

    ``position()`` gives the number of the next step, ``transform(step)`` the transform it takes. Over several
    processes each takes its share of every batch.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        steps: int,
        seed: int,
        position: Callable[[], int],
        transform: Callable[[int], int],
        rank: int = 0,
        world_size: int = 1,
    ):
        self.images, self.batch_size, self.steps, self.seed = images, batch_size, steps, seed
        self.position, self.transform = position, transform
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Draw]]:
        start = self.position()
        for step in range(start, start + self.steps):
            whole = range(step * self.batch_size, (step + 1) * self.batch_size)
            yield [self._draw(draw, step) for draw in whole[self.rank :: self.world_size]]

    def _draw(self, number: int, step: int) -> Draw:
        epoch, place = divmod(number, self.images)
        order = _order(self.seed, epoch, self.images)
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)[0] >> 1)
        return Draw(int(order[place]), seed, self.transform(step))


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, images: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(images)
