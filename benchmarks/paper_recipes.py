"""Every recipe in recipes/paper, for a few steps on miniature data in the real formats: it runs, and its loss falls.

    python benchmarks/paper_recipes.py [--out runs/paper-recipes] [--steps 240] [--thin 8] [--rate 1e-8]

What a recipe says is done as it says, but for this: fewer steps; networks with a fraction of the channels, which start
from random weights where the recipe starts from ImageNet's; and, where the loss is summed, another rate, because the
published ones are for images with a hundred times as many pixels and for 100,000 steps: ``--rate``, or a tenth of it
where a recipe starts from another. Run again, it goes on where it was stopped. Writes
benchmarks/paper_recipes.md and docs/images/paper-recipes.png.
"""

import argparse
import csv
import math
import platform
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure

from fullyconv.data import IGNORE, open_data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.model import fcn
from fullyconv.model.backbones import paper
from fullyconv.training.config import Config, load_config
from fullyconv.training.stages import new_network, train
from fullyconv.weights import run_folder

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
from tests.data.archives import ARCHIVES  # noqa: E402

RECIPES = ROOT / "recipes" / "paper"
SETS = {
    "PASCAL VOC": [
        "voc-fcn32s-vgg16",
        "voc-fcn16s-vgg16",
        "voc-fcn8s-vgg16",
        "voc-fcn8s-atonce-vgg16",
        "voc-fcn32s-alexnet",
    ],
    "NYUDv2": ["nyud-fcn32s-color", "nyud-fcn32s-hha", "nyud-fcn32s-early", "nyud-fcn32s-late"],
    "SIFT Flow": ["siftflow-fcn32s", "siftflow-fcn16s", "siftflow-fcn8s"],
    "PASCAL-Context": ["context-fcn32s", "context-fcn16s", "context-fcn8s"],
}
"""The recipes, each after those that it starts from."""
CLASSIFIERS = ("vgg16", "alexnet")
"""Where the first recipes start."""
PASS = 12
"""Steps between two points of a curve: whole passes through the three or four images of each set."""


def quiet(_):
    pass


def make_thin(factor):
    """Networks built from here on have 1 of ``factor`` channels."""
    for trunk in (paper.VGG16, paper.AlexNet):
        trunk.widths = tuple(width // factor for width in trunk.widths)
        trunk.hidden //= factor


def start(source, out):
    """What the recipe starts from, as if converted: an untrained classifier; or the recipe before, which has run."""
    folder = out / source.name
    if source.name in CLASSIFIERS and not folder.exists():
        torch.manual_seed(0)
        run_folder.save(fcn.create(f"fcn32s-{source.name}", 21), folder)
    return folder


class Outcome(NamedTuple):
    """``before`` and ``after``: without dropout. ``curve``: steps, and the losses of training up to them."""

    recipe: Config
    config: Config
    before: float
    after: float
    curve: list
    minutes: float


def run(name, out, options):
    """Run one recipe. All losses are fractions of what it costs to hold all classes for alike."""
    recipe = load_config(RECIPES / f"{name}.yaml")
    root = out / "data" / recipe.data.layout
    if not root.exists():
        ARCHIVES[recipe.data.layout](root)
    data = open_data(root, recipe.data.layout)
    sources = recipe.model.init if isinstance(recipe.model.init, list) else [recipe.model.init]
    changes = {
        "model.init": [start(source, out) for source in sources],
        "data.workers": 0,
        "training.steps": options.steps,
        "training.validate_every": PASS,
    }
    if recipe.training.loss == "sum":
        changes["optimizer.lr"] = options.rate if sources[0].name in CLASSIFIERS else options.rate / 10
    config = load_config(RECIPES / f"{name}.yaml", changes)
    blind = loss_of_no_answer(data, recipe.training.loss)
    before = loss(new_network(data, config, lambda line: None), data, recipe.training.loss) / blind
    after = (
        loss(train(data, config, out / name, resume=True, say=lambda line: None), data, recipe.training.loss) / blind
    )
    rows = list(csv.DictReader((out / name / "metrics.csv").open()))
    curve = [(step, value / blind) for step, value in passes(rows)]
    return Outcome(recipe, config, before, after, curve, float(rows[-1]["minutes"]))


def loss(net, data, kind):
    """The mean over the training images, without dropout."""
    images = SegmentationDataset(data, "train", channels=net.in_channels)
    with torch.no_grad():
        losses = [net.eval().loss(image[None], mask[None], reduction=kind).item() for image, mask, _ in images]
    return sum(losses) / len(losses)


def passes(rows):
    """Steps and mean losses since the point before, at multiples of PASS. The rows' are means since the row before."""
    points, total, last, since = [], 0.0, 0, 0
    for row in rows:
        step = int(row["step"])
        total += float(row["train_loss"]) * (step - last)
        last = step
        if step % PASS == 0:
            points.append((step, total / (step - since)))
            total, since = 0.0, step
    return points


def loss_of_no_answer(data, kind):
    """The mean over the training images of the loss when all classes score alike, with each labeling's own classes."""
    total = count = 0.0
    for _, mask, _ in SegmentationDataset(data, "train", channels=data.channels or 3):
        for plane, classes in zip(mask.reshape(-1, *mask.shape[-2:]), data.head_sizes, strict=True):
            pixels = int((plane != IGNORE).sum())
            total += pixels * math.log(classes)
            count += pixels
    return total / count if kind == "mean" else total / len(data.split("train"))


def table(results, options):
    lines = [
        "# The paper's recipes, in miniature",
        "",
        f"`python benchmarks/paper_recipes.py --steps {options.steps} --thin {options.thin} --rate {options.rate:g}`; "
        f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads ({platform.machine()}).",
        "",
        "Three or four images of 32×32 or 40×52 pixels a set, written in its own formats; networks with "
        f"1/{options.thin} of the channels; {options.steps} steps instead of 100,000 or 300,000. Losses are over the "
        "training images, without dropout, as fractions of what it costs to hold all classes for alike. They show that "
        "the recipes run, each from what it is to start from, and learn; not how well they do on the real data. The "
        "curves are of the losses while training, with dropout, which are higher and noisier.",
        "",
        "| recipe | starts from | published rate | rate here | loss before | after | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, (recipe, config, before, after, _, minutes) in results.items():
        sources = recipe.model.init if isinstance(recipe.model.init, list) else [recipe.model.init]
        sources = " and ".join(f"random {s.name}" if s.name in CLASSIFIERS else s.name for s in sources)
        lines.append(
            f"| {name} | {sources} | {recipe.optimizer.lr:g} | {config.optimizer.lr:g} | {before:.3f} | {after:.3f} | "
            f"{minutes:.1f} |"
        )
    return "\n".join([*lines, "", "![Loss curves](../docs/images/paper-recipes.png)"]) + "\n"


def draw(results, path):
    """A panel for each data set, a curve for each recipe."""
    figure = Figure(figsize=(14, 3.8), layout="constrained")
    panels = figure.subplots(1, len(SETS), sharey=True)
    for panel, (title, names) in zip(panels, SETS.items(), strict=True):
        for name in names:
            steps, losses = zip(*results[name].curve, strict=True)
            panel.plot(steps, losses, marker="o", markersize=3, label=name.partition("-")[2])
        panel.set_title(title)
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, frameon=False)
    panels[0].set_yscale("log")
    ticks = (0.1, 0.2, 0.5, 1, 2)
    panels[0].set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    panels[0].minorticks_off()
    panels[0].set_ylabel("training loss (1: all classes alike)")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/paper-recipes"))
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--thin", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-8)
    options = parser.parse_args()
    make_thin(options.thin)
    results = {}
    for name in [name for names in SETS.values() for name in names]:
        results[name] = run(name, options.out, options)
        print(f"{name}: {results[name].before:.3f} → {results[name].after:.3f}", flush=True)
    draw(results, ROOT / "docs" / "images" / "paper-recipes.png")
    text = table(results, options)
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
