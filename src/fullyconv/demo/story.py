"""The paper's story on built-in data, in minutes: a classifier, the same classifier dense, FCN-32s, 16s, 8s."""

import math
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from PIL import Image
from torch import Tensor, nn

from fullyconv import geometry
from fullyconv.convolutionalization import convolutionalize
from fullyconv.data import open_data
from fullyconv.data.catalog import Data
from fullyconv.data.images.files import write_image
from fullyconv.data.images.read import read_image
from fullyconv.demo.shapes import CROP, make
from fullyconv.errors import ConfigError
from fullyconv.evaluation.report.report import evaluate_and_report
from fullyconv.evaluation.result import Result
from fullyconv.files import write_whole
from fullyconv.hardware import multiplies_bf16
from fullyconv.inference.predictor import Predictor
from fullyconv.model import fcn, readout
from fullyconv.model.backbones import smallvgg
from fullyconv.results.figures import index_image, panels
from fullyconv.training.config import load_config
from fullyconv.training.precision import decide, measure
from fullyconv.training.stages import train
from fullyconv.weights import run_folder
from fullyconv.weights.classifier import adopt
from fullyconv.weights.run_files import EVALUATION, REPORT

BACKBONE = smallvgg.NAME
STRIDES = (32, 16, 8)
PARTS = ("data", "start", "fcn", "heatmap.png", "segmentation.png", "table.md")
MARK = ".fullyconv-demo"
RECIPE = {
    "model.name": f"fcn8s-{BACKBONE}",
    "data.batch_size": 8,
    "data.workers": 1,
    "model.pretrained": False,
    "data.resolutions": [{"crop": [192, 192], "scale": [0.8, 1.25]}],
    "data.augment.color": 0.0,
    "optimizer.lr": 0.003,
    "optimizer.weight_decay": 0.02,
    "optimizer.schedule": "cosine",
    "training.stages": list(STRIDES),
    "training.epochs": 30,
    "training.ema": 0.99,
}


def run_demo(out: Path, say: Callable[[str], None]) -> None:
    """Make the data, train, convolutionalize, train again in stages, evaluate, draw; everything lands in ``out``.

    Raises ConfigError where ``out`` holds something that is not an earlier demo's.
    """
    _clear(out)
    say(f"1. Data: drawn scenes in {out / 'data'}, and crops of single objects")
    make(out / "data", train=600, val=40, test=100, crops_per_class=150)
    data = open_data(out / "data")

    say(f"2. A classifier ({BACKBONE}) of {CROP}×{CROP} crops")
    net = fcn.build(f"fcn32s-{BACKBONE}", data.classes, data.palette)
    classifier, accuracy = train_classifier(data, net.normalize)
    say(f"   accuracy on crops it has not seen: {accuracy:.3f}")

    say("3. The same classifier, dense")
    dense = convolutionalize(classifier, CROP)
    say(f"   on crops, its answer differs by {_difference(classifier, dense):.1e} (relative)")
    write_image(out / "heatmap.png", draw_heatmap(dense, data, net.normalize))
    say(f"   on a whole scene it gives a map: {out / 'heatmap.png'}")

    say("4. FCN-32s → FCN-16s → FCN-8s, each from the one before")
    adopt(net, classifier)
    _score_as(net, classifier)
    run_folder.save(net, out / "start")
    config = load_config(None, RECIPE | {"data.path": out / "data", "model.init": out / "start"})
    train(data, config, out / "fcn", say=lambda line: say(f"   {line}"))

    say("5. On the test split")
    nets = [_stage(out / "fcn", stride) for stride in STRIDES]
    results = [evaluate_and_report(net, data, "test") for net in nets[:-1]]
    results.append(evaluate_and_report(nets[-1], data, "test", out / "fcn", out / "fcn" / EVALUATION))
    text = table(results)
    write_whole(out / "table.md", text)
    print(text)
    write_image(out / "segmentation.png", draw_segmentations(nets, data))
    say(f"Scenes beside truth and predictions: {out / 'segmentation.png'}. Report: {out / 'fcn' / REPORT}.")


def _clear(out: Path) -> None:
    """Make room where an earlier demo was, and only there."""
    mark = out / MARK
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise ConfigError(f"--out {out} is not empty, and not an earlier demo's. Name a new folder.")
    for part in PARTS:
        if (out / part).is_dir():
            shutil.rmtree(out / part)
        else:
            (out / part).unlink(missing_ok=True)
    write_whole(mark, "This folder is `fullyconv demo`'s, which replaces its parts when it is run again.\n")


def train_classifier(
    data: Data, normalize: Callable[[Tensor], Tensor], steps: int = 300
) -> tuple[smallvgg.SmallVGG, float]:
    """A classifier of the crops beside ``data``, in evaluation mode, and its accuracy on the held-out ones."""
    torch.manual_seed(0)
    images, labels = _crops(data, "train")
    classifier = smallvgg.SmallVGG(len(data.classes)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    half = _faster_in_bf16(classifier, normalize(images[:32]), labels[:32])
    for _ in range(steps):
        batch = torch.randint(len(images), (32,))
        pixels = images[batch].flip(3) if torch.rand(()) < 0.5 else images[batch]
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            scores = classifier(normalize(pixels))
        loss = F.cross_entropy(scores.float(), labels[batch], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    images, labels = _crops(data, "val")
    with torch.inference_mode():
        right = classifier.eval()(normalize(images)).argmax(1) == labels
    return classifier, right.float().mean().item()


def _faster_in_bf16(classifier: smallvgg.SmallVGG, images: Tensor, labels: Tensor) -> bool:
    """Return whether the CPU, where the classifier is trained, does it faster in bf16."""
    cpu = torch.device("cpu")
    if not multiplies_bf16(cpu):
        return False
    copy = deepcopy(classifier)
    return decide(cpu, True, measure(lambda: F.cross_entropy(copy(images).float(), labels))) == "bf16"


def _crops(data: Data, split: str) -> tuple[Tensor, Tensor]:
    """Crops (N, 3, CROP, CROP) and their classes (N,)."""
    files = [
        (file, i)
        for i, name in enumerate(data.classes)
        for file in sorted((data.root / "crops" / split / name).iterdir())
    ]
    images = np.stack([read_image(file) for file, _ in files])
    return torch.from_numpy(images), torch.tensor([i for _, i in files])


def _score_as(net: fcn.FCN, classifier: smallvgg.SmallVGG) -> None:
    """Start the coarsest scores as the classifier's own, its last layer being a 1×1 convolution now."""
    assert classifier.score is not None
    adopted = {"weight": classifier.score.weight[:, :, None, None], "bias": classifier.score.bias}
    net.score["32"].load_state_dict(adopted)


def _difference(classifier: nn.Module, dense: nn.Module) -> float:
    """The largest difference between the two on images of the native size, relative to the largest score."""
    images = torch.randn(8, 3, CROP, CROP, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores, grid = classifier(images), dense(images)
    return ((grid[:, :, 0, 0] - scores).abs().max() / scores.abs().max()).item()


def draw_heatmap(dense: nn.Module, data: Data, normalize: Callable[[Tensor], Tensor]) -> Image.Image:
    """A scene, its truth, and the probability that the dense classifier gives to each of three classes, in place."""
    pair = max(data.split("test"), key=lambda pair: math.prod(Image.open(pair.image).size))
    image = torch.from_numpy(read_image(pair.image))[None]
    size = (image.shape[2], image.shape[3])
    extended = normalize(image)
    traced = geometry.trace(dense, (extended.shape[2], extended.shape[3])).outputs[0]
    with torch.inference_mode():
        grid = dense(extended)
    heat = readout.logits(grid, traced.lattice, size).softmax(1)[0]
    truth = np.asarray(Image.open(pair.mask))  # type: ignore[arg-type]
    largest = np.bincount(truth.ravel(), minlength=len(data.classes))[1:].argsort()[::-1][:3] + 1
    maps = [Image.fromarray(_hot(heat[label].numpy())) for label in largest]
    row = [Image.open(pair.image), index_image(truth, data.palette), *maps]
    return panels([row], ["image", "truth", *(f"p({data.classes[label]})" for label in largest)], 260)


def _hot(values: np.ndarray) -> np.ndarray:
    """Probabilities (H, W) in the magma colours, (H, W, 3) uint8."""
    return (colormaps["magma"](values)[..., :3] * 255).astype(np.uint8)


def _stage(run: Path, stride: int) -> fcn.FCN:
    return run_folder.load(run if stride == STRIDES[-1] else run / f"fcn{stride}s-{BACKBONE}")


def table(results: list[Result]) -> str:
    """The four metrics of each stage, in Markdown."""
    lines = ["| test split | pixel acc. | mean acc. | mean IoU | f.w. IoU |", "| --- | --- | --- | --- | --- |"]
    for stride, result in zip(STRIDES, results, strict=True):
        four = (result["pixel_accuracy"], result["mean_accuracy"], result["mean_iou"], result["frequency_weighted_iou"])
        lines.append(f"| FCN-{stride}s | " + " | ".join(f"{value:.3f}" for value in four) + " |")
    return "\n".join(lines) + "\n"


def draw_segmentations(nets: list[fcn.FCN], data: Data) -> Image.Image:
    """Four test scenes: image, truth, and what each network makes of them."""
    rows = []
    for pair in data.split("test")[:4]:
        predictions = [index_image(Predictor(net)(pair.image).labels, data.palette) for net in nets]
        rows.append([Image.open(pair.image), Image.open(pair.mask), *predictions])  # type: ignore[arg-type]
    return panels(rows, ["image", "truth", *(f"FCN-{stride}s" for stride in STRIDES)], 260)
