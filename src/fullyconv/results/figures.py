"""Pictures of labels: index images, overlays, legends, errors, and rows of panels side by side."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fullyconv.classes import IGNORE
from fullyconv.palettes import VOC_VOID, Colour, table

WRONG: Colour = (214, 39, 40)
PAPER, INK = (255, 255, 255), (32, 32, 32)


def displayable(image: Tensor | np.ndarray) -> np.ndarray:
    """Return an image (C, H, W) in 0..255 as (H, W, 3) uint8: its first three channels, or its first as grey."""
    array = np.asarray(image.cpu() if isinstance(image, Tensor) else image)
    shown = array[:3] if len(array) >= 3 else array[:1].repeat(3, axis=0)
    return np.ascontiguousarray(np.rint(shown).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def index_image(labels: np.ndarray, palette: Sequence[Colour]) -> Image.Image:
    """Return labels (H, W) uint8 as a picture of mode P, whose values are the classes and palette their colours."""
    picture = Image.fromarray(labels.astype(np.uint8)).convert("P")
    picture.putpalette(table(palette).tobytes())
    return picture


def colourize(labels: np.ndarray, palette: Sequence[Colour]) -> np.ndarray:
    """Return labels in the classes' colours, (H, W, 3) uint8; ``IGNORE`` is PASCAL VOC's cream."""
    return table(palette)[labels]


def overlay(image: np.ndarray, labels: np.ndarray, palette: Sequence[Colour], alpha: float = 0.5) -> np.ndarray:
    """Return ``image`` (H, W, 3) uint8 under the classes' colours of strength ``alpha``, full along borders.

    Images with a side under 64 pixels have no borders, which would fill them.
    """
    strength = np.full((*labels.shape, 1), alpha)
    if min(labels.shape) >= 64:
        strength[borders(labels, thickness=max(1, round(min(labels.shape) / 500)))] = 1.0
    mixed = image * (1 - strength) + colourize(labels, palette) * strength
    return np.rint(mixed).astype(np.uint8)


def borders(labels: np.ndarray, thickness: int = 1) -> np.ndarray:
    """Return where (H, W) a label differs from the one ``thickness`` pixels below or to the right."""
    differs = np.zeros(labels.shape, dtype=bool)
    differs[:-thickness] |= labels[:-thickness] != labels[thickness:]
    differs[:, :-thickness] |= labels[:, :-thickness] != labels[:, thickness:]
    return differs


def errors(image: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return ``image`` in pale grey, with wrong pixels red and those of unknown truth cream: (H, W, 3) uint8."""
    grey = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float32)[..., None].repeat(3, axis=2)
    picture = (140 + grey * 0.45).astype(np.uint8)
    picture[labels != truth] = WRONG
    picture[truth == IGNORE] = VOC_VOID
    return picture


def with_legend(
    picture: np.ndarray, names: Sequence[str], colours: Sequence[Colour], size: int | None = None
) -> Image.Image:
    """Return ``picture`` (H, W, 3) above a legend, with white beside it if it is narrower than the legend.

    ``size`` is that of the letters in pixels; None: by the picture's width.
    """
    height, width = picture.shape[:2]
    size = size or min(max(12, round(width / 40)), 64)
    gap = size // 2
    texts = drawable(names, size)
    entries = [(text, font, 2 * size + round(font.getlength(text))) for text, font in texts]
    sheet = max([width, min(12 * size, sum(w for *_, w in entries))] + [w + gap for *_, w in entries])
    places, x, y = [], gap, gap
    for *_, entry_width in entries:
        if x > gap and x + entry_width > sheet:
            x, y = gap, y + size + gap
        places.append((x, y))
        x += entry_width
    result = Image.new("RGB", (sheet, height + y + size + gap), PAPER)
    result.paste(Image.fromarray(picture), ((sheet - width) // 2, 0))
    draw = ImageDraw.Draw(result)
    for (text, font, _), colour, (x, y) in zip(entries, colours, places, strict=True):
        draw.rectangle((x, height + y, x + size - 1, height + y + size - 1), fill=colour, outline=INK)
        draw.text((x + 1.4 * size, height + y + size / 2), text, fill=INK, font=font, anchor="lm")
    return result


def panels(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], width: int = 320) -> Image.Image:
    """Return pictures in rows, each scaled to ``width`` pixels, under the columns' titles.

    Pictures of mode P (index images) are scaled without mixing colours.
    """
    size, gap = max(11, width // 18), max(4, width // 40)
    scaled = [[_to_width(picture, width) for picture in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in scaled]
    top = 2 * size
    sheet = Image.new("RGB", (len(titles) * (width + gap) + gap, top + sum(heights) + gap * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, (text, font) in enumerate(drawable(titles, size)):
        middle = gap + column * (width + gap) + width / 2
        draw.text((middle, top / 2), text, fill=INK, font=font, anchor="mm")
    y = top
    for row, height in zip(scaled, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture, (gap + column * (width + gap), y))
        y += height + gap
    return sheet


def _to_width(picture: Image.Image, width: int) -> Image.Image:
    size = (width, max(1, round(picture.height * width / picture.width)))
    method = Image.Resampling.NEAREST if picture.mode == "P" else Image.Resampling.LANCZOS
    return picture.resize(size, method).convert("RGB")


def drawable(texts: Sequence[str], size: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """Return each text as it can be drawn, and a font of this size that draws it."""
    from fullyconv.fonts import fonts_for  # loads matplotlib, which pictures without texts do without

    return [(text, _font(font, size)) for text, font in fonts_for(texts)]


@lru_cache
def _font(font: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font, size)
