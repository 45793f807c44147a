"""Labels and loss from 1/8 scores, fused, against upsampling to the image's size first: peak extra memory and time.

    python benchmarks/readout.py [--classes 21] [--size 1024 2048] [--repeats 5]

Each measurement has a process of its own. On the CPU the memory is what the process's peak resident set grows by; on
a GPU it is what torch's allocator reports. Writes benchmarks/readout.md.
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F

from fullyconv.geometry import Lattice
from fullyconv.model import readout
from fullyconv.objective import Objective

STRIDE = 8
LATTICE = Lattice((Fraction(STRIDE),) * 2, (Fraction(STRIDE - 1, 2),) * 2)
WORK = ("labels", "loss")
OBJECTIVES = ("cross_entropy", "focal", "ohem", "dice", "tversky", "cross_entropy+dice")
"""Compared with one another, without logits."""


def upsampled(scores):
    return F.interpolate(scores, scale_factor=STRIDE, mode="bilinear")


def run(form, work, scores, labels):
    """One pass; for the loss, with its gradient."""
    if work == "labels":
        with torch.no_grad():
            if form == "fused":
                return readout.labels(scores, LATTICE, labels.shape[1:])
            return upsampled(scores).argmax(1)
    if form == "fused":
        objective = None if work == "loss" else Objective(work)
        loss = readout.loss(scores, labels, LATTICE, objective=objective)
    else:
        loss = F.cross_entropy(upsampled(scores), labels.long(), ignore_index=255)
    return torch.autograd.grad(loss, scores)[0]


def measure(form, work, classes, height, width, repeats, device):
    """Print the peak extra memory in bytes, and the median seconds."""
    small = torch.randn(1, classes, 8, 8, device=device, requires_grad=True)
    run(form, work, small, torch.zeros(1, 64, 64, dtype=torch.uint8, device=device))
    scores = torch.randn(1, classes, height // STRIDE, width // STRIDE, device=device, requires_grad=True)
    labels = torch.randint(0, classes, (1, height, width), dtype=torch.uint8, device=device)
    cuda = device == "cuda"
    before = torch.cuda.memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    run(form, work, scores, labels)
    after = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(form, work, scores, labels)
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    print(after - before, statistics.median(seconds))


def in_own_process(form, work, options, device):
    command = [sys.executable, __file__, "--measure", form, work, "--device", device]
    command += ["--classes", options.classes, "--size", *options.size, "--repeats", options.repeats]
    output = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    memory, seconds = output.split()
    return int(memory), float(seconds)


def table(options):
    height, width = options.size
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    lines = [
        f"# Readout: 1×{options.classes}×{height}×{width} from 1/{STRIDE} scores",
        "",
        f"`python benchmarks/readout.py`; torch {torch.__version__}, {torch.get_num_threads()} CPU threads "
        f"({platform.machine()}), " + (torch.cuda.get_device_name() if len(devices) > 1 else "no GPU") + ".",
        "",
        "| device | what | upsample first: MiB | fused: MiB | memory | upsample first: s | fused: s | time |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for device in devices:
        for work in WORK:
            (m0, t0), (m1, t1) = (in_own_process(form, work, options, device) for form in ("upsampled", "fused"))
            lines.append(
                f"| {device} | {work} | {m0 / 2**20:.0f} | {m1 / 2**20:.1f} | {m1 / m0:.3f} | "
                f"{t0:.3f} | {t1:.3f} | {t1 / t0:.2f} |"
            )
    lines += [
        "",
        "Other losses, with their gradients, beside cross-entropy:",
        "",
        "| device | loss | MiB | s | memory | time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for device in devices:
        m0, t0 = 0, 0.0
        for work in OBJECTIVES:
            m1, t1 = in_own_process("fused", work, options, device)
            m0, t0 = m0 or m1, t0 or t1
            lines.append(f"| {device} | {work} | {m1 / 2**20:.1f} | {t1:.3f} | {m1 / m0:.2f} | {t1 / t0:.2f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 2048))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", nargs=2, metavar=("FORM", "WORK"), help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure, options.classes, *options.size, options.repeats, options.device)
        return
    text = table(options)
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
