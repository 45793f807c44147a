"""Read mask files of any usual form as class indices."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from fullyconv.classes import MAX_CLASSES
from fullyconv.data.images import open_image
from fullyconv.data.published.matlab import SUFFIX, read_matrix
from fullyconv.errors import DataError
from fullyconv.palettes import Colour

IGNORE = 255
"""The label, in memory, of pixels without a class."""

Mask = Image.Image | np.ndarray
"""An open mask: an image, or a MATLAB file's matrix (H, W) of whole numbers."""

Unknown = tuple[int | Colour, int]
"""A value or a colour that is no class, and the number of its pixels."""


@dataclass(frozen=True)
class MaskCode:
    """What the values and the colours in a data set's mask files mean.

    - ``classes``: the number of classes. Values number them from 0, skipping ``ignore_index``, the value of void. Where
      there are two classes and 255 is not void, 255 is the second class too, as in masks of 0 and 255.
    - ``colours``: the label of each colour in RGB masks, IGNORE for void.
    - ``by_colour``: read all masks by their colours, not only RGB masks.
    - ``values``: the label of each value (-1 to 65535), IGNORE for void, if the classes are numbered otherwise.
    - ``key``: where the mask is in MATLAB files (see ``read_matrix``).
    """

    classes: int
    ignore_index: int | None = None
    colours: Mapping[Colour, int] | None = None
    by_colour: bool = False
    values: Mapping[int, int] | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.classes > MAX_CLASSES:
            raise DataError(
                f"the masks have {self.classes} classes; at most {MAX_CLASSES} are possible, as labels are bytes "
                f"and {IGNORE} stands for pixels without a class"
            )

    @cached_property
    def labels_of_values(self) -> np.ndarray:
        """The label of each value from 0 to 65535, int16 (65537,); -1 where the value is no class.

        The last entry is that of value -1, so that indexing by -1 finds it.
        """
        table = np.full(65537, -1, np.int16)
        if self.values is not None:
            table[list(self.values)] = list(self.values.values())
            return table
        values = [value for value in range(self.classes + 1) if value != self.ignore_index][: self.classes]
        table[values] = range(self.classes)
        if self.ignore_index is not None:
            table[self.ignore_index] = IGNORE
        if self.classes == 2 and table[255] < 0:
            table[255] = 1
        return table

    @cached_property
    def labels_of_colours(self) -> tuple[np.ndarray, np.ndarray]:
        """The colours with a label as ascending numbers 0xRRGGBB, and their labels."""
        assert self.colours is not None
        known = sorted((numbers_of_colours(np.array(colour)), label) for colour, label in self.colours.items())
        return np.array([number for number, _ in known]), np.array([label for _, label in known], np.int16)

    def describe(self) -> str:
        """The expected values (and colours) in words, for messages."""
        table = self.labels_of_values
        values, voids = np.flatnonzero((table >= 0) & (table != IGNORE)), np.flatnonzero(table == IGNORE)
        words = f"{values[0]} to {values[-1]}" if len(values) > 3 else " or ".join(map(str, values))
        if voids.size:
            words += f", {' or '.join(str(value) if value < 65536 else '-1' for value in voids)} for void"
        if self.colours is not None:
            words = f"one of {len(self.colours)} colours" if self.by_colour else f"{words}; or the palette's colours"
        return words


def open_mask(path: str | Path, key: str | None) -> Mask:
    """Open a mask file, an image or a MATLAB file that has it under ``key``.

    Raises DataError, naming the file, if it cannot be read.
    """
    if Path(path).suffix.lower() != SUFFIX:
        return open_image(path)
    if key is None:
        raise DataError(f"{path}: is a MATLAB file; in this layout masks are images")
    return read_matrix(path, key)


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
        return _labels_of_values(mask, code)
    if code.by_colour or mask.mode in ("RGB", "RGBA"):
        rgb = np.asarray(mask.convert("RGB"))
        if code.colours is not None:
            return _labels_of_colours(rgb, code)
        if not is_grey(rgb):
            return np.full(rgb.shape[:2], IGNORE, np.uint8), _count_colours(numbers_of_colours(rgb))
        return _labels_of_values(rgb[..., 0], code)
    return _labels_of_values(mask_values(mask), code)


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


def list_unknown(unknown: list[Unknown], limit: int = 5) -> str:
    """Unknown values in words: "values 12 (340 pixels), 40 (2 pixels)"."""

    def name(value: int | Colour) -> str:
        return str(value) if isinstance(value, int) else f"#{numbers_of_colours(np.array(value)):06x}"

    noun = "value" if isinstance(unknown[0][0], int) else "colour"
    words = [f"{name(what)} ({pixels:,} pixel{'s' * (pixels > 1)})" for what, pixels in unknown[:limit]]
    more = f" and {len(unknown) - limit} more" if len(unknown) > limit else ""
    return f"{noun}{'s' * (len(unknown) > 1)} {', '.join(words)}{more}"


def _labels_of_values(values: np.ndarray, code: MaskCode) -> tuple[np.ndarray, list[Unknown]]:
    if values.dtype not in (np.uint8, np.uint16):
        outside = (values < -1) | (values > 65535)
        labels = np.where(outside, -1, code.labels_of_values[np.where(outside, 0, values)])
    else:
        labels = code.labels_of_values[values]
    if (
        code.values is None
        and code.classes == 2
        and code.ignore_index != 255
        and (values == 255).any()
        and (values == 1).any()
    ):
        labels[values == 255] = -1  # 0 and 1 are the classes of this file, so that 255 is not
    strange = labels < 0
    if not strange.any():
        return labels.astype(np.uint8), []
    labels[strange] = IGNORE
    found, pixels = np.unique(values[strange], return_counts=True)
    most_first = np.argsort(-pixels, kind="stable")
    return labels.astype(np.uint8), [(int(found[i]), int(pixels[i])) for i in most_first]


def _labels_of_colours(rgb: np.ndarray, code: MaskCode) -> tuple[np.ndarray, list[Unknown]]:
    known, labels_of_known = code.labels_of_colours
    numbers = numbers_of_colours(rgb)
    nearest = np.searchsorted(known[:-1], numbers)
    labels = labels_of_known[nearest].astype(np.uint8)
    strange = known[nearest] != numbers
    labels[strange] = IGNORE
    return labels, _count_colours(numbers[strange])


def _count_colours(numbers: np.ndarray) -> list[Unknown]:
    found, pixels = np.unique(numbers, return_counts=True)
    most_first = np.argsort(-pixels, kind="stable")
    return [(colour_of(int(n)), int(c)) for n, c in zip(found[most_first], pixels[most_first], strict=True)]


def numbers_of_colours(rgb: np.ndarray) -> np.ndarray:
    """Colours (..., 3) as numbers 0xRRGGBB."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def colour_of(number: int) -> Colour:
    """The colour of a number 0xRRGGBB."""
    return number >> 16, number >> 8 & 255, number & 255
