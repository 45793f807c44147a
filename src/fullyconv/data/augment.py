"""Augmentation: random scale, crop, flip and colour, on image and mask together."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from fullyconv.channels import Inputs, count_colours
from fullyconv.classes import IGNORE
from fullyconv.errors import ConfigError


def train_transform(
    crop: tuple[int, int] | None,
    scale: tuple[float, float],
    flip: float,
    color: float,
    inputs: Inputs = "image",
    balance: float = 0,
    rarity: Sequence[Tensor] = (),
) -> v2.Transform:
    """Return the transform of training samples, from ``(image, mask)`` to ``(image, mask)`` of size ``crop``.

    Images are (C, H, W), masks (H, W), or (K, H, W) where there are several labelings.

    - ``crop``: (height, width) in pixels; None for whole images, neither scaled (whatever ``scale`` is) nor cropped.
    - ``scale``: (lowest, highest) factor by which images are scaled, drawn evenly on a logarithmic axis.
    - ``flip``: probability of a horizontal flip.
    - ``color``: strength of the colour jitter, 0 (none) to 1: brightness, contrast and saturation change by a
      factor of up to 1 ± color, and each channel, like white balance, by up to 1 ± color / 4.
      Only red, green and blue are changed: images of three channels, and the first three beside depth or HHA.
    - ``inputs``: what the channels are.
    - ``balance``: probability that the place of a crop is drawn so that it holds a pixel of a certain class. The class
      is drawn from those in the image, by ``rarity``, (C,) for each labeling; then the pixel from all of that class.

    All randomness comes from torch's default generator. Raises ConfigError for values out of range.
    """
    low, high = scale
    if crop is not None and min(crop) < 1:
        raise ConfigError(f"crop is {crop}; a height and a width of at least 1 pixel are expected")
    if not 0 < low <= high < math.inf:
        raise ConfigError(f"scale is {scale}; two factors above 0, the lower first, are expected")
    if not (0 <= flip <= 1 and 0 <= color <= 1 and 0 <= balance <= 1):
        raise ConfigError(f"flip is {flip}, color is {color} and balance is {balance}; all must be from 0 to 1")
    steps: list[v2.Transform] = [ScaledCrop(crop, scale, balance, rarity) if crop else v2.Identity()]
    if flip:
        steps.append(v2.RandomHorizontalFlip(flip))
    if color:
        jitter = v2.ColorJitter(brightness=color, contrast=color, saturation=color)
        steps.append(_OfColours([jitter, _WhiteBalance(color / 4)], inputs))
    return v2.Compose(steps)


Span = tuple[int, int, int, int]
"""Along one axis: start and length in the source, start and length in the output."""


class ScaledCrop(v2.Transform):
    """Scale by a random factor and crop to ``size`` at a random place, with probability ``balance`` at a rare class.

    The crop is taken first and only it is scaled, which gives the same at a fraction of the cost. Where the scaled
    image is smaller than the crop it is placed at random, surrounded by its mean colour, and in the mask by
    IGNORE. Images are interpolated bilinearly, with antialiasing; masks take the pixel nearest to each new
    pixel's centre.
    """

    _transformed_types = (tv_tensors.Image, tv_tensors.Mask)

    def __init__(
        self, size: tuple[int, int], scale: tuple[float, float], balance: float = 0, rarity: Sequence[Tensor] = ()
    ) -> None:
        super().__init__()
        self.size, self.scale = size, scale
        self.balance, self.rarity = balance, rarity

    def make_params(self, flat_inputs: Sequence[Tensor]) -> dict[str, list[Span]]:
        """Draw a factor and a place: for each axis, source start and length, output start and length."""
        low, high = map(math.log, self.scale)
        factor = math.exp(low + (high - low) * torch.rand(()).item())
        lengths = flat_inputs[0].shape[-2:]
        held: tuple[int, int] | tuple[None, None] = None, None
        if self.balance and torch.rand(()).item() < self.balance:  # without balance the draws stay what they were
            held = _rare_pixel(next(x for x in flat_inputs if isinstance(x, tv_tensors.Mask)), self.rarity)
        axes = zip(lengths, self.size, held, strict=True)
        return {"axes": [_draw(length, out, factor, pixel) for length, out, pixel in axes]}

    def transform(self, inpt: Tensor, params: Mapping[str, Sequence[Span]]) -> Tensor:
        """Crop, scale and pad an image or a mask."""
        (top, height, out_top, out_height), (left, width, out_left, out_width) = params["axes"]
        region = inpt.as_subclass(Tensor)[..., top : top + height, left : left + width]
        padding = [
            out_left,
            out_top,
            self.size[1] - out_left - out_width,
            self.size[0] - out_top - out_height,
        ]
        size = [out_height, out_width]
        if isinstance(inpt, tv_tensors.Mask):
            # v2 resizes masks by NEAREST, which takes the pixel at the cell's corner, up to half a cell off
            region = F.resize_image(region[None], size, InterpolationMode.NEAREST_EXACT)
            return tv_tensors.wrap(F.pad_image(region, padding, fill=IGNORE)[0], like=inpt)
        if size == [1, 1]:  # torch 2.15 cannot do this to an RGB image stored plane by plane
            region = region.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        region = F.resize_image(region, size, antialias=True)
        if any(padding):
            region = F.pad_image(region, padding, fill=region.float().mean(dim=(1, 2)).tolist())
        return tv_tensors.wrap(region, like=inpt)


class _OfColours(v2.Transform):
    """Apply transforms to an image's red, green and blue; other channels and the mask stay as they are."""

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, steps: list[v2.Transform], inputs: Inputs) -> None:
        super().__init__()
        self.steps, self.inputs = v2.Compose(steps), inputs

    def transform(self, inpt: Tensor, params: Mapping[str, object]) -> Tensor:
        colours = count_colours(self.inputs, inpt.shape[0])
        if not colours:
            return inpt
        pixels = inpt.as_subclass(Tensor)
        rgb = pixels[:colours]
        if pixels.is_floating_point() and self.inputs == "image":  # of more than 8 bits; torchvision's floats are 0..1
            changed = self.steps(tv_tensors.Image(rgb / 255)).as_subclass(Tensor) * 255
        else:  # beside depth, which floats hold, colours are bytes
            as_bytes = tv_tensors.Image(rgb.round().clamp(0, 255).to(torch.uint8))
            changed = self.steps(as_bytes).as_subclass(Tensor).to(pixels.dtype)
        return tv_tensors.wrap(torch.cat([changed, pixels[colours:]]), like=inpt)


class _WhiteBalance(v2.Transform):
    """Multiply each channel of an RGB image by a random factor from 1 − strength to 1 + strength.

    This imitates lights of different colours, in a tenth of the time that changing the hue takes.
    """

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def make_params(self, flat_inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        return {"gains": torch.empty(3, 1, 1).uniform_(1 - self.strength, 1 + self.strength)}

    def transform(self, inpt: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        image = inpt.as_subclass(Tensor) * params["gains"]
        image = image.clamp_(0, 1) if inpt.is_floating_point() else image.round_().clamp_(0, 255)
        return tv_tensors.wrap(image.to(inpt.dtype), like=inpt)


def _rare_pixel(mask: Tensor, rarity: Sequence[Tensor]) -> tuple[int, int] | tuple[None, None]:
    """Draw a class of the mask by rarity, and a pixel of it: its row and column; None where there is none to draw."""
    planes = mask.as_subclass(Tensor).reshape(-1, *mask.shape[-2:])
    found = [
        plane.flatten().bincount(minlength=len(rare))[: len(rare)] for plane, rare in zip(planes, rarity, strict=True)
    ]
    weights = torch.cat([rare * (count > 0) for rare, count in zip(rarity, found, strict=True)])
    if not weights.any():
        return None, None
    drawn = int(torch.multinomial(weights, 1))
    plane = 0
    while drawn >= len(rarity[plane]):
        drawn -= len(rarity[plane])
        plane += 1
    is_class = planes[plane] == drawn
    of_rows = is_class.sum(1).cumsum(0)
    number = int(torch.randint(int(of_rows[-1]), ()))
    row = int(torch.searchsorted(of_rows, number, right=True))
    before = int(of_rows[row - 1]) if row else 0
    return row, int(is_class[row].nonzero()[number - before])


def _draw(length: int, out: int, factor: float, held: int | None = None) -> Span:
    """Draw where a crop lies along an axis; it takes the pixel ``held`` where one is given."""
    wanted = round(out / factor)
    if wanted <= length:
        taken = max(1, wanted)
        first, last = (0, length) if held is None else (held + 1 - taken, held)
        first, last = max(0, first), min(length - taken, last)
        return first + _start(last - first), taken, 0, out
    filled = min(out, max(1, round(length * factor)))
    return 0, length, _start(out - filled), filled


def _start(room: int) -> int:
    return int(torch.randint(room + 1, ()))
