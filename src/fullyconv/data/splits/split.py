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
from fullyconv.data.splits.divide import source_of
from fullyconv.data.splits.equal import equal_files
from fullyconv.data.splits.file import NAMES, Row, each_once, name_within
from fullyconv.data.splits.groups import Key, join
from fullyconv.data.splits.stratify import stratify
from fullyconv.errors import ConfigError, DataError


@dataclass(frozen=True)
class Options:
    """How images are divided.

    - ``group``: what keeps images together: ``folder`` or a regular expression (see ``source_of``); None: what the
      layout knows.
    - ``val`` and ``test``: the shares of these splits. With folds, val is the first fold.
    - ``folds``: the number of folds of the images that are not in test; None: no folds.
    - ``seed``: another seed gives another division of the same kind.
    """

    group: str | None = None
    val: float = 0.1
    test: float = 0.1
    folds: int | None = None
    seed: int = 0

    @classmethod
    def given(cls, group: str | None, val: float | None, test: float, folds: int | None, seed: int) -> "Options":
        """Return the options as they are given to the command. Raises ConfigError for a combination that contradicts.

        With folds the share of val follows.
        """
        if folds is not None and val is not None:
            raise ConfigError("--val and --folds contradict: with folds, each of them is val once. Leave out --val")
        return cls(group, 0.1 if val is None else val, test, folds, seed)

    def __post_init__(self) -> None:
        """Raise ConfigError for values that are impossible."""
        for name, share in (("val", self.val), ("test", self.test)):
            if not 0 <= share < 1:
                raise ConfigError(f"--{name} {share:g}: expected a share of the images, from 0 to below 1, such as 0.1")
        if self.val + self.test >= 1:
            raise ConfigError(f"--val {self.val:g} and --test {self.test:g} leave no images to train on")
        if self.folds is not None and self.folds < 2:
            raise ConfigError(f"--folds {self.folds}: expected at least 2")


@dataclass(frozen=True)
class Division:
    """The split, the group and, if there are folds, the fold of each image, and its pixels of each class and of void.

    ``shares`` is the wanted share of the images in each of ``parts()``.
    """

    data: Data
    splits: dict[Path, str]
    groups: dict[Path, str]
    folds: dict[Path, int]
    pixels: dict[Path, np.ndarray]
    shares: dict[str, float]

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
    split has the same share of the images with each class (see ``stratify``). Images without a usable mask, which the
    check has allowed, are divided as images without a class. Raises DataError if there is only one group.
    """
    pairs = each_once(data)
    files = contents_of(data.root)
    pixels = dict(zip([pair.image for pair in pairs], _count(pairs, data, files, progress), strict=True))
    groups = join(_keys(pairs, data.root, options), _copies(pairs, files))
    members: dict[str, list[Path]] = defaultdict(list)
    for image, name in groups.items():
        members[name].append(image)
    if len(members) == 1:
        raise DataError(
            f"{data.root}: all {len(pairs)} images belong to one group ({next(iter(members))}), which cannot be in two "
            "splits; group them by something else with --group, or add images"
        )
    counts = np.array([_images(members[name], pixels) for name in members])
    names = [name_within(data.root, min(images)) for images in members.values()]
    shares = {"train": 1 - options.val - options.test, "val": options.val, "test": options.test}
    if options.folds:
        shares = {"train": 1 - options.test, "test": options.test}
    shares = {name: share for name, share in shares.items() if share > 0}
    if len(members) < len(shares):
        shares = {"train": 1 - options.val, "val": options.val}
    of_group = [[*shares][part] for part in stratify(counts, [*shares.values()], names, options.seed)]
    fold_of_group: dict[str, int] = {}
    if options.folds:
        rest = [place for place, part in enumerate(of_group) if part != "test"]
        if len(rest) < options.folds:
            raise DataError(
                f"{data.root}: has {len(rest)} groups outside of test, fewer than {options.folds} folds; choose fewer "
                "folds, or smaller groups"
            )
        equal = [1 / options.folds] * options.folds
        folds = stratify(counts[rest], equal, [names[place] for place in rest], options.seed)
        for place, fold in zip(rest, folds, strict=True):
            of_group[place] = "train" if fold else "val"
            fold_of_group[[*members][place]] = fold
        shares = {f"fold {fold}": shares["train"] / options.folds for fold in range(options.folds)} | {
            name: share for name, share in shares.items() if name == "test"
        }
    split_of = dict(zip(members, of_group, strict=True))
    return Division(
        data,
        {image: split_of[groups[image]] for image in groups},
        groups,
        {image: fold_of_group[groups[image]] for image in groups if groups[image] in fold_of_group},
        pixels,
        shares,
    )


def _count(pairs: Sequence[Pair], data: Data, files: Contents, progress: Progress | None) -> list[np.ndarray]:
    def count(pair: Pair) -> np.ndarray:
        try:
            return count_cached(pair, data, files)
        except DataError:  # the check has allowed it
            return np.zeros(len(data.classes) + 1, np.int64)

    counted = list(in_parallel(count, pairs, progress))
    files.save()
    return counted


def _keys(pairs: Sequence[Pair], root: Path, options: Options) -> dict[Path, list[Key]]:
    """Return what each image belongs to: itself, if nothing else is known."""
    keys: dict[Path, list[Key]] = {pair.image: [] for pair in pairs}
    source = None if options.group is None else source_of(options.group, root, "--group")
    for pair in pairs:
        if source is not None:
            keys[pair.image].append(("group", source(pair.image) or "."))
        elif pair.group:
            keys[pair.image].append(("group", pair.group))
    for image, own in keys.items():
        if not own:
            own.append(("image", name_within(root, image)))
    return keys


def _copies(pairs: Sequence[Pair], files: Contents) -> list[list[Path]]:
    """Return images that are the same, apart from those of one colour, such as empty tiles."""

    def shows_nothing(image: Path) -> bool:
        try:
            return is_of_one_colour(image, files.image(image))
        except DataError:  # the check has allowed it
            return True

    return [same for same in equal_files(pair.image for pair in pairs) if not shows_nothing(same[0])]


def _images(images: Sequence[Path], pixels: Mapping[Path, np.ndarray]) -> list[int]:
    """Return the number of images, and of those with each class."""
    occurs = np.array([pixels[image][:-1] > 0 for image in images])
    return [len(images), *occurs.sum(0).tolist()]
