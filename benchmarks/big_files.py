"""Files larger than memory: peak memory and time of `fullyconv predict` do not grow with the image.

    python benchmarks/big_files.py [--sides 4096 8192 16384] [--tile 1536] [--model fcn8s-smallvgg] [--out FOLDER]

Writes GeoTIFF images by window, labels each in a process of its own (random weights, 21 classes), and reads the peak of
that process's memory as `/usr/bin/time -v` does. Writes benchmarks/big_files.md.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

STEP = 2048


def write_image(path, side):
    """A georeferenced RGB image of soft noise, JPEG-compressed in tiles."""
    noise = np.random.default_rng(0).integers(0, 256, (3, STEP // 16, STEP // 16), dtype=np.uint8)
    block = noise.repeat(16, 1).repeat(16, 2)
    options = {"crs": "EPSG:32633", "transform": from_origin(500_000, 4_100_000, 0.5, 0.5), "tiled": True}
    options |= {"blockxsize": 512, "blockysize": 512, "compress": "jpeg", "photometric": "ycbcr", "bigtiff": "if_safer"}
    with (
        rasterio.Env(GDAL_CACHEMAX=64 * 2**20),
        rasterio.open(path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", **options) as file,
    ):
        for top in range(0, side, STEP):
            for left in range(0, side, STEP):
                window = Window(left, top, min(STEP, side - left), min(STEP, side - top))
                file.write(np.roll(block, top + left, (1, 2))[:, : window.height, : window.width], window=window)


def save_network(name, folder):
    """In a process of its own: this one stays small, since a child's peak is at least its parent's."""
    code = (
        "import pathlib, sys, torch; from fullyconv.fcn import build; from fullyconv.weights import run_folder; "
        "torch.manual_seed(0); net = build(sys.argv[1], [f'class {i}' for i in range(21)]); "
        "[torch.nn.init.normal_(score.weight) for score in net.score.values()]; "
        "run_folder.save(net, pathlib.Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, name, str(folder)], check=True)


def measure(model, image, out, tile):
    """Peak memory in MiB, and seconds."""
    command = ["fullyconv", "predict", str(model), str(image), "--out", str(out), "--tile", str(tile)]
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", *command])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--tile", default="1536")
    parser.add_argument("--model", default="fcn8s-smallvgg")
    parser.add_argument("--out", type=Path, help="Where the images go.  [default: a temporary folder]")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        model = Path(folder) / "model"
        save_network(arguments.model, model)
        for side in arguments.sides:
            image, out = Path(folder) / f"{side}.tif", Path(folder) / "out"
            write_image(image, side)
            peak, seconds = measure(model, image, out, arguments.tile)
            rows.append((side, peak, seconds))
            print(f"{side}×{side}: {peak:.0f} MiB, {seconds:.1f} s", flush=True)
            image.unlink()
            (out / image.name).unlink()
    least = min(peak for _, peak, _ in rows)
    lines = [
        f"# Files larger than memory: {arguments.model}, 21 classes, --tile {arguments.tile}",
        "",
        f"`python benchmarks/{Path(__file__).name}`; torch {version('torch')}, {os.cpu_count()} CPU cores "
        f"({platform.machine()}). Each image in a process of its own; peak of its resident memory, all in all.",
        "",
        "| image | as RGB in memory: MiB | peak: MiB | peak / least | s | s / Mpixel |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for side, peak, seconds in rows:
        pixels = side * side / 1e6
        lines.append(
            f"| {side}×{side} | {3 * side * side / 2**20:.0f} | {peak:.0f} | {peak / least:.2f} | {seconds:.1f} | "
            f"{seconds / pixels:.3f} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    Path(__file__).with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
