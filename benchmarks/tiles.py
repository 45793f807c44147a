"""Memory against time of tiles and of bands, beside one pass over a whole image of 2048×2048.

    python benchmarks/tiles.py [--side 3072] [--full] [--only-bands]

fcn8s-resnet18 with 21 classes and random weights. Each measurement has a process of its own; the memory is what its
peak resident set grows by over what it is once the network and the image are there. ``--full``: 8192×8192.
Writes benchmarks/tiles.md.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

import fullyconv as fc
from fullyconv.inference.bands import predict_bands
from fullyconv.inference.tiles import predict_tiled

REFERENCE = 2048
NETWORK, CLASSES = "fcn8s-resnet18", 21
WARM = 256
FORMS = [("tiles", 256), ("tiles", 512), ("tiles", 1024), ("bands", 64), ("bands", 128), ("bands", 256), ("bands", 512)]


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(form, height, side):
    """Print the bytes that the peak grows by, and the seconds of the work."""
    torch.manual_seed(0)
    net = fc.create(NETWORK, CLASSES).eval()
    for parameter in net.score.parameters():
        torch.nn.init.normal_(parameter)
    image = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
    work = {
        "whole": lambda: net.predict(image),
        "tiles": lambda: predict_tiled(net, image, height),
        "bands": lambda: predict_bands(net, image, height),
    }[form]
    net.predict(image[..., :WARM, :WARM])
    before = peak()
    start = time.perf_counter()
    work()
    print(peak() - before, time.perf_counter() - start)


def in_own_process(form, height, side):
    command = [sys.executable, __file__, "--measure", form, str(height), str(side)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    memory, seconds = output.split()
    return int(memory) / 2**20, float(seconds) / side**2 * 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=3072)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only-bands", action="store_true")
    parser.add_argument("--measure", nargs=3, metavar=("FORM", "HEIGHT", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        form, height, side = options.measure
        measure(form, int(height), int(side))
        return
    side = 8192 if options.full else options.side
    forms = [form for form in FORMS if form[0] == "bands" or not options.only_bands]
    memory, base = in_own_process("whole", REFERENCE, REFERENCE)
    lines = [
        f"# Tiles and bands: {NETWORK}, {CLASSES} classes, {side}×{side}",
        "",
        f"`python benchmarks/tiles.py{' --full' if options.full else ''}`; torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads of {os.cpu_count()} CPU cores. Time is that of one pixel, as a ratio to "
        f"one pass over a whole {REFERENCE}×{REFERENCE} image, in this run; memory is above network and image.",
        "",
        "| what | memory: MiB | time for each pixel: µs | ratio |",
        "| --- | --- | --- | --- |",
        f"| {REFERENCE}×{REFERENCE}, whole | {memory:.0f} | {base:.3f} | 1.00 |",
    ]
    for form, height in forms:
        memory, micros = in_own_process(form, height, side)
        what = f"tiles of {height}×{height}" if form == "tiles" else f"bands of {height} rows"
        lines.append(f"| {what} | {memory:.0f} | {micros:.3f} | {micros / base:.2f} |")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
