"""Open the data set that a descriptor describes."""

import os
from dataclasses import replace
from pathlib import Path

from fullyconv.data.annotations.formats.recognize import is_yolo
from fullyconv.data.catalog import Data
from fullyconv.data.layouts import annotated, folders, voc
from fullyconv.data.layouts.described.descriptor import AnnotationFiles, Descriptor, Files, read_descriptor
from fullyconv.data.layouts.described.meaning import mask_code
from fullyconv.data.layouts.files import Keyed, images_at, select_listed, separate, without
from fullyconv.data.layouts.infer import palette_of
from fullyconv.data.layouts.pairing import Names, Paired, pair
from fullyconv.data.published.archive import in_order
from fullyconv.data.splits.divide import divide, require_several, source_of
from fullyconv.errors import DataError
from fullyconv.files import exists
from fullyconv.palettes import default_palette

DESCRIPTOR = "dataset.yaml"


def is_descriptor(path: Path) -> bool:
    """Whether ``path`` is a descriptor, or a folder that holds one; YOLO's description of a data set is none."""
    if path.is_dir():
        return os.path.lexists(path / DESCRIPTOR) and not is_yolo(path / DESCRIPTOR)
    return path.suffix.lower() in (".yaml", ".yml") and not is_yolo(path)


def open_descriptor(path: Path) -> Data:
    """Open the data set that a descriptor describes.

    ``path`` is the descriptor or the folder that holds it. Raises DataError if the descriptor is wrong, its files are
    missing, or images and masks do not pair.
    """
    path = path / DESCRIPTOR if path.is_dir() else path
    descriptor, root = read_descriptor(path), path.parent
    if descriptor.annotations is not None:
        return _open_annotations(path, descriptor, descriptor.annotations)
    if descriptor.splits is not None:
        paired = _open_splits(path, descriptor, descriptor.splits)
    elif descriptor.images is not None and descriptor.masks is not None:
        files = Files(images=descriptor.images, masks=descriptor.masks, valid=descriptor.valid)
        paired = _divide(path, descriptor, pair(_find(path, {"all": files})))
    elif voc.is_own_voc(root):
        paired = voc.arrange(root)
    elif folders.is_folders(root):
        paired = folders.arrange(root)
    else:
        raise DataError(
            f"{path}: does not say where the images and masks are, and no folders of images and masks were recognized "
            "next to it; add `images` and `masks`, or `splits`"
        )
    palette, _ = descriptor.colours()
    count = len(descriptor.classes)
    if not palette:
        masks = (pair.mask for pairs in paired.splits.values() for pair in pairs if pair.mask)
        first = next(masks, None) if descriptor.values is None else None
        palette = (palette_of(first, count) if first else None) or default_palette(count)
    return Data(
        root,
        "descriptor",
        descriptor.classes,
        palette,
        mask_code(descriptor),
        paired.splits,
        paired.unmatched,
        divided=paired.divided,
        notes=paired.notes,
    )


def _open_annotations(path: Path, descriptor: Descriptor, files: AnnotationFiles) -> Data:
    place = path.parent / files.path
    there = exists(place)
    layout = next((name for name, reader in annotated.READERS.items() if there and reader.fits(place)), None)
    if layout is None:
        found = "holds no annotations that are read" if there else "does not exist"
        raise DataError(
            f"{path}: `annotations`: {place} {found}; expected a file or a folder of {', '.join(annotated.READERS)}"
        )
    by = descriptor.split.by if descriptor.split else None
    options = annotated.Options(files.rasterize, files.order, files.crowd, files.background, by)
    inside = place.resolve().is_relative_to(path.parent.resolve())
    return annotated.open_annotations(place, layout, options, None if inside else path.parent)


def _open_splits(path: Path, descriptor: Descriptor, splits: dict[str, Files]) -> Paired:
    if descriptor.valid is not None:
        splits = {
            name: files if files.valid else files.model_copy(update={"valid": descriptor.valid})
            for name, files in splits.items()
        }
    paired = pair(_find(path, splits))
    return replace(paired, splits=in_order(paired.splits))


def _find(path: Path, splits: dict[str, Files]) -> dict[str, Names]:
    """Find the files of each split. Raises DataError if a folder does not exist or a pattern matches nothing."""
    root, missing = path.parent, []
    names = {}
    for split, files in splits.items():
        places = {"images": files.images, "masks": files.masks.path} | ({"valid": files.valid} if files.valid else {})
        folders_named = [root / place for place in places.values() if "*" not in place]
        missing += [str(folder) for folder in folders_named if not (exists(folder) and folder.is_dir())]
        if missing:
            continue
        found = separate(places, {key: images_at(root, place) for key, place in places.items()})
        for key, place in places.items():
            if "*" in place and not found[key]:
                where = f"splits.{split}.{key}" if split in splits and len(splits) > 1 else key
                raise DataError(f"{path}: `{where}`: no file matches {place!r} in {root}")
        images = found["images"]
        masks = found["masks"]
        if files.names is not None:
            images = select_listed(images, root / files.names, root, files.images)
            unlisted = without(found["images"], images)
            masks = _without_keys(masks, unlisted)
        names[split] = Names(images, masks, found.get("valid"))
    if missing:
        raise DataError(f"{path}: names folders that do not exist: {', '.join(dict.fromkeys(missing))}")
    return names


def _without_keys(masks: Keyed, unlisted: Keyed) -> Keyed:
    """Return the masks without those of images that are not listed."""
    others = set(unlisted.values())
    return {mask: key for mask, key in masks.items() if key not in others}


def _divide(path: Path, descriptor: Descriptor, paired: Paired) -> Paired:
    pairs = paired.splits["all"]
    assert descriptor.images is not None
    if descriptor.split is None:
        keys = images_at(path.parent, descriptor.images)
        return replace(paired, splits=divide(pairs, keys.__getitem__), divided=True)
    source = source_of(descriptor.split.by, path.parent)
    require_several(pairs, source, descriptor.split.by)
    return replace(paired, splits=divide(pairs, source), divided=True)
