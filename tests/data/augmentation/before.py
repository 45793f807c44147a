"""How samples were augmented when there were but scale, crop, mirroring and colour jitter: an oracle.

Written with whole torchvision transforms; runs that were begun then are resumed with the same samples.
"""

import math

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from fullyconv.classes import IGNORE


class Crop(v2.Transform):
    def __init__(self, size, scale, balance, rarity):
        super().__init__()
        self.size, self.scale, self.balance, self.rarity = size, scale, balance, rarity

    def make_params(self, flat_inputs):
        low, high = map(math.log, self.scale)
        factor = math.exp(low + (high - low) * torch.rand(()).item())
        held = None, None
        if self.balance and torch.rand(()).item() < self.balance:
            held = rare_pixel(next(x for x in flat_inputs if isinstance(x, tv_tensors.Mask)), self.rarity)
        return {"axes": [span(*axis, factor) for axis in zip(flat_inputs[0].shape[-2:], self.size, held, strict=True)]}

    def transform(self, inpt, params):
        (top, height, out_top, out_height), (left, width, out_left, out_width) = params["axes"]
        region = inpt.as_subclass(Tensor)[..., top : top + height, left : left + width]
        padding = [out_left, out_top, self.size[1] - out_left - out_width, self.size[0] - out_top - out_height]
        size = [out_height, out_width]
        if isinstance(inpt, tv_tensors.Mask):
            region = F.resize_image(region[None], size, InterpolationMode.NEAREST_EXACT)
            return tv_tensors.wrap(F.pad_image(region, padding, fill=IGNORE)[0], like=inpt)
        if size == [1, 1]:
            region = region.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        region = F.resize_image(region, size, antialias=True)
        if any(padding):
            region = F.pad_image(region, padding, fill=region.float().mean(dim=(1, 2)).tolist())
        return tv_tensors.wrap(region, like=inpt)


class Colours(v2.Transform):
    _transformed_types = (tv_tensors.Image,)

    def __init__(self, strength, inputs):
        super().__init__()
        self.jitter = v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength)
        self.strength, self.inputs = strength / 4, inputs

    def transform(self, inpt, params):
        if self.inputs == "hha" or (self.inputs == "image" and len(inpt) != 3):
            return inpt
        pixels = inpt.as_subclass(Tensor)
        rgb, scale = pixels[:3], 1
        if pixels.is_floating_point() and self.inputs == "image":
            rgb, scale = rgb / 255, 255
        else:
            rgb = rgb.round().clamp(0, 255).to(torch.uint8)
        rgb = self.jitter(tv_tensors.Image(rgb)).as_subclass(Tensor)
        image = rgb * torch.empty(3, 1, 1).uniform_(1 - self.strength, 1 + self.strength)
        image = image.clamp_(0, 1) if rgb.is_floating_point() else image.round_().clamp_(0, 255)
        changed = image.to(rgb.dtype) * scale if scale > 1 else image.to(rgb.dtype).to(pixels.dtype)
        return tv_tensors.wrap(torch.cat([changed, pixels[3:]]), like=inpt)


def transform(crop, scale, flip, color, inputs, balance, rarity):
    steps = [Crop(crop, scale, balance, rarity) if crop else v2.Identity()]
    steps += [v2.RandomHorizontalFlip(flip)] if flip else []
    steps += [Colours(color, inputs)] if color else []
    return v2.Compose(steps)


def rare_pixel(mask, rarity):
    planes = mask.as_subclass(Tensor).reshape(-1, *mask.shape[-2:])
    found = [
        plane.flatten().bincount(minlength=len(rare))[: len(rare)] for plane, rare in zip(planes, rarity, strict=True)
    ]
    weights = torch.cat([rare * (count > 0) for rare, count in zip(rarity, found, strict=True)])
    if not weights.any():
        return None, None
    drawn, plane = int(torch.multinomial(weights, 1)), 0
    while drawn >= len(rarity[plane]):
        drawn -= len(rarity[plane])
        plane += 1
    places = (planes[plane] == drawn).nonzero()
    return places[int(torch.randint(len(places), ()))].tolist()


def span(length, out, held, factor):
    wanted = round(out / factor)
    if wanted <= length:
        taken = max(1, wanted)
        first, last = (0, length) if held is None else (held + 1 - taken, held)
        first, last = max(0, first), min(length - taken, last)
        return first + int(torch.randint(last - first + 1, ())), taken, 0, out
    filled = min(out, max(1, round(length * factor)))
    return 0, length, int(torch.randint(out - filled + 1, ())), filled
