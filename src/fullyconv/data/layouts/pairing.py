"""Pair images with masks by their names."""

import os.path
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path, PurePosixPath

from fullyconv.data.catalog import Data
from fullyconv.data.checks.object_masks import object_masks
from fullyconv.data.layouts.files import Keyed, images_under
from fullyconv.data.pairs import Pair
from fullyconv.errors import DataError
from fullyconv.files import absence

Matched = dict[Path, Path]
"""The mask of each image that has one."""


@dataclass(frozen=True)
class Paired:
    """The pairs of each split, the masks without an image, and notes on what was decided."""

    splits: dict[str, list[Pair]]
    unmatched: list[Path] = field(default_factory=list)
    """Masks without an image."""
    notes: list[str] = field(default_factory=list)
    divided: bool = False
    """Whether this tool divided the images into splits."""


@dataclass(frozen=True)
class Names:
    """The images and masks to pair with each other, such as those of one split, and optional masks of valid areas."""

    images: Keyed
    masks: Keyed
    valid: Keyed | None = None


def pair(sets: dict[str, Names]) -> Paired:
    """Pair the images and masks of each set by their keys.

    If no image and mask have the same key, they are paired by equal names in different folders, or else by names that
    differ in a constant prefix or suffix. If two masks have the same key, the first by name is used. Raises DataError
    if nothing pairs, or an image has no mask of its valid area.
    """
    matched, note = _match([(names.images, names.masks) for names in sets.values()], "mask")
    notes = [note] if note else []
    splits, unmatched = {}, []
    for (name, names), masks in zip(sets.items(), matched, strict=True):
        splits[name] = [Pair(image, masks.get(image)) for image in names.images]
        taken = set(masks.values())
        unmatched += [mask for mask in names.masks if mask not in taken]
    if any(names.valid is not None for names in sets.values()):
        splits, more = _with_valid(sets, splits)
        notes += more
    used = {pair.mask for pairs in splits.values() for pair in pairs}  # splits may share a folder
    return Paired(splits, [mask for mask in dict.fromkeys(unmatched) if mask not in used], notes)


def with_valid(data: Data, split: str, folder: Path) -> Data:
    """Return the data with the masks of valid areas that lie in ``folder``, for the images of one split.

    They are paired by name, as masks are; the folder may hold those of other splits too if no two images of the data
    have the same name. Raises DataError if the folder holds none, or an image of the split has none.
    """
    if not (masks := images_under(folder)):
        found_there = "holds no image file" if folder.is_dir() else absence(folder)
        raise DataError(f"{folder}: {found_there}; --valid takes a folder with a mask for each image")
    own = [pair.image for pair in data.split(split)]
    above = os.path.commonpath([image.parent for image in own])
    ways = [{image: image.relative_to(above).with_suffix("").as_posix() for image in own}]
    for images in (own, [pair.image for pairs in data.splits.values() for pair in pairs]):
        if len({image.stem for image in images}) == len(images):
            ways.append({image: image.stem for image in images})
    found: list[Matched] = []
    errors: list[DataError] = []
    for keyed in ways:
        try:
            found += _match([(keyed, masks)], "valid area")[0]
        except DataError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    matched = max(found, key=lambda of_way: sum(image in of_way for image in own))
    if lacking := [image for image in own if image not in matched]:
        raise DataError(
            f"{lacking[0]}: has no mask of its valid area in {folder}, like {len(lacking)} of {len(own)} images of "
            f"{split}; the names must match those of the images"
        )
    splits = {**data.splits, split: [replace(pair, valid=matched[pair.image]) for pair in data.split(split)]}
    return replace(data, splits=splits)


def _with_valid(sets: dict[str, Names], splits: dict[str, list[Pair]]) -> tuple[dict[str, list[Pair]], list[str]]:
    names = [(of_set.images, of_set.valid or {}) for of_set in sets.values()]
    matched, note = _match(names, "valid area")
    added = {}
    for (name, pairs), valid in zip(splits.items(), matched, strict=True):
        wanted = sets[name].valid is not None
        lacking = [pair.image for pair in pairs if wanted and pair.image not in valid]
        if lacking:
            raise DataError(
                f"{lacking[0]}: has no mask of its valid area, like {len(lacking)} of {len(pairs)} images of {name}; "
                "`valid` must be a folder or pattern with a mask for each image"
            )
        added[name] = [replace(pair, valid=valid.get(pair.image)) for pair in pairs]
    return added, [note] if note else []


def _match(sets: Sequence[tuple[Keyed, Keyed]], what: str) -> tuple[list[Matched], str]:
    """Return the mask or valid area of each image in each set, and a note unless they were paired by equal keys."""
    exact = [_by_key(images, masks) for images, masks in sets]
    whole = [(images, masks) for images, masks in sets if images and masks]
    if any(exact) or not whole:
        return exact, ""
    if (by_stem := _by_stem(sets)) is not None:
        return by_stem, f"each image is paired with the {what} that has its name, although their folders differ"
    found = _by_affixes(sets)
    if found is not None:
        return found
    if any(object_masks([Pair(image, None) for image in images], list(masks)) for images, masks in whole):
        return exact, ""  # ``check`` reports them
    images, masks = whole[0]
    image = next(iter(images))
    alike = sorted(masks, key=lambda mask: -len(_beginning([mask.stem, image.stem])))[:3]
    raise DataError(
        f"{image}: no {what} was found for this or any other image by its name; the most similar names are "
        f"{', '.join(mask.name for mask in alike)}. Say in a dataset.yaml how the names match, such as "
        f'`images: "photos/*.jpg"` and `masks: "masks/*_mask.png"`, where * is the same for an image and its {what}'
    )


def _by_key(images: Keyed, masks: Keyed) -> Matched:
    first: dict[str, Path] = {}
    for mask, key in masks.items():
        first.setdefault(key, mask)
    return {image: first[key] for image, key in images.items() if key in first}


def _by_stem(sets: Sequence[tuple[Keyed, Keyed]]) -> list[Matched] | None:
    """Pair by name regardless of folders; None unless all names are unique and every mask has an image."""
    matched = []
    for images, masks in sets:
        of_image = {PurePosixPath(key).name: image for image, key in images.items()}
        of_mask = {PurePosixPath(key).name: mask for mask, key in masks.items()}
        unique = len(of_image) == len(images) and len(of_mask) == len(masks)
        if not unique or not of_mask.keys() <= of_image.keys():
            return None
        matched.append({of_image[name]: mask for name, mask in of_mask.items()})
    return matched


def _by_affixes(sets: Sequence[tuple[Keyed, Keyed]]) -> tuple[list[Matched], str] | None:
    """Pair by names without the prefix and suffix that all images, or all masks, have in common.

    Returns None unless there is exactly one way to do so in which every mask has an image of its own.
    """
    cuts = [_cuts([PurePosixPath(key).name for both in sets for key in both[which].values()]) for which in range(2)]
    shortened = [{cut: [_shorten(both[which], cut) for both in sets] for cut in cuts[which]} for which in range(2)]
    ways: dict[tuple[tuple[Path, Path], ...], tuple[int, list[Matched], str]] = {}
    for (of_images, images), (of_masks, masks) in product(shortened[0].items(), shortened[1].items()):
        matched = _match_cores(sets, images, masks)
        if matched is None:
            continue
        identity = tuple(entry for part in matched for entry in part.items())
        if len(identity) == 1 and any(of_images) and any(of_masks):
            continue  # a single pair cannot show which prefix or suffix is constant
        length = sum(map(len, of_images + of_masks))
        image, mask = identity[0]
        note = (
            f"images and masks are paired as {of_images[0]}*{of_images[1]}{image.suffix} and "
            f"{of_masks[0]}*{of_masks[1]}{mask.suffix} ({image.name} with {mask.name})"
        )
        if identity not in ways or length < ways[identity][0]:
            ways[identity] = length, matched, note
    if len(ways) != 1:
        return None
    _, found, note = next(iter(ways.values()))
    return found, note


def _match_cores(
    sets: Sequence[tuple[Keyed, Keyed]],
    images: Sequence[dict[str, Path] | None],
    masks: Sequence[dict[str, Path] | None],
) -> list[Matched] | None:
    matched = []
    for _, of_images, of_masks in zip(sets, images, masks, strict=True):
        if of_images is None or of_masks is None or not of_masks.keys() <= of_images.keys():
            return None
        matched.append({of_images[core]: mask for core, mask in of_masks.items()})
    return matched if any(matched) else None


def _shorten(files: Keyed, cut: tuple[str, str]) -> dict[str, Path] | None:
    """Return the files by their keys without a prefix and suffix; None if a key would be empty or occur twice."""
    shortened: dict[str, Path] = {}
    for path, key in files.items():
        place = PurePosixPath(key)
        if len(place.name) <= len(cut[0]) + len(cut[1]):
            return None
        core = str(place.with_name(place.name[len(cut[0]) : len(place.name) - len(cut[1])]))
        if core in shortened:
            return None
        shortened[core] = path
    return shortened


def _cuts(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the common prefixes and suffixes of all names that end between letters, digits and other characters."""
    beginning, ending = _beginning(names), _beginning([name[::-1] for name in names])[::-1]
    first = names[0] if names else ""
    starts = [first[:place] for place in _borders(first) if place <= len(beginning)][:6]
    ends = [first[place:] for place in reversed(_borders(first)) if place >= len(first) - len(ending)][:6]
    return [(start, end) for start in ["", *starts] for end in ["", *ends]]


def _beginning(names: Sequence[str]) -> str:
    """Return the longest common prefix of the names."""
    first, last = min(names, default=""), max(names, default="")
    same = [a == b for a, b in zip(first, last, strict=False)]
    return first[: same.index(False) if False in same else len(same)]


def _borders(name: str) -> list[int]:
    def kind(character: str) -> int:
        return 0 if character.isalpha() else 1 if character.isdigit() else 2

    return [place for place in range(1, len(name)) if kind(name[place - 1]) != kind(name[place])]
