"""The kinds of problems that a data set can have, with their names, severities and remedies."""

import difflib
from collections.abc import Iterable
from enum import Enum
from typing import Literal

from fullyconv.errors import ConfigError

Severity = Literal["error", "warning"]


class Kind(Enum):
    """A kind of problem: the word that allows it, its severity, its title, and what to do about it."""

    NO_IMAGE = (
        "missing-images",
        "error, unusable",
        "missing image",
        "add the image, or remove it from the split's list",
    )
    NO_MASK = (
        "missing-masks",
        "error, unusable",
        "image without a mask",
        "add a mask with the name of the image, or remove the image",
    )
    UNMATCHED_MASK = (
        "unmatched-masks",
        "error",
        "mask without an image",
        "add an image with the name of the mask, or remove the mask",
    )
    DUPLICATE_NAME = (
        "shared-masks",
        "error",
        "images with the same name, which share one mask",
        "give each image a name and a mask of its own, or remove one",
    )
    UNREADABLE = (
        "unreadable",
        "error, unusable",
        "file that cannot be read",
        "download or export the file again; cut an image that is too large into pieces",
    )
    SIZE = (
        "sizes",
        "error, unusable",
        "mask (or depth) whose size differs from its image",
        "export image and mask at the same size; resize masks only with nearest-neighbour interpolation",
    )
    SHAPES = (
        "shapes",
        "error",
        "annotation with shapes that cannot be drawn",
        "mend or remove these shapes in the tool that drew them; where they are allowed, they are left out",
    )
    OUTSIDE = (
        "outside",
        "warning",
        "annotation with shapes outside the image",
        "go on, where objects may leave the image; else see whether the annotation is of another image, or of the same "
        "at another size",
    )
    UNLIKE = (
        "unlike-images",
        "error, unusable",
        "image whose bands or type differ from most",
        "convert it to the bands and type of the others (`gdal_translate -b` and `-ot`), or remove it",
    )
    ROTATED = (
        "rotated",
        "error",
        "image that EXIF says to rotate",
        "rotate the pixels themselves and save without the tag (`mogrify -auto-orient FILE`), "
        "then check that the mask still fits",
    )
    VALUE = (
        "values",
        "error, unusable",
        "mask with values outside the classes",
        "say in dataset.yaml what each value means, such as `values: {0: road, 7: car}` and `void: 9`, or renumber the "
        "masks",
    )
    COLOUR = (
        "colours",
        "error, unusable",
        "mask with colours not in the palette",
        "add or correct `palette` in dataset.yaml (one colour per class, then that of void), or draw without smoothing",
    )
    OBJECT_MASKS = (
        "object-masks",
        "error, unusable",
        "one mask file for each object",
        "if each mask is of an object, and what any of them covers is the foreground, choose the layout "
        "object-masks-by-name (data.layout, or --layout). Of masks by several people, choose one for each image",
    )
    OBJECT_IDS = (
        "object-ids",
        "error",
        "masks that number objects, not classes",
        "export the class of each pixel instead of its object. If all objects have one class, write into dataset.yaml "
        "`values: {0: background, 1: object}` and `nearest: true`. If the numbers are classes after all, allow this",
    )
    SMOOTHED = (
        "smoothed",
        "error",
        "masks with smoothed edges",
        "export the masks without anti-aliasing",
    )
    GREY_LABELS = (
        "grey-labels",
        "error",
        "masks whose classes are written as greys",
        "say in dataset.yaml which class each value is",
    )
    LOSSY = (
        "lossy",
        "error, unusable",
        "mask saved with loss, as JPEG",
        "export the masks again as PNG (converting the file does not restore its values). If that is impossible, "
        "`nearest: true` in dataset.yaml gives each pixel the class of the nearest value or colour",
    )
    EMPTY = (
        "empty-splits",
        "error",
        "split without images",
        "add images, or remove the split",
    )
    UNLABELLED = (
        "unlabelled",
        "error",
        "split in which no pixel has a class",
        "correct `ignore_index` or the masks; without classes, nothing can be trained or measured",
    )
    ABSENT_CLASS = (
        "absent-classes",
        "warning",
        "class that never occurs",
        "if its images are still to come, continue; the network cannot learn it yet. If it should occur, the masks may "
        "be numbered differently, such as from 1 instead of from 0; look at them with `fullyconv data show`",
    )
    UNMEASURED_CLASS = (
        "unmeasured-classes",
        "warning",
        "class that does not occur in a split",
        "continue without its IoU in this split, or move images that contain it into the split",
    )
    IN_SEVERAL_SPLITS = (
        "duplicates",
        "warning",
        "image in more than one split",
        "keep it in one split: results on training images say nothing about new ones. To test whether a network learns "
        "at all, continue",
    )
    NEARLY_IN_SEVERAL_SPLITS = (
        "near-duplicates",
        "warning",
        "image that is nearly the same as one in another split",
        "divide the images again with `fullyconv data split`, which keeps them together: results on images like those "
        "in training say little about new ones. Of videos, keep all frames together with --group",
    )
    ONE_COLOUR = (
        "one-colour",
        "warning",
        "image of one colour in several splits",
        "continue if empty tiles are to be expected; otherwise find out how they were made",
    )
    NO_DATA = (
        "no-data",
        "warning",
        "image without any data",
        "continue if that is right: all pixels are void. Otherwise check the file's nodata value (`gdalinfo`)",
    )
    FILL = (
        "fill-values",
        "warning",
        "image with a value that usually means missing data, but is not declared as nodata",
        "if it means missing data, declare it (`gdal_edit.py -a_nodata VALUE FILE`), so that pixels with it in all "
        "bands are void, and it is left out of the value range. If it was measured, continue",
    )
    FAINT = (
        "faint",
        "warning",
        "image that is nearly black or white",
        "continue if such images are to be expected. If they should show something, set `data.range` to the values "
        "that become black and white, such as `--set data.range=[0,4095]`",
    )
    SMALL_SPLIT = (
        "small-splits",
        "warning",
        "split of one image",
        "add images; results on one image say little about others",
    )

    DOUBTFUL = (
        "doubtful",
        "warning",
        "mask with pixels between the classes",
        "continue if they are few, such as along edges: `nearest: true` in dataset.yaml gave each the nearest class. "
        "If they are many, check that `values` or `palette` lists every class",
    )

    def __init__(self, word: str, grade: str, title: str, remedy: str) -> None:
        self.word = word
        self.severity: Severity = "error" if grade.startswith("error") else "warning"
        self.unusable = grade.endswith("unusable")
        """Whether images with this problem cannot be used in training or evaluation. If allowed, they are left out."""
        self.title = title
        self.remedy = remedy


OF_SPLITS = frozenset(
    (
        *(Kind.EMPTY, Kind.UNLABELLED, Kind.UNMEASURED_CLASS, Kind.SMALL_SPLIT),
        *(Kind.IN_SEVERAL_SPLITS, Kind.NEARLY_IN_SEVERAL_SPLITS, Kind.ONE_COLOUR),
    )
)
"""Kinds that depend on how images are divided into splits. If this tool divided them, they are never errors."""

GUESSED = frozenset((Kind.OBJECT_IDS, Kind.SMOOTHED, Kind.GREY_LABELS))
"""Kinds that only suspect that values are not classes. If the classes were given, not inferred, they are warnings."""

KINDS = {kind.word: kind for kind in Kind}


def kinds_named(names: Iterable[str]) -> frozenset[Kind]:
    """Return the kinds with these words. Raises ConfigError for an unknown word, suggesting the nearest one."""
    names = list(names)
    for name in names:
        if name not in KINDS:
            nearest = difflib.get_close_matches(name, KINDS, n=1, cutoff=0.5)
            advice = f"did you mean {nearest[0]}? The kinds are" if nearest else "the kinds are"
            raise ConfigError(f"allow: {name} is not a kind of problem; {advice} {', '.join(KINDS)}.")
    return frozenset(KINDS[name] for name in names)
