"""PASCAL VOC's segmentation challenge, as published and in folders made like it."""

from pathlib import Path

from fullyconv.classes import VOC_CLASSES
from fullyconv.data.catalog import Data
from fullyconv.data.images import list_images
from fullyconv.data.masks import IGNORE, MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, find_one, in_order, read_list
from fullyconv.errors import DataError
from fullyconv.palettes import VOC_VOID, voc_palette

ENTRIES = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
PALETTE = voc_palette(len(VOC_CLASSES))
_ABOVE = ("", "VOCdevkit/", "TrainVal/VOCdevkit/")  # the archive of 2011 has one folder more


def places(year: str = "VOC20??") -> list[str]:
    """Where the archive of a year has its folder."""
    return [f"{above}{year}" for above in _ABOVE]


def is_voc(root: Path) -> bool:
    """Whether a VOC folder is at ``root`` or where the archives have it."""
    return bool(find(root, places(), ENTRIES))


def open_voc(root: Path) -> Data:
    """Each list in ImageSets/Segmentation is a split, but trainval where train and val are there: it repeats them.

    Raises DataError if there are no lists, or several years' folders.
    """
    root = find_one(root, places(), ENTRIES)
    lists = {path.stem: path for path in sorted((root / "ImageSets/Segmentation").glob("*.txt"))}
    if {"train", "val"} <= lists.keys():
        lists.pop("trainval", None)
    if not lists:
        raise DataError(
            f"{root}: ImageSets/Segmentation has no lists; train.txt and so on are expected, one name a line"
        )
    images = {path.stem: path for path in list_images(root / "JPEGImages")}
    masks = {path.stem: path for path in list_images(root / "SegmentationClass")}
    splits = {
        split: [
            Pair(images.get(stem, root / "JPEGImages" / f"{stem}.jpg"), masks.get(stem)) for stem in read_list(path)
        ]
        for split, path in lists.items()
    }
    return Data(root, "voc", list(VOC_CLASSES), PALETTE, mask_code(), in_order(splits), published=True)


def mask_code(key: str | None = None) -> MaskCode:
    """21 classes, as values or in VOC's colours; 255 is void. ``key``: where MATLAB files have the mask."""
    colours = {colour: label for label, colour in enumerate(PALETTE)} | {VOC_VOID: IGNORE}
    return MaskCode(len(VOC_CLASSES), IGNORE, colours, key=key)
