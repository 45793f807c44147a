"""Read mask files of any usual form as class indices."""

from pathlib import Path

import numpy as np
from PIL import Image

from fullyconv.classes import IGNORE
from fullyconv.data.images.pictures import open_picture
from fullyconv.data.images.read import find_decoder, open_source
from fullyconv.data.mask_codes import MaskCode, Unknown, count_colours, list_unknown, numbers_of_colours
from fullyconv.data.published.matlab import SUFFIX, read_matrix
from fullyconv.errors import DataError

Mask = Image.Image | np.ndarray
"""An open mask: a picture, or the whole numbers (H, W) of a MATLAB file or of an image that Pillow does not read."""


def open_mask(path: str | Path, key: str | None) -> Mask:
    """Open a mask file, an image or a MATLAB file that has it under ``key``.

    Raises DataError, naming the file, if it cannot be read, or holds other values than whole numbers.
    """
    path = Path(path)
    if path.suffix.lower() == SUFFIX:
        if key is None:
            raise DataError(f"{path}: is a MATLAB file; in this layout masks are images")
        return read_matrix(path, key)
    return _without_alpha(path, open_picture(path)) if find_decoder(path) == "picture" else _open_numbers(path)


def is_lossy(mask: Mask) -> bool:
    """Whether a mask is of a format that changes values: JPEG, or its kin of several pictures."""
    return isinstance(mask, Image.Image) and mask.format in ("JPEG", "MPO")


def _open_numbers(path: Path) -> Mask:
    """A mask that Pillow does not read: its numbers, whatever their type; or its colours, as a picture."""
    with open_source(path) as source:
        stored = source.whole(with_alpha=True).values if source.alpha else source.numbers()
    if len(stored) in (3, 4) and stored.dtype == np.uint8:
        return _without_alpha(path, Image.fromarray(np.ascontiguousarray(stored.transpose(1, 2, 0))))
    if len(stored) != 1:
        raise DataError(f"{path}: has {len(stored)} bands; a mask has one, or three of 8-bit red, green and blue")
    numbers = stored[0]
    if numbers.dtype.kind == "f":
        whole = np.nan_to_num(numbers, nan=0.5, posinf=0.5, neginf=0.5)
        if (whole != np.floor(whole)).any() or np.abs(whole).max(initial=0) > 2**31:
            raise DataError(f"{path}: holds values that are no whole numbers; a mask holds the number of a class")
        numbers = whole.astype(np.int64)
    return numbers if numbers.dtype in (np.uint8, np.uint16) else numbers.astype(np.int64)


def _without_alpha(path: str | Path, mask: Image.Image) -> Image.Image:
    """Return a mask's colours where its transparency follows them, its transparency where it has one colour.

    Raises DataError where both tell pixels apart.
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
        f"{path}: has colours that are transparent in some places and opaque in others: it does not say which of both "
        "tells the class. Save it without transparency (an alpha channel), each class in a colour of its own"
    )


def read_mask(path: str | Path, code: MaskCode) -> np.ndarray:
    """Read a mask as uint8 (H, W) of class indices, IGNORE where a pixel has no class.

    Raises DataError, naming the file, if it cannot be read or holds a value or colour that is no class.
    """
    try:
        labels, unknown = to_labels(open_mask(path, code.key), code)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    refuse_unknown(path, unknown, code)
    return labels


def refuse_unknown(path: str | Path, unknown: list[Unknown], code: MaskCode) -> None:
    """Raise DataError if anything in a mask file is no class."""
    if unknown:
        raise DataError(
            f"{path}: {list_unknown(unknown)}, where {code.describe()} is expected; "
            "run `fullyconv data check` on this data set to see every such file and what to do"
        )


def to_labels(mask: Mask, code: MaskCode) -> tuple[np.ndarray, list[Unknown]]:
    """The labels of an open mask, uint8 (H, W), and what in it is no class (its label is IGNORE).

    Raises ValueError if the mask is an image of a mode that holds no classes.
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
    """The integers (H, W) that a mask without colours holds: 1-bit masks hold 0 and 1.

    Raises ValueError if the image has a mode that holds no classes.
    """
    if image.mode == "LA":
        image = image.getchannel("L")
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise ValueError(f"has mode {image.mode}; a mask is a 1-bit, 8-bit, 16-bit, palette or RGB image")
    if image.mode == "1":
        return np.asarray(image.convert("L")) // 255
    return np.asarray(image)


def is_grey(rgb: np.ndarray) -> bool:
    """Whether all pixels of an RGB array (H, W, 3) are shades of grey."""
    return bool((rgb == rgb[..., :1]).all())
