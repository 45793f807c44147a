"""Statistics of the images of a split: their bands, value type, and distribution of values."""

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
"""The percentiles that become 0 and 255 by default in images of other types than bytes."""


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of several images. ``mean`` and ``deviation`` have one number per band, in stored values."""

    bands: int
    dtype: np.dtype
    colour: bool
    alpha: bool
    """Whether every image has an alpha band."""
    mean: list[float]
    deviation: list[float]
    contents: Sequence[ImageContent]

    @property
    def channels(self) -> int:
        """The default number of channels of a network for these images: three for grey images."""
        return 3 if self.bands == 1 else self.bands

    def percentiles(self, low: float, high: float) -> list[Range]:
        """Return for each band the values below which ``low`` and ``high`` percent of all pixels lie; never equal."""
        return [self._of_band(band, low / 100, high / 100) for band in range(self.bands)]

    def _of_band(self, band: int, low: float, high: float) -> Range:
        """Return the values of a band at two shares of pixels, interpolating between each image's quantiles."""
        pixels = weights(self.contents, self.bands)[:, band]
        tables = np.array([bands_of(content, self.bands)[band].quantiles for content in self.contents])
        tables, pixels = tables[pixels > 0], pixels[pixels > 0]
        if not len(pixels):
            return 0.0, 1.0
        values = np.unique(tables)
        if len(values) > MAX_STEPS:
            values = values[np.linspace(0, len(values) - 1, MAX_STEPS).round().astype(int)]
        below = np.zeros(len(values))
        for table, weighs in zip(tables, pixels, strict=True):
            below += weighs * np.interp(values, *_rising(table))
        below /= pixels.sum()
        start, end = (float(np.interp(share, below, values)) for share in (low, high))
        return (start, end) if end > start else (start, start + 1.0)


MAX_STEPS = 4096
"""Maximum number of values between which percentiles are interpolated."""


def image_statistics(data: Data, split: str, progress: Progress | None = None) -> ImageStatistics:
    """Return the statistics of the images of a split, reading only those that are not cached.

    Raises DataError if an image cannot be read, images differ in bands or type, or no image holds data.
    """
    found = statistics_of_files(data.root, [pair.image for pair in data.split(split)], progress)
    if found is None:
        raise DataError(
            f"{data.root}: no image of the split {split!r} holds data: all pixels are nodata; check the nodata values"
        )
    return found


def statistics_of_files(root: Path, paths: Sequence[Path], progress: Progress | None = None) -> ImageStatistics | None:
    """Return the statistics of these images of a data set; None if no image holds data.

    Raises DataError if an image cannot be read, or images differ in bands or type.
    """
    files = contents_of(root)
    paths = list(dict.fromkeys(paths))
    contents = list(in_parallel(files.image, paths, progress))
    files.save()
    _refuse_unlike(paths, contents)
    return statistics_of(contents) if any(content.valid for content in contents) else None


def statistics_of(contents: Sequence[ImageContent]) -> ImageStatistics:
    """Combine the contents of images of the same bands (or grey and RGB) and type; at least one must hold data."""
    bands = max(len(content.bands) for content in contents)
    pixels = weights(contents, bands)
    share = pixels / np.maximum(pixels.sum(0), 1e-9)
    means = np.array([[band.mean for band in bands_of(content, bands)] for content in contents])
    deviations = np.array([[band.deviation for band in bands_of(content, bands)] for content in contents])
    mean = (share * means).sum(0)
    deviation = np.sqrt((share * (deviations**2 + (means - mean) ** 2)).sum(0))
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
    """Return ``count`` bands of an image; those of a grey image among colour images are repeated."""
    return content.bands if len(content.bands) == count else content.bands * count


def weights(contents: Sequence[ImageContent], bands: int) -> np.ndarray:
    """Return the number of pixels that hold data, (images, bands)."""
    pixels = [content.size[0] * content.size[1] * content.valid for content in contents]
    valid = [[band.valid for band in bands_of(content, bands)] for content in contents]
    return np.array(pixels)[:, None] * np.array(valid)


def describe(content: ImageContent) -> str:
    """Return an image's bands and type in words; see ``describe_bands``."""
    return describe_bands(len(content.bands), content.alpha, content.dtype)


def form(content: ImageContent) -> tuple[int, str]:
    """Return the bands and type that all images of a data set must share; grey counts as three bands."""
    bands = len(content.bands)
    return 3 if bands == 1 else bands, content.dtype


def _refuse_unlike(paths: Sequence[Path], contents: Sequence[ImageContent]) -> None:
    """Raise DataError if the bands or type of an image differ from those of the first."""
    first = contents[0]
    for path, content in zip(paths, contents, strict=True):
        if form(content) != form(first):
            raise DataError(
                f"{path}: has {describe(content)}, but {paths[0]} has {describe(first)}; expected the same bands and "
                "type in all images, so convert one of them (gdal_translate)"
            )


def _rising(quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct quantiles in ascending order, and the share of pixels at or below each."""
    values, last = np.unique(quantiles[::-1], return_index=True)
    return values, np.array(LEVELS)[len(LEVELS) - 1 - last]
