"""Masks in the values that a benchmark takes: the data set's own numbers in place of the network's labels."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fullyconv.classes import IGNORE, difference
from fullyconv.data.images.files import write_image
from fullyconv.data.published.cityscapes import LABELS
from fullyconv.errors import ConfigError
from fullyconv.palettes import Colour
from fullyconv.results.figures import index_image
from fullyconv.results.segmentation import Segmentation

BENCHMARKS = {"cityscapes": {name: value for value, (name, _) in LABELS.items()}}
"""The value of each class in the masks of a benchmark (Cityscapes: labelIds); 0 is for pixels without a class."""


def values_of(benchmark: str, classes: Sequence[str]) -> np.ndarray:
    """Return the value of each label in a benchmark's masks, uint8 (256,), found by the classes' names.

    Raises ConfigError for a benchmark that is not known, and unless the classes are the benchmark's, in any order.
    """
    if benchmark not in BENCHMARKS:
        raise ConfigError(f"--values {benchmark}: expected one of {', '.join(BENCHMARKS)}")
    known = BENCHMARKS[benchmark]
    if sorted(known) != sorted(classes):
        differ = difference(sorted(classes), sorted(known)) or "they have no names of their own"
        raise ConfigError(
            f"--values {benchmark}: the network's classes are not those of the benchmark ({differ}); leave the option "
            "out to write the numbers of its classes"
        )
    values = np.zeros(256, np.uint8)
    values[: len(classes)] = [known[name] for name in classes]
    return values


def saving(benchmark: str, classes: Sequence[str]) -> Callable[[Segmentation, Path], None]:
    """Return the function that saves a segmentation with a benchmark's values. Raises ConfigError as ``values_of``."""
    values = values_of(benchmark, classes)

    def save(segmentation: Segmentation, path: Path) -> None:
        write_image(path, benchmark_image(segmentation.labels, values, segmentation.palette))

    return save


def benchmark_image(labels: np.ndarray, values: np.ndarray, palette: Sequence[Colour]) -> Image.Image:
    """Return labels (H, W) as a picture of mode P that holds their ``values``, in the classes' colours."""
    colours = np.zeros((256, 3), np.uint8)
    colours[values[: len(palette)]] = palette
    return index_image(values[labels], [(int(red), int(green), int(blue)) for red, green, blue in colours[:IGNORE]])
