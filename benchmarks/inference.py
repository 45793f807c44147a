"""Networks of ours beside those of other libraries: from an image to labels, in one run; and as ratios.

    python benchmarks/inference.py [--threads 2] [--rounds 3]

32-bit floats, random weights. Ours take bytes and give labels; the others take normalized images, and argmax is
counted; segmentation_models.pytorch gets 352 rows, for it refuses 360. In each group the networks take turns.
Writes benchmarks/inference.md.
"""

import argparse
import gc
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import torch
import torchvision
from peers import Labels, pytorch_fcn, scored
from torch import Tensor, nn

from fullyconv.exporting.fixed import on_openvino
from fullyconv.model.border import for_inference
from fullyconv.model.fcn import FCN
from tests.caffe import model as caffe_model
from tests.caffe import nets as caffe_nets

CLASSES = 12
SIZE, SMP_SIZE = (360, 480), (352, 480)
Run = Callable[[], object]


def noise(size: tuple[int, int]) -> Tensor:
    torch.manual_seed(1)
    return torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)


def ours(net: FCN, size: tuple[int, int], label: str) -> dict[str, Run]:
    """In torch, and on OpenVINO for this size; the paper's without the work on their border."""
    images, fixed = noise(size), on_openvino(net, size)
    net = for_inference(net)
    return {f"ours: {label}, torch": lambda: net.predict(images), f"ours: {label}, OpenVINO": lambda: fixed(images)}


def eager(network: nn.Module, size: tuple[int, int]) -> Run:
    labels, x = Labels(network).eval(), noise(size).float() / 255
    return lambda: labels(x)


class Out(nn.Module):
    """torchvision's networks give a dictionary."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)["out"]


def resnet50() -> dict[str, Run]:
    network = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES)
    return {
        "torchvision fcn_resnet50": eager(Out(network), SIZE),
        **ours(scored("fcn_resnet50", CLASSES), SIZE, "fcn_resnet50"),
        **ours(scored("fcn8s-resnet50", CLASSES, width=128), SIZE, "fcn8s-resnet50, width 128"),
    }


def small() -> dict[str, Run]:
    import segmentation_models_pytorch as smp

    kinds = {
        "FPN resnet18": smp.FPN("resnet18", encoder_weights=None, classes=CLASSES),
        "Unet resnet18": smp.Unet("resnet18", encoder_weights=None, classes=CLASSES),
        "DeepLabV3+ mobilenet_v2": smp.DeepLabV3Plus("mobilenet_v2", encoder_weights=None, classes=CLASSES),
    }
    lraspp = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    return {
        **{f"smp {name}": eager(network, SMP_SIZE) for name, network in kinds.items()},
        "torchvision lraspp_mobilenet_v3_large": eager(Out(lraspp), SIZE),
        **ours(scored("fcn8s-resnet18", CLASSES), SIZE, "fcn8s-resnet18"),
        **ours(scored("fcn8s-mobilenetv2_100", CLASSES), SIZE, "fcn8s-mobilenetv2_100"),
    }


def vgg16() -> dict[str, Run]:
    """The paper's FCN-8s at 500×500: OpenCV's from a prototxt and a caffemodel of the release's form."""
    size = (500, 500)
    net = scored("fcn8s-vgg16", 21)
    with tempfile.TemporaryDirectory() as folder:
        described = caffe_nets.vgg16(8)
        weights = Path(folder) / "weights.caffemodel"
        text = Path(folder) / "deploy.prototxt"
        weights.write_bytes(caffe_model.caffemodel(described, caffe_nets.random_weights(described)))
        text.write_text(caffe_model.prototxt(described))
        opened = cv2.dnn.readNetFromCaffe(str(text), str(weights))
    blob = (noise(size).float() - net.mean).numpy()

    def opencv() -> object:
        opened.setInput(blob)
        return opened.forward().argmax(1)

    return {
        "pytorch-fcn FCN8s": eager(pytorch_fcn(net, torch.contiguous_format), size),
        "OpenCV DNN": opencv,
        **ours(net, size, "fcn8s-vgg16"),
    }


GROUPS = {
    f"ResNet-50, {SIZE[0]}×{SIZE[1]} pixels, {CLASSES} classes": resnet50,
    f"Smaller networks, {SIZE[0]}×{SIZE[1]} pixels, {CLASSES} classes": small,
    "FCN-8s VGG-16, 500×500 pixels, 21 classes": vgg16,
}


@torch.inference_mode()
def measure(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds; a first round does not count."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    lines = [
        "# Ours beside others: an image to labels",
        "",
        f"`python benchmarks/inference.py`; torch {torch.__version__}, torchvision {torchvision.__version__}, OpenCV "
        f"{cv2.__version__}, {options.threads} CPU threads ({platform.machine()}), load before: "
        f"{os.getloadavg()[0]:.1f}; medians of {options.rounds} runs.",
    ]
    for title, make in GROUPS.items():
        with torch.no_grad():
            runs = make()
        seconds = measure(runs, options.rounds)
        first, base = next(iter(seconds.items()))
        lines += ["", f"## {title}", "", f"| network | seconds | times faster than {first} |", "| --- | ---: | ---: |"]
        lines += [f"| {name} | {own:.3f} | {base / own:.2f} |" for name, own in seconds.items()]
        del runs
        gc.collect()
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
