"""Settings that older configurations have give the same samples as before."""

import pytest
import torch
from torchvision import tv_tensors

from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.data.augmentation.transform import TrainTransform
from tests.data.augmentation import before

KINDS = [
    ("image", 3, torch.uint8),
    ("image", 1, torch.uint8),
    ("image", 5, torch.float32),
    ("image", 3, torch.float32),
    ("rgb+depth", 4, torch.float32),
    ("rgb+hha", 6, torch.uint8),
    ("hha", 3, torch.uint8),
]


@pytest.mark.parametrize(("inputs", "channels", "dtype"), KINDS)
@pytest.mark.parametrize("labelings", [0, 2])
@pytest.mark.parametrize(("flip", "color", "balance"), [(0.5, 0.3, 0), (0, 0, 0.6), (1, 0.5, 0.6)])
def test_samples_are_bit_for_bit_those_of_before(inputs, channels, dtype, labelings, flip, color, balance):
    torch.manual_seed(1)
    for size in ((60, 90), (20, 17), (1, 1), (3, 200)):
        image = tv_tensors.Image((torch.rand(channels, *size) * 255).to(dtype))
        mask = tv_tensors.Mask(torch.randint(0, 6, (labelings,) * (labelings > 0) + size).to(torch.uint8))
        rarity = [torch.rand(5) for _ in range(max(labelings, 1))]
        for crop in ((32, 48), None):
            given = (inputs, balance if crop else 0, rarity)
            expected = before.transform(crop, (0.5, 2.0), flip, color, *given)
            found = TrainTransform(crop, Augmentation(flip=flip, color=color), *given)
            for seed in range(4):
                samples = []
                for transform in (expected, found):
                    torch.manual_seed(seed)
                    samples.append((*transform(image, mask), torch.rand(1)))
                for one, other in zip(*samples, strict=True):
                    assert one.dtype == other.dtype
                    assert torch.equal(one, other)  # the last: so much was drawn, and no more
