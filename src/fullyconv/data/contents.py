"""Summarize image and mask files in a few numbers, enough to check them and to count the pixels of each class."""

import hashlib
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fullyconv.data.images.fingerprint import fingerprint
from fullyconv.data.images.headers import is_lossy
from fullyconv.data.images.read import open_source
from fullyconv.data.mask_codes import MaskCode, Unknown, numbers_of_colours
from fullyconv.data.masks import mask_values, open_mask, to_labels
from fullyconv.errors import DataError
from fullyconv.palettes import Colour

Count = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=1)]
ColourNumber = Annotated[int, Field(ge=0, lt=1 << 24)]
"""A colour as 0xRRGGBB."""

SAMPLE = 32
"""Side, in pixels, of the grid of sampled pixels by which images are first compared."""
COUNTED = 1 << 16
"""Approximate maximum number of evenly spaced pixels from which the statistics of an image are computed."""
LEVELS = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
"""The shares of pixels at which ``BandContent.quantiles`` are taken."""


class BandContent(BaseModel):
    """Statistics of one band of an image, over the pixels that hold data."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    valid: Annotated[float, Field(ge=0, le=1)]
    """The share that holds data in this band, of the pixels that hold data in any band."""
    mean: float
    deviation: float
    quantiles: tuple[float, ...]
    """The value below which each share in ``LEVELS`` of the pixels lies."""


class ImageContent(BaseModel):
    """The summary of an image file."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    size: tuple[Side, Side]
    """Width and height, as stored."""
    orientation: int
    """The EXIF orientation; 1 means upright."""
    sample: str
    """A digest of the size and some pixels; if the samples of two images differ, so do the images."""
    fingerprint: str
    """What ``fingerprint`` returns."""
    dtype: str
    """The NumPy name of the type of its values."""
    alpha: bool
    colour: bool
    """Whether its bands are red, green and blue."""
    valid: Annotated[float, Field(ge=0, le=1)]
    """The share of its pixels that hold data."""
    bands: tuple[BandContent, ...]
    """Statistics of each band, without alpha."""


class MaskContent(BaseModel):
    """The summary of a mask file: its values or colours, and the number of pixels of each.

    In a ``lossy`` file (see ``is_lossy``), they differ from what was drawn.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    size: tuple[Side, Side]
    """Width and height."""
    values: dict[int, Count] = {}
    """The number of pixels of each value; empty if the mask holds colours. A 1-bit mask holds 0 and 1."""
    colours: dict[ColourNumber, Count] = {}
    """The number of pixels of each colour; empty if the mask holds values."""
    palette: dict[int, ColourNumber] = {}
    """The palette colour of each value that occurs; empty without a palette, or if the palette is the grey scale."""
    one_bit: bool = False
    lossy: bool = False

    @model_validator(mode="after")
    def _counts_every_pixel(self) -> "MaskContent":
        counted = sum(self.values.values()) + sum(self.colours.values())
        if counted != self.size[0] * self.size[1]:
            raise ValueError(f"the counts add up to {counted} pixels, but the mask has {self.size[0]}x{self.size[1]}")
        return self

    def as_colours(self) -> dict[int, int]:
        """Return the number of pixels of each colour 0xRRGGBB as Pillow shows the file; values above 255 are white."""
        shown: dict[int, int] = dict(self.colours)
        for value, pixels in self.values.items():
            grey = min(max(value * (255 if self.one_bit else 1), 0), 255)
            colour = self.palette.get(value, grey * 0x010101)
            shown[colour] = shown.get(colour, 0) + pixels
        return shown


def read_image_content(path: Path) -> ImageContent:
    """Decode and summarize an image. Raises DataError if it cannot be read."""
    with open_source(path, upright=False) as source:
        height, width = source.size
        step = max(1, round((height * width / COUNTED) ** 0.5))
        values, valid, share = source.sample(step)
        values = np.ascontiguousarray(values)
        places = [np.linspace(0, side - 1, SAMPLE).round().astype(int) for side in values.shape[1:]]
        some = np.ascontiguousarray(values[:, places[0][:, None], places[1]])
        head = f"{width}x{height} {len(values)} {values.dtype}".encode()
        counted = values.reshape(len(values), -1) if valid is None else values[:, valid]
        return ImageContent(
            size=(width, height),
            orientation=source.orientation,
            sample=hashlib.blake2b(head + some.tobytes(), digest_size=16).hexdigest(),
            fingerprint=fingerprint(values, valid),
            dtype=str(source.dtype),
            alpha=source.alpha,
            colour=source.colour,
            valid=share,
            bands=tuple(band_content(band, nodata) for band, nodata in zip_longest(counted, source.nodata)),
        )


def band_content(values: np.ndarray, nodata: float | None = None) -> BandContent:
    """Return the statistics of the values of one band, (n,) of any real type, without those equal to ``nodata``.

    All statistics are 0 if no values are left.
    """
    pixels = values.size
    values = values if nodata is None else values[values != nodata]
    if not values.size:
        return BandContent(valid=0.0, mean=0.0, deviation=0.0, quantiles=(0.0,) * len(LEVELS))
    ranks = np.rint(np.array(LEVELS) * (values.size - 1)).astype(np.int64)
    if values.dtype in (np.uint8, np.uint16):  # counting is faster than sorting
        counts = np.bincount(values)
        numbers = np.arange(len(counts), dtype=np.float64)
        mean = float(counts @ numbers) / values.size
        deviation = (float(counts @ (numbers - mean) ** 2) / values.size) ** 0.5
        found = np.searchsorted(counts.cumsum(), ranks, side="right").astype(np.float64)
    else:
        numbers = np.sort(values.astype(np.float64))
        mean, deviation, found = float(numbers.mean()), float(numbers.std()), numbers[ranks]
    return BandContent(valid=values.size / pixels, mean=mean, deviation=deviation, quantiles=tuple(found.tolist()))


def is_of_one_colour(path: Path, content: ImageContent) -> bool:
    """Whether all pixels of an image are equal; it is decoded only if its counted pixels are."""
    if any(band.quantiles[0] != band.quantiles[-1] for band in content.bands):
        return False
    with open_source(path) as source:
        pixels = source.whole().values
    return bool((pixels == pixels[:, :1, :1]).all())


def digest_pixels(path: Path) -> bytes:
    """Return a digest of all pixels of an image, the same in every lossless format.

    Raises DataError if the image cannot be read.
    """
    with open_source(path, upright=False) as source:
        values = source.whole().values
    digest = hashlib.blake2b(f"{values.shape} {values.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values.transpose(1, 2, 0)).data)  # usually the layout in memory, so no copy
    return digest.digest()


def read_mask_content(path: Path, key: str | None) -> MaskContent:
    """Decode and summarize a mask; for ``key`` see ``open_mask``. Raises DataError if it cannot be read."""
    mask, lossy = open_mask(path, key), is_lossy(path)
    if isinstance(mask, np.ndarray):
        return MaskContent(size=(mask.shape[1], mask.shape[0]), values=_count(mask), lossy=lossy)
    if mask.mode in ("RGB", "RGBA"):
        return MaskContent(size=mask.size, colours=_count_colours(mask), lossy=lossy)
    try:
        values = _count_values(mask)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    palette = _palette(mask, values)
    return MaskContent(size=mask.size, values=values, palette=palette, one_bit=mask.mode == "1", lossy=lossy)


def count_labels(content: MaskContent, code: MaskCode) -> tuple[np.ndarray, list[Unknown]]:
    """Return the number of pixels of each label, int64 (256,), and the unknown values or colours.

    The labels are those of ``to_labels``, applied to each distinct value or colour instead of each pixel.
    """
    by_colour = bool(content.colours) or code.by_colour
    if by_colour:
        counted = content.as_colours()
        numbers = np.array(sorted(counted), np.int64)
        rgb = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], -1).astype(np.uint8)
        labels, unknown = to_labels(Image.fromarray(rgb[None]), code)
    else:
        counted = dict(content.values)
        numbers = np.array(sorted(counted), np.int64)
        labels, unknown = to_labels(numbers[None], code)

    def pixels_of(what: int | Colour) -> int:
        if isinstance(what, tuple):
            return counted[what[0] << 16 | what[1] << 8 | what[2]]
        return counted[what * 0x010101 if by_colour else what]  # greys are reported as values if there is no palette

    labelled = np.zeros(256, np.int64)
    np.add.at(labelled, labels.ravel(), [counted[number] for number in numbers.tolist()])
    return labelled, sorted(((what, pixels_of(what)) for what, _ in unknown), key=lambda found: -found[1])


def count_doubtful(content: MaskContent, code: MaskCode) -> int:
    """Return the number of pixels whose nearest class is doubtful (see ``MaskCode.doubtful``).

    Object ids in lossless files are never doubtful.
    """
    if code.numbers_objects and not content.lossy:
        return 0
    by_colour = bool(content.colours) or code.by_colour
    counted = content.as_colours() if by_colour else dict(content.values)
    numbers = np.array(sorted(counted), np.int64)
    found = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], -1) if by_colour else numbers
    return sum(counted[number] for number in numbers[code.doubtful(found, by_colour)].tolist())


def _count(values: np.ndarray) -> dict[int, int]:
    if values.dtype in (np.uint8, np.uint16):
        counts = np.bincount(values.ravel())
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    found, counts = np.unique(values, return_counts=True)
    return {int(value): int(count) for value, count in zip(found, counts, strict=True)}


def _count_values(mask: Image.Image) -> dict[int, int]:
    """Count the pixels of each value; Pillow counts bytes itself, without a copy.

    Raises ValueError if the image has an unsupported mode.
    """
    if mask.mode not in ("1", "L", "P"):
        return _count(mask_values(mask))
    pixels = {value: count for value, count in enumerate(mask.histogram()) if count}
    return {min(value, 1): count for value, count in pixels.items()} if mask.mode == "1" else pixels


def _count_colours(mask: Image.Image) -> dict[int, int]:
    rgb = mask.convert("RGB")
    few: list[tuple[int, Colour]] | None = rgb.getcolors(256)  # type: ignore[assignment]
    if few is None:
        return _count(numbers_of_colours(np.asarray(rgb)))
    return {red << 16 | green << 8 | blue: count for count, (red, green, blue) in few}


def _palette(mask: Image.Image, values: dict[int, int]) -> dict[int, int]:
    flat = (mask.getpalette() or []) if mask.mode == "P" else []
    if all(channel == place // 3 for place, channel in enumerate(flat)):
        return {}
    every = Image.frombytes("P", (256, 1), bytes(range(256)))
    every.putpalette(flat)
    shown = numbers_of_colours(np.asarray(every.convert("RGB")))[0]
    return {value: int(shown[value]) for value in values}
