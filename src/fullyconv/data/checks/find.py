"""Finding everything that is wrong with a data set before it costs a training run."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fullyconv.data.cache import Contents, contents_of
from fullyconv.data.catalog import Data
from fullyconv.data.checks.problems import Kind, Problem, Report
from fullyconv.data.contents import count_labels, digest_pixels
from fullyconv.data.frequencies import join_counts, total
from fullyconv.data.images import open_image, to_planes
from fullyconv.data.masks import MaskCode, list_unknown
from fullyconv.data.pairs import Pair
from fullyconv.data.parallel import Progress, in_parallel
from fullyconv.errors import DataError


@dataclass
class _Look:
    """What reading one pair showed."""

    problems: list[Problem] = field(default_factory=list)
    sample: str | None = None
    """What tells the image from most others; see ``ImageContent``."""
    counts: np.ndarray | None = None
    """Of the masks' labels."""

    def add(self, kind: Kind, file: Path, found: str, expected: str) -> None:
        self.problems.append(Problem(kind, (file,), found, expected))


def check(data: Data, splits: Iterable[str] | None = None, progress: Progress | None = None) -> Report:
    """Read every image and mask of the splits (all of them if None), on all cores, and report every problem.

    That a class never occurs is a matter of the whole data set, and is only looked at when all its splits
    are. A published data set is taken as its authors made it: classes may be absent, images in two splits or turned.
    Raises DataError if there is no such split.
    """
    chosen = {name: data.split(name) for name in (data.splits if splits is None else splits)}
    pairs = list(dict.fromkeys(pair for pairs in chosen.values() for pair in pairs))
    files = contents_of(data.root)
    looks = dict(zip(pairs, in_parallel(lambda pair: _look(pair, data, files), pairs, progress), strict=True))
    files.save()

    problems = [problem for look in looks.values() for problem in look.problems]
    problems += _unmatched_masks(data) + _duplicate_names(pairs)
    problems += [] if data.published else _in_several_splits(chosen, looks)
    problems += [
        Problem(Kind.EMPTY, (), f"split {name!r}", "at least one image") for name, pairs in chosen.items() if not pairs
    ]
    counts = {name: [looks[pair].counts for pair in pairs] for name, pairs in chosen.items()}
    frequencies = {
        name: total([c for c in of_split if c is not None], data.head_sizes) for name, of_split in counts.items()
    }
    if chosen.keys() == data.splits.keys() and not data.published:
        everywhere = np.sum([counted.pixels for counted in frequencies.values()], axis=0)
        problems += [
            Problem(Kind.ABSENT_CLASS, (), f"{name!r}", "every class in at least one mask")
            for name, pixels in zip(data.classes, everywhere, strict=True)
            if pixels == 0
        ]
    return Report(data, problems, frequencies)


def _look(pair: Pair, data: Data, files: Contents) -> _Look:
    look = _Look()
    size = _look_at_image(look, pair.image, files, data.published)
    if pair.mask is None:
        if pair.image.exists():
            look.add(Kind.NO_MASK, pair.image, "", "a mask with the image's name")
        return look
    for path in pair.more:
        _look_at_more(look, path, size)
    labelings = []
    for path, code in zip((pair.mask, *pair.more_masks), data.codes, strict=True):
        labelled = _look_at_mask(look, path, code, files, size)
        if labelled is not None:
            labelings.append(labelled)
    if len(labelings) == len(data.codes):
        look.counts = join_counts(labelings, data.head_sizes)
    return look


def _add_unreadable(look: _Look, path: Path, error: DataError, absent: Kind) -> None:
    kind = Kind.UNREADABLE if path.exists() else absent
    look.add(kind, path, str(error).removeprefix(f"{path}: "), "a whole image file")


def _look_at_image(look: _Look, path: Path, files: Contents, published: bool) -> tuple[int, int] | None:
    """Its width and height; None if it cannot be read."""
    try:
        content = files.image(path)
    except DataError as error:
        _add_unreadable(look, path, error, Kind.NO_IMAGE)
        return None
    if content.orientation != 1 and not published:
        found = f"orientation {content.orientation}"
        look.add(Kind.ROTATED, path, found, "pixels stored upright (orientation 1, or no EXIF)")
    look.sample = content.sample
    return content.size


def _look_at_more(look: _Look, path: Path, size: tuple[int, int] | None) -> None:
    try:
        image = open_image(path)
    except DataError as error:
        _add_unreadable(look, path, error, Kind.NO_IMAGE)
        return
    try:
        to_planes(image)
    except ValueError as error:
        look.add(Kind.UNREADABLE, path, str(error), "an image of depths or of HHA")
    _compare_sizes(look, path, image.size, size)


def _look_at_mask(
    look: _Look, path: Path, code: MaskCode, files: Contents, size: tuple[int, int] | None
) -> np.ndarray | None:
    """The pixels of each label, int64 (256,); None if it has no labels that can be told."""
    try:
        content = files.mask(path, code.key)
    except DataError as error:
        _add_unreadable(look, path, error, Kind.NO_MASK)
        return None
    _compare_sizes(look, path, content.size, size)
    if content.lossy:
        look.add(Kind.LOSSY, path, "", "a lossless file such as PNG")
        return None
    labelled, unknown = count_labels(content, code)
    if unknown:
        kind = Kind.VALUE if isinstance(unknown[0][0], int) else Kind.COLOUR
        look.add(kind, path, list_unknown(unknown), code.describe())
    return labelled


def _compare_sizes(look: _Look, path: Path, size: tuple[int, ...], wanted: tuple[int, int] | None) -> None:
    if wanted is not None and size != wanted:
        (width, height), (image_width, image_height) = size, wanted
        found = f"{width}x{height} (width x height) for an image of {image_width}x{image_height}"
        look.add(Kind.SIZE, path, found, "the image's size")


def _unmatched_masks(data: Data) -> list[Problem]:
    """Masks without an image; where two masks have one name, the second."""
    taken = {pair.mask.with_suffix("") for pairs in data.splits.values() for pair in pairs if pair.mask}
    return [
        Problem(
            Kind.UNMATCHED_MASK,
            (mask,),
            "the image has another mask" if mask.with_suffix("") in taken else "",
            "an image with the mask's name, and one mask for each",
        )
        for mask in data.unmatched_masks
    ]


def _duplicate_names(pairs: Iterable[Pair]) -> list[Problem]:
    """Images of one name, as ``a.jpg`` and ``a.png``, that take the same mask."""
    of_mask: dict[Path, list[Path]] = {}
    for pair in pairs:
        if pair.mask is not None:
            of_mask.setdefault(pair.mask, []).append(pair.image)
    return [
        Problem(Kind.DUPLICATE_NAME, tuple(images), f"the mask {mask.name}", "a mask for each image")
        for mask, images in of_mask.items()
        if len(images) > 1
    ]


def _in_several_splits(chosen: dict[str, list[Pair]], looks: dict[Pair, _Look]) -> list[Problem]:
    """Images whose decoded pixels occur in more than one split.

    Those that may be alike, by their samples, are decoded once more and compared by all of their pixels.
    """
    samples: dict[str, set[str]] = {}
    for name, pairs in chosen.items():
        for pair in pairs:
            if (sample := looks[pair].sample) is not None:
                samples.setdefault(sample, set()).add(name)
    places: dict[bytes, dict[str, list[Path]]] = {}
    alike = [
        (name, pair.image)
        for name, pairs in chosen.items()
        for pair in pairs
        if len(samples.get(looks[pair].sample or "", ())) > 1
    ]
    for (name, image), digest in zip(alike, in_parallel(lambda found: digest_pixels(found[1]), alike), strict=True):
        places.setdefault(digest, {}).setdefault(name, []).append(image)
    return [
        Problem(
            Kind.IN_SEVERAL_SPLITS,
            tuple(dict.fromkeys(path for paths in where.values() for path in paths)),
            f"the same pixels in {' and '.join(where)}",
            "each image in one split only",
        )
        for where in places.values()
        if len(where) > 1
    ]
