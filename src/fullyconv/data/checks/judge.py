"""Detect masks whose values are not class numbers: object ids, shades of smoothed edges, or greys.

The counts of each mask (see ``MaskContent``) are examined first. Only if they are suspicious are some masks decoded
again, to see where in the mask the values lie.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

import numpy as np
from scipy import ndimage

from fullyconv.classes import IGNORE
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.checks.problems import Problem
from fullyconv.data.contents import MaskContent
from fullyconv.data.mask_codes import colour_of, hex_of, numbers_of_colours
from fullyconv.data.masks import mask_values, open_mask
from fullyconv.errors import DataError

MAX_MASKS = 100
"""Maximum number of masks to examine."""
MAX_VALUES = 4096
"""Maximum number of values or colours of a mask to examine, the most frequent ones."""
MAX_DECODED = 6
"""Maximum number of masks to decode again."""
MANY = 20
"""Number of values in one mask that is suspicious if they count from 1, with few gaps, up to different numbers."""
CROWDED = 40
"""Number of values in one mask that is suspicious in any order: no image shows so many classes, each in one place."""
SMALLEST = 8
"""Number of pixels of the smallest object that counts."""
SIDE = 2048
"""Side, in pixels, of the part of a decoded mask that is examined."""
NEAR = 3
"""Distance from an edge, in pixels, that smoothing reaches."""

PixelCounts = Mapping[Path, Mapping[int, int]]
"""The number of pixels of each value, or of each colour 0xRRGGBB, in each mask."""


def masks_to_judge(masks: Sequence[Path]) -> frozenset[Path]:
    """Return the sample of masks that ``judge_masks`` examines, evenly spread over all."""
    places = np.linspace(0, len(masks) - 1, min(MAX_MASKS, len(masks))).round().astype(int)
    return frozenset(masks[place] for place in places)


def keep_most_frequent(content: MaskContent) -> MaskContent:
    """Return the content, reduced to its most frequent values and colours if it has very many."""
    if len(content.values) + len(content.colours) <= MAX_VALUES:
        return content
    values, colours = (dict(Counter(counts).most_common(MAX_VALUES)) for counts in (content.values, content.colours))
    return content.model_copy(update={"values": values, "colours": colours})


def judge_masks(contents: Mapping[Path, MaskContent], key: str | None = None) -> Problem | None:
    """Return the problem if mask values seem to be object ids, smoothed edges or greys; None if they may be classes.

    ``key`` locates the mask in MATLAB files (see ``read_matrix``).
    """
    read = {path: content for path, content in contents.items() if not content.lossy}
    colours = any(content.colours and not _all_grey(content) for content in read.values())
    held: PixelCounts = {
        path: content.as_colours() if colours else _greys_of(content) for path, content in read.items()
    }
    return _objects(held, colours, key) or _smoothed(held, colours, key) or (None if colours else _greys(held))


def _all_grey(content: MaskContent) -> bool:
    return all(len(set(colour_of(number))) == 1 for number in content.colours)


def _greys_of(content: MaskContent) -> dict[int, int]:
    """Return the number of pixels of each value; all colours must be shades of grey."""
    scale = 255 if content.one_bit else 1
    values = {value * scale: pixels for value, pixels in content.values.items()}
    return values or {number & 255: pixels for number, pixels in content.colours.items()}


def _objects(held: PixelCounts, colours: bool, key: str | None) -> Problem | None:
    """Detect object ids: many values, each in one place, and different values in each mask."""
    everywhere = _sum(held.values())
    ground = max(everywhere, key=lambda number: everywhere[number], default=0) if colours else 0
    ids = {path: sorted(counts.keys() - {ground}) for path, counts in held.items()}
    ids = {path: own[:-1] if own[-1] == 255 > len(own) else own for path, own in ids.items() if own}  # 255 is void
    numbers = [len(own) for own in ids.values()]
    if not numbers:
        return None
    files_with = Counter(number for own in ids.values() for number in own)
    counted = sum(own == list(range(1, len(own) + 1)) for own in ids.values()) >= 0.9 * len(ids)
    renumbered = counted and max(numbers) >= 4 and len(set(numbers)) >= min(3, len(numbers))
    unique = len(ids) >= 3 and len(files_with) >= 20 and float(np.median(numbers)) >= 3
    unique = unique and sum(files == 1 for files in files_with.values()) >= 0.7 * len(files_with)
    crowded = max(numbers) >= CROWDED
    last = [max(own, default=0) for own in ids.values()]
    dense = sum(count >= 0.8 * highest for count, highest in zip(numbers, last, strict=True)) >= 0.9 * len(ids)
    dense = dense and max(numbers) >= MANY and min(last) < 0.8 * max(last)  # parts of bodies reach one highest
    renumbered = renumbered and (len(ids) > 1 or max(numbers) >= MANY)
    if not (unique or (not colours and (crowded or renumbered or dense))):
        return None
    several = [path for path, own in ids.items() if len(own) > 1]
    pieces = [_pieces(array, ground) for array in _decode_some(several, key, colours)]
    whole, alone, area, of_all = (sum(column) for column in zip(*pieces, strict=True)) if pieces else (0, 0, 0, 1)
    if alone < 4 or alone < 0.8 * whole or area < 0.5 * of_all:
        return None
    what = "colours" if colours else "values"
    return Problem(
        Kind.OBJECT_IDS,
        tuple(ids),
        f"{min(numbers)} to {max(numbers)} {what} per mask besides the background, and {alone} of {whole} examined "
        "occur in one place only",
        "one value for each class, the same in every mask",
    )


def _smoothed(held: PixelCounts, colours: bool, key: str | None) -> Problem | None:
    """Detect smoothed edges: rare values between two frequent ones, located on the edges between them."""
    pixels = _sum(held.values())
    total = sum(pixels.values())
    kinds = [number for number, _ in pixels.most_common()]
    main = [number for number in kinds[:64] if pixels[number] >= 0.005 * total]
    if len(main) < 2 or len(kinds) < 4:
        return None
    points = _points(kinds, colours)
    between = _between(points, np.array([pixels[number] for number in kinds]), len(main))
    core = [number for place, number in enumerate(kinds[: len(main)]) if place not in between]
    many = len(kinds) > 64 and sum(pixels[number] for number in core) >= 0.8 * total
    pairs = Counter(between.values())
    if len(core) < 2 or not (many or (pairs and max(pairs.values()) >= 2)):
        return None
    shades = {kinds[place]: (kinds[a], kinds[b]) for place, (a, b) in between.items() if pairs[(a, b)] >= 2 or many}
    files = [path for path, counts in held.items() if any(number in counts for number in shades)]
    seen = [_at_edges(array, shades) for array in _decode_some(files, key, colours)]
    if not seen or sum(near for near, _ in seen) < 0.75 * sum(of for _, of in seen):
        return None
    core.sort()
    lines = (
        f"`palette: [{', '.join(str(list(colour_of(number))) for number in core)}]`"
        if colours
        else f"`values: {{{', '.join(f'{value}: class_{place}' for place, value in enumerate(core))}}}`"
    )
    shown = ", ".join(hex_of(colour_of(number)) if colours else str(number) for number in core[:10])
    share = 1 - sum(pixels[number] for number in core) / total
    return Problem(
        Kind.SMOOTHED,
        tuple(files),
        f"{len(kinds) - len(core)} {'colours' if colours else 'values'} in {share:.1%} of the pixels, on the edges "
        f"between {shown}",
        "one value or colour for each class, up to its edge",
        f"export the masks without anti-aliasing, or let each pixel take the nearest class: write {lines}, in the "
        "order of the classes, and `nearest: true` into dataset.yaml",
    )


def _greys(held: PixelCounts) -> Problem | None:
    """Detect classes written as greys: a few values, evenly spaced."""
    values = sorted(_sum(held.values()))
    if not 2 <= len(values) <= 64 or values[0] < 0 or values in ([0, 255], [0, 1]):
        return None
    gaps = np.diff(values)
    if len(gaps) > 1 and values[-1] == 255 and gaps[:-1].min() >= 5 and np.ptp(gaps) > 2 >= np.ptp(gaps[:-1]):
        values, voids, gaps = values[:-1], ", void: 255", gaps[:-1]
    else:
        voids = ""
    if gaps.min() < 5 or np.ptp(gaps) > max(2, 0.15 * gaps.mean()):
        return None
    return Problem(
        Kind.GREY_LABELS,
        tuple(held),
        f"the values {', '.join(map(str, values))}",
        "the numbers of the classes, counted from 0",
        f"say in dataset.yaml which class each is: `{paste_values(values)}{voids}`, with your own names",
    )


def paste_values(values: Sequence[int], names: Sequence[str] | None = None) -> str:
    """Return the ``values`` line of a descriptor; without ``names`` it has placeholders to be replaced."""
    names = names or ("background", *(f"class_{place}" for place in range(1, len(values))))
    return f"values: {{{', '.join(f'{value}: {name}' for value, name in zip(values, names, strict=True))}}}"


def values_remedy(contents: Iterable[MaskContent], classes: Sequence[str], voids: Set[int]) -> str:
    """Return what to do if masks hold values that are not classes; empty if they hold colours or too many values."""
    of_values = [content for content in contents if content.values or _all_grey(content)]
    values = [value for value in sorted(_sum(map(_greys_of, of_values))) if value not in voids]
    if not 2 <= len(values) <= 64:
        return ""
    listed = f"the masks hold {', '.join(map(str, values))}; classes are {', '.join(classes[:10])}"
    if IGNORE in values and not voids and {*range(len(classes)), IGNORE}.issuperset(values):
        return f"{listed}. If {IGNORE} marks pixels without a class, write `ignore_index: {IGNORE}` into dataset.yaml"
    if len(values) == len(classes):
        return f"{listed}. If both are in the same order, write into dataset.yaml: `{paste_values(values, classes)}`"
    return (
        f"{listed}. Say in dataset.yaml which class each value is: `{paste_values(values)}`, with your own names, and "
        "`void: VALUE` for pixels without a class"
    )


def _sum(counts: Iterable[Mapping[int, int]]) -> Counter[int]:
    everything: Counter[int] = Counter()
    for own in counts:
        everything.update(own)
    return everything


def _points(numbers: Sequence[int], colours: bool) -> np.ndarray:
    """Return the numbers as points, int64 (n, 3) of red, green and blue, or (n, 1) of values."""
    array = np.array(numbers, np.int64)
    return np.stack([array >> 16, array >> 8 & 255, array & 255], -1) if colours else array[:, None]


def _between(points: np.ndarray, pixels: np.ndarray, ends: int) -> dict[int, tuple[int, int]]:
    """Return the points that lie between two of the first ``ends`` points and are rarer, each with these two.

    The two ends are at least 24 levels apart, so that small class numbers do not count as shades.
    """
    found: dict[int, tuple[int, int]] = {}
    for a in range(ends):
        for b in range(a + 1, ends):
            along = points[b] - points[a]
            if np.abs(along).max() < 24 or a in found or b in found:
                continue
            share = (points - points[a]) @ along / float(along @ along)
            away = np.abs(points - points[a] - share[:, None] * along).max(axis=1)
            inside = (away <= 4) & (share > 0) & (share < 1) & (1.5 * pixels <= min(pixels[a], pixels[b]))
            if not (inside & (share > 0.25) & (share < 0.75)).any():  # small class numbers and one large number
                continue
            for place in np.flatnonzero(inside).tolist():
                found.setdefault(place, (a, b))
    return found


def _decode_some(paths: Sequence[Path], key: str | None, colours: bool) -> Iterable[np.ndarray]:
    """Decode a few masks, evenly spread, and yield the values or colour numbers in the middle of each, (h, w)."""
    places = np.linspace(0, len(paths) - 1, min(MAX_DECODED, len(paths))).round().astype(int)
    for place in places:
        try:
            mask = open_mask(paths[place], key)
            if isinstance(mask, np.ndarray):
                array = mask
            elif colours:
                array = numbers_of_colours(np.asarray(mask.convert("RGB")))
            elif mask.mode in ("RGB", "RGBA"):
                array = np.asarray(mask.convert("L"))  # all greys
            else:
                array = mask_values(mask) * (255 if mask.mode == "1" else 1)
        except (DataError, ValueError):  # the file changed since it was counted
            continue
        top, left = (max(0, (side - SIDE) // 2) for side in array.shape)
        yield array[top : top + SIDE, left : left + SIDE]


def _pieces(numbers: np.ndarray, ground: int) -> tuple[int, int, int, int]:
    """Count the values in a mask, without those of the background and void, and how many are in one place only.

    Returns the number of values with enough pixels, how many of these form one connected piece, their pixels, and the
    pixels of all values but background and void.
    """
    found, inverse = np.unique(numbers, return_inverse=True)
    labels = inverse.reshape(numbers.shape) + 1
    pixels = np.bincount(labels.ravel())[1:]
    alone = 0
    boxes = [box for number, box in zip(found, ndimage.find_objects(labels), strict=True)]
    others = [place for place, number in enumerate(found.tolist()) if number not in (ground, 255)][:200]
    chosen = [place for place in others if pixels[place] >= SMALLEST]
    for place in chosen:
        own = labels[boxes[place]] == place + 1
        sizes = np.bincount(ndimage.label(own, np.ones((3, 3)))[0].ravel())[1:]
        alone += sizes.max() >= 0.9 * sizes.sum()
    return len(chosen), int(alone), int(pixels[chosen].sum()), max(1, int(pixels[others].sum()))


def _at_edges(numbers: np.ndarray, shades: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
    """Return how many pixels of shades are near both colours that the shade lies between, and the number of all."""
    near = of = 0
    window = 2 * NEAR + 1
    for pair in set(shades.values()):
        own = np.isin(numbers, [shade for shade, between in shades.items() if between == pair])
        first, second = (ndimage.maximum_filter((numbers == end).view(np.uint8), window) for end in pair)
        near += int((own & (first > 0) & (second > 0)).sum())
        of += int(own.sum())
    return near, of
