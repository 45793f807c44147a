"""The paper's claims on CamVid, from ImageNet's or other real weights: what ``claims.py --camvid`` trains and measures.

CamVid's frames are taken at half size (360×480), as most publications do, in crops of 180×240. A length is counted in
steps, so that a busy machine takes longer but decides nothing. The figures of each finished run are kept in
``results.json``; a run that was stopped goes on from its last checkpoint.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fullyconv.data import Data, open_data
from fullyconv.evaluation.measure import measure
from fullyconv.files import write_whole
from fullyconv.model.backbones.release import trunk_of
from fullyconv.training.config import load_config
from fullyconv.training.stages import train
from fullyconv.weights import run_folder

STRIDES = (32, 16, 8)
METRICS = ("pixel_accuracy", "mean_accuracy", IOU := "mean_iou")
CHECKPOINT = 500
"""Steps between checkpoints."""
RECIPE: dict[str, Any] = {
    "data.batch_size": 4,
    "data.workers": 0,
    "data.resolutions": [{"crop": [180, 240]}],
    "data.augment": {"preset": "none", "scale": [0.7, 1.5], "flip": 0.5, "color": 0.3},
    "optimizer.name": "adamw",
    "optimizer.weight_decay": 0.01,
    "optimizer.schedule": "poly",
    "optimizer.warmup": 0.05,
    "training.precision": "32",
    "training.keep": "last",
}
"""Everything that a run's result depends on is fixed here or in ``RUNS``, whatever the defaults."""


class Run(NamedTuple):
    """One training: the network's finest stride, its length in stages, and its own settings.

    ``rows`` are the networks that it gives, by their names in the table: the folder of each in the run's, and the
    number of stages after which it is taken.
    """

    stride: int
    stages: int
    settings: dict[str, Any]
    rows: dict[str, tuple[str, int]]


COARSE, MIDDLE, STAGED = "FCN-32s", "FCN-16s from that", "FCN-8s from that"
LONG_COARSE, LONG_MIDDLE, AT_ONCE = "FCN-32s, three times as long", "FCN-16s at once", "FCN-8s at once"
LAST_COARSE, LAST_FINE = f"{LONG_COARSE}, last layer only", f"{AT_ONCE}, last layers only"
UNTRAINED, FEATURES = "FCN-8s at once, from random weights", "FCN-8s at once, features (width 64) fused, not scores"
RUNS = {
    "staged": Run(
        8,
        3,
        {"training.stages": list(STRIDES)},
        {COARSE: ("fcn32s-{trunk}", 1), MIDDLE: ("fcn16s-{trunk}", 2), STAGED: ("", 3)},
    ),
    "32s": Run(32, 3, {}, {LONG_COARSE: ("", 3)}),
    "16s": Run(16, 3, {}, {LONG_MIDDLE: ("", 3)}),
    "8s": Run(8, 3, {}, {AT_ONCE: ("", 3)}),
    "32s-last": Run(32, 3, {"training.freeze": "backbone"}, {LAST_COARSE: ("", 3)}),
    "8s-last": Run(8, 3, {"training.freeze": "backbone"}, {LAST_FINE: ("", 3)}),
    "random": Run(8, 3, {"model.pretrained": False, "model.init": None}, {UNTRAINED: ("", 3)}),
    "features": Run(8, 3, {"model.width": 64}, {FEATURES: ("", 3)}),
}
"""By the names that ``--only`` takes."""
Results = dict[str, dict[str, dict[str, float]]]
"""Seed → row → metric → value."""


def train_all(
    camvid: Path,
    out: Path,
    trunk: str,
    steps: int,
    seeds: Sequence[int],
    only: Sequence[str] = (),
    init: Path | None = None,
    rate: float = 0.001,
) -> Results:
    """Train what is not yet in ``out``'s results, for stages of ``steps``, and return the results of all seeds there.

    ``init`` is a run whose weights all networks start from but the random ones (None: ImageNet's).
    """
    data = open_data(camvid)
    training = replace(data, splits={"train": data.split("train")})  # the last network is kept: nothing to validate
    file = out / "results.json"
    results: Results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for seed in seeds:
        for name in only or RUNS:
            run = RUNS[name]
            found = results.setdefault(str(seed), {})
            if run.rows.keys() <= found.keys():
                continue
            settings = RECIPE | {
                "model.name": f"fcn{run.stride}s-{trunk}",
                "model.init": init,
                "model.padding": "same" if trunk_of(f"fcn8s-{trunk}") else None,
                "optimizer.lr": rate,
                "training.steps": run.stages * steps,
                "training.validate_every": CHECKPOINT,
                "training.seed": seed,
            }
            folder = out / str(seed) / name
            print(f"{trunk}, seed {seed}: {name}", flush=True)
            train(training, load_config(None, settings | run.settings), folder, resume=True)
            found |= {row: _measured(folder / place.format(trunk=trunk), data) for row, (place, _) in run.rows.items()}
            write_whole(file, json.dumps(results, indent=1))
    return results


def _measured(folder: Path, data: Data) -> dict[str, float]:
    result = measure(run_folder.load(folder), data, "test").result
    return {metric: result[metric] for metric in METRICS}


def section(results: Results, trunk: str, steps: int, command: str) -> str:
    """The results as a section of claims.md: a table with mean and deviation over seeds, and the claims beneath."""
    lines = [
        f"# The paper's claims, on CamVid, from {trunk}",
        "",
        command,
        "",
        "| network | steps | pixel acc. | mean acc. | mean IoU | by seed |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for run in RUNS.values():
        for row, (_, stages) in run.rows.items():
            found = [rows[row] for rows in results.values() if row in rows]
            if found:
                pixels, classes, ious = ([each[metric] for each in found] for metric in METRICS)
                lines.append(
                    f"| {row} | {stages * steps} | {statistics.mean(pixels):.3f} | {statistics.mean(classes):.3f} | "
                    f"{_with_deviation(ious)} | {' '.join(f'{value:.3f}' for value in ious)} |"
                )
    return "\n".join([*lines, "", *_claims([*results.values()])]) + "\n"


def _with_deviation(values: Sequence[float], sign: str = "") -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.3f}{deviation}"


def _claims(results: Sequence[dict[str, dict[str, float]]]) -> list[str]:
    """One line for each claim. Two networks are compared within each seed that has both."""

    def pairs(better: str, worse: str) -> list[tuple[float, float]]:
        return [(rows[better][IOU], rows[worse][IOU]) for rows in results if better in rows and worse in rows]

    lines = []
    for last, everything, claim in (
        (LAST_COARSE, LONG_COARSE, "of all of FCN-32s (the paper: 45.4 of 59.4, 76%)"),
        (LAST_FINE, AT_ONCE, "of all of FCN-8s"),
    ):
        if found := pairs(last, everything):
            part = sum(one for one, _ in found) / sum(other for _, other in found)
            lines.append(f"- Training the last layers alone reaches {part:.0%} {claim}.")
    for better, worse, claim in (
        (LONG_MIDDLE, LONG_COARSE, "16s against 32s, equally long"),
        (AT_ONCE, LONG_MIDDLE, "8s against 16s, equally long"),
        (STAGED, AT_ONCE, "Staged against at once, equally long (the release: 65.5 against 65.4)"),
        (AT_ONCE, UNTRAINED, "Trained weights against random ones"),
        (FEATURES, AT_ONCE, "Features fused against scores fused"),
    ):
        if found := pairs(better, worse):
            differences = [one - other for one, other in found]
            positive = sum(difference > 0 for difference in differences)
            lines.append(
                f"- {claim}: {_with_deviation(differences, '+')} mean IoU; better in {positive} of {len(found)}."
            )
    return lines
