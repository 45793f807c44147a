"""Say how a division turned out: a table, and remarks on what could not be had."""

from collections import Counter

from fullyconv.data.frequencies import frequency_lines, total
from fullyconv.data.splits.file import shown
from fullyconv.data.splits.split import Division

TOLERANCE = 0.02
"""The difference from the wanted share of the images that is not worth a remark, unless it is all of the share."""


def table(division: Division) -> list[str]:
    """Return a table of each part's images, groups, and classes: their share of the pixels and images with them."""
    parts = division.parts()
    rows = {
        "images": [str(len(images)) for images in parts.values()],
        "groups": [str(len({division.groups[image] for image in images})) for images in parts.values()],
    }
    frequencies = {
        name: total([division.pixels[image] for image in images], division.data.head_sizes)
        for name, images in parts.items()
    }
    return frequency_lines(division.data, frequencies, rows)


def remarks(division: Division) -> list[str]:
    """Return what could not be had, one line each: shares that are missed, missing classes, and ground in common."""
    return [*_missed_shares(division), *_missing_classes(division), *_overlaps(division)]


def _missed_shares(division: Division) -> list[str]:
    parts, everything = division.parts(), len(division.splits)
    lines = []
    for name, wanted in division.shares.items():
        images = parts.get(name, [])
        found = len(images) / everything
        if abs(found - wanted) <= min(TOLERANCE, wanted / 2) or abs(found - wanted) * everything <= 1:
            continue
        sizes = Counter(division.groups[image] for image in division.splits)
        largest, size = max(sizes.items(), key=lambda group: (group[1], group[0]))
        why = f"; the largest of {len(sizes)} groups, {largest}, has {size} of {everything} images" if size > 1 else ""
        lines.append(f"{name} has {found:.1%} of the images instead of {wanted:.1%}{why}.")
    return lines


def _overlaps(division: Division) -> list[str]:
    if not division.overlapping:
        return []
    name = division.data.name
    pairs = [f"{name(one)} and {name(other)}" for one, other in sorted(division.overlapping)]
    images = {image for pair in division.overlapping for image in pair}
    return [
        f"{len(images)} images show ground that an image of another split shows, too ({shown(pairs)}); larger blocks "
        "have fewer such images, and --group can join them."
    ]


def _missing_classes(division: Division) -> list[str]:
    parts = division.parts()
    lines = []
    for index, name in enumerate(division.data.classes):
        holders = {part: [image for image in images if division.pixels[image][index]] for part, images in parts.items()}
        missing = [part for part, images in holders.items() if not images]
        images = [image for own in holders.values() for image in own]
        if not images or not missing:
            continue
        groups = sorted({division.groups[image] for image in images})
        few = f"only {len(groups)} group{'s' * (len(groups) > 1)} ({shown(groups)})"
        where = few if len(groups) < len(parts) else f"{len(groups)} groups, which could not be divided better"
        lines.append(f"{name} is not in {' and '.join(missing)}: it occurs in {where}.")
    return lines
