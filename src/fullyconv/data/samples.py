"""A figure of samples (image, mask, and both together) to see whether the data are right."""

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch

from fullyconv.classes import IGNORE
from fullyconv.data.cache import contents_of
from fullyconv.data.catalog import Data
from fullyconv.data.images.values import ValueRange
from fullyconv.data.pairs import read_pair
from fullyconv.data.statistics import AUTO, statistics_of_files
from fullyconv.errors import ConfigError, DataError
from fullyconv.files import whole_file
from fullyconv.fonts import fonts_for
from fullyconv.palettes import Colour, table

_VOID = (255, 255, 255)
_WIDTH = 2.6  # of one picture, in inches
_LONGEST = 80
"""Most characters of a class's name that are shown."""


class _Shown(NamedTuple):
    """A sample that is shown; ``labels`` are indices into the data set's classes, (K, H, W)."""

    place: int
    title: str
    pictures: list[np.ndarray]
    labels: np.ndarray


def show(data: Data, out: str | Path, count: int = 6) -> list[str]:
    """Write a figure of ``count`` samples, spread evenly over the splits, with a legend of their classes.

    Each sample is shown as the image, its depth or HHA if it has them, the mask of each labeling in the classes'
    colours (void is white), and the image under the first mask. Of images of many bands the first three are shown (of
    two the first, as grey). Values of other types than bytes are shown between percentiles, as a network is given them
    unless ``data.range`` says otherwise; those of the images that are shown. In place of samples that are missing,
    broken or wrong others are shown; returned is what is wrong with each, a line each.
    Raises DataError if no sample can be shown or they differ in their bands, and ConfigError for a count below 1 or a
    kind of file that figures cannot be written as.
    """
    if count < 1:
        raise ConfigError(f"count is {count}; at least 1 sample is expected")
    figure = Figure(layout="constrained", dpi=110)
    form = Path(out).suffix[1:].lower() or "png"
    if form not in (forms := figure.canvas.get_supported_filetypes()):
        raise ConfigError(f"{out}: figures can be written as {', '.join(forms)}, not as {form}")
    samples, faults = _read(data, count)
    each = len(samples[0].pictures)
    across = min(max(1, 6 // each), len(samples))
    rows = -(-len(samples) // across)
    axes = figure.subplots(rows, each * across, squeeze=False).reshape(-1, each)
    for axis in axes.ravel():
        axis.set_axis_off()
    present = np.unique(np.concatenate([np.unique(sample.labels) for sample in samples])).tolist()
    named = dict(enumerate(zip(data.classes, data.palette, strict=True))) | {IGNORE: ("void", _VOID)}
    drawable = fonts_for([*(sample.title for sample in samples), *(named[label][0] for label in present)])
    for row, (text, font), sample in zip(axes, drawable, samples, strict=False):
        for axis, picture in zip(row, sample.pictures, strict=True):
            axis.imshow(picture)
        row[0].set_title(text, font=FontProperties(fname=font, size=8), loc="left", parse_math=False)
    width = _WIDTH * each * across
    legend = _legend(figure, width, drawable[len(samples) :], [named[label][1] for label in present])
    height = _WIDTH * np.median([sample.labels.shape[1] / sample.labels.shape[2] for sample in samples])
    figure.set_size_inches(width, (height + 0.25) * rows + legend + 0.3)
    with whole_file(out) as beside:
        figure.savefig(beside, format=form)
    return faults


def _read(data: Data, count: int) -> tuple[list[_Shown], list[str]]:
    """Read ``count`` samples, or as many as there are, and say what is wrong with those that are passed over.

    Raises DataError if there are none.
    """
    samples = [(split, pair) for split, pairs in data.splits.items() for pair in pairs]
    spread = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int).tolist()
    files, faults = contents_of(data.root), list[str]()

    def is_read(place: int) -> bool:
        try:
            files.image(samples[place][1].image)
        except DataError as error:
            faults.append(str(error))
            return False
        return True

    waiting = filter(is_read, dict.fromkeys([*spread, *range(len(samples))]))
    first = list(islice(waiting, count))
    channels, value_range = _as_trained(data, [samples[place][1].image for place in first]) if first else (3, None)
    shown: list[_Shown] = []
    for place in chain(first, waiting):
        split, pair = samples[place]
        try:
            pixels, labels = read_pair(pair, data.codes, channels, value_range)
        except DataError as error:
            faults.append(str(error))
            continue
        if not pair.more:
            pixels = pixels[:3] if channels > 2 else pixels[[0, 0, 0]]
        labels = _through_all(labels, data)
        pictures = _pictures(pixels, labels, table(data.palette, _VOID))
        shown.append(_Shown(place, f"{split}: {pair.image.name}", pictures, labels))
        if len(shown) == count:
            break
    if not shown:
        raise DataError(f"{data.root}: has no images to show" + (f"; the first: {faults[0]}" if faults else ""))
    return sorted(shown, key=lambda sample: sample.place), faults


def _as_trained(data: Data, images: Sequence[Path]) -> tuple[int, ValueRange | None]:
    """Return the channels in which images are read, and the values that become black and white, by default."""
    found = statistics_of_files(data.root, images) if data.channels is None and data.inputs == "image" else None
    if found is None:
        return 3, None
    if found.dtype == np.uint8:
        return found.channels, None
    pairs = found.percentiles(*AUTO)
    return found.channels, pairs if len(pairs) == found.channels else pairs * found.channels


def _through_all(labels: np.ndarray, data: Data) -> np.ndarray:
    """Renumber labels (H, W) or (K, H, W), from 0 in each labeling, as indices (K, H, W) into ``data.classes``."""
    firsts = np.cumsum([0, *data.head_sizes[:-1]])[:, None, None]
    return np.where(labels == IGNORE, IGNORE, labels + firsts)


def _pictures(pixels: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> list[np.ndarray]:
    """Return the pictures of one sample, each (H, W, 3) uint8."""
    image, more = pixels[:3].transpose(1, 2, 0).astype(np.uint8), pixels[3:].transpose(1, 2, 0)
    if more.shape[2] == 1:  # depth, shown lighter where it is farther
        more = (255 * (more - more.min()) / max(np.ptp(more), 1e-6)).repeat(3, axis=2)
    masks = [colours[of_one] for of_one in labels]
    both = np.where((labels[0] == IGNORE)[..., None], image, image // 2 + masks[0] // 2)
    return [image, *([more.astype(np.uint8)] if more.size else []), *masks, both]


def _legend(figure: Figure, width: float, names: Sequence[tuple[str, Path]], colours: Sequence[Colour]) -> float:
    """Draw the legend in as many columns as fit into so many inches, and return its height in inches."""
    patches = [Patch(facecolor=np.array(rgb) / 255, edgecolor="0.5", label=" ") for rgb in colours]
    for columns in range(min(len(patches), 8), 0, -1):
        legend = figure.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=False)
        for shown, (text, font) in zip(legend.get_texts(), names, strict=True):
            brief = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
            shown.set(text=brief, font=FontProperties(fname=font, size=9), parse_math=False)
        box = legend.get_window_extent()
        if box.width <= width * figure.dpi:
            break
        if columns > 1:
            legend.remove()
    return float(box.height / figure.dpi)
