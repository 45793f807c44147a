"""The transform of training samples: every change that augmentation makes, in order."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision import tv_tensors

from fullyconv.channels import Inputs
from fullyconv.classes import IGNORE
from fullyconv.data.augmentation.appearance import changed_appearance
from fullyconv.data.augmentation.copy_paste import Donors
from fullyconv.data.augmentation.crop import Pixel, scaled_crop
from fullyconv.data.augmentation.flips import draw_quarters, turned_and_mirrored
from fullyconv.data.augmentation.rare import draw_pixel, draw_rare_pixel
from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.data.augmentation.warp import warped_crop


@dataclass(frozen=True)
class TrainTransform:
    """The transform of training samples, from ``(image, mask)`` to ``(image, mask)`` of size ``crop``.

    Images are (C, H, W), masks (H, W), or (K, H, W) where there are several labelings. All randomness comes from
    torch's default generator.
    """

    crop: tuple[int, int] | None
    """(height, width) in pixels; None for whole images, neither scaled (whatever the scale is) nor cropped."""
    options: Augmentation
    inputs: Inputs = "image"
    """What the channels are."""
    balance: float = 0
    """The probability that the place of a crop is drawn so that it holds a pixel of a certain class.

    The class is drawn from those in the image, by ``rarity``; then the pixel from all of that class."""
    rarity: Sequence[Tensor] = ()
    """The weight of each class, (C,) for each labeling."""
    exchanged: Tensor | None = None
    """What labels become in mirrored images; see ``exchange_table``."""
    donors: Donors | None = None
    """From where pixels of rare classes are pasted; None: no pixels are pasted."""

    def __call__(self, image: tv_tensors.Image, mask: tv_tensors.Mask) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        pixels, labels = self._placed(image.as_subclass(Tensor), mask.as_subclass(Tensor), self.crop, self._rare_pixel)
        if self.donors is not None and torch.rand(1) < self.options.copy_paste:
            pixels, labels = self._with_pasted(pixels, labels, self.donors)
        pixels = changed_appearance(pixels, self.options, self.inputs)
        if self.options.cutout:
            pixels, labels = _covered(pixels, labels, self.options.cutout)
        return tv_tensors.Image(pixels), tv_tensors.Mask(labels)

    def _placed(
        self,
        image: Tensor,
        mask: Tensor,
        crop: tuple[int, int] | None,
        hold: Callable[[Tensor], Pixel | None],
    ) -> tuple[Tensor, Tensor]:
        """Scale, crop, deform, turn and mirror; ``hold`` chooses a pixel of the mask that the crop takes."""
        options = self.options
        height, width = crop or image.shape[-2:]
        quarters = draw_quarters(options, square=crop is not None or height == width)
        size = (width, height) if quarters % 2 else (height, width)
        factor = 1.0 if self.crop is None else _draw_factor(options.scale)
        held = hold(mask)
        if options.rotate or options.shear or options.elastic:
            image, mask = warped_crop(image, mask, size, factor, options, held, centred=crop is None)
        elif crop is not None:
            image, mask = scaled_crop(image, mask, size, factor, held)
        return turned_and_mirrored(image, mask, quarters, options, self.exchanged)

    def _rare_pixel(self, mask: Tensor) -> Pixel | None:
        balanced = self.balance and torch.rand(()) < self.balance  # without balance nothing is drawn
        return draw_rare_pixel(mask, self.rarity) if balanced else None

    def _with_pasted(self, image: Tensor, mask: Tensor, donors: Donors) -> tuple[Tensor, Tensor]:
        """Paste pixels of a rare class from another image, which is scaled, cropped and mirrored in its own way."""
        donor = donors.draw()
        if donor is None:
            return image, mask
        planes = donor.mask.reshape(-1, *donor.mask.shape[-2:])
        chosen = planes[donor.labeling] == donor.label
        followed = torch.cat([planes, chosen.to(torch.uint8)[None]])  # the class may get another label by mirroring
        size = (mask.shape[-2], mask.shape[-1])
        pixels, labels = self._placed(donor.image, followed, size, lambda _: draw_pixel(chosen))
        inside = labels[-1] == 1
        return torch.where(inside, pixels, image), torch.where(inside, labels[:-1].view(mask.shape), mask)


def _draw_factor(scale: tuple[float, float]) -> float:
    """Draw a factor from a range, evenly on a logarithmic axis."""
    low, high = map(math.log, scale)
    return math.exp(low + (high - low) * torch.rand(()).item())


def _covered(image: Tensor, mask: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Cover a rectangle by the image's mean colour, and in the mask by IGNORE; ``largest`` is a share of each side."""
    lengths = image.shape[-2:]
    sides = [int(torch.randint(1 + round(largest * length), ())) for length in lengths]
    starts = [int(torch.randint(1 + length - side, ())) for length, side in zip(lengths, sides, strict=True)]
    inside = torch.zeros(lengths, dtype=torch.bool)
    inside[starts[0] : starts[0] + sides[0], starts[1] : starts[1] + sides[1]] = True
    mean = image.float().mean((1, 2), keepdim=True).to(image.dtype)
    return torch.where(inside, mean, image), mask.masked_fill(inside, IGNORE)
