"""Read an image, the files that add channels to it, and its masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.data.annotations.drawing import Drawing
from fullyconv.data.images.planes import read_planes
from fullyconv.data.images.read import read_pixels
from fullyconv.data.images.values import ValueRange
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.masks import read_area, read_mask
from fullyconv.errors import DataError


@dataclass(frozen=True)
class Pair:
    """An image and its mask; ``mask`` is None if there is none.

    - ``more``: files whose channels follow those of the image, HHA or depth (see ``read_planes``).
    - ``more_masks``: masks of further labelings of the same image.
    - ``valid``: a mask of the area that counts; pixels where it is 0 have no class.
    - ``drawing``: how ``mask`` is drawn where it comes from an annotation, and may not be there yet.
    - ``group``: what the layout says that the image belongs to, such as its patient's folder or its video; images of
      one group stay in one split. Empty: it does not say.
    """

    image: Path
    mask: Path | None
    more: tuple[Path, ...] = ()
    more_masks: tuple[Path, ...] = ()
    valid: Path | None = None
    drawing: Drawing | None = None
    group: str = field(default="", compare=False)


def masks_of(pair: Pair) -> tuple[Path, ...]:
    """Return the pair's masks, one for each labeling, drawn where need be. Raises DataError if it has none."""
    if pair.mask is None:
        raise DataError(f"{pair.image}: has no mask; expected a mask with the name of the image")
    if pair.drawing is not None:
        pair.drawing.ensure()
    return pair.mask, *pair.more_masks


def read_labels(pair: Pair, codes: Sequence[MaskCode]) -> np.ndarray:
    """Read the labels of a pair, uint8 (H, W), or (K, H, W) for K > 1 labelings; ``codes`` has one code for each.

    Raises DataError if a mask is missing, broken or has unknown values, or masks differ in size.
    """
    masks = masks_of(pair)
    labelings = [read_mask(mask, code) for mask, code in zip(masks, codes, strict=True)]
    for mask, labels in zip(masks[1:], labelings[1:], strict=True):
        _same_size(mask, labels, masks[0], labelings[0])
    if pair.valid is not None:
        inside = read_area(pair.valid)
        _same_size(pair.valid, inside, masks[0], labelings[0], "the mask ")
        labelings = [np.where(inside, labels, np.uint8(IGNORE)) for labels in labelings]
    return labelings[0] if len(labelings) == 1 else np.stack(labelings)


def read_pair(
    pair: Pair,
    codes: Sequence[MaskCode],
    channels: int = 3,
    value_range: ValueRange | None = None,
    upright: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Read the image of a pair, (C, H, W), and its labels, uint8 (H, W) or (K, H, W).

    The image is read by ``read_pixels``; the EXIF orientation is not applied if the masks fit only the stored image.
    Labels are IGNORE where the image holds no data. If ``pair.more`` has files, the image is RGB followed by their
    channels (see ``read_planes``): float32 if one is a depth, else uint8. Raises DataError if a file is missing, broken
    or has unknown values, or sizes differ.
    """
    labels = read_labels(pair, codes)
    taken = 3 if pair.more else channels
    image, valid = read_pixels(pair.image, taken, value_range, upright)
    if (
        upright and labels.shape[-2:] != image.shape[1:] == labels.shape[:-3:-1]
    ):  # the mask was drawn on the stored image
        image, valid = read_pixels(pair.image, taken, value_range, upright=False)
    if pair.more:
        planes = [read_planes(path) for path in pair.more]
        for path, plane in zip(pair.more, planes, strict=True):
            _same_size(path, plane, pair.image, image)
        image = np.concatenate([image, *planes])
    assert pair.mask is not None
    _same_size(pair.mask, labels, pair.image, image, "its image ")
    if valid is not None:
        labels = np.where(valid, labels, np.uint8(IGNORE))
    return image, labels


def _same_size(path: Path, array: np.ndarray, other: Path, wanted: np.ndarray, what: str = "") -> None:
    (height, width), (wanted_height, wanted_width) = array.shape[-2:], wanted.shape[-2:]
    if (height, width) != (wanted_height, wanted_width):
        raise DataError(
            f"{path}: is {width}x{height} (width x height), {what}{other} "
            f"{wanted_width}x{wanted_height}; export both at the same size"
        )
