"""The paper's claims: finer is better, fine-tuning beats the last layer, stages ≈ at once.

    python benchmarks/claims.py [--out runs/claims] [--epochs 12] [--seeds 0]
    python benchmarks/claims.py --camvid CAMVID [--steps 100] [--seeds 0 1 2] [--only NAME ...]
    python benchmarks/claims.py --camvid CAMVID --trunk vgg16 --init RUN --rate 0.0001

The first is on the built-in data, the others on CamVid, from ImageNet's weights or those of a run (claims_camvid.py).
Those can be stopped and started again: what is finished is kept. Each writes its section of benchmarks/claims.md.

On the built-in data, a small VGG learns to classify crops of single objects; every network starts from it, with its
scores at zero, and sees scenes for the same number of epochs a stage: FCN-32s with the backbone frozen ("last layer
only"), FCN-32s → 16s → 8s in stages, and FCN-8s at once for as long as the three stages together.
"""

import argparse
import platform
import re
import statistics
import time
from pathlib import Path

import claims_camvid
import torch

from fullyconv.data import open_data
from fullyconv.demo.shapes import make
from fullyconv.demo.story import BACKBONE, RECIPE, STRIDES, train_classifier
from fullyconv.evaluation.report.report import evaluate_and_report
from fullyconv.model import fcn
from fullyconv.training.config import load_config
from fullyconv.training.stages import train
from fullyconv.weights import run_folder
from fullyconv.weights.classifier import adopt

METRICS = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")


def start(data, folder):
    """The network that all others begin as: the classifier's layers, and no say yet for any class."""
    net = fcn.build(f"fcn32s-{BACKBONE}", data.classes, data.palette)
    classifier, accuracy = train_classifier(data, net.normalize)
    adopt(net, classifier)
    run_folder.save(net, folder)
    return accuracy


def runs(data, out, epochs, seed):
    """Train everything for one seed: what each network is, and its measurements on the test split."""

    def trained(folder, **changes):
        settings = {key.replace("__", "."): value for key, value in changes.items()}
        common = {"data.path": data.root, "model.init": out / "start", "training.seed": seed}
        train(data, load_config(None, RECIPE | common | settings), out / folder)

    coarse = {"model__name": f"fcn32s-{BACKBONE}", "training__stages": None, "training__epochs": epochs}
    trained("last", **coarse, training__freeze="backbone")
    trained("staged", training__epochs=epochs * len(STRIDES))
    trained("at-once", training__stages=None, training__epochs=epochs * len(STRIDES))
    folders = {
        "FCN-32s, last layer only": "last",
        "FCN-32s": f"staged/fcn32s-{BACKBONE}",
        "FCN-16s": f"staged/fcn16s-{BACKBONE}",
        "FCN-8s, staged": "staged",
        "FCN-8s, at once": "at-once",
    }
    return {name: evaluate_and_report(run_folder.load(out / f), data, "test") for name, f in folders.items()}


def table(results, accuracy, epochs, data, minutes):
    """Per network the mean over seeds of the four metrics, and the least and greatest mean IoU."""
    lines = [
        "# The paper's claims, on the built-in data",
        "",
        f"`python benchmarks/claims.py --epochs {epochs} --seeds {' '.join(map(str, results))}`; torch "
        f"{torch.__version__}, {torch.get_num_threads()} CPU threads ({platform.machine()}), {minutes:.0f} minutes. "
        f"{len(data.split('train'))} scenes to train on, {len(data.split('test'))} to test on, {len(data.classes)} "
        f"classes; the classifier that all start from is right on {accuracy:.3f} of held-out crops.",
        "",
        "| network | epochs | pixel acc. | mean acc. | mean IoU | f.w. IoU | mean IoU by seed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    by_seed = list(results.values())
    for place, name in enumerate(by_seed[0]):
        spent = (1, 1, 2, 3, 3)[place] * epochs
        means = [statistics.mean(result[name][metric] for result in by_seed) for metric in METRICS]
        each = " ".join(f"{result[name]['mean_iou']:.3f}" for result in by_seed)
        lines.append(f"| {name} | {spent} | " + " | ".join(f"{mean:.3f}" for mean in means) + f" | {each} |")
    ious = {name: statistics.mean(result[name]["mean_iou"] for result in by_seed) for name in by_seed[0]}
    share = ious["FCN-32s, last layer only"] / ious["FCN-32s"]
    difference = ious["FCN-8s, at once"] - ious["FCN-8s, staged"]
    lines += [
        "",
        f"- Finer strides: mean IoU {ious['FCN-32s']:.3f} (32s), {ious['FCN-16s']:.3f} (16s), "
        f"{ious['FCN-8s, staged']:.3f} (8s).",
        f"- The last layer alone reaches {share:.0%} of what fine-tuning all layers does (the paper: 45.4 of 59.4).",
        f"- At once, for as many epochs as the stages together: {difference:+.3f} (the release: 65.4 against 65.5).",
        "",
        "FCN-16s and FCN-8s have also trained for longer, as in the paper; the column says how long. The classifier "
        "has seen one object at a time, in the middle: frozen, it knows less of scenes than ImageNet's classifiers do.",
    ]
    return "\n".join(lines) + "\n"


def on_built_in_data(out, epochs, seeds):
    """Train everything on the built-in data; return the section of claims.md."""
    began = time.monotonic()
    make(out / "data", train=600, val=40, test=100, crops_per_class=150)
    data = open_data(out / "data")
    results, accuracy = {}, 0.0
    for seed in seeds:
        accuracy = start(data, out / str(seed) / "start")
        results[seed] = runs(data, out / str(seed), epochs, seed)
    return table(results, accuracy, epochs, data, (time.monotonic() - began) / 60)


def on_camvid(options):
    """Train what is not finished on CamVid; return the section of claims.md."""
    given = f" --trunk {options.trunk}" + (f" --init RUN --rate {options.rate}" if options.init else "")
    start = f"-from-{options.init.name}" if options.init else ""
    folder = options.out / "camvid" / f"{options.trunk}{start}-{options.steps}-{options.rate}"
    results = claims_camvid.train_all(
        options.camvid, folder, options.trunk, options.steps, options.seeds, options.only, options.init, options.rate
    )
    command = (
        f"`python benchmarks/claims.py --camvid CAMVID{given} --steps {options.steps} --seeds {' '.join(results)}`; "
        f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads ({platform.machine()}). 367 frames of "
        "360×480 to train on, in crops of 180×240, 4 a step; all 233 to test on, 11 classes."
    )
    return claims_camvid.section(results, options.trunk, options.steps, command)


def with_section(page, section):
    """A page of Markdown with ``section`` in place of the one of the same heading, or at its end."""
    heading = section.splitlines()[0]
    parts = [part.strip() for part in re.split(r"^(?=# )", page, flags=re.MULTILINE) if part.strip()]
    places = [number for number, part in enumerate(parts) if part.splitlines()[0] == heading] or [len(parts)]
    parts[places[0] : places[0] + 1] = [section.strip()]
    return "\n\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/claims"))
    parser.add_argument("--epochs", type=int, default=12, help="a stage, on the built-in data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--camvid", type=Path, help="CamVid's folder; without it, the built-in data")
    parser.add_argument("--steps", type=int, default=100, help="a stage, on CamVid")
    parser.add_argument(
        "--only", nargs="+", choices=[*claims_camvid.RUNS], default=[], help="these runs on CamVid alone"
    )
    parser.add_argument("--trunk", default="tf_efficientnet_lite0", help="the backbone, on CamVid")
    parser.add_argument("--init", type=Path, help="a run to start from, in place of ImageNet's weights")
    parser.add_argument("--rate", type=float, default=0.001, help="the learning rate, on CamVid")
    options = parser.parse_args()
    text = on_camvid(options) if options.camvid else on_built_in_data(options.out, options.epochs, options.seeds)
    page = Path(__file__).with_suffix(".md")
    page.write_text(with_section(page.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
