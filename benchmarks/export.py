"""Exported files against their networks: labels at ten random sizes, in each format, for each family of networks.

    python benchmarks/export.py [--networks fcn8s-vgg16 ...] [--size 320 480] [--repeats 3]

Each network is untrained, with random scores for 21 classes. It is exported, opened on its runtime and compared on
images of ten sizes, which fails where labels differ but for ties; then the time of one image of --size is taken, on
the network and on each file in turn. Writes benchmarks/export.md.
"""

import argparse
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch

from fullyconv.errors import FullyConvError
from fullyconv.exporting import export
from fullyconv.inference.exported import open_runner
from fullyconv.model import fcn

NETWORKS = {
    "fcn8s-vgg16": {},
    "fcn8s-vgg16 same": {"padding": "same"},
    "fcn32s-alexnet": {},
    "fcn32s-googlenet": {},
    "fcn_resnet50": {},
    "fcn8s-resnet18": {},
    "fcn8s-resnet18 bicubic": {"upsample": "bicubic"},
    "fcn8s-resnet18 nearest": {"upsample": "nearest"},
    "fcn8s-resnet18 learnt": {"upsample": "transposed", "width": 128},
    "fcn8s-mobilenetv2_100": {},
    "fcn4s-convnext_atto": {},
}
FORMATS = {".onnx": "ONNX Runtime", ".xml": "OpenVINO", ".pt2": "torch.export"}


@torch.no_grad()
def network(name):
    """With random scores, on average equal, so that no class has all pixels."""
    torch.manual_seed(0)
    net = fcn.create(name.split()[0], 21, **NETWORKS[name]).eval()
    for parameter in net.score.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)
    last = net.head[-1] if net.width else net.score[str(net.backbone.strides[-1])]
    last.bias -= net(torch.randint(0, 256, (1, 3, 160, 160))).mean((0, 2, 3))
    return net


@torch.inference_mode()
def seconds(models, images, repeats):
    """The least of several, the models taking turns."""
    for model in models:
        model.predict(images)
    least = [float("inf")] * len(models)
    for _ in range(repeats):
        for which, model in enumerate(models):
            start = time.perf_counter()
            model.predict(images)
            least[which] = min(least[which], time.perf_counter() - start)
    return least


def row(name, size, repeats, folder):
    net, cells, runners = network(name), {}, {}
    for suffix in FORMATS:
        path = folder / f"net{suffix}"
        try:
            agreement = export(net, path)
            ties = f" but {agreement.ties} ties" if agreement.ties else ""
            cells[suffix] = f"equal{ties}, {agreement.labels} labels"
            runners[suffix] = open_runner(path)
        except FullyConvError as error:
            cells[suffix] = str(error)
    images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    own, *theirs = seconds([net, *runners.values()], images, repeats)
    for suffix, taken in zip(runners, theirs, strict=True):
        cells[suffix] += f"; {own / taken:.2f}×"
    return f"| {name} | {1000 * own:.0f} | " + " | ".join(cells[suffix] for suffix in FORMATS) + " |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--size", type=int, nargs=2, default=(320, 480))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "onnx", "onnxruntime", "openvino"))
    height, width = options.size
    lines = [
        "# Exported files against their networks",
        "",
        f"`python benchmarks/export.py`; {versions}; {torch.get_num_threads()} CPU threads ({platform.machine()}).",
        "",
        "equal: at ten random sizes from 1×1 to 160×160, odd ones among them, in batches of 1 and 2, every label is "
        "the network's (of so many different ones) but for ties: logits within 1e-4 of the image's largest. N×: as "
        f"fast as the network in torch, eager, at {height}×{width} (its milliseconds in the second column).",
        "",
        "| network | torch: ms | " + " | ".join(FORMATS.values()) + " |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(row(name, options.size, options.repeats, Path(folder)))
        print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
