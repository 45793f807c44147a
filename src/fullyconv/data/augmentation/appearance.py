"""Change the values of an image at random, not its places: colours, gamma, blur, noise and JPEG compression."""

import math
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from fullyconv.channels import Inputs, count_colours, count_intensities
from fullyconv.data.augmentation.settings import Augmentation

SHARE = 0.5
"""The share of the images that are blurred, of those that have noise, and of those that are compressed."""
LEAST_BLUR = 0.2
"""The standard deviation, in pixels, below which a blur would change no pixel by a value of 255."""


def changed_appearance(image: Tensor, options: Augmentation, inputs: Inputs) -> Tensor:
    """Change the values of an image (C, H, W), uint8 or float32 in 0..255, by the settings.

    Colour jitter and grey change red, green and blue; gamma, blur and noise all bands of an image, but neither depth
    nor HHA; JPEG compression 8-bit colours and 8-bit images of one band.
    """
    count, coloured = count_intensities(inputs, len(image)), count_colours(inputs, len(image)) > 0
    precise = image.is_floating_point() and inputs == "image"  # of more than 8 bits; beside depth, colours are bytes
    compressed = options.jpeg is not None and not precise and (coloured or len(image) == 1)
    recoloured = coloured and (options.color or options.gray)
    if not count or not (recoloured or options.gamma or options.blur or options.noise or compressed):
        return image
    seen = image[:count] / 255 if precise else image[:count].round().clamp(0, 255).to(torch.uint8)
    if recoloured:
        seen = _recoloured(seen, options)
    seen = _photographed(seen, options)
    if compressed and torch.rand(1) < SHARE:
        seen = _through_jpeg(seen, int(torch.randint(options.jpeg or 1, 101, ())))
    changed = seen * 255 if precise else seen.to(image.dtype)
    return changed if count == len(image) else torch.cat([changed, image[count:]])


def _recoloured(image: Tensor, options: Augmentation) -> Tensor:
    """Change brightness, contrast, saturation and white balance, and make some images grey."""
    strength = options.color
    if strength:
        image = v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength)(image)
        image = _white_balanced(image, strength / 4)
    if options.gray and torch.rand(1) < options.gray:
        image = F.rgb_to_grayscale(image, num_output_channels=3)
    return image


def _white_balanced(image: Tensor, strength: float) -> Tensor:
    """Multiply each channel of an RGB image by a random factor from 1 − strength to 1 + strength.

    This imitates lights of different colours, in a tenth of the time that changing the hue takes.
    """
    changed = image * torch.empty(3, 1, 1).uniform_(1 - strength, 1 + strength)
    return changed.clamp_(0, 1) if image.is_floating_point() else changed.round_().clamp_(0, 255).to(image.dtype)


def _photographed(image: Tensor, options: Augmentation) -> Tensor:
    """Change the exposure, the focus and the noise of the sensor."""
    if options.gamma:
        limit = math.log1p(options.gamma)
        image = F.adjust_gamma(image, math.exp(_between(-limit, limit)))
    if options.blur and torch.rand(1) < SHARE and (deviation := _between(0, options.blur)) > LEAST_BLUR:
        reach = min(math.ceil(3 * deviation), *(length - 1 for length in image.shape[1:]))
        image = F.gaussian_blur(image, [2 * reach + 1] * 2, [deviation] * 2)
    if options.noise and torch.rand(1) < SHARE:
        full = 1 if image.is_floating_point() else 255  # v2.functional.gaussian_noise rounds bytes towards 0
        noisy = image + torch.randn(image.shape) * (_between(0, options.noise) / 255 * full)
        image = (noisy if image.is_floating_point() else noisy.round_()).clamp_(0, full).to(image.dtype)
    return image


def _through_jpeg(image: Tensor, quality: int) -> Tensor:
    """Compress and decode an image of one or three bands, uint8."""
    pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    file = BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "JPEG", quality=quality)
    decoded = torch.from_numpy(np.array(Image.open(file)))
    return decoded[None] if len(image) == 1 else decoded.permute(2, 0, 1).contiguous()


def _between(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))
