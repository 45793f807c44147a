"""A picture of augmented samples: what a network is trained on, beside the images that it was made from."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fullyconv.classes import IGNORE
from fullyconv.data import open_data
from fullyconv.data.catalog import Data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.errors import ConfigError
from fullyconv.files import whole_file
from fullyconv.palettes import VOC_VOID
from fullyconv.results.figures import INK, PAPER, displayable, drawable, overlay, panels, with_legend
from fullyconv.training.augmented.samples import training_set
from fullyconv.training.batches import Draw
from fullyconv.training.chosen import with_chosen_settings
from fullyconv.training.config import Config, load_config, parse_settings
from fullyconv.training.inputs import with_input_settings

FORMS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Pillow's names of the kinds of pictures, by their suffix."""
WIDTH = 240
"""Of one picture, in pixels."""
LETTERS = 16
"""Height of the letters, in pixels."""
STRIPE = 6
"""Width of the stripes over void pixels, of a picture of WIDTH pixels."""


def show_augmented(
    data: str | Path,
    out: str | Path,
    layout: str | None = None,
    *,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Draw images of the train split of ``data`` beside the samples that training would make of them.

    ``recipe`` and ``settings`` are those of ``train``; without a recipe, crops are chosen by the data, as there.
    ``say`` is told which values become 0 and 255, where they are found in the images. Raises DataError if an image or
    a mask cannot be read, and ConfigError for settings that do not fit the data and for files that are no pictures.
    """
    suffix = Path(out).suffix.lower() or ".png"
    if suffix not in FORMS:
        raise ConfigError(f"{out}: pictures can be written as {', '.join(FORMS)}, not as {suffix}")
    overrides = parse_settings(list(settings))
    config = load_config(None if recipe is None else Path(recipe), overrides)
    opened = open_data(data, layout or config.data.layout, fold=config.data.fold)
    if recipe is None:
        config = with_chosen_settings(opened, config, overrides.keys())
    picture = augmented_picture(opened, with_input_settings(opened, config, say))
    with whole_file(out) as beside:
        picture.save(beside, format=FORMS[suffix])


def augmented_picture(data: Data, config: Config, count: int = 3, versions: int = 5) -> Image.Image:
    """Return ``count`` images of the train split, each beside ``versions`` samples that training makes of it.

    Each is shown as the network is given it, and below that under its mask (the first labeling's) in the classes'
    colours, with stripes over void pixels. Of several resolutions the last is shown. ``config`` is that of a run, of
    ``with_input_settings``.
    """
    value_range = config.data.range if isinstance(config.data.range, list) else None
    dataset = SegmentationDataset(data, "train", None, config.model.in_channels or 3, value_range)
    samples = training_set(data, dataset, config)
    last = len(config.data.resolutions) - 1
    rows, present = [], set[int]()
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist():
        seeds = np.random.SeedSequence([config.training.seed, index]).generate_state(versions).tolist()
        shown = [dataset[index], *(samples[Draw(index, seed, last)] for seed in seeds)]
        planes = [mask.reshape(-1, *mask.shape[-2:])[0].numpy() for _, mask, _ in shown]
        present.update(*(np.unique(plane).tolist() for plane in planes))
        images = [displayable(image) for image, _, _ in shown]
        masked = [_masked(image, plane, data) for image, plane in zip(images, planes, strict=True)]
        name = data.name(data.split("train")[index].image)
        height = round(WIDTH * images[-1].shape[0] / images[-1].shape[1])
        rows.append([_fitted(images[0], height, name), *map(Image.fromarray, images[1:])])
        rows.append([_fitted(masked[0], height), *map(Image.fromarray, masked[1:])])
    sheet = _headed(panels(rows, ["original"] + ["augmented"] * versions, WIDTH), _summary(config))
    void = IGNORE in present
    labels = sorted(present - {IGNORE})
    names = [data.classes[label] for label in labels] + ["void (striped)"] * void
    colours = [data.palette[label] for label in labels] + [VOC_VOID] * void
    return with_legend(np.asarray(sheet), names, colours, LETTERS)


def _summary(config: Config) -> str:
    resolution, options = config.data.resolutions[-1], config.data.augment
    if resolution.scale is not None:
        options = options.model_copy(update={"scale": resolution.scale})
    crop = "whole images" if resolution.crop is None else "crops of {}×{}".format(*resolution.crop)
    balance = f", balance {config.data.balance:g}" if config.data.balance else ""
    return f"{options}, {crop}{balance}"


def _masked(image: np.ndarray, labels: np.ndarray, data: Data) -> np.ndarray:
    """Return an image under its labels, void striped."""
    picture = overlay(image, labels, data.palette, 0.45)
    down, across = np.indices(labels.shape)
    stripe = max(1, round(STRIPE * labels.shape[1] / WIDTH))
    picture[(labels == IGNORE) & ((down + across) // stripe % 2 == 0)] = INK
    return picture


def _fitted(picture: np.ndarray, height: int, name: str = "") -> Image.Image:
    """Return a picture on white, ``WIDTH`` wide and at most ``height`` high, above its name if it has one.

    Of a long name the end is shown.
    """
    size = (WIDTH, max(1, round(WIDTH * picture.shape[0] / picture.shape[1])))
    if size[1] > height:
        size = (max(1, round(height * picture.shape[1] / picture.shape[0])), height)
    sheet = Image.new("RGB", (WIDTH, size[1] + (2 * LETTERS if name else 0)), PAPER)
    sheet.paste(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), ((WIDTH - size[0]) // 2, 0))
    if name:
        ((text, font),) = drawable([name], LETTERS - 3)
        while font.getlength(text) > WIDTH:
            text = f"…{text[2:]}"
        ImageDraw.Draw(sheet).text((WIDTH / 2, size[1] + LETTERS), text, fill=INK, font=font, anchor="mm")
    return sheet


def _headed(picture: Image.Image, text: str) -> Image.Image:
    """Return the picture below a text, in as many lines as it takes."""
    ((text, font),) = drawable([text], LETTERS)
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if font.getlength(longer) < picture.width - LETTERS else [lines[-1], word]
    height = round(1.5 * LETTERS) * len(lines) + LETTERS // 2
    sheet = Image.new("RGB", (picture.width, picture.height + height), PAPER)
    sheet.paste(picture, (0, height))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((LETTERS / 2, LETTERS + 1.5 * LETTERS * number), line, fill=INK, font=font, anchor="lm")
    return sheet
