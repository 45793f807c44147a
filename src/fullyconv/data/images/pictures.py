"""Read images with Pillow, which decodes them whole."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from fullyconv.data.images.source import Sample, Source, refuse_too_large
from fullyconv.errors import DataError, first_line

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "AVIF", "PPM", "TGA")
"""The Pillow decoders that are used. Others start programs (EPS starts Ghostscript) or are rarely tested."""
FRAMES = ("TIFF", "GIF", "PNG", "WEBP", "AVIF")
"""Formats whose files may hold several images, which are refused. (In an MPO file, the first is the image.)"""


class Bands(NamedTuple):
    """The pixels of an image: ``values`` (bands, H, W) and ``alpha`` (H, W), which is None without an alpha band."""

    values: np.ndarray
    alpha: np.ndarray | None


class Picture(Source):
    """An image that Pillow decodes. ``upright``: apply its EXIF orientation."""

    def __init__(self, path: Path, upright: bool = True) -> None:
        image = open_picture(path)
        try:
            turn = image.getexif().get(ExifTags.Base.Orientation, 1)
            self.orientation = turn if turn in range(2, 9) else 1
            if upright and self.orientation != 1:
                image, self.orientation = ImageOps.exif_transpose(image), 1
        except Exception as error:  # Pillow raises errors of many types for broken metadata
            raise DataError(f"{path}: its EXIF data cannot be read ({first_line(error)})") from error
        self.path, self.size = path, (image.height, image.width)
        self._pixels: Image.Image | Bands = image
        try:
            values, alpha = (None, None) if is_plain(image) else self._arrays()
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error
        self.bands = len(image.getbands()) if values is None else len(values)
        self.dtype = np.dtype(np.uint8) if values is None else values.dtype
        self.colour, self.alpha = self.bands == 3, alpha is not None
        self.has_gaps = alpha is not None and not alpha.all()

    def stored(self, rows: slice, columns: slice, with_alpha: bool) -> np.ndarray:
        values, alpha = self._arrays()
        if with_alpha and alpha is not None:
            return np.concatenate([values, alpha[None]])[:, rows, columns]
        return values[:, rows, columns]

    def mask(self, rows: slice, columns: slice) -> np.ndarray | None:
        alpha = self._arrays().alpha
        return alpha[rows, columns] > 0 if self.has_gaps and alpha is not None else None

    def sample(self, step: int) -> Sample:
        if step == 1 or isinstance(self._pixels, Bands):
            return super().sample(step)
        height, width = (-(-side // step) for side in self.size)
        # Pillow takes the pixels in the middle of equal pieces, without an array of the whole image
        fewer = self._pixels.resize((width, height), Image.Resampling.NEAREST)
        return Sample(bands_of(fewer).values, None, 1.0)

    def _arrays(self) -> Bands:
        """Return all pixels, converted when they are first needed. Raises ValueError for an unsupported mode."""
        if not isinstance(self._pixels, Bands):
            self._pixels = bands_of(self._pixels)
        return self._pixels


def is_plain(image: Image.Image) -> bool:
    """Whether an image has grey or colour bands of bytes and no transparency, so that its arrays are its pixels."""
    return image.mode in ("L", "RGB") and "transparency" not in image.info


def open_picture(path: Path) -> Image.Image:
    """Open and decode an image completely.

    Raises DataError if the file is unreadable, truncated, too large, or holds several images.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            frames = getattr(image, "n_frames", 1) if image.format in FRAMES else 1
            _refuse_scaled(path, image)
            bands = len(image.getbands())  # copies: in Pillow, as an array, as floats
            refuse_too_large(path, image.width * image.height, (4 if bands > 1 else 1) + bands * (1 + 4))
            image.load()
            _refuse_bad_indices(path, image)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: cannot be read as an image (unknown format)") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(
            f"{path}: has more than {most:,} pixels, the limit for an image of this format; cut it into smaller images"
        ) from error
    except DataError:
        raise
    except Exception as error:  # Pillow raises errors of many types for broken files
        raise DataError(f"{path}: cannot be read as an image ({first_line(error)})") from error
    if frames > 1:
        refuse_stack(path, frames)
    # Programs that write GIF files may renumber the colours, so only the colours can be trusted, not their numbers.
    return image.convert("RGB") if image.format == "GIF" and "transparency" not in image.info else image


def upright_size_of_picture(path: Path) -> tuple[int, int]:
    """Return the height and width of an image, turned as EXIF says, without decoding it. Raises DataError."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
            return (image.width, image.height) if sideways else (image.height, image.width)
    except Exception as error:  # Pillow raises errors of many types for broken files
        raise DataError(f"{path}: cannot be read as an image ({first_line(error)})") from error


def refuse_stack(path: Path, images: int) -> None:
    """Raise DataError because a file holds several images."""
    raise DataError(f"{path}: holds {images} images; expected one, so split the file or save it as one image")


def bands_of(image: Image.Image) -> Bands:
    """Return the bands and alpha of a decoded image. Raises ValueError for an unsupported mode."""
    mode = image.mode
    if mode == "1":
        return Bands(np.array(image.convert("L"))[None], None)
    if mode.startswith("I") or mode == "F":
        values = np.array(image)
        if mode == "I" and image.format == "PPM":
            values = values.astype(np.uint16)
        return Bands(values.astype(values.dtype.newbyteorder("="), copy=False)[None], None)
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if mode == "PA" or "transparency" in image.info else "RGB")
    elif "transparency" in image.info and mode in ("L", "RGB"):  # one grey or colour means transparent
        image = image.convert("LA" if mode == "L" else "RGBA")
    elif mode in ("La", "RGBa"):
        image = image.convert(mode.upper())
    elif mode not in ("L", "LA", "RGB", "RGBA"):
        if mode not in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
            raise ValueError(f"has mode {mode}; expected a grey or colour image")
        image = image.convert("RGB")
    pixels = np.array(image)
    if pixels.ndim == 2:
        return Bands(pixels[None], None)
    planes = pixels.transpose(2, 0, 1)
    return Bands(planes[:-1], planes[-1]) if len(planes) in (2, 4) else Bands(planes, None)


def _refuse_scaled(path: Path, image: Image.Image) -> None:
    """Raise DataError if the maximum of a PPM or PGM file is neither 255 nor 65535: Pillow would rescale it."""
    if image.format != "PPM" or image.mode in ("1", "F"):
        return
    assert isinstance(image, ImageFile)
    largest = next((tile[3][1] for tile in image.tile if isinstance(tile[3], tuple) and len(tile[3]) > 1), 255)
    if largest not in (255, 65535) or (largest == 65535 and image.mode != "I"):
        raise DataError(
            f"{path}: has the maximum value {largest} in {image.mode} pixels; expected 255 (PPM, PGM) or 65535 (PGM). "
            "Save it as PNG or TIFF"
        )


def _refuse_bad_indices(path: Path, image: Image.Image) -> None:
    """Raise DataError if a BMP has pixels beyond its palette, which Pillow would show as black."""
    if image.mode == "P" and image.format == "BMP":
        colours, largest = len(image.getpalette() or ()) // 3, image.getextrema()[1]
        if isinstance(largest, int | float) and largest >= colours:
            raise DataError(
                f"{path}: cannot be read as an image (it has colour {largest:.0f}, but a palette of {colours} colours)"
            )
