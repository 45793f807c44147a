"""Check a data set as a whole for problems that no single file shows."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fullyconv.data.annotations.drawing import Drawn
from fullyconv.data.cache import Contents
from fullyconv.data.catalog import Data
from fullyconv.data.checks.judge import paste_values
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.checks.problems import Problem
from fullyconv.data.contents import ImageContent, digest_pixels, is_of_one_colour
from fullyconv.data.frequencies import ClassPixels
from fullyconv.data.mask_codes import IGNORE
from fullyconv.data.pairs import Pair
from fullyconv.data.parallel import in_parallel
from fullyconv.data.splits.near import near_duplicates

_OWN_DIVISION = (
    "remove the copies, or divide the images with `fullyconv data split`, which keeps copies together; so far they are "
    "divided by their names. Until then the results on val and test are too good"
)

Splits = Mapping[str, list[Pair]]


def unmatched_masks(data: Data) -> list[Problem]:
    """Report masks without an image, and the second of two masks with the same name."""
    taken = {pair.mask.with_suffix("") for pairs in data.splits.values() for pair in pairs if pair.mask}
    return [
        Problem(
            Kind.UNMATCHED_MASK,
            (mask,),
            "the image has another mask" if mask.with_suffix("") in taken else "",
            "an image with the name of the mask, and one mask for each image",
        )
        for mask in data.unmatched_masks
    ]


def shared_masks(pairs: Iterable[Pair]) -> list[Problem]:
    """Report images with the same name, such as ``a.jpg`` and ``a.png``, which would share a mask."""
    of_mask: dict[Path, list[Path]] = {}
    for pair in pairs:
        if pair.mask is not None:
            of_mask.setdefault(pair.mask, []).append(pair.image)
    return [
        Problem(Kind.DUPLICATE_NAME, tuple(images), f"the mask {mask.name}", "a mask for each image")
        for mask, images in of_mask.items()
        if len(images) > 1
    ]


def empty_splits(chosen: Splits) -> list[Problem]:
    """Report splits without images."""
    return [
        Problem(Kind.EMPTY, (), f"split {name!r}", "at least one image") for name, pairs in chosen.items() if not pairs
    ]


def small_splits(chosen: Splits) -> list[Problem]:
    """Report splits of a single image."""
    return [
        Problem(Kind.SMALL_SPLIT, (pairs[0].image,), f"all of split {name!r}", "several images in each split")
        for name, pairs in chosen.items()
        if len(pairs) == 1
    ]


def unlabelled_splits(frequencies: Mapping[str, ClassPixels]) -> list[Problem]:
    """Report splits in which every pixel is void."""
    return [
        Problem(Kind.UNLABELLED, (), f"split {name!r}: {counted.void:,} pixels of void", "pixels with a class")
        for name, counted in frequencies.items()
        if counted.void and not counted.pixels.any()
    ]


def remarks(drawn: Sequence[Drawn]) -> tuple[str, ...]:
    """Say at how many pixels of the drawn masks the order of the shapes decides, and how many shapes are not seen.

    Nothing if no mask was drawn.
    """
    pixels, contested = sum(own.pixels for own in drawn), sum(own.contested for own in drawn)
    if not pixels:
        return ()
    said = [f"Shapes of different classes lie on each other in {contested / pixels:.2%} of the pixels."]
    if empty := sum(own.empty for own in drawn):
        said.append(f"Shapes that cover no pixel, being thinner than one or without an area: {empty:,}.")
    return tuple(said)


def absent_classes(data: Data, frequencies: Mapping[str, ClassPixels]) -> list[Problem]:
    """Report classes that occur in no split (if all splits were read), and those that are absent from one split."""
    counted = {name: own for name, own in frequencies.items() if own.pixels.any()}
    everywhere = np.sum([own.pixels for own in frequencies.values()], axis=0)
    never = everywhere == 0 if frequencies.keys() == data.splits.keys() else np.zeros(len(data.classes), bool)
    problems = [
        Problem(Kind.ABSENT_CLASS, (), f"{name!r}", "every class in at least one mask", _shifted(data))
        for name, absent in zip(data.classes, never, strict=True)
        if absent
    ]
    for split, own in counted.items():
        names = [
            name for name, pixels, gone in zip(data.classes, own.pixels, never, strict=True) if not pixels and not gone
        ]
        if names:
            found = f"split {split!r}: {', '.join(names)}"
            problems.append(Problem(Kind.UNMEASURED_CLASS, (), found, "every class in every split"))
    return problems


def _shifted(data: Data) -> str:
    """Return what to do about absent classes if a void value shifts the values of the classes after it; else empty."""
    voids = [value for value, label in data.mask_code.numberings[0].items() if label == IGNORE]
    inside = [value for value in voids if 0 <= value < len(data.classes)]
    if data.heads or data.mask_code.values is not None or data.mask_code.by_colour or not inside:
        return ""
    plain = {value: name for value, name in enumerate(data.classes) if value not in inside}
    return (
        f"the value {inside[0]} is void, so {data.classes[inside[0]]!r} has the value {inside[0] + 1}, and the classes "
        "after it are shifted as well. If that is right, continue. If not, replace `classes` and `ignore_index` in "
        f"dataset.yaml with `{paste_values(list(plain), list(plain.values()))}` and `void: {inside[0]}`"
    )


def in_several_splits(chosen: Splits, images: Mapping[Pair, ImageContent], divided: bool) -> list[Problem]:
    """Report images whose decoded pixels occur in more than one split.

    Only images with equal samples (see ``ImageContent``) are decoded again and compared by all pixels. Images of one
    colour, such as black tiles, are equal without being copies and are reported as a kind of their own. ``divided``:
    whether this tool made the splits.
    """
    splits_of: dict[str, set[str]] = {}
    for name, pairs in chosen.items():
        for pair in pairs:
            if pair in images:
                splits_of.setdefault(images[pair].sample, set()).add(name)
    places: dict[bytes, dict[str, list[Pair]]] = {}
    alike = [
        (name, pair)
        for name, pairs in chosen.items()
        for pair in pairs
        if pair in images and len(splits_of[images[pair].sample]) > 1
    ]
    digests = in_parallel(lambda found: digest_pixels(found[1].image), alike)
    for (name, pair), digest in zip(alike, digests, strict=True):
        places.setdefault(digest, {}).setdefault(name, []).append(pair)
    problems = []
    for where in places.values():
        same = [pair for of_split in where.values() for pair in of_split]
        files = tuple(dict.fromkeys(pair.image for pair in same))
        if len(where) < 2:
            continue
        if is_of_one_colour(files[0], images[same[0]]):
            problems.append(Problem(Kind.ONE_COLOUR, files, f"in {' and '.join(where)}", "images with content"))
        else:
            found = f"the same pixels in {' and '.join(where)}"
            remedy = _OWN_DIVISION if divided else ""
            problems.append(Problem(Kind.IN_SEVERAL_SPLITS, files, found, "each image in one split only", remedy))
    return problems


def nearly_in_several_splits(
    chosen: Splits, images: Mapping[Pair, ImageContent], equal: Sequence[Problem], cached: Contents
) -> list[Problem]:
    """Report images that are nearly the same as an image of another split (see ``near``), apart from ``equal`` ones."""
    splits_of: dict[Pair, list[str]] = {}
    for name, pairs in chosen.items():
        for pair in pairs:
            if pair in images:
                splits_of.setdefault(pair, []).append(name)
    pairs = list(splits_of)
    kinds = {names: number for number, names in enumerate(sorted(set(map(tuple, splits_of.values()))))}
    sets = [kinds[tuple(splits_of[pair])] for pair in pairs]
    known = [set(problem.files) for problem in equal]
    problems = []
    prints, before = [images[pair].fingerprint for pair in pairs], cached.alike([images[pair].sample for pair in pairs])
    for one, other in near_duplicates([pair.image for pair in pairs], prints, sets, known=before):
        files = (pairs[one].image, pairs[other].image)
        if any(same.issuperset(files) for same in known):
            continue
        where = [" and ".join(splits_of[pairs[place]]) for place in (one, other)]
        found = f"nearly the same in {where[0]} and in {where[1]}"
        problems.append(Problem(Kind.NEARLY_IN_SEVERAL_SPLITS, files, found, "images unlike those of other splits"))
    return problems
