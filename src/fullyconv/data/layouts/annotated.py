"""Open what annotation tools wrote as a data set, whose masks are drawn when they are first needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from fullyconv.classes import IGNORE, MAX_CLASSES
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest
from fullyconv.data.annotations.drawing import Drawing, Style, folder_of_masks
from fullyconv.data.annotations.formats.ade20k import ade20k_files, read_ade20k
from fullyconv.data.annotations.formats.coco import read_coco
from fullyconv.data.annotations.formats.cvat.read import read_cvat
from fullyconv.data.annotations.formats.label_studio import read_label_studio
from fullyconv.data.annotations.formats.labelme import read_labelme
from fullyconv.data.annotations.formats.panoptic import panoptic_files, read_panoptic
from fullyconv.data.annotations.formats.recognize import annotation_files, holds_annotations, yolo_files
from fullyconv.data.annotations.formats.yolo import read_yolo
from fullyconv.data.catalog import Data
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import in_order
from fullyconv.data.splits.divide import divide, require_several, source_of
from fullyconv.errors import DataError
from fullyconv.files import file_state
from fullyconv.palettes import default_palette

_FOLDERS = ("annotations", "annotation", "labels", "ann", "json", "jsons")
PAINTER = "1"
"""Raised whenever shapes are drawn otherwise than before, so that masks are drawn again."""


class Reader(NamedTuple):
    """One format of annotations: its description, and the functions that recognize, find and read its files.

    - ``fits``: whether a path, of a file or a folder, holds files of the format. It is called for data sets of other
      layouts too, so it looks only at the beginnings of files.
    - ``find``: returns all of these files; an empty list if there are none.
    - ``read``: is given the folder in which the images lie and these files, and raises DataError if one is wrong.
    """

    description: str
    fits: Callable[[Path], bool]
    find: Callable[[Path], list[Path]]
    read: Callable[[Path, Sequence[Path]], Annotations]


READERS = {
    "coco": Reader(
        "COCO: a file of images, categories and annotations, or a folder that holds one for each split",
        partial(holds_annotations, wanted="coco"),
        partial(annotation_files, wanted="coco"),
        read_coco,
    ),
    "coco-panoptic": Reader(
        "COCO's panoptic annotations: a file with segments_info, and a folder of its name with PNGs",
        lambda path: bool(panoptic_files(path)),
        panoptic_files,
        read_panoptic,
    ),
    "labelme": Reader(
        "labelme (wkentaro): a JSON file for each image, beside the images or in folders of their own",
        partial(holds_annotations, wanted="labelme"),
        partial(annotation_files, wanted="labelme"),
        read_labelme,
    ),
    "label-studio": Reader(
        'Label Studio: the file of an export "JSON", or a folder that holds it',
        partial(holds_annotations, wanted="label-studio"),
        partial(annotation_files, wanted="label-studio"),
        read_label_studio,
    ),
    "cvat": Reader(
        'CVAT: annotations.xml of "CVAT for images 1.1" or "CVAT for video 1.1", or a folder that holds it',
        partial(holds_annotations, wanted="cvat"),
        partial(annotation_files, wanted="cvat"),
        read_cvat,
    ),
    "yolo": Reader(
        "YOLO (Ultralytics): a data.yaml with names, train and val, and a text file of outlines for each image",
        lambda path: bool(yolo_files(path)),
        yolo_files,
        read_yolo,
    ),
    "ade20k-full": Reader(
        "the whole of ADE20K as published in 2021: images/ADE/training with ADE_*.jpg, ADE_*.json and ADE_*_seg.png",
        lambda path: bool(ade20k_files(path)),
        ade20k_files,
        read_ade20k,
    ),
}


@dataclass(frozen=True)
class Options:
    """How shapes are drawn, if not as their tool draws them.

    - ``rasterize``: the pixels a shape covers: as its ``tool`` has it, those whose ``centre`` is within, or all that it
      ``touched``.
    - ``order``: which of two shapes is on top: as the ``tool`` has it, the later in the ``file``, or the smaller.
    - ``crowd``, ``background``: whether COCO's crowds, and pixels without a shape, have their class or are void. If
      those are void and no shape can be of it, background is no class.
    - ``split_by``: what keeps images together (see ``divide.source_of``); None: what the annotations say.
    """

    rasterize: Literal["tool", "centre", "touched"] = "tool"
    order: Literal["tool", "file", "smaller-on-top"] = "tool"
    crowd: Literal["class", "void"] = "class"
    background: Literal["class", "void"] = "class"
    split_by: str | None = None


DEFAULTS = Options()


def open_annotations(path: Path, layout: str, options: Options = DEFAULTS, home: Path | None = None) -> Data:
    """Open a tool's annotations, a key of ``READERS``; ``path`` is a file, or the folder that holds them.

    What is drawn is written into the folder ``home``, by default that of the images. Raises DataError if they cannot be
    read.
    """
    reader = READERS[layout]
    root = path if path.is_dir() else _root_of(path)
    files = reader.find(path)
    annotations = read_labelme(root, files, home) if layout == "labelme" else reader.read(root, files)
    return as_data(annotations if home is None else replace(annotations, root=home), options)


def as_data(annotations: Annotations, options: Options) -> Data:
    """Return annotations as a data set: each image with the mask that is drawn from its shapes.

    If the annotations name no splits, the images are divided, those of one group together. Raises DataError if there
    are no images, an image twice (unless in two splits with the same shapes), or more classes than labels.
    """
    classes, void = annotations.classes, tuple[int, ...]()
    if not annotations.images:
        raise DataError(f"{annotations.root}: its annotations name no images")
    if len(classes) > MAX_CLASSES:
        raise DataError(f"{annotations.root}: has {len(classes)} classes; at most {MAX_CLASSES} are possible")
    palette = annotations.palette or default_palette(len(classes))
    style = Style(
        annotations.rule if options.rasterize == "tool" else options.rasterize,
        annotations.order if options.order == "tool" else options.order,
        annotations.background if options.background == "class" else IGNORE,
        options.crowd == "void",
        tuple(palette),
    )
    pairs = _pairs(annotations, style)
    if options.background == "void" and annotations.background == 0 and not annotations.background_shapes:
        classes, palette, void = classes[1:], palette[1:], (0,)
        if len(classes) < 2:
            raise DataError(
                f"{annotations.root}: `background: void` leaves a single class, {classes[0]!r}, and nothing to tell it "
                "from; remove `background`, or annotate a second class"
            )
    splits: dict[str, list[Pair]] = {}
    divided = options.split_by is not None or all(image.split is None for image, _ in pairs)
    if divided:
        of_image = {pair.image: image.group or image.image.as_posix() for image, pair in pairs}
        source = of_image.__getitem__ if options.split_by is None else source_of(options.split_by, annotations.root)
        if options.split_by is not None:
            require_several([pair for _, pair in pairs], source, options.split_by)
        splits = divide([pair for _, pair in pairs], source)
    else:
        for image, pair in pairs:
            splits.setdefault(image.split or "train", []).append(pair)
        splits = in_order(splits)
    return Data(
        annotations.root,
        annotations.layout,
        classes,
        palette,
        MaskCode(len(classes), IGNORE, void=void),
        splits,
        divided=divided,
        notes=annotations.notes,
    )


def _pairs(annotations: Annotations, style: Style) -> list[tuple[AnnotatedImage, Pair]]:
    """Return each image with its drawing; an image that is in two splits has one drawing.

    Raises DataError if an image is there twice in a split, or with different shapes.
    """
    root, kept_in = annotations.root, folder_of_masks(annotations.root)
    drawn_as = digest(PAINTER, repr(style), *annotations.classes)
    folders: dict[Path, Path] = {}  # where the masks of the images in a folder are kept
    seen: dict[Path, tuple[AnnotatedImage, Pair]] = {}
    pairs = []
    for own in annotations.images:
        image, folder = own.image, own.image.parent
        if image in seen:
            other, pair = seen[image]
            if other.version != own.version or other.size != own.size or other.split == own.split:
                raise DataError(f"{own.source}: names the image {image} more than once; one entry for each is expected")
            pairs.append((own, pair))
            continue
        if folder not in folders:
            above = next((place for place in (root, kept_in.parent) if folder.is_relative_to(place)), None)
            inside = folder.relative_to(above) if above else Path("..")
            if ".." in inside.parts:  # a folder elsewhere, whose masks are kept here all the same
                inside = Path("elsewhere", digest(folder.as_posix()))
            folders[folder] = kept_in / inside
        version = digest(f"{drawn_as} {own.version} {own.size or file_state(image)}")
        mask = folders[folder].joinpath(image.name, f"{version}.png")
        seen[image] = own, Pair(image, mask, drawing=Drawing(own, style, mask), group=own.group)
        pairs.append(seen[image])
    return pairs


def _root_of(file: Path) -> Path:
    """Return the folder in which the images of an annotation file lie: its own, or the one around ``annotations``."""
    return file.parent.parent if file.parent.name.lower() in _FOLDERS else file.parent
