"""The kinds of problems that a data set can have: their names, how grave they are, and what to do about each."""

import difflib
from collections.abc import Iterable
from enum import Enum
from typing import Literal

from fullyconv.errors import ConfigError

Severity = Literal["error", "warning"]


class Kind(Enum):
    """A kind of problem: the word by which it is allowed, how grave it is, its title, and what to do about it."""

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
        "add the mask under the image's name, or remove the image",
    )
    UNMATCHED_MASK = (
        "unmatched-masks",
        "error",
        "mask without an image",
        "add the image under the mask's name, or remove the mask",
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
        "download or export it again; cut images that are too large into pieces",
    )
    SIZE = (
        "sizes",
        "error, unusable",
        "mask (or depth) of another size than its image",
        "export image and mask at the same size; scale masks by nearest neighbour only",
    )
    UNLIKE = (
        "unlike-images",
        "error, unusable",
        "image of other bands or another type than most",
        "convert it to those of the others (`gdal_translate -b` picks bands, `-ot` sets the type), or remove it",
    )
    ROTATED = (
        "rotated",
        "error",
        "image that EXIF says to rotate",
        "rotate the pixels themselves and save without the tag (`mogrify -auto-orient FILE`), "
        "then see that the mask still fits",
    )
    VALUE = (
        "values",
        "error, unusable",
        "mask with values outside the classes",
        "say in dataset.yaml what each value means, as `values: {0: road, 7: car}` and `void: 9`, or renumber the "
        "masks",
    )
    COLOUR = (
        "colours",
        "error, unusable",
        "mask with colours not in the palette",
        "add or correct `palette` in dataset.yaml (void's colour may follow the classes'), or draw without smoothing",
    )
    OBJECT_MASKS = (
        "object-masks",
        "error, unusable",
        "one mask file for each object",
        "join the masks of each image into one, as the lines in docs/data.md (One mask for each object) do",
    )
    OBJECT_IDS = (
        "object-ids",
        "error",
        "masks that number objects, not classes",
        "write the class of each pixel in place of the object's number. If all objects are of one class, say so in "
        "dataset.yaml: `values: {0: background, 1: object}` and `nearest: true`. If each number is a class all the "
        "same, allow it",
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
        "mask saved as JPEG",
        "export the masks again as PNG: JPEG changes values, and converting the file does not undo that. Where they "
        "cannot be exported again, `nearest: true` in dataset.yaml takes the class of the nearest value or colour",
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
        "correct `ignore_index` or the masks: nothing can be learnt from it or measured on it",
    )
    ABSENT_CLASS = (
        "absent-classes",
        "warning",
        "class that never occurs",
        "if it is still to come, go on: the network cannot learn it yet. If it should be there, the masks may count "
        "otherwise than `classes`, as from 1 where `classes` counts from 0: compare them in `fullyconv data show`",
    )
    UNMEASURED_CLASS = (
        "unmeasured-classes",
        "warning",
        "class that does not occur in a split",
        "go on, and its IoU there is not known; or move images with it into the split",
    )
    IN_SEVERAL_SPLITS = (
        "duplicates",
        "warning",
        "image in more than one split",
        "keep it in one split: results on images seen in training say nothing about new ones. To see whether a "
        "network can learn at all, go on",
    )
    ONE_COLOUR = (
        "one-colour",
        "warning",
        "image of one colour, in several splits",
        "go on, where tiles without content are to be expected; else see how they came to be",
    )
    NO_DATA = (
        "no-data",
        "warning",
        "image without any data",
        "go on: all of it is void. If it should hold data, see which value the file declares as nodata (`gdalinfo`)",
    )
    FAINT = (
        "faint",
        "warning",
        "image that is nearly black or white",
        "go on, where such images are to be expected. If they should show something, set `data.range` to the values "
        "that become black and white, as `--set data.range=[0,4095]`",
    )
    SMALL_SPLIT = (
        "small-splits",
        "warning",
        "split of one image",
        "add images: what is measured on one says little about others",
    )

    DOUBTFUL = (
        "doubtful",
        "warning",
        "mask with pixels between the classes",
        "go on where they are few, as along edges; `nearest: true` in dataset.yaml gave each the nearest class. Where "
        "they are many, see whether `values` or `palette` names every class",
    )

    def __init__(self, word: str, grade: str, title: str, remedy: str) -> None:
        self.word = word
        self.severity: Severity = "error" if grade.startswith("error") else "warning"
        self.unusable = grade.endswith("unusable")
        """Whether an image with this problem cannot be trained on or measured on; where allowed, it is left out."""
        self.title = title
        self.remedy = remedy


OF_SPLITS = frozenset(
    (Kind.EMPTY, Kind.UNLABELLED, Kind.UNMEASURED_CLASS, Kind.IN_SEVERAL_SPLITS, Kind.ONE_COLOUR, Kind.SMALL_SPLIT)
)
"""Kinds that come from how images are divided: where this tool divided them, they are never errors."""

GUESSED = frozenset((Kind.OBJECT_IDS, Kind.SMOOTHED, Kind.GREY_LABELS))
"""Kinds that doubt what values mean: warnings where someone said what they mean, and all of them are known."""

KINDS = {kind.word: kind for kind in Kind}


def kinds_named(names: Iterable[str]) -> frozenset[Kind]:
    """Return the kinds of these words. Raises ConfigError for one that is unknown, with the nearest known word."""
    names = list(names)
    for name in names:
        if name not in KINDS:
            nearest = difflib.get_close_matches(name, KINDS, n=1, cutoff=0.5)
            advice = f"did you mean {nearest[0]}? All are" if nearest else "the kinds of problems are"
            raise ConfigError(f"allow: {name} is no kind of problem; {advice} {', '.join(KINDS)}.")
    return frozenset(KINDS[name] for name in names)
