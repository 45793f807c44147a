"""Read mask files of any common format as class indices."""

from pathlib import Path

import numpy as np
from PIL import Image

from fullyconv.classes import IGNORE
from fullyconv.data.images.headers import is_lossy
from fullyconv.data.images.pictures import open_picture
from fullyconv.data.images.read import find_decoder, open_source
from fullyconv.data.mask_codes import MaskCode, Unknown, count_colours, list_unknown, numbers_of_colours
from fullyconv.data.published.matlab import SUFFIX, read_matrix
from fullyconv.errors import DataError

Mask = Image.Image | np.ndarray
"""An open mask: a Pillow image, or integers (H, W) from a MATLAB file or an image that Pillow does not read."""


def open_mask(path: str | Path, key: str | None) -> Mask:
    """Open a mask file: an image, or a MATLAB file in which the mask is at ``key``.

    Raises DataError if the file cannot be read, or its values are not integers.
    """
    path = Path(path)
    if path.suffix.lower() == SUFFIX:
        if key is None:
            raise DataError(f"{path}: is a MATLAB file; expected an image in this layout, so export the mask as PNG")
        return read_matrix(path, key)
    return _without_alpha(path, open_picture(path)) if find_decoder(path) == "picture" else _open_numbers(path)


def _open_numbers(path: Path) -> Mask:
    """Open a mask that Pillow does not read: as integers, or as a Pillow image if it is in colour."""
    with open_source(path) as source:
        stored = source.whole(with_alpha=True).values if source.alpha else source.numbers()
    if len(stored) in (3, 4) and stored.dtype == np.uint8:
        return _without_alpha(path, Image.fromarray(np.ascontiguousarray(stored.transpose(1, 2, 0))))
    if len(stored) != 1:
        raise DataError(
            f"{path}: has {len(stored)} bands of type {stored.dtype}; expected one, or 8-bit red, green and blue"
        )
    numbers = stored[0]
    if numbers.dtype.kind == "f":
        whole = np.nan_to_num(numbers, nan=0.5, posinf=0.5, neginf=0.5)
        if (whole != np.floor(whole)).any() or np.abs(whole).max(initial=0) > 2**31:
            raise DataError(f"{path}: holds values that are not whole numbers; expected class numbers")
        numbers = whole.astype(np.int64)
    return numbers if numbers.dtype in (np.uint8, np.uint16) else numbers.astype(np.int64)


def _without_alpha(path: str | Path, mask: Image.Image) -> Image.Image:
    """Drop an alpha band that adds nothing to the colours; return the alpha band if there is only one colour.

    Raises DataError if it is unclear whether colour or alpha gives the class.
    """
    if mask.mode not in ("RGBA", "LA"):
        return mask
    pairs: list[tuple[int, tuple[int, ...]]] = mask.getcolors(256) or []  # type: ignore[assignment]
    alphas: dict[tuple[int, ...], set[int]] = {}
    for _, (*colour, alpha) in pairs:
        alphas.setdefault(tuple(colour), set()).add(alpha)
    if len(alphas) == 1 and len(pairs) > 1:
        return mask.getchannel("A")
    if not any({0, 255} <= own for own in alphas.values()):
        return mask
    raise DataError(
        f"{path}: has colours that are transparent in some places and opaque in others, so it is unclear whether "
        "colour or transparency gives the class. Save it without an alpha channel, with one colour for each class"
    )


def read_mask(path: str | Path, code: MaskCode) -> np.ndarray:
    """Read a mask as class indices, uint8 (H, W), with IGNORE for pixels without a class.

    Raises DataError if the file cannot be read, or holds a value or colour that is not a class.
    """
    try:
        labels, unknown = to_labels(open_mask(path, code.key), code)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    refuse_unknown(path, unknown, code)
    return labels


def read_area(path: Path) -> np.ndarray:
    """Return which pixels a mask of an area marks, bool (H, W): above 0, or in a lossy file at least 128.

    Raises DataError if the file cannot be read.
    """
    mask = open_mask(path, None)
    try:
        colours = isinstance(mask, Image.Image) and mask.mode in ("RGB", "RGBA")
        values = np.asarray(mask)[..., :3].max(-1) if colours else mask_values(mask)  # type: ignore[arg-type]
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    return np.asarray(values >= 128 if is_lossy(path) else values != 0)


def refuse_unknown(path: str | Path, unknown: list[Unknown], code: MaskCode) -> None:
    """Raise DataError if a mask file holds unknown values or colours."""
    if unknown:
        raise DataError(
            f"{path}: holds {list_unknown(unknown)}; expected {code.describe()}. "
            "Run `fullyconv data check` on this data set to see every such file and what to do"
        )


def to_labels(mask: Mask, code: MaskCode) -> tuple[np.ndarray, list[Unknown]]:
    """Return the labels of an open mask, uint8 (H, W), and its unknown values or colours (labelled IGNORE).

    Raises ValueError if the mask is an image of an unsupported mode.
    """
    if isinstance(mask, np.ndarray):
        return code.label_values(mask)
    if code.by_colour or mask.mode in ("RGB", "RGBA"):
        rgb = np.asarray(mask.convert("RGB"))
        if code.colours is not None:
            return code.label_colours(rgb)
        if not is_grey(rgb):
            return np.full(rgb.shape[:2], IGNORE, np.uint8), count_colours(numbers_of_colours(rgb))
        return code.label_values(rgb[..., 0])
    return code.label_values(mask_values(mask))


def mask_values(image: Image.Image) -> np.ndarray:
    """Return the integers (H, W) in a mask without colours; 1-bit masks have 0 and 1.

    Raises ValueError if the image has an unsupported mode.
    """
    if image.mode == "LA":
        image = image.getchannel("L")
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise ValueError(f"has mode {image.mode}; expected a 1-bit, 8-bit, 16-bit, palette or RGB image")
    if image.mode == "1":
        return np.asarray(image.convert("L")) // 255
    return np.asarray(image)


def is_grey(rgb: np.ndarray) -> bool:
    """Whether all pixels of an RGB array (H, W, 3) are shades of grey."""
    return bool((rgb == rgb[..., :1]).all())
