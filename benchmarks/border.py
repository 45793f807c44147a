"""The paper's FCN-8s without the work on its border, beside the same network elsewhere: time, and the scores' equality.

    python benchmarks/border.py [--size 500 500] [--threads 2] [--rounds 3] [--only NAME ...]

Bytes to labels, 32-bit floats, random weights, the same for all. Each way to run the network is made ready alone; its
runs take turns with pytorch-fcn's, and its ratio is to those runs, so that a machine whose speed drifts does not
decide. Writes benchmarks/border.md.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch
from peers import FCN8s, openvino_labels, pytorch_fcn, scored
from torch import Tensor

from fullyconv.bench.bench import operations
from fullyconv.bench.process import matrix_rate
from fullyconv.exporting.fixed import on_openvino
from fullyconv.model.border import without_border
from fullyconv.model.fcn import FCN

BASE, WHOLE = "pytorch-fcn, eager", "OpenVINO, whole graph"
FREEZING = {"freezing": True}
Labels = Callable[[Tensor], Tensor]


def ways(net: FCN, peers: dict[torch.memory_format, FCN8s], size: tuple[int, int]) -> dict[str, Callable[[], Labels]]:
    """By name, what makes it ready: images (1, 3, H, W), bytes → labels."""

    def labels_of(model: Callable[[Tensor], Tensor], form: torch.memory_format) -> Labels:
        return lambda images: model(_normalized(net, images).contiguous(memory_format=form)).argmax(1)

    def eager(form: torch.memory_format) -> Labels:
        return labels_of(peers[form], form)

    def compiled() -> Labels:
        model = torch.compile(peers[torch.channels_last], dynamic=False, options=FREEZING)
        return labels_of(model, torch.channels_last)

    def whole() -> Labels:
        labels = openvino_labels(peers[torch.contiguous_format], (1, 3, *size))
        return lambda images: labels(_normalized(net, images).contiguous())

    def lean_compiled() -> Labels:
        lean = without_border(net)
        lean.scores(torch.zeros(1, 3, *size, dtype=torch.uint8))  # makes the maps that it keeps
        vars(lean)["scores"] = torch.compile(lean.scores, dynamic=False, options=FREEZING)
        return lean.predict

    return {
        BASE: lambda: eager(torch.contiguous_format),
        "pytorch-fcn, channels_last": lambda: eager(torch.channels_last),
        "pytorch-fcn, torch.compile": compiled,
        WHOLE: whole,
        "ours, plain": lambda: net.predict,
        "ours, no border": lambda: without_border(net).predict,
        "ours, no border, torch.compile": lean_compiled,
        "ours, no border, OpenVINO": lambda: on_openvino(net, size),
    }


def _normalized(net: FCN, images: Tensor) -> Tensor:
    return (images.float() - net.mean) / net.std


def rows(options: argparse.Namespace) -> Iterator[str]:
    size = tuple(options.size)
    torch.manual_seed(1)
    images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    net = scored("fcn8s-vgg16", 21)
    peers = {form: pytorch_fcn(net, form) for form in (torch.contiguous_format, torch.channels_last)}
    counted = operations(net, size, 3)
    with torch.no_grad():
        plain, lean = net.scores(images), without_border(net).scores(images)
        error = float((plain - lean).abs().max() / plain.abs().max())
        want = peers[torch.contiguous_format](_normalized(net, images)).argmax(1)
    rate = matrix_rate({"side": 3072, "device": "cpu"})["rate"]
    yield (
        f"{counted['operations'] / 1e9:.0f} GFLOP with the border, {counted['without_border'] / 1e9:.0f} without: "
        f"{counted['without_border'] / counted['operations']:.3f}. Scores without the border differ by {error:.1e} of "
        f"the largest. Products of large matrices run at {rate / 1e9:.0f} GFLOP/s: a floor of "
        f"{counted['operations'] / rate:.2f} s with the border, {counted['without_border'] / rate:.2f} s without."
    )
    yield ""
    yield f"| way | seconds | {BASE}, in turn | times faster | than {WHOLE} | labels equal |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    base = ways(net, peers, size)[BASE]()
    whole = None
    for name, ready in ways(net, peers, size).items():
        if options.only and name not in options.only:
            continue
        equal, own, other = beside_base(ready(), base, images, want, options.rounds)
        torch.compiler.reset()
        faster = other / own
        whole = faster if name == WHOLE else whole
        beside = f"{faster / whole:.2f}" if whole else ""
        yield f"| {name} | {own:.2f} | {other:.2f} | {faster:.2f} | {beside} | {equal:.6f} |"


@torch.inference_mode()
def beside_base(labels: Labels, base: Labels, images: Tensor, want: Tensor, rounds: int) -> tuple[float, float, float]:
    """The fraction of labels as wanted; the median seconds of ``labels``, and of ``base`` in turn, both warm."""
    equal = float((labels(images) == want).float().mean())
    base(images)
    taken: list[tuple[float, float]] = []
    for _ in range(rounds):
        start = time.perf_counter()
        labels(images)
        middle = time.perf_counter()
        base(images)
        taken.append((middle - start, time.perf_counter() - middle))
    own, other = (statistics.median(seconds) for seconds in zip(*taken, strict=True))
    return equal, own, other


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, nargs=2, default=(500, 500))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="some of the ways")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = [
        f"# FCN-8s VGG-16 without the work on its border, {options.size[0]}×{options.size[1]} pixels",
        "",
        f"`python benchmarks/border.py`; torch {torch.__version__}, {options.threads} CPU threads "
        f"({platform.machine()}), load before: {os.getloadavg()[0]:.1f}; medians of {options.rounds} runs.",
        "",
    ]
    print("\n".join(lines))
    for line in rows(options):
        print(line, flush=True)
        lines.append(line)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
