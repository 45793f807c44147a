"""Open what annotation tools wrote as a data set, whose masks are drawn when they are first needed."""

from pathlib import Path

from fullyconv.classes import IGNORE, MAX_CLASSES
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest
from fullyconv.data.annotations.coco import read_coco
from fullyconv.data.annotations.drawing import Drawing, Style, folder_of_masks
from fullyconv.data.annotations.recognize import annotation_files
from fullyconv.data.catalog import Data
from fullyconv.data.layouts.divide import divide
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import in_order
from fullyconv.errors import DataError
from fullyconv.palettes import default_palette

PAINTER = "1"
"""Raised whenever shapes are drawn otherwise than before, so that masks are drawn again."""


def open_coco(path: Path) -> Data:
    """Open a COCO file, or a folder with such files. Raises DataError."""
    files = annotation_files(path, "coco")
    root = path if path.is_dir() else _root_of(path)
    return as_data(read_coco(root, files))


def as_data(annotations: Annotations) -> Data:
    """Return annotations as a data set: each image with the mask that is drawn from its shapes.

    Where the annotation tells no splits, images are divided, those of one group together. Raises DataError where there
    are no images, or more classes than labels.
    """
    classes = annotations.classes
    if not annotations.images:
        raise DataError(f"{annotations.root}: its annotations name no images")
    if len(classes) > MAX_CLASSES:
        raise DataError(f"{annotations.root}: has {len(classes)} classes; at most {MAX_CLASSES} are possible")
    palette = annotations.palette or default_palette(len(classes))
    style = Style(annotations.rule, annotations.order, annotations.background, tuple(palette))
    folder = folder_of_masks(annotations.root)
    pairs = [(image, _pair(image, style, folder, annotations.root)) for image in annotations.images]
    splits: dict[str, list[Pair]] = {}
    divided = all(image.split is None for image, _ in pairs)
    if divided:
        groups = {pair.image: image.group or image.image.as_posix() for image, pair in pairs}
        splits = divide([pair for _, pair in pairs], groups.__getitem__)
    else:
        for image, pair in pairs:
            splits.setdefault(image.split or "train", []).append(pair)
        splits = in_order(splits)
    return Data(
        annotations.root,
        annotations.layout,
        classes,
        palette,
        MaskCode(len(classes), IGNORE),
        splits,
        divided=divided,
        notes=annotations.notes,
    )


def _pair(image: AnnotatedImage, style: Style, folder: Path, root: Path) -> Pair:
    inside = image.image.relative_to(root) if image.image.is_relative_to(root) else Path(image.image.name)
    version = digest(PAINTER, image.version, repr(style), repr(image.size) if image.size else _stamp(image.image))
    mask = folder / inside / f"{version}.png"
    return Pair(image.image, mask, drawing=Drawing(image, style, mask))


def _stamp(image: Path) -> str:
    """Return what changes with an image whose size is that of its mask."""
    try:
        status = image.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _root_of(file: Path) -> Path:
    """Return the folder in which the images of an annotation file lie: its own, or the one around ``annotations``."""
    return file.parent.parent if file.parent.name.lower() in ("annotations", "annotation", "labels") else file.parent
