"""Find images that are nearly the same: copies that were compressed, scaled, cropped or brightened, or video frames.

Two images are candidates if their fingerprints have a product of at least ``CANDIDATE``. Of each image at most
``MOST`` candidates are then decoded, reduced to 128×128 pixels, aligned, and compared by their details: they are nearly
the same if these correlate by at least ``SAME``.

Both numbers come from real images, 20 to 30 of each set, which were saved as JPEG of quality 50, halved, made 20%
brighter and darker, cropped by 2% on one side and on each side, and all of it but the crop at once. In electron
microscopy (ISBI 2012; the ventral nerve cord of Drosophila by Gerhard et al.), nuclei (Data Science Bowl 2018) and
street scenes (CamVid), all these copies were found: fingerprints had products of at least 0.90, details correlations of
at least 0.97. Of scanned receipts (ICDAR 2019 SROIE), whose fingerprints hold little but the margin, 4 in 10 of those
that were cropped on each side were missed, and 1 in 30 of the brighter ones. Different images: neighbouring slices of
the nerve cord correlate by at most 0.74, and neither their set nor ISBI 2012 nor the first 300 nuclei have a pair that
is nearly the same. Nor do 913 tiles of 100×100 pixels that were cut from aerial images (the samples of DeepForest); of
copies of 30 of these, all that were brighter or darker were found, 29 of those that were halved or cropped, 27 of those
that were compressed, but only 3 that were halved, darker and compressed: so little is left of them.
Pairs in CamVid are frames of a standing camera, or of a fraction of a second; those in the receipts
are of one form.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from fullyconv.data.images.fingerprint import as_vectors
from fullyconv.data.images.read import open_source
from fullyconv.data.parallel import Progress, in_parallel
from fullyconv.errors import DataError

CANDIDATE = 0.88
SAME = 0.94
MOST = 3
"""Candidates of an image that are compared, so that the time is bounded where all images are alike."""
SIDE, COARSE = 128, 64
"""Sides of the reduced images: for the comparison, and for the alignment."""
MOVED = 0.08
"""The largest shift and change of scale in an alignment, as a share of the image."""
ALIGNED = 0.4
"""The correlation before the alignment below which images differ."""
_BLOCK = 2048
_MEMORY = 4096
"""Number of reduced images that are kept for further comparisons."""


class Known(NamedTuple):
    """Comparisons that were made before, so that no command makes them again.

    ``marks`` tell the contents of the images apart. ``verdicts`` say whether two are nearly the same, by their marks in
    ascending order with a space between them; new verdicts are added.
    """

    marks: Sequence[str]
    verdicts: dict[str, bool]


class Details(NamedTuple):
    """The details of an image: of 64×64 pixels, for the alignment, their gradients, and those of 128×128 pixels."""

    coarse: np.ndarray
    down: np.ndarray
    right: np.ndarray
    fine: np.ndarray


def near_duplicates(
    images: Sequence[Path],
    fingerprints: Sequence[str],
    sets: Sequence[int],
    progress: Progress | None = None,
    compared: set[tuple[int, int]] | None = None,
    known: Known | None = None,
) -> list[tuple[int, int]]:
    """Return the indices of pairs of images of different ``sets`` that are nearly the same, in order.

    Images without a fingerprint, and files that cannot be read, are never in a pair. Pairs in ``compared`` are left
    out; those that are compared now are added to it. ``known`` spares comparisons.
    """
    compared = set() if compared is None else compared
    pairs = [pair for pair in candidates(as_vectors(fingerprints), np.asarray(sets)) if pair not in compared]
    compared.update(pairs)
    details = _remembering(images)
    verdicts = {} if known is None else known.verdicts

    def key(pair: tuple[int, int]) -> str:
        return " ".join(sorted(known.marks[place] for place in pair) if known else map(str, pair))

    def same(pair: tuple[int, int]) -> bool:
        one, other = details(pair[0]), details(pair[1])
        return one is not None and other is not None and similarity(one, other) >= SAME

    new = [pair for pair in pairs if key(pair) not in verdicts]
    verdicts.update(zip(map(key, new), in_parallel(same, new, progress), strict=True))
    return [pair for pair in pairs if verdicts[key(pair)]]


def candidates(vectors: np.ndarray, sets: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of different sets whose fingerprints are similar: at most ``MOST`` with each image as first."""
    order = np.argsort(sets, kind="stable")
    vectors, sets = vectors[order], sets[order]
    found: set[tuple[int, int]] = set()
    for start in range(0, len(order), _BLOCK):
        rows = slice(start, start + _BLOCK)
        near: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
        for first in range(start, len(order), _BLOCK):
            columns = slice(first, first + _BLOCK)
            if sets[rows][0] == sets[columns][-1]:  # and so of all between
                continue
            products = vectors[rows] @ vectors[columns].T
            for row in np.flatnonzero(products.max(1) >= CANDIDATE).tolist():
                own = np.flatnonzero(products[row] >= CANDIDATE)
                own = own[(sets[columns][own] != sets[start + row]) & (first + own > start + row)]
                own = own[np.argsort(-products[row, own], kind="stable")[:MOST]]
                near[start + row] += [(-float(products[row, column]), first + column) for column in own.tolist()]
        for row, others in near.items():
            found |= {(row, column) for _, column in sorted(others)[:MOST]}
    pairs = [(int(order[row]), int(order[column])) for row, column in found]
    return sorted((min(pair), max(pair)) for pair in pairs)


def read_details(path: Path) -> Details | None:
    """Read an image as ``similarity`` compares it; None if it cannot be read."""
    try:
        with open_source(path, upright=False) as source:
            values, valid = source.whole()
    except DataError:
        return None
    grey = values[:3].mean(0, dtype=np.float32)
    holds = np.isfinite(grey) if valid is None else np.isfinite(grey) & valid
    grey = np.where(holds, grey, grey[holds].mean() if holds.any() else 0)
    return details_of(np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX)))


def details_of(grey: np.ndarray) -> Details:
    """Return the details of a grey image of 128×128 pixels."""
    halves = grey.reshape(COARSE, 2, COARSE, 2).mean((1, 3))
    coarse = _between(halves, 1, 8)
    coarse /= coarse.std() or 1
    down, right = np.gradient(coarse)
    return Details(coarse, down, right, _between(grey, 1.2, 4))


def similarity(one: Details, other: Details) -> float:
    """Return how well the details of two images correlate, from -1 to 1, after the second was laid over the first.

    The second is shifted, and scaled in both directions, to where the squared differences are least (by Gauss and
    Newton's method), but not farther than ``MOVED``; 0 if there is no such place.
    """
    if (one.coarse * other.coarse).mean() < ALIGNED:
        return 0.0
    placed = _align(one, other)
    if placed is None:
        return 0.0
    rows, columns, inside = _moved(SIDE, placed)
    ours = one.fine.ravel()[inside]
    theirs = ndimage.map_coordinates(other.fine, [rows[inside], columns[inside]], order=1)
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    strength = float((ours @ ours) * (theirs @ theirs)) ** 0.5
    return float(ours @ theirs) / strength if strength else 0.0


def _align(one: Details, other: Details) -> np.ndarray | None:
    """Return the shift (down, right) and the change of scale (down, right) of the second image, as shares of a side."""
    down, right = _grid(COARSE)
    placed = np.zeros(4)
    for _ in range(8):
        rows, columns, inside = _moved(COARSE, placed)
        at = [rows[inside], columns[inside]]
        found, of_rows, of_columns = (
            ndimage.map_coordinates(plane, at, order=1) for plane in (other.coarse, other.down, other.right)
        )
        slopes = COARSE * np.stack([of_rows, of_columns, of_rows * down[inside], of_columns * right[inside]])
        rest = one.coarse.ravel()[inside] - found
        step = np.linalg.lstsq(slopes @ slopes.T, slopes @ rest, rcond=None)[0]
        placed += step
        if np.abs(placed).max() > MOVED:
            return None
        if np.abs(step).max() < 5e-4:
            break
    return placed


def _moved(side: int, placed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows and columns to which the pixels move, and which pixels stay away from the borders."""
    down, right = _grid(side)
    rows = (down + placed[0] + placed[2] * down + 0.5) * side - 0.5
    columns = (right + placed[1] + placed[3] * right + 0.5) * side - 0.5
    margin, before = side / 32, [(place + 0.5) * side - 0.5 for place in (down, right)]
    inside = np.all([(at >= margin) & (at <= side - 1 - margin) for at in (rows, columns, *before)], axis=0)
    return rows, columns, inside


@lru_cache(maxsize=2)
def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of all pixels, down and right, from -0.5 to 0.5."""
    down, right = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    return down.ravel(), right.ravel()


def _between(values: np.ndarray, finest: float, coarsest: float) -> np.ndarray:
    """Return what of an image lies between two scales, in pixels."""
    values = values.astype(np.float64)
    found: np.ndarray = ndimage.gaussian_filter(values, finest) - ndimage.gaussian_filter(values, coarsest)
    return found


def _remembering(images: Sequence[Path]) -> Callable[[int], Details | None]:
    @lru_cache(maxsize=_MEMORY)
    def details(index: int) -> Details | None:
        return read_details(images[index])

    return details
