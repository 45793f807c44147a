"""Finding everything that is wrong with a data set before it costs a training run."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from fullyconv.data.frequencies import count_labels, total
from fullyconv.data.images import open_image, to_array
from fullyconv.data.layouts import Data
from fullyconv.data.masks import list_strangers, to_labels
from fullyconv.data.pairs import Pair
from fullyconv.data.parallel import Progress, in_parallel
from fullyconv.data.problems import Kind, Problem, Report
from fullyconv.errors import DataError


@dataclass
class _Look:
    """What reading one pair showed."""

    problems: list[Problem] = field(default_factory=list)
    digest: bytes | None = None
    """Of the image's pixels."""
    counts: np.ndarray | None = None
    """Of the mask's labels."""

    def add(self, kind: Kind, file: Path, found: str, expected: str) -> None:
        self.problems.append(Problem(kind, (file,), found, expected))


def check(data: Data, splits: Iterable[str] | None = None, progress: Progress | None = None) -> Report:
    """Read every image and mask of the splits (all of them if None), on all cores, and report every problem.

    That a class never occurs is a matter of the whole data set, and is only looked at when all its splits
    are.
    Raises DataError if there is no such split.
    """
    chosen = {name: data.split(name) for name in (data.splits if splits is None else splits)}
    pairs = list(dict.fromkeys(pair for pairs in chosen.values() for pair in pairs))
    looks = dict(zip(pairs, in_parallel(lambda pair: _look(pair, data), pairs, progress), strict=True))

    problems = [problem for look in looks.values() for problem in look.problems]
    problems += _orphans(data)
    problems += _shared(chosen, looks)
    problems += [
        Problem(Kind.EMPTY, (), f"split {name!r}", "at least one image") for name, pairs in chosen.items() if not pairs
    ]
    counts = {name: [looks[pair].counts for pair in pairs] for name, pairs in chosen.items()}
    frequencies = {
        name: total([c for c in of_split if c is not None], len(data.classes)) for name, of_split in counts.items()
    }
    if chosen.keys() == data.splits.keys():
        everywhere = np.sum([counted.pixels for counted in frequencies.values()], axis=0)
        problems += [
            Problem(Kind.NEVER, (), f"{name!r}", "every class in at least one mask")
            for name, pixels in zip(data.classes, everywhere, strict=True)
            if pixels == 0
        ]
    return Report(data, problems, frequencies)


def _look(pair: Pair, data: Data) -> _Look:
    look = _Look()
    image = _open(look, pair.image, Kind.NO_IMAGE)
    if image is not None:
        _look_at_image(look, image, pair.image)
    if pair.mask is None:
        if pair.image.exists():
            look.add(Kind.NO_MASK, pair.image, "", "a mask with the image's name")
        return look
    mask = _open(look, pair.mask, Kind.NO_MASK)
    if mask is not None:
        _look_at_mask(look, mask, pair.mask, data)
        if image is not None:
            _compare_sizes(look, image, mask, pair.mask)
    return look


def _open(look: _Look, path: Path, absent: Kind) -> Image.Image | None:
    try:
        return open_image(path)
    except DataError as error:
        kind = Kind.UNREADABLE if path.exists() else absent
        found = str(error).removeprefix(f"{path}: ")
        look.add(kind, path, found, "a whole image file")
        return None


def _look_at_image(look: _Look, image: Image.Image, path: Path) -> None:
    try:
        pixels = to_array(image, 3)
    except ValueError as error:
        look.add(Kind.UNREADABLE, path, str(error), "a whole image file")
        return
    turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    if turn != 1:
        look.add(Kind.ROTATED, path, f"orientation {turn}", "pixels stored upright (orientation 1, or no EXIF)")
    size = f"{image.width}x{image.height}".encode()
    look.digest = hashlib.blake2b(size + pixels.tobytes(), digest_size=16).digest()


def _look_at_mask(look: _Look, mask: Image.Image, path: Path, data: Data) -> None:
    if mask.format in ("JPEG", "MPO"):
        look.add(Kind.LOSSY, path, "", "a lossless file such as PNG")
        return
    try:
        labels, strangers = to_labels(mask, data.mask_code)
    except ValueError as error:
        look.add(Kind.UNREADABLE, path, str(error), "a mask file")
        return
    if strangers:
        kind = Kind.VALUE if isinstance(strangers[0][0], int) else Kind.COLOUR
        look.add(kind, path, list_strangers(strangers), data.mask_code.describe())
    look.counts = count_labels(labels)


def _compare_sizes(look: _Look, image: Image.Image, mask: Image.Image, path: Path) -> None:
    if mask.size != image.size:
        found = f"{mask.width}x{mask.height} (width x height) for an image of {image.width}x{image.height}"
        look.add(Kind.SIZE, path, found, "the image's size")


def _orphans(data: Data) -> list[Problem]:
    """Masks without an image; where two masks have one name, the second."""
    taken = {pair.mask.with_suffix("") for pairs in data.splits.values() for pair in pairs if pair.mask}
    return [
        Problem(
            Kind.ORPHAN,
            (mask,),
            "the image has another mask" if mask.with_suffix("") in taken else "",
            "an image with the mask's name, and one mask for each",
        )
        for mask in data.orphans
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
            Kind.SHARED,
            tuple(dict.fromkeys(path for paths in where.values() for path in paths)),
            f"the same pixels in {' and '.join(where)}",
            "each image in one split only",
        )
        for where in places.values()
        if len(where) > 1
    ]
