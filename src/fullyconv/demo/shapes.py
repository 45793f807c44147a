"""The built-in data set: drawn scenes with a mask each, and single-object crops for classification.

Seven kinds of shape, 8 to 200 pixels in size, lie on textured backgrounds, cut off by the picture's edge and covering
each other. Colour, texture, light, size and angle (within 20 degrees of upright) have the same distribution for every
class, so that only the outline tells the classes apart. Rings, crosses, stars and crescents have parts thinner than a
stride of 32 pixels, so that finer fusion makes a visible difference.
"""

import secrets
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from fullyconv.data.images.files import write_image
from fullyconv.data.parallel import Progress
from fullyconv.demo import drawing
from fullyconv.demo.drawing import Array
from fullyconv.demo.outlines import Shape
from fullyconv.errors import ConfigError, DataError
from fullyconv.files import write_whole

CLASSES = ["background", "disc", "ring", "triangle", "rectangle", "star", "cross", "crescent"]
PALETTE = [
    (29, 32, 44),
    (239, 71, 111),
    (255, 209, 102),
    (6, 214, 160),
    (17, 138, 200),
    (247, 127, 50),
    (155, 93, 229),
    (236, 238, 241),
]
SIDES = (150, 320)
"""Shortest and longest side of a scene, in pixels."""
DIAMETERS = (8, 200)
"""Smallest and largest shape, in pixels."""
TILT = 0.35
"""Largest angle from upright, in radians."""
CROP = 96
"""Side of a single-object crop, in pixels."""
MOST_HIDDEN = 0.2
"""Largest share of a shape that later ones may cover."""
LEAST_CONTRAST = 0.3
"""Smallest difference in lightness between a shape and what it covers."""


@dataclass(frozen=True)
class Scene:
    """A drawn picture (RGB), its mask (H, W) of indices into CLASSES, and its shapes in the order of drawing.

    ``owner`` (H, W) says which shape each pixel belongs to: 0 for the background, k + 1 for ``shapes[k]``.
    """

    image: Image.Image
    mask: NDArray[np.uint8]
    shapes: list[Shape]
    owner: NDArray[np.uint8]


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene with sides of 150 to 320 pixels and up to nine shapes, which may overlap."""
    height, width = (int(side) for side in rng.integers(SIDES[0], SIDES[1] + 1, 2))
    shapes, owner = _arrange(rng, height, width)
    indices = np.array([0, *(CLASSES.index(shape.name) for shape in shapes)], np.uint8)
    return Scene(_paint(rng, height, width, shapes), indices[owner], shapes, owner)


def draw_crop(rng: np.random.Generator, name: str) -> Image.Image:
    """Draw a square of 96 pixels with one whole shape, or with none if the name is "background"."""
    radius = rng.uniform(14, 44)
    x, y = rng.uniform(radius, CROP - radius, 2)
    shape = Shape(name, x, y, radius, rng.uniform(-TILT, TILT), rng.random())
    return _paint(rng, CROP, CROP, [] if name == "background" else [shape])


def _arrange(rng: np.random.Generator, height: int, width: int) -> tuple[list[Shape], NDArray[np.uint8]]:
    """Return shapes and the owner of each pixel (see ``Scene``), with enough of each shape visible to recognize it."""
    shapes: list[Shape] = []
    areas = [height * width]
    owner = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(4, 10)):
        shape = _random_shape(rng, height, width)
        rows, cols = shape.window(height, width)
        covered = shape.coverage(rows, cols) > 0
        after = owner.copy()
        after[rows, cols][covered] = len(shapes) + 1
        seen = np.bincount(after.ravel(), minlength=len(areas) + 1)[: len(areas)]
        if np.all(seen >= (1 - MOST_HIDDEN) * np.array(areas)):
            shapes.append(shape)
            areas.append(int(covered.sum()))
            owner = after
    return shapes, owner


def _random_shape(rng: np.random.Generator, height: int, width: int) -> Shape:
    smallest, largest = DIAMETERS[0], min(DIAMETERS[1], 0.9 * min(height, width))
    share = rng.beta(3.5, 1.2) if rng.random() < 0.85 else rng.uniform(0, 0.4)  # mostly large, some tiny
    diameter = smallest * (largest / smallest) ** share
    inset = 0.3 * diameter  # at most a fifth of a shape lies outside the picture
    x, y = rng.uniform(inset, width - inset), rng.uniform(inset, height - inset)
    name = CLASSES[rng.integers(1, len(CLASSES))]
    return Shape(name, x, y, diameter / 2, rng.uniform(-TILT, TILT), rng.random())


def _paint(rng: np.random.Generator, height: int, width: int, shapes: list[Shape]) -> Image.Image:
    """Paint the shapes with textures, shadows and light on a textured background."""
    hues = rng.random() + np.array([0, 0, rng.uniform(-0.12, 0.12), rng.choice([1 / 3, 1 / 2])])
    ground = rng.uniform(0.25, 0.9)
    chroma, hue, contrast = rng.uniform(0.01, 0.05), hues[0], rng.uniform(-0.06, 0.06)
    first = drawing.colour(ground, chroma, hue)
    second = drawing.colour(ground + contrast, chroma, hue + rng.uniform(-0.1, 0.1))
    picture = drawing.texture(rng, height, width, first, second)
    light = rng.uniform(0, 2 * np.pi)
    for shape in shapes:
        _paint_shape(rng, picture, shape, light, rng.choice(hues) + rng.normal(0, 0.03))
    return drawing.photograph(rng, picture, light)


def _paint_shape(rng: np.random.Generator, picture: Array, shape: Shape, light: float, hue: float) -> None:
    """Paint one shape and its shadow onto the picture, clearly lighter or darker than what it covers."""
    depth = 1 + shape.radius * rng.uniform(0.03, 0.12)
    rows, cols = shape.window(picture.shape[0], picture.shape[1], 3 * depth)
    part = picture[rows, cols]
    cover = shape.coverage(rows, cols, samples=3)[..., None]
    beneath = drawing.lightness((part * cover).sum((0, 1)) / cover.sum())

    shadow = replace(shape, x=shape.x - depth * np.cos(light), y=shape.y - depth * np.sin(light))
    part *= 1 - rng.uniform(0.15, 0.45) * drawing.blur(shadow.coverage(rows, cols), depth / 2)[..., None]

    levels = np.linspace(0.3, 0.93, 40)
    lightness = rng.choice(levels[np.abs(levels - beneath) > LEAST_CONTRAST])
    chroma, contrast = rng.uniform(0.08, 0.18), rng.uniform(-0.06, 0.06)
    first = drawing.colour(lightness, chroma, hue)
    second = drawing.colour(lightness + contrast, chroma, hue + rng.uniform(-0.06, 0.06))
    skin = drawing.texture(rng, part.shape[0], part.shape[1], first, second)
    y, x = np.ogrid[rows, cols]
    slope = ((x - shape.x) * np.cos(light) + (y - shape.y) * np.sin(light)) / shape.radius
    part += cover * (skin * (1 + 0.15 * slope)[..., None] - part)


def make(
    root: str | Path,
    *,
    train: int = 600,
    val: int = 60,
    test: int = 100,
    crops_per_class: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> None:
    """Draw the built-in data set into the folder ``root``, whole or not at all.

    ``train``, ``val`` and ``test`` are the numbers of scenes in ``images/SPLIT`` and ``masks/SPLIT``, described by
    ``dataset.yaml``. Pictures of single shapes, 96 pixels square, are in ``crops/SPLIT/CLASS``: ``crops_per_class`` of
    each class for train, a quarter as many for val. The same seed gives the same files, byte for byte. ``progress`` is
    called with the number of scenes and crops done and their total.

    Raises DataError if ``root`` exists and is not an empty folder, cannot be written, or the system ends one of the
    processes that draw; ConfigError for a count below 1 or a negative seed.
    """
    root = Path(root).resolve()
    scenes = {"train": train, "val": val, "test": test}
    for name, count in {**scenes, "crops_per_class": crops_per_class}.items():
        if count < 1:
            raise ConfigError(f"{name} is {count}, but must be at least 1.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}, but must be 0 or more.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root} exists and is not an empty folder. Name a new one, or remove this one first.")

    beside = root.with_name(f".{root.name}-{secrets.token_hex(4)}")
    crops = {"train": crops_per_class, "val": max(1, crops_per_class // 4)}
    tasks = [partial(_write_scene, beside, seed, split, i) for split in scenes for i in range(scenes[split])]
    for split, name in product(crops, CLASSES):
        tasks += [partial(_write_crop, beside, seed, split, name, i) for i in range(crops[split])]
    try:
        write_whole(beside / "dataset.yaml", _descriptor())
        # Ctrl-C reaches every process. Only this one handles it, and then gives the others no more to do.
        with ProcessPoolExecutor(initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
            try:
                for done, _ in enumerate(pool.map(partial.__call__, tasks, chunksize=8), 1):
                    if progress:
                        progress(done, len(tasks))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        beside.replace(root)
    except BrokenProcessPool as error:
        raise DataError(
            f"{root} was not drawn: a process that draws was ended from outside, as systems do when memory runs out. "
            "Close other programs, and run this again."
        ) from error
    except OSError as error:
        raise DataError(f"{root} cannot be written: {error.strerror}. Name another folder.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_scene(root: Path, seed: int, split: str, index: int) -> None:
    scene = draw_scene(_generator(seed, split, index))
    jpeg = root / "images" / split / f"{index:04d}.jpg"
    write_image(jpeg, scene.image, quality=95, subsampling="4:4:4")
    mask = Image.fromarray(scene.mask)
    mask.putpalette([value for rgb in PALETTE for value in rgb])
    write_image(root / "masks" / split / f"{index:04d}.png", mask)


def _write_crop(root: Path, seed: int, split: str, name: str, index: int) -> None:
    crop = draw_crop(_generator(seed, f"{split}/{name}", index), name)
    write_image(root / "crops" / split / name / f"{index:04d}.png", crop)


def _generator(seed: int, group: str, index: int) -> np.random.Generator:
    """Return a random stream of one picture's own, so that neither the pictures' order nor their number matters."""
    return np.random.default_rng([seed, index, *group.encode()])


def _descriptor() -> str:
    folders = {split: {"images": f"images/{split}", "masks": f"masks/{split}"} for split in ("train", "val", "test")}
    content = {"classes": CLASSES, "palette": [list(rgb) for rgb in PALETTE], "splits": folders}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
    return "# Drawn by `fullyconv data make`.\n" + text
