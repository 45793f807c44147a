"""A sheet of samples: image, mask and both together, to see whether data are what they should be."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fullyconv.data.layouts import Data
from fullyconv.data.masks import IGNORE
from fullyconv.data.pairs import Pair, read_pair
from fullyconv.errors import ConfigError, DataError
from fullyconv.files import whole_file

_VOID = (255, 255, 255)
_WIDTH = 2.6  # of one picture, in inches


def show(data: Data, out: str | Path, count: int = 6) -> None:
    """Write a figure of ``count`` samples, spread evenly over the splits, with a legend of their classes.

    Each is shown as the image, the mask in the classes' colours (white: void) and both together.
    Raises DataError if a file is missing, broken or wrong, and ConfigError for a count below 1 or a kind of
    file that figures cannot be.
    """
    if count < 1:
        raise ConfigError(f"count is {count}; at least 1 sample can be shown")
    figure = Figure(layout="constrained", dpi=110)
    form = Path(out).suffix[1:].lower() or "png"
    if form not in (forms := figure.canvas.get_supported_filetypes()):
        raise ConfigError(f"{out}: figures can be written as {', '.join(forms)}, not as {form}")
    samples = [(split, pair) for split, pairs in data.splits.items() for pair in pairs]
    if not samples:
        raise DataError(f"{data.root}: has no images to show")
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)

    across = min(2, len(places))
    rows = -(-len(places) // across)
    axes = figure.subplots(rows, 3 * across, squeeze=False).reshape(-1, 3)
    for axis in axes.ravel():
        axis.set_axis_off()
    colours = np.full((256, 3), _VOID, np.uint8)
    colours[: len(data.classes)] = data.palette
    shown = [
        _draw(list(three), split, pair, data, colours)
        for three, (split, pair) in zip(axes, (samples[place] for place in places), strict=False)
    ]
    _legend(figure, data, np.unique(np.concatenate([np.unique(labels) for labels in shown])))
    height = _WIDTH * np.median([labels.shape[0] / labels.shape[1] for labels in shown])
    figure.set_size_inches(_WIDTH * 3 * across, (height + 0.25) * rows + 0.8)
    with whole_file(out) as beside:
        figure.savefig(beside, format=form)


def _draw(axes: Sequence[Axes], split: str, pair: Pair, data: Data, colours: np.ndarray) -> np.ndarray:
    """Draw one sample on three axes; its labels."""
    pixels, labels = read_pair(pair, data.mask_code)
    image, mask = pixels.transpose(1, 2, 0), colours[labels]
    both = np.where((labels == IGNORE)[..., None], image, image // 2 + mask // 2)
    for axis, picture in zip(axes, (image, mask, both), strict=True):
        axis.imshow(picture)
    axes[0].set_title(f"{split}: {pair.image.name}", fontsize=8, loc="left", parse_math=False)
    return labels


def _legend(figure: Figure, data: Data, labels: np.ndarray) -> None:
    named = dict(enumerate(zip(data.classes, data.palette, strict=True))) | {IGNORE: ("void", _VOID)}
    entries = [named[label] for label in labels.tolist()]
    patches = [Patch(facecolor=np.array(rgb) / 255, edgecolor="0.5", label=name) for name, rgb in entries]
    columns = min(len(patches), 8)
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize=9, frameon=False)
