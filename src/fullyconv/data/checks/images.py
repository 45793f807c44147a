"""Check images against each other: different bands or types, no data, or nearly black or white."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fullyconv.data.checks.kinds import Kind
from fullyconv.data.checks.problems import Problem
from fullyconv.data.contents import LEVELS, ImageContent
from fullyconv.data.images.brightness import DARK, LIGHT, faint_warning
from fullyconv.data.images.values import BYTE, ValueRange
from fullyconv.data.statistics import AUTO, ImageStatistics, bands_of, describe, form, statistics_of

FILLS = (-999, -9999, -99999, -32767, -32768)
"""Values that many programs write for missing data."""
LOWEST_MEASURED = -1e30
"""Lower values, such as the lowest float32 (-3.4e38), stand for missing data as well."""
NEARLY_ALL = LEVELS.index(0.99)
HARDLY_ANY = LEVELS.index(0.01)


def image_problems(contents: Mapping[Path, ImageContent]) -> list[Problem]:
    """Report images that differ from most in bands or type, have no data, or are nearly black or white to a network."""
    problems = differing_images(contents)
    alike = {path: content for path, content in contents.items() if path not in {p.files[0] for p in problems}}
    empty = [path for path, content in alike.items() if not content.valid]
    problems += [
        Problem(Kind.NO_DATA, (path,), "every pixel is marked as nodata or is not a number", "pixels with data")
        for path in empty
    ]
    filled = {path: content for path, content in alike.items() if content.valid}
    problems += [
        Problem(Kind.FILL, (path,), found, "measured values only, or a nodata value declared in the file")
        for path, content in filled.items()
        if (found := _undeclared_fill(content)) is not None
    ]
    return problems + (faint_images(filled, statistics_of(list(filled.values()))) if filled else [])


def differing_images(contents: Mapping[Path, ImageContent]) -> list[Problem]:
    """Report images whose bands or type differ from those of most images. Grey and colour images may be mixed."""
    counts = Counter(map(form, contents.values()))
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    example = next(path for path, content in contents.items() if form(content) == usual)
    return [
        Problem(Kind.UNLIKE, (path,), describe(content), f"{describe(contents[example])}, like {example.name} and most")
        for path, content in contents.items()
        if form(content) != usual
    ]


def _undeclared_fill(content: ImageContent) -> str | None:
    """Return in words which bands have a value of missing data, far below all others, in many pixels; None for none."""
    shares: dict[int, float] = {}
    for place, band in enumerate(content.bands, 1):
        lowest, *_, highest = band.quantiles
        if not band.valid or (lowest not in FILLS and lowest > LOWEST_MEASURED):
            continue
        share = max(level for level, value in zip(LEVELS, band.quantiles, strict=True) if value == lowest)
        others = [value for value in band.quantiles if value > lowest]
        if share > 0 and (not others or others[0] - lowest > (highest - others[0]) / 2):
            shares[place] = share
    if not shares:
        return None
    listed = ", ".join(map(str, list(shares)[:5])) + (f" and {len(shares) - 5} more" if len(shares) > 5 else "")
    value = content.bands[next(iter(shares)) - 1].quantiles[0]
    return f"{value:g} in band{'s' * (len(shares) > 1)} {listed} (in {max(shares.values()):.1%} of its pixels or more)"


def faint_images(contents: Mapping[Path, ImageContent], together: ImageStatistics) -> list[Problem]:
    """Report images in which nearly all pixels are black, or nearly all white, to a network.

    ``together``: the statistics of all images.
    """
    in_bytes = together.dtype == np.uint8
    ranges = [BYTE] * together.bands if in_bytes else together.percentiles(*AUTO)
    return [
        Problem(Kind.FAINT, (path,), f"nearly {shade}", "an image in which something can be seen")
        for path, content in contents.items()
        if (shade := _shade(content, ranges)) is not None
    ]


def _shade(content: ImageContent, ranges: ValueRange) -> str | None:
    """Return black or white if nearly all pixels of an image are, with these ranges of its bands; else None."""
    scaled = [
        [(band.quantiles[level] - low) / (high - low) * 255 for level in (HARDLY_ANY, NEARLY_ALL)]
        for band, (low, high) in zip(bands_of(content, len(ranges)), ranges, strict=True)
        if band.valid
    ]
    if max(most for _, most in scaled) < DARK:
        return "black"
    return "white" if min(least for least, _ in scaled) > LIGHT else None


def faint_to_network(contents: Mapping[Path, ImageContent], value_range: ValueRange | None) -> str | None:
    """Return a warning if images are nearly black or white to a network because of the range of values that it takes.

    ``value_range`` is the network's. Images whose bands do not fit it, and bytes without a range, are left out.
    """
    faint = []
    for path, content in contents.items():
        if not content.valid or (value_range is None and content.dtype == "uint8"):
            continue
        ranges = value_range or [(0, np.iinfo(np.uint16).max)] * len(content.bands)
        if len(content.bands) in (1, len(ranges)) and _shade(content, ranges) is not None:
            faint.append(path)
    return faint_warning(faint, len(contents), value_range) if faint else None
