"""Detect which layout a data set has, and open it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fullyconv.data.catalog import Data
from fullyconv.data.layouts import described, folders, voc
from fullyconv.data.layouts.unrecognized import looks_like
from fullyconv.data.published import cityscapes, context, nyud, sbd, siftflow
from fullyconv.errors import DataError


class Layout(NamedTuple):
    """One layout of data sets: its description, whether a path has it, and the function that opens it."""

    description: str
    fits: Callable[[Path], bool]
    open: Callable[[Path], Data]


LAYOUTS = {
    "descriptor": Layout(
        f"a {described.DESCRIPTOR} file, or a folder that holds one", described.is_descriptor, described.open_descriptor
    ),
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
        "folders JPEGImages, SegmentationClass and ImageSets/Segmentation (a list per split), or VOCdevkit around; "
        "of one's own also without lists, with labelmap.txt or class_names.txt",
        voc.is_voc,
        voc.open_voc,
    ),
    "sbd": Layout("SBD: img, cls, train.txt and val.txt, or benchmark_RELEASE around them", sbd.is_sbd, sbd.open_sbd),
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
    "folders": Layout(
        "folders images and masks (or img, photos, labels, annotations, gt and the like), with or without a folder for "
        "each split in them (or around them)",
        folders.is_folders,
        folders.open_folders,
    ),
}


def open_data(path: str | Path, layout: str | None = None) -> Data:
    """Open a data set: find out which images and masks there are and what the masks mean.

    ``path`` is a descriptor or a folder. ``layout`` names the layout; by default it is the first of ``LAYOUTS`` that
    fits. For users' own data there are:

    - **descriptor**: a ``dataset.yaml`` (see ``Descriptor``), or a folder that holds one.
    - **voc**: PASCAL VOC's folders. Each list in ImageSets/Segmentation is a split (see ``voc.arrange``), the classes
      are VOC's or those of labelmap.txt or class_names.txt (see ``voc.open_voc``).
    - **folders**: folders of images and of masks, as ``images/`` and ``masks/``, by one of the names in ``folders``;
      splits are told by folders in them, around them or by their names. Classes come from the masks (see
      ``infer_classes``). Without splits, the images are divided by the SHA-256 of their names (see ``divide``).

    The others are published data sets, each described in the module that opens it. Images and masks are paired by
    their names (see ``pairing.pair``). Files that do not pair, or cannot be read, are left for ``check`` to report.
    Raises DataError if no layout fits, folders or lists are missing, the descriptor is wrong, or classes cannot be
    inferred.
    """
    path = Path(path)
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}")
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; a folder of images and masks, or a dataset.yaml")
    fitting = next((name for name in ([layout] if layout else LAYOUTS) if LAYOUTS[name].fits(path)), None)
    if fitting is None and layout is not None:
        raise DataError(f"{path}: is not in the layout {layout}: {LAYOUTS[layout].description}; {looks_like(path)}")
    if fitting is None:
        raise DataError(f"{path}: no data set found: {looks_like(path)}")
    return LAYOUTS[fitting].open(path)
