"""Finding everything that is wrong with a data set before it costs a training run."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from fullyconv.data.catalog import Data
from fullyconv.data.checks.problems import Kind, Problem, Report
from fullyconv.data.frequencies import count_labels, total
from fullyconv.data.images import open_image, to_array, to_planes
from fullyconv.data.masks import MaskCode, list_unknown, open_mask, to_labels
from fullyconv.data.pairs import Pair
from fullyconv.data.parallel import Progress, in_parallel
from fullyconv.errors import DataError


@dataclass
class _Look:
    """What reading one pair showed."""

    problems: list[Problem] = field(default_factory=list)
    digest: bytes | None = None
    """Of the image's pixels."""
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
    looks = dict(zip(pairs, in_parallel(lambda pair: _look(pair, data), pairs, progress), strict=True))

    problems = [problem for look in looks.values() for problem in look.problems]
    problems += _unmatched_masks(data) + _duplicate_names(pairs)
    problems += [] if data.published else _shared(chosen, looks)
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


def _look(pair: Pair, data: Data) -> _Look:
    look = _Look()
    image = _open(look, pair.image, Kind.NO_IMAGE)
    if image is not None:
        _look_at_image(look, image, pair.image, data.published)
    if pair.mask is None:
        if pair.image.exists():
            look.add(Kind.NO_MASK, pair.image, "", "a mask with the image's name")
        return look
    size = image.size if image is not None else None
    for path in pair.more:
        _look_at_more(look, path, size)
    labelings = []
    for path, code in zip((pair.mask, *pair.more_masks), data.codes, strict=True):
        labels = _look_at_mask(look, path, code, size)
        if labels is not None:
            labelings.append(labels)
    if len(labelings) == len(data.codes):
        look.counts = count_labels(labelings, data.head_sizes)
    return look


def _open(look: _Look, path: Path, absent: Kind) -> Image.Image | None:
    try:
        return open_image(path)
    except DataError as error:
        _add_unreadable(look, path, error, absent)
        return None


def _add_unreadable(look: _Look, path: Path, error: DataError, absent: Kind) -> None:
    kind = Kind.UNREADABLE if path.exists() else absent
    look.add(kind, path, str(error).removeprefix(f"{path}: "), "a whole image file")


def _look_at_image(look: _Look, image: Image.Image, path: Path, published: bool) -> None:
    try:
        pixels = to_array(image, 3)
    except ValueError as error:
        look.add(Kind.UNREADABLE, path, str(error), "a whole image file")
        return
    turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    if turn != 1 and not published:
        look.add(Kind.ROTATED, path, f"orientation {turn}", "pixels stored upright (orientation 1, or no EXIF)")
    size = f"{image.width}x{image.height}".encode()
    look.digest = hashlib.blake2b(size + pixels.tobytes(), digest_size=16).digest()


def _look_at_more(look: _Look, path: Path, size: tuple[int, int] | None) -> None:
    image = _open(look, path, Kind.NO_IMAGE)
    if image is None:
        return
    try:
        to_planes(image)
    except ValueError as error:
        look.add(Kind.UNREADABLE, path, str(error), "an image of depths or of HHA")
    _compare_sizes(look, path, image.size, size)


def _look_at_mask(look: _Look, path: Path, code: MaskCode, size: tuple[int, int] | None) -> np.ndarray | None:
    """Its labels; None if it has none that can be told."""
    try:
        mask = open_mask(path, code)
    except DataError as error:
        _add_unreadable(look, path, error, Kind.NO_MASK)
        return None
    _compare_sizes(look, path, mask.size if isinstance(mask, Image.Image) else mask.shape[::-1], size)
    if isinstance(mask, Image.Image) and mask.format in ("JPEG", "MPO"):
        look.add(Kind.LOSSY, path, "", "a lossless file such as PNG")
        return None
    try:
        labels, unknown = to_labels(mask, code)
    except ValueError as error:
        look.add(Kind.UNREADABLE, path, str(error), "a mask file")
        return None
    if unknown:
        kind = Kind.VALUE if isinstance(unknown[0][0], int) else Kind.COLOUR
        look.add(kind, path, list_unknown(unknown), code.describe())
    return labels


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


def _shared(chosen: dict[str, list[Pair]], looks: dict[Pair, _Look]) -> list[Problem]:
    """Images whose decoded pixels occur in more than one split."""
    places: dict[bytes, dict[str, list[Path]]] = {}
    for name, pairs in chosen.items():
        for pair in pairs:
            digest = looks[pair].digest
            if digest is not None:
                places.setdefault(digest, {}).setdefault(name, []).append(pair.image)
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
