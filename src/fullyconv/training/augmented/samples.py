"""The augmented samples that a run trains on."""

import numpy as np
import torch
from torch import Tensor

from fullyconv.data.augmentation.copy_paste import Donors
from fullyconv.data.augmentation.flips import exchange_table
from fullyconv.data.augmentation.transform import TrainTransform
from fullyconv.data.catalog import Data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.data.frequencies import pixels_of_images
from fullyconv.training.batches import KeptSamples, TrainingSet
from fullyconv.training.config import Config


def training_set(data: Data, dataset: SegmentationDataset, config: Config) -> TrainingSet:
    """Return the samples of the train split ``dataset`` of ``data``, with a transform for each resolution.

    Raises ConfigError for ``flip_pairs`` that are no classes of the data.
    """
    options, augment = config.data, config.data.augment
    samples = KeptSamples(dataset)
    exchanged = exchange_table(augment.flip_pairs, data.classes, data.head_sizes)
    rarity, donors = list[Tensor](), None
    if options.balance or augment.copy_paste:
        counts = pixels_of_images(data, "train")[:, :-1]  # without void
        rarity = rarities(counts.sum(0), data.head_sizes)
        donors = Donors(samples, torch.from_numpy(counts > 0), rarity) if augment.copy_paste else None
    transforms = [
        TrainTransform(
            resolution.crop,
            augment if resolution.scale is None else augment.model_copy(update={"scale": resolution.scale}),
            dataset.inputs,
            options.balance,
            rarity,
            exchanged,
            donors,
        )
        for resolution in options.resolutions
    ]
    return TrainingSet(samples, transforms)


def rarities(pixels: np.ndarray, labelings: list[int]) -> list[Tensor]:
    """Return 1 / frequency of each class, (C,) for each labeling of C classes; 0 where a class does not occur.

    ``pixels`` counts those of the classes of all labelings, ``labelings`` the classes of each.
    """
    of_labelings = torch.from_numpy(pixels).double().split(labelings)
    return [torch.where(counts > 0, counts.sum() / counts.clamp(min=1), 0.0) for counts in of_labelings]
