"""Draw the images from which pixels of rare classes are pasted into others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fullyconv.data.augmentation.rare import draw_class
from fullyconv.data.dataset import Examples


class Donor(NamedTuple):
    """An image, its mask, and the class whose pixels are pasted: its labeling, and its label there."""

    image: Tensor
    mask: Tensor
    labeling: int
    label: int


@dataclass(frozen=True)
class Donors:
    """The images from which pixels are pasted into others."""

    samples: Examples
    holds: Tensor
    """Which classes each image holds, bool (N, C), where C counts the classes of all labelings."""
    rarity: Sequence[Tensor]
    """The weights by which classes are drawn, (C,) for each labeling; 0 for classes that no image holds."""

    def draw(self) -> Donor | None:
        """Draw a class by rarity, and one of the images that hold it; None where no class has a weight."""
        drawn = draw_class(self.rarity)
        if drawn is None:
            return None
        labeling, label = drawn
        column = sum(len(part) for part in self.rarity[:labeling]) + label
        holders = self.holds[:, column].nonzero()[:, 0]
        image, mask, _ = self.samples[int(holders[torch.randint(len(holders), ())])]
        return Donor(image, mask, labeling, label)
