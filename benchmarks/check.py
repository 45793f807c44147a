"""What `data check` takes beside decoding the images and masks, which it cannot do without.

Makes ``--images`` photographs of one megapixel (JPEG, and every fourth PNG) with index masks (PNG), then times on the
same threads: decoding all files and nothing else; the check, with nothing remembered; the check again, with what the
first one remembered.

    python benchmarks/check.py --images 10000 --out /tmp/check
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fullyconv.data import check, open_data
from fullyconv.data.cache import FILE, contents_of
from fullyconv.data.parallel import count_threads, in_parallel

SIDE = 1024
DIFFERENT = 24
"""Scenes that are drawn; each is shown again and again, turned and shifted, so that no two are nearly the same."""
DESCRIPTOR = """classes: [ground, one, two, three, four, five, six]
ignore_index: 255
splits:
  train: {images: images/train, masks: masks/train}
  val: {images: images/val, masks: masks/val}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where the data are made and stay; else they go")
    options = parser.parse_args()
    root = options.out or Path(tempfile.mkdtemp(prefix="check-"))
    try:
        make(root, options.images)
        measure(root, options.repeats)
    finally:
        if options.out is None:
            shutil.rmtree(root)


def make(root: Path, count: int) -> None:
    """Write the data set, but for files that are there."""
    for kind in ("images", "masks"):
        for split in ("train", "val"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
    (root / "dataset.yaml").write_text(DESCRIPTOR)
    random = np.random.default_rng(0)
    scenes = [scene(random) for _ in range(min(count, DIFFERENT))]

    def write(index: int) -> None:
        split = "val" if index % 10 == 0 else "train"
        picture, mask = scenes[index % len(scenes)]
        path = root / "images" / split / f"{index:05}.{'png' if index % 4 == 0 else 'jpg'}"
        if not path.exists():
            turned, shown = np.rot90(picture, index // DIFFERENT), index // DIFFERENT // 4
            own = np.roll(turned, (SIDE // 16 * (shown % 16), SIDE // 8 * (shown // 16)), axis=(0, 1))
            Image.fromarray(own).save(path, **({"quality": 90} if path.suffix == ".jpg" else {"compress_level": 3}))
            Image.fromarray(mask).save(root / "masks" / split / f"{index:05}.png")

    for _ in in_parallel(write, range(count)):
        pass
    long_ago = time.time() - 60
    for path in root.rglob("*.*"):
        os.utime(path, (long_ago, long_ago))


def scene(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture with the detail of a photograph, and a mask of some regions."""
    small = Image.fromarray(random.integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8))
    smooth = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.int16)
    grain = random.integers(-8, 9, (SIDE, SIDE, 1))
    regions = Image.fromarray(random.integers(0, 7, (6, 6), np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return np.clip(smooth + grain, 0, 255).astype(np.uint8), np.asarray(regions)


def measure(root: Path, repeats: int) -> None:
    files = [path for path in sorted(root.rglob("*")) if path.suffix in (".png", ".jpg")]

    def decode(path: Path) -> None:
        with Image.open(path) as image:
            image.load()

    def decode_all() -> None:
        for _ in in_parallel(decode, files):
            pass

    def check_all() -> None:
        contents_of.cache_clear()
        report = check(open_data(root))
        assert not report.problems, report

    def forget_and_check() -> None:
        (root / FILE).unlink(missing_ok=True)
        check_all()

    decode_all()  # the files are in the system's memory from here on
    seconds = {name: [0.0] * repeats for name in ("decoding alone", "check", "check again")}
    works: dict[str, Callable[[], None]] = dict(zip(seconds, (decode_all, forget_and_check, check_all), strict=True))
    for repeat in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name][repeat] = time.perf_counter() - start
    print(f"{len(files) // 2} images of {SIDE}×{SIDE} with masks, {count_threads()} threads; least of {repeats}")
    alone = min(seconds["decoding alone"])
    for name, took in seconds.items():
        print(f"{name:15} {min(took):8.2f} s {min(took) / alone:6.2f} times decoding")


if __name__ == "__main__":
    main()
