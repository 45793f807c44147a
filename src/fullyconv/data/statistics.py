"""What the images of a split are: their bands, the type of their values, and how these are distributed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fullyconv.data.cache import contents_of
from fullyconv.data.catalog import Data
from fullyconv.data.contents import LEVELS, BandContent, ImageContent
from fullyconv.data.images.source import describe_bands
from fullyconv.data.images.values import Range
from fullyconv.data.parallel import Progress, in_parallel
from fullyconv.errors import DataError

AUTO = (0.5, 99.5)
"""The percentiles that become 0 and 255 in images of other types than bytes, where nothing else is asked for."""


@dataclass(frozen=True)
class ImageStatistics:
    """The bands of all images together. ``mean`` and ``deviation`` are one number a band, as stored."""

    bands: int
    dtype: np.dtype
    colour: bool
    alpha: bool
    """Whether every image has alpha."""
    mean: list[float]
    deviation: list[float]
    contents: Sequence[ImageContent]

    @property
    def channels(self) -> int:
        """The channels that a network is given where nothing else is asked for: grey images have three."""
        return 3 if self.bands == 1 else self.bands

    def percentiles(self, low: float, high: float) -> list[Range]:
        """For each band the values below which ``low`` and ``high`` percent of all pixels lie; never equal."""
        return [self._of_band(band, low / 100, high / 100) for band in range(self.bands)]

    def _of_band(self, band: int, low: float, high: float) -> Range:
        """Each image's values between its quantiles count as spread evenly over its pixels."""
        pixels = np.array([weight(content) for content in self.contents])
        tables = np.array([bands_of(content, self.bands)[band].quantiles for content in self.contents])
        values = np.unique(tables)
        if len(values) > MOST_STEPS:
            values = values[np.linspace(0, len(values) - 1, MOST_STEPS).round().astype(int)]
        below = np.zeros(len(values))
        for table, weighs in zip(tables, pixels, strict=True):
            below += weighs * np.interp(values, *_rising(table))
        below /= max(pixels.sum(), 1)
        start, end = (float(np.interp(share, below, values)) for share in (low, high))
        return (start, end) if end > start else (start, start + 1.0)


MOST_STEPS = 4096
"""Values between which percentiles are interpolated."""


def image_statistics(data: Data, split: str, progress: Progress | None = None) -> ImageStatistics:
    """Read what the images of a split hold, or what is remembered of it, and put it together.

    Raises DataError for an image that cannot be read, images of unlike bands or types, and where none holds data.
    """
    found = statistics_of_files(data.root, [pair.image for pair in data.split(split)], progress)
    if found is None:
        raise DataError(f"{data.root}: no image of the split {split!r} holds data: all pixels are marked as without")
    return found


def statistics_of_files(root: Path, paths: Sequence[Path], progress: Progress | None = None) -> ImageStatistics | None:
    """Read what these images of a data set hold, and put it together; None where none of them holds data.

    Raises DataError for an image that cannot be read, and images of unlike bands or types.
    """
    files = contents_of(root)
    paths = list(dict.fromkeys(paths))
    contents = list(in_parallel(files.image, paths, progress))
    files.save()
    _refuse_unlike(paths, contents)
    return statistics_of(contents) if any(content.valid for content in contents) else None


def statistics_of(contents: Sequence[ImageContent]) -> ImageStatistics:
    """Put together what images hold, which have the same bands (or one band among three) and type, and some data."""
    pixels = np.array([weight(content) for content in contents])
    share = pixels / pixels.sum()
    bands = max(len(content.bands) for content in contents)
    means = np.array([[band.mean for band in bands_of(content, bands)] for content in contents])
    deviations = np.array([[band.deviation for band in bands_of(content, bands)] for content in contents])
    mean = share @ means
    deviation = np.sqrt(share @ (deviations**2 + (means - mean) ** 2))
    first = contents[0]
    return ImageStatistics(
        bands=bands,
        dtype=np.dtype(first.dtype),
        colour=any(content.colour for content in contents),
        alpha=all(content.alpha for content in contents),
        mean=mean.tolist(),
        deviation=deviation.tolist(),
        contents=contents,
    )


def bands_of(content: ImageContent, count: int) -> Sequence[BandContent]:
    """Its bands; a grey one among colour images counts as red, green and blue."""
    return content.bands if len(content.bands) == count else content.bands * count


def weight(content: ImageContent) -> float:
    """How many of an image's pixels hold data."""
    return content.size[0] * content.size[1] * content.valid


def describe(content: ImageContent) -> str:
    """An image's bands and type in words; see ``describe_bands``."""
    return describe_bands(len(content.bands), content.alpha, content.dtype)


def form(content: ImageContent) -> tuple[int, str]:
    """The bands and the type that the images of a data set share; grey ones may lie among those in colour."""
    bands = len(content.bands)
    return 3 if bands == 1 else bands, content.dtype


def _refuse_unlike(paths: Sequence[Path], contents: Sequence[ImageContent]) -> None:
    """Raise DataError for an image of another form than the first's."""
    first = contents[0]
    for path, content in zip(paths, contents, strict=True):
        if form(content) != form(first):
            raise DataError(
                f"{path}: has {describe(content)}, {paths[0]} has {describe(first)}; images of one data set are "
                "expected to have the same bands and type, so convert one kind into the other (gdal_translate)"
            )


def _rising(quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that rise strictly, and the shares of pixels at or below each."""
    values, last = np.unique(quantiles[::-1], return_index=True)
    return values, np.array(LEVELS)[len(LEVELS) - 1 - last]
