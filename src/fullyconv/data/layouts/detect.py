"""Detect the layout of a data set, and open it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fullyconv.data.catalog import Data
from fullyconv.data.layouts import annotated, folders, objects, roboflow, voc
from fullyconv.data.layouts.described.open import DESCRIPTOR, is_descriptor, open_descriptor
from fullyconv.data.layouts.unrecognized import looks_like
from fullyconv.data.published import ade20k, camvid, cityscapes, context, mapillary, nyud, sbd, siftflow
from fullyconv.data.splits.file import arrange
from fullyconv.errors import DataError


class Layout(NamedTuple):
    """A layout: its description, the function that recognizes it, and the function that opens it."""

    description: str
    fits: Callable[[Path], bool]
    open: Callable[[Path], Data]


def _annotated(layout: str) -> Layout:
    return Layout(
        annotated.READERS[layout].description,
        annotated.READERS[layout].fits,
        partial(annotated.open_annotations, layout=layout),
    )


LAYOUTS = {
    "descriptor": Layout(f"a {DESCRIPTOR} file, or a folder that holds one", is_descriptor, open_descriptor),
    "pascal-context": Layout(
        "trainval, labels.txt and 59_labels.txt beside VOC2010 (or VOCdevkit/VOC2010)",
        context.is_context,
        context.open_context,
    ),
    "sbd+voc": Layout(
        "SBD and VOC 2011 in one folder; trains on SBD's train, validates on seg11valid",
        sbd.is_sbd_with_voc,
        sbd.open_sbd_with_voc,
    ),
    "sbd+voc-union": Layout(
        "SBD and VOC 2011 in one folder; trains on the train of both, validates on seg11valid",
        sbd.is_sbd_with_voc,
        sbd.open_union,
    ),
    "voc": Layout(
        "folders JPEGImages, SegmentationClass and ImageSets/Segmentation (a list per split), or a VOCdevkit with "
        "them; your own data may have no lists, and labelmap.txt or class_names.txt",
        voc.is_voc,
        voc.open_voc,
    ),
    "sbd": Layout(
        "SBD: img, cls, train.txt and val.txt, or a benchmark_RELEASE that holds them", sbd.is_sbd, sbd.open_sbd
    ),
    **{
        name: Layout(
            f"NYUDv2: data/{' and data/'.join(nyud.folders(name))}, segmentation, trainval.txt and test.txt",
            partial(nyud.is_nyud, layout=name),
            partial(nyud.open_nyud, layout=name),
        )
        for name in nyud.SOURCES
    },
    **{
        name: Layout(
            f"SIFT Flow ({' and '.join(heads)}): Images, SemanticLabels, GeoLabels, trainval.txt and test.txt",
            siftflow.is_siftflow,
            partial(siftflow.open_siftflow, layout=name),
        )
        for name, heads in siftflow.LABELINGS.items()
    },
    "cityscapes": Layout(
        "Cityscapes: leftImg8bit/SPLIT/CITY and gtFine/SPLIT/CITY, with labelIds",
        cityscapes.is_cityscapes,
        cityscapes.open_cityscapes,
    ),
    "camvid": Layout(
        "CamVid as for SegNet: train, val and test with trainannot, valannot and testannot, with its frames' names "
        "or SegNet's lists",
        camvid.is_segnet,
        camvid.open_segnet,
    ),
    "camvid-32": Layout(
        "CamVid as published: 701_StillsRaw_full and LabeledApproved_full with NAME_L.png, or train, val and test with "
        "train_labels, val_labels and test_labels",
        camvid.is_published,
        camvid.open_published,
    ),
    "ade20k": Layout(
        "ADE20K's SceneParse150 (ADEChallengeData2016): images/SPLIT and annotations/SPLIT, with ADE_*.png or "
        "objectInfo150.txt",
        ade20k.is_ade20k,
        ade20k.open_ade20k,
    ),
    **{
        name: Layout(
            f"Mapillary Vistas: {config}, and SPLIT/images and SPLIT/{place}",
            partial(mapillary.is_mapillary, layout=name),
            partial(mapillary.open_mapillary, layout=name),
        )
        for name, (config, place) in mapillary.CONFIGS.items()
    },
    "coco-panoptic": _annotated("coco-panoptic"),  # before folders, as its PNGs would be taken for masks
    "roboflow-masks": Layout(
        "Roboflow's masks: NAME.jpg with NAME_mask.png and _classes.csv, in a folder for each split",
        roboflow.is_roboflow,
        roboflow.open_roboflow,
    ),
    "object-masks": Layout(
        "a mask file for each object: ID/images/ID.png and ID/masks/*.png, or images/ID.png and masks/ID/*.png",
        objects.is_in_folders,
        objects.open_in_folders,
    ),
    "folders": Layout(
        "folders images and masks (or img, photos, labels, annotations, gt and the like), optionally with a folder for "
        "each split inside or around them",
        folders.is_folders,
        folders.open_folders,
    ),
    "object-masks-by-name": Layout(
        "folders images and masks with a mask file for each object, such as a_1.png and a_2.png for a.png",
        objects.is_by_name,
        objects.open_by_name,
    ),
    **{name: _annotated(name) for name in annotated.READERS if name != "coco-panoptic"},
}

PUBLISHED = ("cityscapes", "camvid", "camvid-32", "ade20k", *mapillary.CONFIGS)
"""Layouts of published data sets whose folders people also describe by a descriptor of their own."""


def open_data(path: str | Path, layout: str | None = None, fold: str | None = None) -> Data:
    """Open a data set: find its images and masks, and what the mask values mean.

    ``path`` is a descriptor or a folder. ``layout`` is a key of ``LAYOUTS``; by default the first one that fits. If
    its folder holds ``splits.csv``, this divides the images (see ``file.arrange``); ``fold``, such as 0/5, takes the
    split val from its folds.
    The layouts for your own data are:

    - **descriptor**: a ``dataset.yaml`` (see ``Descriptor``), or a folder that holds one.
    - **voc**: PASCAL VOC's folders. Each list in ImageSets/Segmentation is a split (see ``voc.arrange``). The classes
      are VOC's, or those in labelmap.txt or class_names.txt (see ``voc.open_voc``).
    - **folders**: a folder of images and one of masks, such as ``images/`` and ``masks/`` (all names: ``folders``).
      Splits are recognized by the names of folders inside them, around them, or of the folders themselves; without
      splits, the images are divided by the SHA-256 of their names (see ``divide``). The classes come from the masks
      (see ``infer_classes``).
    - **object-masks**: a mask for each object, in folders for each image (see ``objects``); **object-masks-by-name** is
      never detected.
    - **coco**, **coco-panoptic**: COCO's annotation files (see ``coco.read_coco``, ``panoptic.read_panoptic``); the
      masks are drawn when they are first needed.
    - **roboflow-masks**: Roboflow's export of masks (see ``roboflow.open_roboflow``).
    - **yolo**: YOLO's outlines with their ``data.yaml`` (see ``yolo.read_yolo``).
    - **labelme**: the JSON files of labelme (see ``labelme.read_labelme``).
    - **cvat**: CVAT's XML files (see ``cvat.read_cvat``).
    - **label-studio**: Label Studio's JSON export (see ``label_studio.read_label_studio``).

    The other layouts are published data sets, each described in the module that opens it. Images and masks are paired
    by their names (see ``pairing.pair``). Files that do not pair or cannot be read raise no error here: ``check``
    reports them. Raises DataError if no layout fits, a folder or list is missing, the descriptor is wrong, or the
    classes cannot be inferred, or ``splits.csv`` does not fit the images, and ConfigError for an unknown fold.
    """
    return arrange(open_as_laid_out(path, layout), fold, Path(path))


def open_as_laid_out(path: str | Path, layout: str | None = None) -> Data:
    """Open a data set as ``open_data`` does, without ``splits.csv``: divided as its layout says."""
    path = Path(path)
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}")
    if not path.exists():
        raise DataError(f"{path}: does not exist; expected a folder of images and masks, or a dataset.yaml")
    fitting = next((name for name in ([layout] if layout else LAYOUTS) if LAYOUTS[name].fits(path)), None)
    if fitting is None and layout is not None:
        raise DataError(
            f"{path}: does not have the layout {layout} ({LAYOUTS[layout].description}): {looks_like(path)}"
        )
    if fitting is None:
        raise DataError(f"{path}: no data set found: {looks_like(path)}")
    try:
        data = LAYOUTS[fitting].open(path)
    except DataError as error:
        raise DataError(*error.args, *_published_instead(path, fitting, layout)) from error
    if not data.splits:
        notes = "".join(f"; {note}" for note in data.notes)
        raise DataError(f"{path}: no images to train on or to measure on were found (layout {fitting}){notes}")
    return data


def _published_instead(path: Path, opened: str, given: str | None) -> list[str]:
    """Return a line that names the published data set in the folder of a descriptor that cannot be opened."""
    if opened != "descriptor" or given is not None:
        return []
    folder = path if path.is_dir() else path.parent
    found = next((name for name in PUBLISHED if LAYOUTS[name].fits(folder)), None)
    if found is None:
        return []
    return [
        f"{folder} has the layout {found}, which needs no {DESCRIPTOR}; remove that file, or choose the layout "
        f"(data.layout={found}, or --layout {found})"
    ]
