"""Check every file of a data set before training, and report all problems."""

import itertools
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.data.annotations.drawing import Drawing, Drawn
from fullyconv.data.cache import Contents, contents_of
from fullyconv.data.catalog import Data
from fullyconv.data.checks import whole
from fullyconv.data.checks.images import image_problems
from fullyconv.data.checks.judge import judge_masks, keep_most_frequent, masks_to_judge, values_remedy
from fullyconv.data.checks.kinds import Kind, kinds_named
from fullyconv.data.checks.object_masks import object_masks
from fullyconv.data.checks.problems import Problem, Report
from fullyconv.data.contents import ImageContent, MaskContent, count_doubtful, count_labels
from fullyconv.data.frequencies import count_pair, join_counts, total
from fullyconv.data.images.planes import read_planes
from fullyconv.data.mask_codes import MaskCode, list_unknown
from fullyconv.data.pairs import Pair
from fullyconv.data.parallel import Progress, in_parallel
from fullyconv.errors import DataError, visible

ROTATIONS = range(2, 9)
"""EXIF orientations that rotate or mirror an image. 1 means upright; other values, such as 0, are undefined."""
FIRST_SIDEWAYS = 5
"""EXIF orientations from this one on swap width and height."""


@dataclass
class _Findings:
    """The problems and counts found in one pair."""

    problems: list[Problem] = field(default_factory=list)
    image: ImageContent | None = None
    counts: np.ndarray | None = None
    """The number of pixels of each class (see ``join_counts``); None if a mask cannot be read."""
    mask: MaskContent | None = None
    """The content of the mask, if it is one of the sample that ``judge_masks`` examines."""
    drawn: Drawn | None = None
    """What was drawn, if the mask comes from an annotation."""

    def add(self, kind: Kind, file: Path, found: str, expected: str) -> None:
        self.problems.append(Problem(kind, (file,), found, expected))


def check(
    data: Data,
    splits: Iterable[str] | None = None,
    progress: Progress | None = None,
    allow: Iterable[str] = (),
    strict: bool = False,
) -> Report:
    """Read every image and mask of a data set, on all cores, and report every problem.

    ``splits`` limits the check to these splits; by default all are read. Problems of the kinds in ``allow`` (see
    ``kinds.KINDS``) are warnings instead of errors; with ``strict``, all other warnings are errors. Classes that never
    occur are reported only if all splits are read. In published data sets, absent classes, rotated images and images
    in two splits are not problems. Raises DataError for an unknown split, and ConfigError for an unknown name in
    ``allow``.
    """
    allowed = kinds_named(allow)
    chosen = {name: data.split(name) for name in (data.splits if splits is None else splits)}
    pairs = list(dict.fromkeys(pair for pairs in chosen.values() for pair in pairs))
    files = contents_of(data.root)
    to_judge = masks_to_judge([pair.mask for pair in pairs if pair.mask is not None and pair.drawing is None])

    def look(pair: Pair) -> _Findings:
        return _check_pair(pair, data, files, pair.mask in to_judge)

    findings_of = dict(zip(pairs, in_parallel(look, pairs, progress), strict=True))
    files.save()

    frequencies = {
        name: total([counts for pair in pairs if (counts := findings_of[pair].counts) is not None], data.head_sizes)
        for name, pairs in chosen.items()
    }
    remedy = _values_remedy(data, findings_of.values())
    problems = [
        replace(problem, remedy=remedy) if problem.kind is Kind.VALUE else problem
        for findings in findings_of.values()
        for problem in findings.problems
    ]
    if (of_objects := object_masks(itertools.chain(*data.splits.values()), data.unmatched_masks)) is not None:
        explained = set(of_objects.files)
        problems = [p for p in problems if p.kind is not Kind.NO_MASK or explained.isdisjoint(p.files)]
        problems.append(of_objects)
        data = replace(data, unmatched_masks=[mask for mask in data.unmatched_masks if mask not in explained])
    problems += whole.unmatched_masks(data) + whole.shared_masks(pairs) + whole.empty_splits(chosen)
    faulty = {
        pair for pair, findings in findings_of.items() if any(problem.kind.unusable for problem in findings.problems)
    }
    problems += whole.unlabelled_splits(
        {name: frequencies[name] for name, pairs in chosen.items() if faulty.isdisjoint(pairs)}
    )
    if not data.published:
        problems += _judge(data, findings_of, faulty)
        images = {pair: findings.image for pair, findings in findings_of.items() if findings.image is not None}
        if data.channels is None and data.inputs == "image":
            problems += image_problems({pair.image: content for pair, content in images.items()})
        equal = whole.in_several_splits(chosen, images, data.divided)
        problems += equal + whole.nearly_in_several_splits(chosen, images, equal, files)
        files.save()
        problems += whole.small_splits(chosen) + whole.absent_classes(data, frequencies)
    drawn = [own.drawn for own in findings_of.values() if own.drawn is not None]
    return Report(data, problems, frequencies, allowed, strict, whole.remarks(drawn))


def _values_remedy(data: Data, findings: Iterable[_Findings]) -> str:
    """Return what to do about unknown values; empty if classes were inferred or there are several labelings."""
    if data.heads or data.inferred:
        return ""
    voids = {value for numbering in data.mask_code.numberings for value, label in numbering.items() if label == IGNORE}
    return values_remedy([own.mask for own in findings if own.mask is not None], data.classes, voids)


def _judge(data: Data, findings_of: Mapping[Pair, _Findings], faulty: set[Pair]) -> list[Problem]:
    """Report masks whose values do not look like classes; if all values are known, report only object ids."""
    contents = {pair.mask: own.mask for pair, own in findings_of.items() if pair.mask is not None and own.mask}
    problem = None if data.heads or data.mask_code.nearest else judge_masks(contents, data.mask_code.key)
    doubted = problem is not None and (problem.kind is Kind.OBJECT_IDS or (faulty and not data.inferred))
    return [problem] if problem is not None and doubted else []


def _check_pair(pair: Pair, data: Data, files: Contents, judge: bool) -> _Findings:
    findings = _Findings()
    size = _check_image(findings, pair, data, files)
    if pair.mask is None:
        if pair.image.exists():
            findings.add(Kind.NO_MASK, pair.image, "", "a mask with the name of the image")
        return findings
    if pair.drawing is not None and not _check_drawing(findings, pair.image, pair.drawing):
        return findings
    for path in pair.more:
        _check_more(findings, path, size)
    labelings = []
    if judge:
        with suppress(DataError):  # reported below
            findings.mask = keep_most_frequent(files.mask(pair.mask, data.mask_code.key))
    for path, code in zip((pair.mask, *pair.more_masks), data.codes, strict=True):
        labelled = _check_mask(findings, path, code, files, size, pair.image if pair.drawing else path)
        if labelled is not None:
            labelings.append(labelled)
    if len(labelings) == len(data.codes):
        findings.counts = join_counts(labelings, data.head_sizes)
    if pair.valid is not None and not any(problem.kind.unusable for problem in findings.problems):
        try:
            findings.counts = count_pair(pair, data)
        except DataError as error:
            _add_unreadable(findings, pair.valid, error, Kind.NO_MASK)
    return findings


def _check_drawing(findings: _Findings, image: Path, drawing: Drawing) -> bool:
    """Draw the mask of an annotation and report shapes that cannot be drawn; return whether there is a mask."""
    try:
        findings.drawn = drawing.draw()
    except DataError as error:
        if image.exists():  # else it is reported as missing
            findings.add(Kind.UNREADABLE, image, str(error), "an annotation that can be drawn")
        return False
    faults, outside = findings.drawn.faults, findings.drawn.outside
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        findings.add(Kind.SHAPES, image, f"{faults[0]}{more}", "shapes with an outline of at least 3 points")
    if outside:
        findings.add(Kind.OUTSIDE, image, f"{outside} shapes", "shapes of which a part lies in the image")
    return True


def _add_unreadable(findings: _Findings, path: Path, error: DataError, absent: Kind) -> None:
    kind = Kind.UNREADABLE if path.exists() else absent
    findings.add(kind, path, str(error).removeprefix(visible(f"{path}: ")), "an image file that can be read")


def _check_image(findings: _Findings, pair: Pair, data: Data, files: Contents) -> tuple[int, int] | None:
    """Check an image. Return the width and height that its masks must have, or None if it cannot be read."""
    path = pair.image
    try:
        content = files.image(path)
    except DataError as error:
        _add_unreadable(findings, path, error, Kind.NO_IMAGE)
        return None
    findings.image = content
    if content.orientation in ROTATIONS and not data.published:
        if _fits_upright(pair, content, data.mask_code, files):
            return content.size[1], content.size[0]
        found = f"orientation {content.orientation}"
        findings.add(Kind.ROTATED, path, found, "pixels stored upright (orientation 1, or no EXIF)")
    return content.size


def _fits_upright(pair: Pair, content: ImageContent, code: MaskCode, files: Contents) -> bool:
    """Whether a mask has the size that the image has only after the EXIF rotation."""
    if pair.mask is None or content.orientation < FIRST_SIDEWAYS or content.size[0] == content.size[1]:
        return False
    try:
        if pair.drawing is not None:
            pair.drawing.ensure()
        return files.mask(pair.mask, code.key).size == content.size[::-1]
    except DataError:  # reported with the mask
        return False


def _check_more(findings: _Findings, path: Path, size: tuple[int, int] | None) -> None:
    try:
        planes = read_planes(path)
    except DataError as error:
        _add_unreadable(findings, path, error, Kind.NO_IMAGE)
        return
    _compare_sizes(findings, path, (planes.shape[2], planes.shape[1]), size)


def _check_mask(
    findings: _Findings, path: Path, code: MaskCode, files: Contents, size: tuple[int, int] | None, shown: Path
) -> np.ndarray | None:
    """Check a mask. Return the number of pixels of each label, int64 (256,), or None if its labels are unreliable.

    ``shown`` is the file that is reported if its size is not the image's.
    """
    try:
        content = files.mask(path, code.key)
    except DataError as error:
        _add_unreadable(findings, path, error, Kind.NO_MASK)
        return None
    _compare_sizes(findings, shown, content.size, size)
    if content.lossy and not code.nearest:
        findings.add(Kind.LOSSY, path, "", "a lossless file such as PNG")
        return None
    labelled, unknown = count_labels(content, code)
    if unknown:
        kind = Kind.VALUE if isinstance(unknown[0][0], int) else Kind.COLOUR
        findings.add(kind, path, list_unknown(unknown), code.describe())
    if code.nearest and (doubtful := count_doubtful(content, code)):
        share = doubtful / (content.size[0] * content.size[1])
        findings.add(Kind.DOUBTFUL, path, f"{doubtful:,} pixels ({share:.1%})", "pixels near one class only")
    return labelled


def _compare_sizes(findings: _Findings, path: Path, size: tuple[int, ...], wanted: tuple[int, int] | None) -> None:
    if wanted is not None and size != wanted:
        (width, height), (image_width, image_height) = size, wanted
        found = f"{width}x{height} (width x height) for an image of {image_width}x{image_height}"
        findings.add(Kind.SIZE, path, found, "the image's size")
