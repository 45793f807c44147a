"""What a data set of annotations costs: opening it, drawing its masks, and reading them in later epochs.

Makes a COCO file of ``--annotations`` polygons of 10 to 60 points over ``--images`` images of 640x480, and prints, each
the least of ``--repeats``: ``json.load`` of the file, and ``open_data`` of it, with the images there and missing;
drawing the masks of 200 images of about 10 objects, beside pycocotools' ``annToMask``; reading the drawn masks again,
beside the same masks as plain PNG files in folders.

    python benchmarks/annotations.py
"""

import argparse
import gc
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from fullyconv.data import Data, Pair, open_data
from fullyconv.data.annotations.drawing import FOLDER, Drawing
from fullyconv.data.annotations.painter import paint
from fullyconv.data.pairs import read_labels

HEIGHT, WIDTH = 480, 640
CATEGORIES = 40
DRAWN, OBJECTS = 200, 10
"""The images whose masks are drawn, and about how many objects each of them has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=15_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="annotations-"))
    try:
        file = make(root / "coco", options.annotations, options.images)
        measure_opening(file, options.repeats)
        measure_masks(file, root / "folders", options.repeats)
    finally:
        shutil.rmtree(root)


def make(root: Path, annotations: int, images: int) -> Path:
    """Write the COCO file and its images, and return the file.

    The images are one JPEG, with as many bytes after it as photographs have, zeros but for the number at the end.
    """
    random = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    encoded = BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(encoded, format="JPEG")
    for number in range(images):
        with (root / "images" / name(number)).open("wb") as image:
            image.write(encoded.getvalue())
            image.seek(int(random.integers(20_000, 200_000)))
            image.write(number.to_bytes(8))
    content = {
        "images": [
            {"id": number, "file_name": name(number), "height": HEIGHT, "width": WIDTH} for number in range(images)
        ],
        "categories": [{"id": number, "name": f"class {number}"} for number in range(1, CATEGORIES + 1)],
        "annotations": [annotation(number, images, random) for number in range(annotations)],
    }
    file = root / "instances.json"
    file.write_text(json.dumps(content))
    print(f"{annotations:,} annotations of {images:,} images: {file.stat().st_size >> 20} MiB")
    return file


def name(number: int) -> str:
    return f"{number:012}.jpg"


def annotation(number: int, images: int, random: np.random.Generator) -> dict[str, object]:
    """A polygon about a centre, whose distance from it changes from point to point, with all that COCO's files have."""
    points = int(random.integers(10, 61))
    radius = random.uniform(10, 90) * random.uniform(0.7, 1.3, points)
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    x = (random.uniform(0, WIDTH) + radius * np.cos(angle)).clip(0, WIDTH).round(2)
    y = (random.uniform(0, HEIGHT) + radius * np.sin(angle)).clip(0, HEIGHT).round(2)
    box = [x.min(), y.min(), x.max() - x.min(), y.max() - y.min()]
    return {
        "id": number,
        "image_id": int(random.integers(images)),
        "category_id": int(random.integers(1, CATEGORIES + 1)),
        "segmentation": [np.stack([x, y], 1).ravel().tolist()],
        "area": float(box[2] * box[3]),
        "bbox": [round(float(side), 2) for side in box],
        "iscrowd": 0,
    }


def least(repeats: int, *actions: Callable[[], object]) -> list[float]:
    """Return the least time of each action; they take turns, so that a busy machine slows all of them."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repeats):
        for action, own in zip(actions, times, strict=True):
            gc.collect()
            begin = time.perf_counter()
            action()
            own.append(time.perf_counter() - begin)
    return [min(own) for own in times]


def report(what: str, seconds: float, other: str, reference: float) -> None:
    print(f"{what}: {seconds:.3f} s; {other}: {reference:.3f} s; ratio {seconds / reference:.2f}")


def measure_opening(file: Path, repeats: int) -> None:
    alone = file.parent.parent / "alone" / file.name  # a copy without images
    alone.parent.mkdir()
    shutil.copy(file, alone)
    load, there, missing = least(
        repeats, lambda: json.loads(file.read_bytes()), lambda: open_data(file), lambda: open_data(alone)
    )
    report("open_data, images there", there, "json.load", load)
    report("open_data, images missing", missing, "json.load", load)


def measure_masks(file: Path, folders: Path, repeats: int) -> None:
    with redirect_stdout(StringIO()):
        coco = COCO(file)
    number_of = {name(number): number for number in coco.imgs}
    data = open_data(file)
    pairs = [pair for split in data.splits.values() for pair in split]
    pairs.sort(key=lambda pair: abs(len(coco.imgToAnns[number_of[pair.image.name]]) - OBJECTS))
    pairs = pairs[:DRAWN]
    drawings = [pair.drawing for pair in pairs if pair.drawing is not None]
    annotations = [coco.imgToAnns[number_of[pair.image.name]] for pair in pairs]
    own, theirs = least(repeats, lambda: list(map(draw, drawings)), lambda: [union(coco, own) for own in annotations])
    report(f"drawing {len(pairs)} masks", own, "annToMask", theirs)

    plain = open_data(as_folders(folders, pairs, data))
    others = [pair for split in plain.splits.values() for pair in split]
    own, theirs = least(repeats, lambda: read(pairs, data), lambda: read(others, plain))
    report(f"reading {len(pairs)} drawn masks again", own, "plain PNGs", theirs)
    shutil.rmtree(file.parent / FOLDER)


def draw(drawing: Drawing) -> np.ndarray:
    size = drawing.annotated.size or (HEIGHT, WIDTH)
    return paint(drawing.annotated.shapes(size), size, drawing.style.rule, drawing.style.order).labels


def union(coco: COCO, annotations: Sequence[dict[str, int]]) -> np.ndarray:
    """Paint a mask of categories with pycocotools, as COCO's users do it."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for own in annotations:
        labels = np.maximum(labels, coco.annToMask(own) * own["category_id"])
    return labels


def as_folders(folders: Path, pairs: Sequence[Pair], data: Data) -> Path:
    """Write the images and their masks, drawn here, as a data set of folders."""
    for kind in ("images", "masks"):
        (folders / kind).mkdir(parents=True)
    for pair in pairs:
        shutil.copy(pair.image, folders / "images" / pair.image.name)
        Image.fromarray(read_labels(pair, data.codes)).save(folders / "masks" / f"{pair.image.stem}.png")
    return folders


def read(pairs: Sequence[Pair], data: Data) -> None:
    for pair in pairs:
        read_labels(pair, data.codes)


if __name__ == "__main__":
    main()
