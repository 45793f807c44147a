"""What each setting of augmentation costs: processor time for a crop of 320×320 out of an image of 480×640.

    python benchmarks/augmentation.py [--samples 200]

One thread, as in a loader process; the medians, of the time that the thread itself ran. All settings take turns, so
that a busy machine slows them alike. Writes benchmarks/augmentation.md.
"""

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from torch.nn.functional import interpolate
from torchvision import tv_tensors

from fullyconv.data.augmentation.copy_paste import Donors
from fullyconv.data.augmentation.flips import exchange_table
from fullyconv.data.augmentation.settings import PRESETS, Augmentation
from fullyconv.data.augmentation.transform import TrainTransform

CROP, IMAGE, CLASSES = (320, 320), (480, 640), 8
SETTINGS: dict[str, dict[str, object]] = {
    "flip 0.5": {"flip": 0.5},
    "vertical_flip 0.5": {"vertical_flip": 0.5},
    "quarter_turns 0.75": {"quarter_turns": 0.75},
    "rotate 15": {"rotate": 15},
    "rotate 15, shear 10, elastic 8": {"rotate": 15, "shear": 10, "elastic": 8},
    "flip 0.5, flip_pairs": {"flip": 0.5, "flip_pairs": [["0", "1"]]},
    "color 0.3": {"color": 0.3},
    "gray 0.5": {"gray": 0.5},
    "gamma 0.3": {"gamma": 0.3},
    "blur 1.5": {"blur": 1.5},
    "noise 8": {"noise": 8},
    "jpeg 40": {"jpeg": 40},
    "cutout 0.3": {"cutout": 0.3},
    "copy_paste 0.5": {"copy_paste": 0.5},
}


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    image = interpolate(torch.rand(1, 3, 30, 40), IMAGE, mode="bicubic").clamp(0, 1)[0].mul(255).to(torch.uint8)
    return image, (image[0] // (256 // CLASSES)).contiguous()


def transform(options: Augmentation) -> TrainTransform:
    names = [str(label) for label in range(CLASSES)]
    samples = [(*scene(), index) for index in range(4)]
    donors = Donors(samples, torch.ones(4, CLASSES, dtype=torch.bool), [torch.ones(CLASSES)])
    exchanged = exchange_table(options.flip_pairs, names, [CLASSES])
    return TrainTransform(CROP, options, exchanged=exchanged, donors=donors if options.copy_paste else None)


def measure(transforms: dict[str, TrainTransform], samples: int) -> dict[str, float]:
    """Return the median milliseconds that each takes."""
    pixels, labels = scene()
    image, mask = tv_tensors.Image(pixels), tv_tensors.Mask(labels)
    taken: dict[str, list[float]] = {name: [] for name in transforms}
    for seed in range(samples + 5):
        for name, change in transforms.items():
            torch.manual_seed(seed)
            start = time.thread_time()
            change(image, mask)
            taken[name].append(1000 * (time.thread_time() - start))
    return {name: statistics.median(times[5:]) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plain = {"preset": "none", "scale": (0.5, 2.0)}
    alone = {name: Augmentation.model_validate(plain | changes) for name, changes in SETTINGS.items()}
    presets = {name: Augmentation.model_validate(name) for name in PRESETS}
    given = {"crop": Augmentation.model_validate(plain)} | alone | presets
    found = measure({name: transform(options) for name, options in given.items()}, options.samples)
    crop = found.pop("crop")
    lines = [
        "# The cost of augmentation",
        "",
        f"`python benchmarks/augmentation.py`; torch {torch.__version__}, one thread of {os.cpu_count()} "
        f"({platform.machine()}).",
        "",
        "Milliseconds of processor time for a sample of 320×320 pixels, out of an image of 480×640 that is decoded",
        f"already: the median of {options.samples} samples. Scale and crop alone take {crop:.2f} ms.",
        "",
        "| setting | ms beyond scale and crop |",
        "| --- | --- |",
        *(f"| {name} | {max(0.0, found[name] - crop):.2f} |" for name in alone),
        "",
        "| preset | ms in all | times the default |",
        "| --- | --- | --- |",
        *(f"| {name} | {found[name]:.2f} | {found[name] / found['default']:.2f} |" for name in presets),
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
