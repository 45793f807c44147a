"""Damaged and hostile weights files: each is read or refused in words, at once, and in bounded memory.

Small valid files of each format are cut, flipped, overwritten, spliced, and given other lengths. What a reader does
with one is a success or a WeightsError; anything else ends the run. Memory is the process's own peak, read for each
file: ``python benchmarks/fuzz_weights.py [--files 4000] [--out benchmarks/fuzz_weights.md]``.
"""

import argparse
import ctypes
import gc
import io
import platform
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from fullyconv.errors import WeightsError
from fullyconv.model.backbones import paper
from fullyconv.model.fcn import FCN
from fullyconv.weights import caffe, pytorch_fcn, release
from fullyconv.weights.tensors import read_tensors
from tests.caffe import nets
from tests.caffe.model import Net, caffemodel

THIN = 64
MODEL = "fcn8s-atonce-vgg16"
SLOWEST = 2.0
"""Seconds that one file may take."""
FEW = 24 << 20
"""What reading may take besides twice the file's size: Python's own objects, and the allocator's slack."""

EXPLANATION = """Files of thin networks, damaged; each was read and fitted to its network, or refused with a
WeightsError; nothing else happened. No file took more than twice its size and 24 MiB. The last
column is the peak of reading a large valid file (a network half as wide as the paper's), in
multiples of its size."""


class Format(NamedTuple):
    """``large``: a valid file of a network half as wide as the paper's, on which memory is measured."""

    name: str
    files: list[bytes]
    large: Callable[[], bytes]
    read: Callable[[Path], object]


def formats() -> list[Format]:
    """Each is read, and in the fuzz also fitted to the network whose weights it is."""
    new = nets.vgg16(8, 3, thin=THIN, scaled=True)
    old = nets.vgg16_classifier(thin=THIN, classes=10)
    weights, first = nets.random_weights(new), nets.random_weights(old)
    half, half_first = nets.vgg16(8, 3, thin=2), nets.vgg16_classifier(thin=2)
    return [
        Format(
            "caffemodel, new layers",
            [
                caffemodel(new, weights),
                caffemodel(new, weights, double=True, packed=False),
                caffemodel(new, weights, legacy=True),
            ],
            lambda: caffemodel(half, nets.random_weights(half)),
            lambda path: caffe.read(path).layers,
        ),
        Format(
            "caffemodel, old layers",
            [
                caffemodel(old, first, old=True, legacy=True),
                caffemodel(old, first, old=True, packed=False),
                caffemodel(old, first, old=True, double=True),
            ],
            lambda: caffemodel(half_first, nets.random_weights(half_first), old=True, legacy=True),
            lambda path: caffe.read(path).layers,
        ),
        Format("pth", [pth(new), pth(new, zipped=False)], lambda: pth(half), read_pytorch_fcn),
        Format("safetensors", [safetensors_of(new)], lambda: safetensors_of(half), read_pytorch_fcn),
    ]


def read_pytorch_fcn(path: Path) -> caffe.Layers:
    return pytorch_fcn.layers(read_tensors(path), MODEL)


def state_dict(net: Net) -> dict[str, torch.Tensor]:
    return {
        f"{layer}.{kind}": torch.from_numpy(blob)
        for layer, blobs in nets.random_weights(net).items()
        for kind, blob in zip(("weight", "bias"), blobs, strict=False)
        if not layer.startswith("scale")
    }


def pth(net: Net, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save({"model_state_dict": state_dict(net), "epoch": 1}, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def safetensors_of(net: Net) -> bytes:
    return safetensors.torch.save(state_dict(net))


def mutated(files: list[bytes], random: np.random.Generator) -> bytes:
    """One of ``files``, damaged in one to four ways."""
    content = bytearray(files[random.integers(len(files))])
    for _ in range(random.integers(1, 5)):
        if not content:
            break
        at = near_the_start_or_anywhere(len(content), random)
        match random.integers(8):
            case 0:
                del content[at:]
            case 1:
                content[at] ^= 1 << int(random.integers(8))
            case 2:
                content[at] = int(random.integers(256))
            case 3:
                end = at + int(random.integers(1, 64))
                content[at:end] = random.bytes(end - at)
            case 4:  # a varint or a length that says far too much
                content[at : at + 10] = b"\xff" * int(random.integers(1, 10)) + b"\x7f"
            case 5:
                content[at : at + 8] = struct.pack("<Q", int(random.integers(2**62)))
            case 6:  # another place of this file, or of another
                other = files[random.integers(len(files))]
                place = int(random.integers(len(other)))
                content[at:at] = other[place : place + int(random.integers(1, 4096))]
            case 7:
                content = bytearray(random.bytes(int(random.integers(1, 4096)))) if random.random() < 0.1 else content
                del content[at : at + int(random.integers(1, 512))]
    return bytes(content)


def near_the_start_or_anywhere(size: int, random: np.random.Generator) -> int:
    """Headers are at the start, and in torch's archives also at the end."""
    match random.integers(3):
        case 0:
            return int(random.integers(min(size, 2048)))
        case 1:
            return size - 1 - int(random.integers(min(size, 2048)))
    return int(random.integers(size))


def peak(reset: bool = False) -> int:
    """The process's largest resident size since the last reset, in bytes (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def memory(form: Format, path: Path) -> float:
    """The peak of reading a large valid file, in multiples of its size."""
    path.write_bytes(form.large())
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = peak(reset=True)
    layers = form.read(path)
    for blobs in layers.values():  # what is mapped counts once it is looked at
        for blob in blobs:
            blob.count_nonzero()
    return (peak() - before) / path.stat().st_size


def fuzz(form: Format, net: FCN, count: int, path: Path) -> str:
    """A row of the table. Raises RuntimeError where a file is neither read nor refused, or takes too much."""
    random = np.random.default_rng(0)
    for content in form.files:  # whole, they are read
        path.write_bytes(content)
        release.fit(net, form.read(path), str(path))
    read = refused = 0
    slowest = 0.0
    for number in range(count):
        content = mutated(form.files, random)
        path.write_bytes(content)
        before = peak(reset=True)
        start = time.perf_counter()
        try:
            layers = form.read(path)
            release.input_channels(layers)
            release.fit(net, layers, str(path))
            read += 1
        except WeightsError:
            refused += 1
        except BaseException as error:
            raise RuntimeError(f"{form.name}, file {number}: {type(error).__name__}: {error}") from error
        seconds, more = time.perf_counter() - start, peak() - before
        if seconds > SLOWEST or more > 2 * len(content) + FEW:
            raise RuntimeError(f"{form.name}, file {number} of {len(content)} bytes: {seconds:.1f} s, {more} bytes")
        slowest = max(slowest, seconds)
    multiple = memory(form, path)
    return f"| {form.name} | {count:,} | {refused:,} | {read:,} | {1000 * slowest:.0f} | {multiple:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=4000, help="of each format")
    parser.add_argument("--out", type=Path, help="a Markdown file for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paper.VGG16.widths = tuple(nets.thinned(width, THIN) for width in paper.VGG16.widths)
    paper.VGG16.hidden = nets.thinned(paper.VGG16.hidden, THIN)
    net = release.skeleton(MODEL, 3, 3)
    lines = ["| format | files | refused | read | slowest, ms | peak memory ÷ size |", "|---|---:|---:|---:|---:|---:|"]
    print("\n".join(lines))
    with tempfile.TemporaryDirectory() as folder:
        for form in formats():
            lines.append(fuzz(form, net, arguments.files, Path(folder) / "weights"))
            print(lines[-1], flush=True)
    if arguments.out:
        machine = f"torch {torch.__version__}, one core of a CPU ({platform.machine()})"
        heading = f"`python benchmarks/fuzz_weights.py --files {arguments.files}`; {machine}.\n{EXPLANATION}"
        arguments.out.write_text("\n".join([heading, "", *lines]) + "\n")


if __name__ == "__main__":
    main()
