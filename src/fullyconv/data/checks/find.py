"""Find everything that is wrong with a data set before it costs a training run."""

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
class _Findings:
    """What reading one pair showed."""

    problems: list[Problem] = field(default_factory=list)
    sample: str | None = None
    """The image's ``ImageContent.sample``."""
    counts: np.ndarray | None = None
    """The pixels of each class, by ``join_counts``; None if a mask cannot be read."""

    def add(self, kind: Kind, file: Path, found: str, expected: str) -> None:
        self.problems.append(Problem(kind, (file,), found, expected))


def check(data: Data, splits: Iterable[str] | None = None, progress: Progress | None = None) -> Report:
    """Read every image and mask of the splits (all of them if None), on all cores, and report every problem.

    Classes that never occur are reported only when all splits are read. A published data set is taken as its authors
    made it: classes may be absent, and images rotated or in two splits.
    Raises DataError if there is no such split.
    """
    chosen = {name: data.split(name) for name in (data.splits if splits is None else splits)}
    pairs = list(dict.fromkeys(pair for pairs in chosen.values() for pair in pairs))
    files = contents_of(data.root)
    findings_of = dict(
        zip(pairs, in_parallel(lambda pair: _check_pair(pair, data, files), pairs, progress), strict=True)
    )
    files.save()

    problems = [problem for findings in findings_of.values() for problem in findings.problems]
    problems += _unmatched_masks(data) + _duplicate_names(pairs)
    problems += [] if data.published else _in_several_splits(chosen, findings_of)
    problems += [
        Problem(Kind.EMPTY, (), f"split {name!r}", "at least one image") for name, pairs in chosen.items() if not pairs
    ]
    counts = {name: [findings_of[pair].counts for pair in pairs] for name, pairs in chosen.items()}
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


def _check_pair(pair: Pair, data: Data, files: Contents) -> _Findings:
    findings = _Findings()
    size = _check_image(findings, pair.image, files, data.published)
    if pair.mask is None:
        if pair.image.exists():
            findings.add(Kind.NO_MASK, pair.image, "", "a mask with the image's name")
        return findings
    for path in pair.more:
        _check_more(findings, path, size)
    labelings = []
    for path, code in zip((pair.mask, *pair.more_masks), data.codes, strict=True):
        labelled = _check_mask(findings, path, code, files, size)
        if labelled is not None:
            labelings.append(labelled)
    if len(labelings) == len(data.codes):
        findings.counts = join_counts(labelings, data.head_sizes)
    return findings


def _add_unreadable(findings: _Findings, path: Path, error: DataError, absent: Kind) -> None:
    kind = Kind.UNREADABLE if path.exists() else absent
    findings.add(kind, path, str(error).removeprefix(f"{path}: "), "an image file that can be read")


def _check_image(findings: _Findings, path: Path, files: Contents, published: bool) -> tuple[int, int] | None:
    """Check an image and return its width and height; None if it cannot be read."""
    try:
        content = files.image(path)
    except DataError as error:
        _add_unreadable(findings, path, error, Kind.NO_IMAGE)
        return None
    if content.orientation != 1 and not published:
        found = f"orientation {content.orientation}"
        findings.add(Kind.ROTATED, path, found, "pixels stored upright (orientation 1, or no EXIF)")
    findings.sample = content.sample
    return content.size


def _check_more(findings: _Findings, path: Path, size: tuple[int, int] | None) -> None:
    try:
        image = open_image(path)
    except DataError as error:
        _add_unreadable(findings, path, error, Kind.NO_IMAGE)
        return
    try:
        to_planes(image)
    except ValueError as error:
        findings.add(Kind.UNREADABLE, path, str(error), "an image of depths or of HHA")
    _compare_sizes(findings, path, image.size, size)


def _check_mask(
    findings: _Findings, path: Path, code: MaskCode, files: Contents, size: tuple[int, int] | None
) -> np.ndarray | None:
    """Check a mask and return the number of pixels of each label, int64 (256,); None if it has no reliable labels."""
    try:
        content = files.mask(path, code.key)
    except DataError as error:
        _add_unreadable(findings, path, error, Kind.NO_MASK)
        return None
    _compare_sizes(findings, path, content.size, size)
    if content.lossy:
        findings.add(Kind.LOSSY, path, "", "a lossless file such as PNG")
        return None
    labelled, unknown = count_labels(content, code)
    if unknown:
        kind = Kind.VALUE if isinstance(unknown[0][0], int) else Kind.COLOUR
        findings.add(kind, path, list_unknown(unknown), code.describe())
    return labelled


def _compare_sizes(findings: _Findings, path: Path, size: tuple[int, ...], wanted: tuple[int, int] | None) -> None:
    if wanted is not None and size != wanted:
        (width, height), (image_width, image_height) = size, wanted
        found = f"{width}x{height} (width x height) for an image of {image_width}x{image_height}"
        findings.add(Kind.SIZE, path, found, "the image's size")


def _unmatched_masks(data: Data) -> list[Problem]:
    """Report masks without an image, and the second of two masks with one name."""
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
    """Report images with one name, such as ``a.jpg`` and ``a.png``, that would share a mask."""
    of_mask: dict[Path, list[Path]] = {}
    for pair in pairs:
        if pair.mask is not None:
            of_mask.setdefault(pair.mask, []).append(pair.image)
    return [
        Problem(Kind.DUPLICATE_NAME, tuple(images), f"the mask {mask.name}", "a mask for each image")
        for mask, images in of_mask.items()
        if len(images) > 1
    ]


def _in_several_splits(chosen: dict[str, list[Pair]], findings_of: dict[Pair, _Findings]) -> list[Problem]:
    """Report images whose decoded pixels occur in more than one split.

    Only images whose samples are equal are decoded once more and compared by all of their pixels.
    """
    samples: dict[str, set[str]] = {}
    for name, pairs in chosen.items():
        for pair in pairs:
            if (sample := findings_of[pair].sample) is not None:
                samples.setdefault(sample, set()).add(name)
    places: dict[bytes, dict[str, list[Path]]] = {}
    alike = [
        (name, pair.image)
        for name, pairs in chosen.items()
        for pair in pairs
        if len(samples.get(findings_of[pair].sample or "", ())) > 1
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
