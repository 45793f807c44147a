"""What is wrong with images taken together: unlike bands or types, no data, values that all look black or white."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fullyconv.data.checks.kinds import Kind
from fullyconv.data.checks.problems import Problem
from fullyconv.data.contents import LEVELS, ImageContent
from fullyconv.data.images.values import BYTE
from fullyconv.data.statistics import AUTO, ImageStatistics, bands_of, describe, form, statistics_of

DARK, LIGHT = 4.0, 251.0
"""On the scale of 0 to 255: images with 99% of their pixels below the one, or above the other, show nothing."""
NEARLY_ALL = LEVELS.index(0.99)
HARDLY_ANY = LEVELS.index(0.01)


def image_problems(contents: Mapping[Path, ImageContent]) -> list[Problem]:
    """Report images that are unlike most others, hold no data, or are nearly black or white to a network."""
    problems = unlike_images(contents)
    alike = {path: content for path, content in contents.items() if path not in {p.files[0] for p in problems}}
    empty = [path for path, content in alike.items() if not content.valid]
    problems += [
        Problem(Kind.NO_DATA, (path,), "every pixel is marked as without data, or is not a number", "pixels with data")
        for path in empty
    ]
    filled = {path: content for path, content in alike.items() if content.valid}
    return problems + (faint_images(filled, statistics_of(list(filled.values()))) if filled else [])


def unlike_images(contents: Mapping[Path, ImageContent]) -> list[Problem]:
    """Report images whose bands or type are not those of most. Grey images may lie among images in colour."""
    counts = Counter(map(form, contents.values()))
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    example = next(path for path, content in contents.items() if form(content) == usual)
    return [
        Problem(Kind.UNLIKE, (path,), describe(content), f"{describe(contents[example])}, as {example.name} and most")
        for path, content in contents.items()
        if form(content) != usual
    ]


def faint_images(contents: Mapping[Path, ImageContent], together: ImageStatistics) -> list[Problem]:
    """Report images of which a network sees next to nothing: nearly all pixels are black, or nearly all white."""
    in_bytes = together.dtype == np.uint8
    ranges = [BYTE] * together.bands if in_bytes else together.percentiles(*AUTO)
    problems = []
    for path, content in contents.items():
        scaled = [
            [(band.quantiles[level] - low) / (high - low) * 255 for level in (HARDLY_ANY, NEARLY_ALL)]
            for band, (low, high) in zip(bands_of(content, together.bands), ranges, strict=True)
        ]
        if max(most for _, most in scaled) < DARK:
            problems.append(Problem(Kind.FAINT, (path,), "nearly black", "an image in which something can be seen"))
        elif min(least for least, _ in scaled) > LIGHT:
            problems.append(Problem(Kind.FAINT, (path,), "nearly white", "an image in which something can be seen"))
    return problems
