"""PASCAL VOC's segmentation challenge, as published, and data sets laid out in the same folders."""

import re
from pathlib import Path

from fullyconv.classes import IGNORE, VOC_CLASSES
from fullyconv.data.catalog import Data
from fullyconv.data.images import list_images
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, find_one, in_order, read_list
from fullyconv.errors import DataError
from fullyconv.palettes import VOC_VOID, voc_palette

ENTRIES = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
PALETTE = voc_palette(len(VOC_CLASSES))
_PUBLISHED = re.compile(r"20\d\d_\d{6}")
"""The names of VOC's own images."""
_ABOVE = ("", "VOCdevkit/", "TrainVal/VOCdevkit/")  # the last is that of the archive of 2011


def places(year: str = "VOC20??") -> list[str]:
    """Return the paths, below the data set's folder, at which the archive of a year may have its own."""
    return [f"{above}{year}" for above in _ABOVE]


def is_voc(root: Path) -> bool:
    """Whether a VOC folder is at ``root``, or below it where the archives have it."""
    return bool(find(root, places(), ENTRIES))


def open_voc(root: Path) -> Data:
    """Open VOC's folders, with each list in ImageSets/Segmentation as a split.

    trainval is left out if train and val are there, as it only repeats them. Raises DataError if there are no lists,
    or several years' folders.
    """
    root = find_one(root, places(), ENTRIES)
    lists = {path.stem: path for path in sorted((root / "ImageSets/Segmentation").glob("*.txt"))}
    if {"train", "val"} <= lists.keys():
        lists.pop("trainval", None)
    if not lists:
        raise DataError(
            f"{root}: ImageSets/Segmentation has no lists; train.txt and so on are expected, with one name per line"
        )
    images = {path.stem: path for path in list_images(root / "JPEGImages")}
    masks = {path.stem: path for path in list_images(root / "SegmentationClass")}
    splits = {
        split: [
            Pair(images.get(stem, root / "JPEGImages" / f"{stem}.jpg"), masks.get(stem)) for stem in read_list(path)
        ]
        for split, path in lists.items()
    }
    published = all(_PUBLISHED.fullmatch(pair.image.stem) for pairs in splits.values() for pair in pairs)
    return Data(root, "voc", list(VOC_CLASSES), PALETTE, mask_code(), in_order(splits), published=published)


def mask_code(key: str | None = None) -> MaskCode:
    """Return the code of VOC's 21 classes, as values or in VOC's colours, with 255 as void.

    ``key`` is where the mask is in MATLAB files.
    """
    colours = {colour: label for label, colour in enumerate(PALETTE)} | {VOC_VOID: IGNORE}
    return MaskCode(len(VOC_CLASSES), IGNORE, colours, key=key)
