"""PASCAL VOC as published, and other data sets in the same folders."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fullyconv.classes import IGNORE, VOC_CLASSES
from fullyconv.data.cache import contents_of
from fullyconv.data.catalog import Data
from fullyconv.data.layouts.class_files import CLASS_NAMES, LABELMAP, read_class_file
from fullyconv.data.layouts.files import images_under, select_listed
from fullyconv.data.layouts.infer import infer_classes
from fullyconv.data.layouts.pairing import Names, Paired, pair
from fullyconv.data.mask_codes import MaskCode, numbers_of_colours
from fullyconv.data.parallel import in_parallel
from fullyconv.data.published.archive import find, find_one, in_order
from fullyconv.data.splits.divide import divide
from fullyconv.data.splits.names import canonical
from fullyconv.errors import DataError
from fullyconv.palettes import VOC_VOID, voc_palette

ENTRIES = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
MASKS = ("SegmentationClass", "SegmentationClassPNG")
"""The folders of masks; labelme's earlier exports have the second, and arrays in the first."""
PALETTE = voc_palette(len(VOC_CLASSES))
_PUBLISHED, _OF_2007 = re.compile(r"20(07|08|09|10|11|12)_\d{6}"), re.compile(r"\d{6}")
"""The names of VOC's own images of 2007 to 2012, and the shorter ones in the 2007 archive."""
_ABOVE = ("", "VOCdevkit/", "TrainVal/VOCdevkit/")  # the last one: the 2011 archive


def places(year: str = "VOC20??") -> list[str]:
    """Return the paths, relative to the data set's folder, at which the VOC folder of a year may be."""
    return [f"{above}{year}" for above in _ABOVE]


def is_voc(root: Path) -> bool:
    """Whether ``root`` is a VOC folder, or holds one where the archives put it."""
    return bool(find(root, places(), ENTRIES)) or is_own_voc(root)


def is_own_voc(root: Path) -> bool:
    """Whether ``root`` has VOC's folders of images and masks, with or without lists."""
    return (root / "JPEGImages").is_dir() and any((root / folder).is_dir() for folder in MASKS)


def open_voc(root: Path) -> Data:
    """Open PASCAL VOC, or another data set in the same folders; ``arrange`` finds the splits.

    The archives of 2007 to 2012 have VOC's classes. Other data have the classes in labelmap.txt (CVAT) or
    class_names.txt (labelme). Without these files, the classes are VOC's if all masks fit them, else they are inferred
    from the masks. Raises DataError if there are folders of several years, or a list or class file is wrong.
    """
    root = root if not find(root, places(), ENTRIES) else find_one(root, places(), ENTRIES)
    paired = arrange(root)
    names = [pair.image.stem for pairs in paired.splits.values() for pair in pairs]
    known = read_class_file(root)
    of_2007 = root.resolve().name == "VOC2007" and all(_OF_2007.fullmatch(name) for name in names)
    if known is None and not paired.divided and (of_2007 or all(_PUBLISHED.fullmatch(name) for name in names)):
        return Data(root, "voc", list(VOC_CLASSES), PALETTE, mask_code(), paired.splits, published=True)
    masks = [pair.mask for pairs in paired.splits.values() for pair in pairs if pair.mask]
    notes, inferred = list(paired.notes), False
    if known is not None:
        classes, palette, code = known
    elif masks and _fit_voc(root, masks):
        classes, palette, code = list(VOC_CLASSES), PALETTE, mask_code()
        notes.append(
            f"the masks are read with VOC's 21 classes because there is neither {LABELMAP} nor {CLASS_NAMES}; to use "
            "other classes, write a dataset.yaml with `classes`"
        )
    else:
        code, classes, palette, more = infer_classes(root, masks)
        notes, inferred = notes + more, True
    return Data(
        root,
        "voc",
        classes,
        palette,
        code,
        paired.splits,
        paired.unmatched,
        divided=paired.divided,
        inferred=inferred,
        notes=notes,
    )


def arrange(root: Path) -> Paired:
    """Pair the images in JPEGImages with the masks, which are in the first of MASKS that has any.

    Each list in ImageSets/Segmentation is a split. trainval is left out if there are train and val, because it only
    repeats them. If no list has the name of a split (CVAT writes default.txt), the listed images are divided into
    splits; without lists, all images are. Raises DataError if a list cannot be read or there are no images.
    """
    images = images_under(root / "JPEGImages")
    masks = next((found for folder in MASKS if (found := images_under(root / folder))), {})
    lists = {canonical(path.stem): path for path in sorted((root / "ImageSets/Segmentation").glob("*.txt"))}
    if {"train", "val"} <= lists.keys():
        lists.pop("trainval", None)
    listed = {split: Names(select_listed(images, path, root, "JPEGImages"), masks) for split, path in lists.items()}
    if not images and not lists:
        raise DataError(f"{root}: JPEGImages contains no images, and ImageSets/Segmentation no lists; add images")
    all_keys = set(images.values())
    unmatched = [mask for mask, key in masks.items() if key not in all_keys]
    notes: list[str] = []
    if {"train", "val", "test", "trainval"} & listed.keys():
        paired = pair(listed)
        return replace(paired, splits=in_order(paired.splits), unmatched=unmatched)
    if listed:
        images = {image: key for names in listed.values() for image, key in names.images.items()}
        notes = [
            f"the images in {', '.join(path.name for path in lists.values())} were divided into train, val and test; "
            "to divide them differently, put lists with these names into ImageSets/Segmentation"
        ]
    paired = pair({"all": Names(images, masks)})
    splits = divide(paired.splits["all"], images.__getitem__)
    return Paired(splits, unmatched, notes + paired.notes, divided=True)


def _fit_voc(root: Path, masks: Sequence[Path]) -> bool:
    """Whether all values and colours in the masks are VOC's; masks that cannot be read are ignored."""
    files = contents_of(root)
    colours = {int(numbers_of_colours(np.array(colour))) for colour in (*PALETTE, VOC_VOID)}

    def fits(path: Path) -> bool:
        try:
            found = files.mask(path, None)
        except DataError:
            return True
        own = {value: int(numbers_of_colours(np.array(colour))) for value, colour in enumerate(PALETTE)}
        coloured = all(value == IGNORE or own.get(value) == number for value, number in found.palette.items())
        return coloured and found.values.keys() <= {*own, IGNORE} and found.colours.keys() <= colours

    fit = all(in_parallel(fits, masks))
    files.save()
    return fit


def mask_code(key: str | None = None) -> MaskCode:
    """Return the mask code of VOC's 21 classes, given as values or VOC's colours; 255 is void.

    ``key`` locates the mask in MATLAB files (see ``read_matrix``).
    """
    colours = {colour: label for label, colour in enumerate(PALETTE)} | {VOC_VOID: IGNORE}
    return MaskCode(len(VOC_CLASSES), IGNORE, colours, key=key)
