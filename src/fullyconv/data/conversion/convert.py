"""Write a data set, or what a network predicted, in the format of another tool."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fullyconv.classes import FOREGROUND
from fullyconv.data.annotations.annotated import is_background
from fullyconv.data.catalog import Data
from fullyconv.data.conversion import outlined, rasters
from fullyconv.data.conversion.labelled import Labelled, Target, Writer
from fullyconv.data.conversion.outlines import require_packages
from fullyconv.data.layouts.described.open import DESCRIPTOR
from fullyconv.data.pairs import read_labels
from fullyconv.data.parallel import Progress
from fullyconv.errors import ConfigError, DataError
from fullyconv.files import write_whole

RASTERS: dict[str, Writer] = {
    "folders": rasters.write_folders,
    "voc": rasters.write_voc,
    "nnunet": rasters.write_nnunet,
}
OUTLINED: dict[str, Writer] = {
    "coco": outlined.write_coco,
    "yolo": outlined.write_yolo,
    "cvat": outlined.write_cvat,
    "labelme": outlined.write_labelme,
    "label-studio": outlined.write_label_studio,
}
FORMATS = RASTERS | OUTLINED
NO_BACKGROUND = """# every pixel was of a class, so that those which no shape covers are of none
annotations: {path: ., background: void}
"""
"""The descriptor beside annotations of data without a class for background."""


def convert(
    data: Data,
    folder: str | Path,
    to: str = "folders",
    *,
    tolerance: float = 0.0,
    predicted: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the images and masks of ``data`` to a new folder; return the number of images.

    - ``to``: the format, a key of ``FORMATS``.
    - ``tolerance``: how much outlines are simplified (see ``outlines``). 0 is exact; outlines of fewer points are
      easier to correct by hand.
    - ``predicted``: whether a network made the masks, which Label Studio and CVAT tell from those of people.

    Images are copied; their names are their paths, with ``_`` between folders. Images without a mask are left out.
    The data should have been checked: shapes that cannot be drawn are left out without a word. Raises the errors of
    ``require_new``, and DataError if an image or a mask cannot be read.
    """
    folder = Path(folder)
    require_new(folder, to, tolerance)
    if data.heads:
        raise ConfigError(f"{data.root}: has several labelings of each image, which no format but its own can hold")
    background = 0 if is_background(data.classes[0]) or data.classes == FOREGROUND else None
    names = _names(data)
    splits = tuple(dict.fromkeys(split for split, _ in names))
    target = Target(folder, data.classes, data.palette, background, splits, tolerance, predicted)
    FORMATS[to](target, _labelled(data, names, progress))
    if to in OUTLINED and background is None:
        write_whole(folder / DESCRIPTOR, NO_BACKGROUND)
    return len(names)


def require_new(folder: Path, to: str, tolerance: float) -> None:
    """Raise ConfigError for an unknown format, a tolerance below 0 or above 100, or a folder that is not empty.

    It is also raised if a package is not installed that the format needs.
    """
    if to not in FORMATS:
        raise ConfigError(f"--to {to}: expected one of {', '.join(FORMATS)}")
    if not 0 <= tolerance <= 100:
        raise ConfigError(f"--tolerance {tolerance}: expected 0 to 100, where 0 is exact")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists already; give a new folder")
    if to in OUTLINED:
        require_packages(tolerance)


Names = dict[tuple[str, Path], str]
"""The name of each image by its split and path."""


def _names(data: Data) -> Names:
    """Name the images that have a mask by their paths below the folder of their split's images.

    If two splits have the same names, the splits' names come first. Raises DataError if there are no images, or two of
    a split have one name.
    """
    images = {split: [pair.image for pair in pairs if pair.mask is not None] for split, pairs in data.splits.items()}
    images = {split: paths for split, paths in images.items() if paths}
    if not images:
        raise DataError(f"{data.root}: has no image with a mask to be written")
    folders = {split: os.path.commonpath([path.parent for path in paths]) for split, paths in images.items()}
    named = {(split, path): _name(path, folders[split]) for split, paths in images.items() for path in paths}
    if len(set(named.values())) < len(named):
        named = {(split, path): f"{split}_{name}" for (split, path), name in named.items()}
    alike = [name for name, count in Counter(named.values()).items() if count > 1]
    if alike:
        same = [str(path) for (_, path), name in named.items() if name == alike[0]]
        raise DataError(f"{same[0]} and {same[1]} would be written under one name, {alike[0]}; rename one of them")
    return named


def _name(path: Path, folder: str) -> str:
    inside = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    return re.sub(r"[\\/]+", "_", str(inside.with_suffix("")))


def _labelled(data: Data, names: Names, progress: Progress | None) -> Iterator[Labelled]:
    done = 0
    for split, pairs in data.splits.items():
        for pair in pairs:
            if pair.mask is None:
                continue
            yield Labelled(names[split, pair.image], split, pair.image, read_labels(pair, data.codes))
            done += 1
            if progress is not None:
                progress(done, len(names))
