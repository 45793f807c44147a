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

import torch
from matplotlib.figure import Figure

from fullyconv import fcn
from fullyconv.backbones import paper
from fullyconv.data import IGNORE, open_data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.training.config import load_config
from fullyconv.training.stages import train
from fullyconv.weights import run_folder

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "data"))
from archives import ARCHIVES  # noqa: E402

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


def run(name, out, options):
    """Run one recipe: losses, as fractions of what all classes alike would cost; the recipe; what was run; minutes."""
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
    train(data, config, out / name, resume=True, say=lambda line: None)
    rows = list(csv.DictReader((out / name / "metrics.csv").open()))
    blind = loss_of_no_answer(data, recipe.training.loss)
    losses = [(int(row["step"]), float(row["train_loss"]) / blind) for row in rows]
    return losses, recipe, config, float(rows[-1]["minutes"])


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
        f"1/{options.thin} of the channels; {options.steps} steps instead of 100,000 or 300,000. A loss is a fraction "
        f"of what all classes alike would cost, and a mean over {PASS} steps. It shows that the recipes run, each from "
        "what it is to start from, and that they learn; not how well they do on the real data.",
        "",
        "| recipe | starts from | published rate | rate here | first loss | last loss | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, (losses, recipe, config, minutes) in results.items():
        sources = recipe.model.init if isinstance(recipe.model.init, list) else [recipe.model.init]
        sources = " and ".join(f"random {s.name}" if s.name in CLASSIFIERS else s.name for s in sources)
        lines.append(
            f"| {name} | {sources} | {recipe.optimizer.lr:g} | {config.optimizer.lr:g} | {losses[0][1]:.3f} | "
            f"{losses[-1][1]:.3f} | {minutes:.1f} |"
        )
    return "\n".join([*lines, "", "![Loss curves](../docs/images/paper-recipes.png)"]) + "\n"


def draw(results, path):
    """A panel for each data set, a curve for each recipe."""
    figure = Figure(figsize=(14, 3.8), layout="constrained")
    panels = figure.subplots(1, len(SETS), sharey=True)
    for panel, (title, names) in zip(panels, SETS.items(), strict=True):
        for name in names:
            steps, losses = zip(*results[name][0], strict=True)
            panel.plot(steps, losses, marker="o", markersize=3, label=name.partition("-")[2])
        panel.set_title(title)
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, frameon=False)
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("loss (1: all classes alike)")
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
        losses, *_, minutes = results[name]
        print(f"{name}: {losses[0][1]:.3f} → {losses[-1][1]:.3f} in {minutes:.1f} minutes", flush=True)
    draw(results, ROOT / "docs" / "images" / "paper-recipes.png")
    text = table(results, options)
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
