"""Order images by the time at which they were taken, and divide them so that later ones are tested."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from fullyconv.data.parallel import in_parallel
from fullyconv.data.splits.divide import source_of
from fullyconv.data.splits.file import shown
from fullyconv.data.splits.names import natural
from fullyconv.errors import DataError

EXIF, TAKEN, CHANGED = 0x8769, 0x9003, 0x0132
"""The EXIF tags for the block of details, in it DateTimeOriginal, and the DateTime of any TIFF or JPEG file."""
_DATE = re.compile(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d")


def times_of(images: Sequence[Path], by: str, root: Path) -> dict[Path, int]:
    """Return the place of each image in time, from 0; images of the same time have the same place.

    ``by`` is ``exif``, or a regular expression whose first group (or whole match) in an image's path is the time: a
    number, or text with numbers in it such as 2024-05-01. Raises DataError for images without a time.
    """
    if by == "exif":
        times = dict(zip(images, in_parallel(_taken, images), strict=True))
    else:
        time_of = source_of(by, root, "--time")
        times = {image: time_of(image) for image in images}
    if without := [image for image in images if not times[image]]:
        raise DataError(
            f"--time exif: {len(without)} of {len(images)} images do not say when they were taken "
            f"({shown(map(str, without))}). If their names do, give an expression that finds the time in them, such as "
            r"--time '(\d{8})_'"
        )
    if all(map(_is_number, times.values())):
        places = {number: place for place, number in enumerate(sorted({float(time) for time in times.values()}))}
        return {image: places[float(time)] for image, time in times.items()}
    order = {time: place for place, time in enumerate(sorted(set(times.values()), key=natural))}
    return {image: order[time] for image, time in times.items()}


def by_time(times: Mapping[str, int], sizes: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, str]:
    """Return the part of each group: the first groups are in the first part, and so on.

    ``times`` and ``sizes`` are the time of the first image and the number of images of each group. Each part ends where
    the number of images up to there is nearest to the wanted one, and has at least one group.
    """
    order = sorted(times, key=lambda group: (times[group], group))
    counted = [0]
    for group in order:
        counted.append(counted[-1] + sizes[group])
    part_of: dict[str, str] = {}
    start, wanted = 0, 0.0
    for place, (part, share) in enumerate(shares.items()):
        wanted += share * counted[-1]
        last = len(order) - (len(shares) - 1 - place)  # each further part has a group, too
        end = min(range(start + 1, last + 1), key=lambda end: abs(counted[end] - wanted))
        end = len(order) if place == len(shares) - 1 else end
        part_of |= dict.fromkeys(order[start:end], part)
        start = end
    return part_of


def _taken(path: Path) -> str:
    try:
        with Image.open(path) as file:
            exif = file.getexif()
            found = [exif.get_ifd(EXIF).get(TAKEN), exif.get(CHANGED)]
    except Exception:  # whatever Pillow cannot read says no time
        return ""
    return next((text for text in map(str, found) if _DATE.match(text) and not text.startswith("0000")), "")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
