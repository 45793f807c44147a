"""The paper's networks, whole, against the references that can run them: largest error of the scores, labels equal.

    python benchmarks/sameness.py [--network NAME ...] [--size 500x500 ...]

Weights are random (He's), written as a caffemodel and converted, or torchvision's own; images are patches and noise.
The error is the largest difference of two maps of scores, divided by the largest score; with two heads the worse one
counts. One row per network and size; rows of networks that are not asked for stay. Writes benchmarks/sameness.md.
"""

import argparse
import gc
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import torch
import torchvision
from torch import Tensor

from fullyconv.model.fcn import FCN

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests import sameness  # noqa: E402

SIZES = ((500, 500), (375, 500), (333, 517), (97, 64))
REFERENCES = ("OpenCV DNN", "plain torch", "torchvision", "OpenCV against plain torch")
Maps = Sequence[Tensor]
Measure = Callable[[tuple[int, int]], dict[str, str]]


def agreement(scores: Maps, labels: Maps, expected: Maps) -> str:
    """A cell of the table."""
    error = max(float((s - e).abs().max() / e.abs().max()) for s, e in zip(scores, expected, strict=True))
    equal = min(float((x == e.argmax(1)).double().mean()) for x, e in zip(labels, expected, strict=True))
    return f"{error:.1e}, {100 * equal:.4f}%" if equal < 1 else f"{error:.1e}, all"


def row(net: FCN, images: Tensor, references: dict[str, Maps]) -> dict[str, str]:
    scores = net.scores(images)
    net.scores = lambda _: scores  # the trunk once for both readouts
    logits, labels = net(images), net.predict(images)
    del net.scores
    planes = labels.unbind(1) if net.heads else [labels]
    parts = logits.split(list(net.heads.values()), 1) if net.heads else [logits]
    return {name: agreement(parts, planes, expected) for name, expected in references.items()}


def release(case: sameness.Case) -> Measure:
    """OpenCV and plain torch, on the release's network."""
    caffe = case.net()
    weights = sameness.weights_of(case, caffe)
    opencv = sameness.opencv(caffe, weights)
    blobs = sameness.blobs_of(weights)
    net = sameness.ours(case, caffe, weights)

    def measure(size: tuple[int, int]) -> dict[str, str]:
        images = sameness.picture(net.in_channels, size)
        inputs = sameness.caffe_inputs(case, images)
        one, other = opencv(*inputs), case.run(blobs, *inputs)
        cells = row(net, images, {"OpenCV DNN": one, "plain torch": other})
        return cells | {"OpenCV against plain torch": agreement(one, [x.argmax(1) for x in one], other)}

    return measure


def without_border(case: sameness.Case, run: Callable[..., Tensor]) -> Measure:
    """Plain torch alone: Caffe has no layer that repeats the last cell."""
    caffe = case.net()
    weights = sameness.weights_of(case, caffe)
    net, blobs = sameness.ours(case, caffe, weights, "same"), sameness.blobs_of(weights)

    def measure(size: tuple[int, int]) -> dict[str, str]:
        images = sameness.picture(net.in_channels, size)
        return row(net, images, {"plain torch": [run(blobs, *sameness.caffe_inputs(case, images))]})

    return measure


def torchvision_network(name: str) -> Measure:
    theirs = sameness.torchvision_network(name)
    net = sameness.ours_of_torchvision(name, theirs)

    def measure(size: tuple[int, int]) -> dict[str, str]:
        images = sameness.picture(3, size)
        return row(net, images, {"torchvision": [theirs(sameness.torchvision_input(images))["out"]]})

    return measure


def networks() -> Iterator[tuple[str, Callable[[], Measure]]]:
    by_name = {case.name: case for case in sameness.CASES}
    for name, case in by_name.items():
        yield name, lambda case=case: release(case)
    for name, run in sameness.WITHOUT_BORDER.items():
        yield f"{name}, same padding", lambda name=name, run=run: without_border(by_name[name], run)
    for name in sameness.TORCHVISION:
        yield name, lambda name=name: torchvision_network(name)


def read(path: Path) -> dict[tuple[str, str], str]:
    """The rows that are there already, by network and size."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("| ") and "×" in line:
            name, size = (cell.strip() for cell in line.split("|")[1:3])
            rows[name, size] = line
    return rows


def write(path: Path, rows: dict[tuple[str, str], str], names: Sequence[str]) -> None:
    ordered = sorted(rows.items(), key=lambda item: (names.index(item[0][0]), -int(item[0][1].split("×")[0])))
    path.write_text(
        f"""# The paper's networks against other implementations, with the same weights

`python benchmarks/sameness.py`; torch {torch.__version__}, torchvision {torchvision.__version__},
OpenCV {cv2.__version__}, CPU ({platform.machine()}), float32. Networks of full width, random weights.

In each cell: the largest difference of the scores divided by the largest score, and the share of pixels with the same
label. A dash: this reference cannot run it. The last column is what two references differ by among themselves.

| network | image | {" | ".join(REFERENCES)} |
| --- | --- | {" | ".join("---" for _ in REFERENCES)} |
"""
        + "".join(line + "\n" for _, line in ordered)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", help="names, or parts of them; default: all")
    parser.add_argument("--size", nargs="+", default=[f"{h}x{w}" for h, w in SIZES], help="HEIGHTxWIDTH")
    options = parser.parse_args()
    path = HERE / "sameness.md"
    rows, makers = read(path), dict(networks())
    for name, make in makers.items():
        if options.network and not any(part in name for part in options.network):
            continue
        measure = make()
        for text in options.size:
            height, width = map(int, text.split("x"))
            with torch.inference_mode():
                cells = measure((height, width))
            line = [name, f"{height}×{width}", *(cells.get(reference, "–") for reference in REFERENCES)]
            rows[name, line[1]] = f"| {' | '.join(line)} |"
            print(rows[name, line[1]], flush=True)
            write(path, rows, list(makers))
        del measure
        gc.collect()


if __name__ == "__main__":
    main()
