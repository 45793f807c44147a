"""The forms an image may have in memory or on disk, as the tensor a network takes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from fullyconv.data.images.pictures import bands_of
from fullyconv.data.images.read import Pixels, as_channels, read_pixels, wrong_bands
from fullyconv.data.images.source import Stored
from fullyconv.data.images.values import BYTE, ValueRange
from fullyconv.errors import DataError, first_line

ImageLike = str | Path | Image.Image | np.ndarray | Tensor


class Input(NamedTuple):
    """``pixels`` is (channels, H, W) in 0..255, uint8 or float32; ``valid``, (H, W) bool, says which hold data.

    ``valid`` is None where all do.
    """

    pixels: Tensor
    valid: np.ndarray | None


def to_input(image: ImageLike, channels: int = 3, value_range: ValueRange | None = None) -> Input:
    """Return an image as a network of so many channels and this value range takes it.

    * a file: read by ``read_pixels``, as in training
    * a PIL image of any mode: turned upright by its EXIF orientation
    * an array (H, W) or (H, W, c), or a tensor (c, H, W). With a value range it holds numbers as the files do; else it
      is uint8, uint16 (divided by 257), or floats in 0..255

    Grey is repeated over three channels, three colours are weighed to one; a fourth is left out as alpha where the
    network takes three or one (pixels of alpha 0 hold no data). Raises DataError, naming the file, for what is none of
    these.
    """
    if isinstance(image, str | Path):
        return _input(read_pixels(image, channels, value_range))
    if isinstance(image, Image.Image):
        try:
            values, alpha = bands_of(ImageOps.exif_transpose(image))
        except Exception as error:  # Pillow's readers raise errors of many kinds on broken metadata
            raise DataError(f"the image: {first_line(error)}") from error
        if alpha is not None and channels == len(values) + 1:
            values, alpha = np.concatenate([values, alpha[None]]), None
    elif isinstance(image, np.ndarray | Tensor):
        values, alpha = _channels_first(image), None
        if len(values) == 4 and channels in (1, 3):
            values, alpha = values[:3], values[3]
    else:
        raise DataError(f"an image is a path, a PIL image, an array or a tensor; this is a {type(image).__name__}")
    valid = None if alpha is None or alpha.all() else alpha > 0
    _check(values, channels, value_range)
    if values.dtype.kind == "f" and value_range is None:
        value_range = [BYTE] * channels  # they are on the scale already
    elif values.dtype.kind == "f" and not np.isfinite(values).all():
        finite = np.isfinite(values).all(axis=0)
        valid = finite if valid is None else finite & valid
    return _input(as_channels(Stored(values, valid), channels, value_range, "an image"))


def _input(pixels: Pixels) -> Input:
    values = pixels.values
    return Input(torch.from_numpy(values if values.flags.writeable else values.copy()), pixels.valid)


def _channels_first(image: np.ndarray | Tensor) -> np.ndarray:
    form = "(C, H, W)" if isinstance(image, Tensor) else "(H, W) or (H, W, C)"
    if image.ndim not in ((3,) if isinstance(image, Tensor) else (2, 3)) or 0 in image.shape:
        raise DataError(f"an image has shape {tuple(image.shape)}; {form} is expected, with no length 0")
    if isinstance(image, Tensor):
        if image.dtype == torch.bfloat16:
            image = image.float()
        return image.detach().cpu().numpy().copy()
    return np.atleast_3d(image).transpose(2, 0, 1).copy()


def _check(values: np.ndarray, channels: int, value_range: ValueRange | None) -> None:
    """Raise DataError for bands, types or values of an array that the network does not take."""
    given = len(values)
    if given != channels and (given, channels) not in ((1, 3), (3, 1)):
        shape = f"{values.shape} as (C, H, W); arrays have channels last, tensors first"
        raise DataError(wrong_bands("an image", f"{given} channels ({shape})", channels))
    if value_range is not None and values.dtype.kind in "uif":
        return
    if values.dtype not in (np.uint8, np.uint16) and values.dtype.kind != "f":
        raise DataError(f"an image has values of type {values.dtype}; uint8, uint16 or floats are expected")
    if values.dtype.kind == "f":
        _check_scale(values)


def _check_scale(image: np.ndarray) -> None:
    """Raise DataError for floats that are not on the scale of 0 to 255."""
    low, high = float(image.min()), float(image.max())
    if not 0 <= low <= high <= 255:
        raise DataError(f"an image has values from {low:g} to {high:g}; 0 to 255 is expected")
    if high <= 1 and bool((image != image.round()).any()):
        raise DataError(f"an image has values from {low:g} to {high:g}, which looks like 0..1; multiply it by 255")
