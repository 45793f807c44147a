"""Divide a data set into splits and folds that say how well a network does on images that it has not seen."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fullyconv.data.cache import Contents, contents_of
from fullyconv.data.catalog import Data
from fullyconv.data.contents import is_of_one_colour
from fullyconv.data.frequencies import count_cached
from fullyconv.data.pairs import Pair
from fullyconv.data.parallel import Progress, in_parallel
from fullyconv.data.splits.blocks import Footprint, block_of, footprints, overlapping
from fullyconv.data.splits.divide import source_of
from fullyconv.data.splits.equal import equal_files
from fullyconv.data.splits.file import Row, each_once, name_within
from fullyconv.data.splits.groups import Key, join
from fullyconv.data.splits.names import NAMES
from fullyconv.data.splits.near import near_duplicates
from fullyconv.data.splits.options import Options
from fullyconv.data.splits.stratify import stratify
from fullyconv.data.splits.times import by_time, times_of
from fullyconv.errors import DataError


@dataclass(frozen=True)
class Division:
    """The split, the group and, if there are folds, the fold of each image, and its pixels of each class and of void.

    ``shares`` is the wanted share of the images in each of ``parts()``; ``overlapping`` are pairs of images of
    different parts that show the same ground.
    """

    data: Data
    splits: dict[Path, str]
    groups: dict[Path, str]
    folds: dict[Path, int]
    pixels: dict[Path, np.ndarray]
    shares: dict[str, float]
    overlapping: list[tuple[Path, Path]]

    def rows(self) -> list[Row]:
        """Return the lines of ``splits.csv``, sorted by the images' paths."""
        return [
            Row(name_within(self.data.root, image), split, self.groups[image], str(self.folds.get(image, "")))
            for image, split in sorted(self.splits.items())
        ]

    def parts(self) -> dict[str, list[Path]]:
        """Return the images of each fold and of test, or of each split if there are no folds."""
        found: dict[str, list[Path]] = {}
        for image, split in self.splits.items():
            found.setdefault(f"fold {self.folds[image]}" if image in self.folds else split, []).append(image)
        names = [*NAMES[:2], *(f"fold {number}" for number in range(1 + max(self.folds.values(), default=-1))), "test"]
        return {name: found[name] for name in names if name in found}


def split(data: Data, options: Options, progress: Progress | None = None) -> Division:
    """Divide all images of a data set, whatever splits it has.

    Images of one group, and those that are (nearly) the same, are never in two splits or folds. Within this limit, each
    split has the same share of the images with each class (see ``stratify``), unless they are divided by time. Images
    without a usable mask, which the check has allowed, are divided as images without a class. Raises DataError if there
    is only one group.
    """
    pairs = each_once(data)
    images = [pair.image for pair in pairs]
    places = footprints(images) if options.block is not None else {}
    times = times_of(images, options.time, data.root) if options.time is not None else {}
    files = contents_of(data.root)
    pixels = dict(zip(images, _count(pairs, data, files, progress), strict=True))
    copies = [*_copies(pairs, files), *_near(pairs, files, progress)]
    groups = join(_keys(pairs, data.root, options, places, times), copies)
    members: dict[str, list[Path]] = defaultdict(list)
    for image, name in groups.items():
        members[name].append(image)
    if len(members) == 1:
        raise DataError(
            f"{data.root}: all {len(pairs)} images belong to one group ({next(iter(members))}), which cannot be in two "
            "splits; group them by something else with --group, or add images"
        )
    shares = {"train": 1 - options.val - options.test, "val": options.val, "test": options.test}
    if options.folds:
        shares = {"train": 1 - options.test, "test": options.test}
    shares = {name: share for name, share in shares.items() if share > 0}
    if len(members) < len(shares):
        shares = {"train": 1 - options.val, "val": options.val}
    folds: dict[Path, int] = {}
    if times:
        first = {name: min(times[image] for image in own) for name, own in members.items()}
        part_of = by_time(first, {name: len(own) for name, own in members.items()}, shares)
    else:
        part_of = _stratified(members, data.root, pixels, shares, options.seed)
    if options.folds:
        rest = {name: own for name, own in members.items() if part_of[name] != "test"}
        if len(rest) < options.folds:
            raise DataError(
                f"{data.root}: has {len(rest)} groups outside of test, fewer than {options.folds} folds; choose fewer "
                "folds, or smaller groups"
            )
        of_folds = {f"fold {fold}": shares["train"] / options.folds for fold in range(options.folds)}
        fold_of = _stratified(rest, data.root, pixels, of_folds, options.seed)
        folds = {image: [*of_folds].index(fold_of[name]) for name, own in rest.items() for image in own}
        part_of |= {name: "val" if fold == "fold 0" else "train" for name, fold in fold_of.items()}
        shares = of_folds | {name: share for name, share in shares.items() if name == "test"}
    splits = {image: part_of[groups[image]] for image in images}
    parts = {image: f"fold {folds[image]}" if image in folds else split for image, split in splits.items()}
    return Division(data, splits, groups, folds, pixels, shares, overlapping(places, parts))


def _stratified(
    members: Mapping[str, Sequence[Path]],
    root: Path,
    pixels: Mapping[Path, np.ndarray],
    shares: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    """Return the part of each group by ``stratify``, which knows a group by the name of its first image."""
    counts = np.array([_images(images, pixels) for images in members.values()])
    names = [name_within(root, min(images)) for images in members.values()]
    total = sum(shares.values())
    parts = stratify(counts, [share / total for share in shares.values()], names, seed)
    return {name: [*shares][part] for name, part in zip(members, parts, strict=True)}


def _count(pairs: Sequence[Pair], data: Data, files: Contents, progress: Progress | None) -> list[np.ndarray]:
    def count(pair: Pair) -> np.ndarray:
        try:
            return count_cached(pair, data, files)
        except DataError:  # the check has allowed it
            return np.zeros(len(data.classes) + 1, np.int64)

    counted = list(in_parallel(count, pairs, progress))
    files.save()
    return counted


def _keys(
    pairs: Sequence[Pair],
    root: Path,
    options: Options,
    places: Mapping[Path, Footprint],
    times: Mapping[Path, int],
) -> dict[Path, list[Key]]:
    """Return what each image belongs to: itself, if nothing else is known; and its time, which is in one split."""
    keys: dict[Path, list[Key]] = {pair.image: [] for pair in pairs}
    source = None if options.group is None else source_of(options.group, root, "--group")
    for pair in pairs:
        if source is not None:
            keys[pair.image].append(("group", source(pair.image) or "."))
        elif pair.group and options.block is None:
            keys[pair.image].append(("group", pair.group))
        if options.block is not None:
            keys[pair.image].append(("block", block_of(places[pair.image], options.block)))
    for image, own in keys.items():
        if not own:
            own.append(("image", name_within(root, image)))
        if image in times:
            own.append(("time", str(times[image])))
    return keys


def _copies(pairs: Sequence[Pair], files: Contents) -> list[list[Path]]:
    """Return images that are the same, apart from those of one colour, such as empty tiles."""

    def shows_nothing(image: Path) -> bool:
        try:
            return is_of_one_colour(image, files.image(image))
        except DataError:  # the check has allowed it
            return True

    return [same for same in equal_files(pair.image for pair in pairs) if not shows_nothing(same[0])]


def _near(pairs: Sequence[Pair], files: Contents, progress: Progress | None) -> list[list[Path]]:
    """Return groups of images that are nearly the same, each joined with its nearest ones until there are none left."""
    images = [pair.image for pair in pairs]
    prints, samples = zip(*(_marks(image, files) for image in images), strict=True)
    own: dict[Path, list[Key]] = {image: [("image", str(number))] for number, image in enumerate(images)}
    alike: list[list[Path]] = []
    compared: set[tuple[int, int]] = set()
    while True:
        joined = join(own, alike)
        sets = [int(joined[image]) for image in images]
        more = near_duplicates(images, prints, sets, progress, compared, files.alike(samples))
        if not more:
            files.save()
            return alike
        alike += [[images[one], images[other]] for one, other in more]


def _marks(image: Path, files: Contents) -> tuple[str, str]:
    """Return the fingerprint and the sample of an image; empty if it cannot be read, which the check has allowed."""
    try:
        content = files.image(image)
    except DataError:
        return "", ""
    return content.fingerprint, content.sample


def _images(images: Sequence[Path], pixels: Mapping[Path, np.ndarray]) -> list[int]:
    """Return the number of images, and of those with each class."""
    occurs = np.array([pixels[image][:-1] > 0 for image in images])
    return [len(images), *occurs.sum(0).tolist()]
