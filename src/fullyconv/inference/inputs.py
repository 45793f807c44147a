"""The forms an image may have in memory or on disk, as the tensor a network takes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from fullyconv.data.images import open_image, to_array
from fullyconv.errors import DataError, first_line

ImageLike = str | Path | Image.Image | np.ndarray | Tensor


def to_tensor(image: ImageLike, channels: int = 3) -> Tensor:
    """An image as a tensor (``channels``, H, W) in 0..255, uint8 or, where it was given in floats, float32.

    * a file, or a PIL image of any mode: turned upright by its EXIF orientation
    * an array (H, W) or (H, W, c), or a tensor (c, H, W): uint8, uint16 (divided by 257), or floats in 0..255

    Grey, RGB and RGBA are converted into each other as ``data.images`` does; other numbers of channels must
    be the network's own. Raises DataError, naming the file, for what is none of these.
    """
    if isinstance(image, str | Path | Image.Image):
        opened = open_image(image) if isinstance(image, str | Path) else image
        try:
            return torch.from_numpy(to_array(ImageOps.exif_transpose(opened), channels).copy())
        except Exception as error:  # Pillow's readers raise errors of many kinds on broken metadata
            name = image if isinstance(image, str | Path) else "the image"
            raise DataError(f"{name}: {first_line(error)}") from error
    if not isinstance(image, np.ndarray | Tensor):
        raise DataError(f"an image is a path, a PIL image, an array or a tensor; this is a {type(image).__name__}")
    return _convert(_eight_bits(_channels_first(image)), channels)


def _channels_first(image: np.ndarray | Tensor) -> Tensor:
    form = "(C, H, W)" if isinstance(image, Tensor) else "(H, W) or (H, W, C)"
    if image.ndim not in ((3,) if isinstance(image, Tensor) else (2, 3)) or 0 in image.shape:
        raise DataError(f"an image has shape {tuple(image.shape)}; {form} is expected, with no length 0")
    if isinstance(image, Tensor):
        return image.cpu()
    try:
        return torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1).copy())
    except TypeError as error:
        raise DataError(f"an image has values of type {image.dtype}; uint8, uint16 or floats are expected") from error


def _eight_bits(image: Tensor) -> Tensor:
    if image.dtype == torch.uint8:
        return image
    if image.dtype == torch.uint16:
        return ((image.int() + 128) // 257).to(torch.uint8)
    if not image.is_floating_point():
        raise DataError(f"an image has values of type {image.dtype}; uint8, uint16 or floats are expected")
    image = image.float()
    low, high = float(image.min()), float(image.max())
    if not 0 <= low <= high <= 255:
        raise DataError(f"an image has values from {low:g} to {high:g}; 0 to 255 is expected")
    if high <= 1 and bool((image != image.round()).any()):
        raise DataError(f"an image has values from {low:g} to {high:g}, which looks like 0..1; multiply it by 255")
    return image


def _convert(image: Tensor, channels: int) -> Tensor:
    """Grey, RGB and RGBA into each other, as ``data.images`` does; uint8 stays uint8."""
    given = len(image)
    if given == channels:
        return image
    if not {given, channels} <= {1, 3, 4}:
        raise DataError(
            f"an image has {given} channels, {tuple(image.shape)} as (C, H, W); the network takes {channels} "
            "(arrays have channels last, tensors first)"
        )
    if channels == 1:
        red, green, blue = image[:3].double()
        grey = (19595 * red + 38470 * green + 7471 * blue) / 65536  # ITU-R 601-2 in Pillow's fixed point
        return ((grey + 0.5).floor() if image.dtype == torch.uint8 else grey).to(image.dtype)[None]
    colour = image[:3].expand(3, -1, -1)
    if channels == 3:
        return colour
    return torch.cat([colour, torch.full_like(colour[:1], 255)])
