"""The loop of docs/data.md: label few, train, predict, correct in a tool's format, train again.

    python benchmarks/loop.py CAMVID [--steps 500] [--out runs/loop]

A network is trained on the truth of 20 of CamVid's train frames. It labels 200 others, which are written as COCO's and
as CVAT's annotations (``data convert --model``) and opened again. The part of the annotator is played with the truth:
an area of one class is kept if the truth agrees in nine of ten of its pixels, and everything else is drawn anew. What
that gives is written in the same format, with the 20 frames, and another network is trained on it, opened as it is. All
are measured on CamVid's test frames. As a bound, one more network is trained on the truth of all 220.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import scipy.ndimage
import yaml
from PIL import Image

import fullyconv as fc
from fullyconv.api import convert
from fullyconv.classes import IGNORE
from fullyconv.data import open_data
from fullyconv.data.catalog import Data
from fullyconv.data.pairs import Pair, read_labels

LABELLED, PREDICTED = 20, 200
AGREES = 0.9
RECIPE = Path(__file__).parents[1] / "recipes/camvid-cpu.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("--steps", type=int, default=500, help="of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/loop"))
    options = parser.parse_args()
    camvid, out = open_data(options.camvid), options.out
    frames = spread(camvid.splits["train"], LABELLED + PREDICTED)
    first = spread(frames, LABELLED)
    others = [pair for pair in frames if pair not in first]
    truth = {pair.image.name: read_labels(pair, camvid.codes) for pair in frames}

    def train_and_measure(data: Path, name: str) -> Path:
        run = fc.train(data, out=out / name, recipe=RECIPE, steps=options.steps, settings=["training.max_minutes=null"])
        result = fc.evaluate(run, options.camvid, split="test")
        count = len(open_data(data).splits["train"])
        print(f"{name}: {count} frames to train on, mean IoU on test {result['mean_iou']:.3f}", flush=True)
        return run

    write(out / "labelled", camvid, first, [truth[pair.image.name] for pair in first])
    run = train_and_measure(out / "labelled", "first")
    for pair in others:
        copy(pair.image, out / "new/images")
    fc.predict(run, out / "new/images", out / "new/masks")
    for form in ("coco", "cvat"):
        convert(out / "new", out / f"{form}-predicted", form, model=run, tolerance=2)
        predicted = open_data(out / f"{form}-predicted")
        labels, kept = correct(predicted, camvid, truth)
        print(f"{form}: {kept:.1%} of the pixels are in areas that are kept", flush=True)
        write(
            out / f"{form}-masks",
            camvid,
            [*first, *others],
            [truth[pair.image.name] for pair in first] + [labels[pair.image.name] for pair in others],
        )
        convert(out / f"{form}-masks", out / form, form, tolerance=2)
        train_and_measure(out / form, f"{form}-corrected")
    write(out / "all", camvid, frames, [truth[pair.image.name] for pair in frames])
    train_and_measure(out / "all", "truth-of-all")


def spread(pairs: list[Pair], count: int) -> list[Pair]:
    """Return ``count`` pairs at equal distances."""
    return [pairs[place] for place in np.linspace(0, len(pairs) - 1, count).round().astype(int)]


def correct(predicted: Data, camvid: Data, truth: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
    """Return the corrected labels by the image's name, and the share of the pixels in areas that are kept."""
    label_of = np.array([*map(camvid.classes.index, predicted.classes), *[IGNORE] * (256 - len(predicted.classes))])
    corrected, kept, pixels = {}, 0, 0
    for pair in (pair for pairs in predicted.splits.values() for pair in pairs):
        true, found = truth[pair.image.name], label_of[read_labels(pair, predicted.codes)]
        labels = true.copy()
        for label in np.unique(found[found != IGNORE]):
            areas, count = scipy.ndimage.label(found == label)
            agree = scipy.ndimage.mean((true == label) | (true == IGNORE), areas, np.arange(1, count + 1))
            keep = np.isin(areas, 1 + np.flatnonzero(agree >= AGREES))
            labels[keep] = label
            kept += int(keep.sum())
        corrected[pair.image.name] = labels
        pixels += labels.size
    return corrected, kept / pixels


def write(folder: Path, camvid: Data, pairs: list[Pair], labels: list[np.ndarray]) -> None:
    """Write frames with index masks, divided into train and val by where they are in the list."""
    about = {"classes": camvid.classes, "palette": [list(colour) for colour in camvid.palette], "ignore_index": IGNORE}
    splits = {name: {"images": f"images/{name}", "masks": f"masks/{name}"} for name in ("train", "val")}
    for place, (pair, mask) in enumerate(zip(pairs, labels, strict=True)):
        split = "val" if place % 10 == 5 else "train"
        copy(pair.image, folder / "images" / split)
        path = folder / "masks" / split / f"{pair.image.stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    (folder / "dataset.yaml").write_text(yaml.safe_dump({**about, "splits": splits}))


def copy(image: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(image, folder)


if __name__ == "__main__":
    main()
