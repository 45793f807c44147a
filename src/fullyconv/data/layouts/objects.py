"""Open data sets with one mask file for each object: in folders for each image, or beside each other by their names."""

from collections.abc import Callable
from pathlib import Path

from fullyconv.data.annotations.objects import read_objects
from fullyconv.data.catalog import Data
from fullyconv.data.checks.object_masks import are_of_objects, masks_of_images
from fullyconv.data.images.files import list_images
from fullyconv.data.layouts import folders
from fullyconv.data.layouts.annotated import DEFAULTS, as_data
from fullyconv.data.layouts.files import images_under, subfolders
from fullyconv.errors import DataError

OfImage = dict[Path, list[Path]]
"""The masks of the objects of each image."""
TRIED = 20
"""Folders that are looked at to see whether each has an image and its masks."""


def is_in_folders(root: Path) -> bool:
    """Whether each image has a folder of masks, ID/masks beside ID/images or masks/ID beside images."""
    return root.is_dir() and are_of_objects(_in_folders(root))


def open_in_folders(root: Path) -> Data:
    """Open ID/images/*.png with ID/masks/*.png, or images/ID.png with masks/ID/*.png, also within folders of splits."""
    return _open(root, "object-masks", _in_folders)


def is_by_name(root: Path) -> bool:
    """Whether there are folders of images and masks; which masks are of which image is seen when they are opened."""
    return folders.is_folders(root)


def open_by_name(root: Path) -> Data:
    """Open masks whose names begin with those of their images, such as a_1.png and a_2.png for a.png.

    Raises DataError if they do not.
    """
    return _open(root, "object-masks-by-name", _by_name)


def _open(root: Path, layout: str, find: Callable[[Path], OfImage]) -> Data:
    of_image = find(root)
    if not of_image:
        raise DataError(
            f"{root}: no image has masks whose names begin with its own, such as a_1.png and a_2.png for a.png"
        )
    told = {image: [folders.as_split(part) for part in image.relative_to(root).parts[:-1]] for image in of_image}
    splits = {image: next(filter(None, named), None) for image, named in told.items()}
    if len(set(splits.values())) == 1:  # stage1_train alone: the only one with masks
        splits = dict.fromkeys(splits)
    return as_data(read_objects(root, layout, of_image, splits), DEFAULTS)


def _in_folders(root: Path) -> OfImage:
    try:
        places = [root, *subfolders(root)]
        found = [_folders_of_images(place) | _folders_of_masks(place) for place in places]
    except OSError:  # a folder that may not be listed
        return {}
    return {image: masks for own in found for image, masks in own.items()}


def _folders_of_images(place: Path) -> OfImage:
    """Return the masks of the images ID/images/*.png."""
    found: OfImage = {}
    for number, folder in enumerate(subfolders(place)):
        if number >= TRIED and not found:
            break
        inside = {folders.kind_of(own.name): own for own in subfolders(folder)}
        images = list_images(inside["images"]) if {"images", "masks"} <= inside.keys() else []
        if len(images) == 1:
            found[images[0]] = sorted(images_under(inside["masks"]))
    return found


def _folders_of_masks(place: Path) -> OfImage:
    """Return the masks of the images images/ID.png in masks/ID."""
    inside = {folders.kind_of(own.name): own for own in subfolders(place)}
    if not {"images", "masks"} <= inside.keys():
        return {}
    named = {folder.name: folder for folder in subfolders(inside["masks"])}
    images = list_images(inside["images"]) if named else []
    return {image: sorted(images_under(named[image.stem])) for image in images if image.stem in named}


def _by_name(root: Path) -> OfImage:
    paired = folders.arrange(root)
    pairs = [pair for pairs in paired.splits.values() for pair in pairs]
    masks = paired.unmatched + [pair.mask for pair in pairs if pair.mask]
    return masks_of_images([pair.image for pair in pairs], masks)
