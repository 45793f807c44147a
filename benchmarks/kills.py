"""kill -9 at random moments: trainings and predictions that are begun again end as if nothing had happened.

    python benchmarks/kills.py [--kills 20] [--seed 0] [--side 4096] [--steps 200]

A training on built-in scenes, and the labelling of a large tiled TIFF, are each run once undisturbed. Then they are
killed at random moments, from the start of the process on, and begun again until they are done; once done, anew in
another folder, until there were so many kills. Every end must equal the undisturbed one bit for bit: the network, the
checkpoint, the curves (but for the minutes) and the evaluation; the file of labels. Prints a table; ends with exit
code 1 where anything differs.
"""

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window
from safetensors.torch import load_file

from fullyconv.demo import shapes
from fullyconv.model.fcn import build
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import CONFIG, CURVES, EVALUATION, LAST, WEIGHTS

STEP = 1024


@dataclass
class Job:
    """What is killed: its command, given the folder that it writes to; what it leaves when it has begun; its result."""

    name: str
    command: Callable[[Path], list[str]]
    begun: Callable[[Path], bool]
    result: Callable[[Path], dict[str, object]]


def training(folder: Path, steps: int) -> Job:
    data = folder / "data"
    shapes.make(data, train=24, val=2, test=1, crops_per_class=1)
    settings = {
        "data.batch_size": 4,
        "data.workers": 1,
        "data.resolutions": "[{crop: [96, 96]}]",
        "model.dropout": 0.3,
        "training.ema": 0.9,
        "training.precision": 32,  # not measured anew after a kill before the choice is written down
        "training.validate_every": 10,
    }
    options = ["--model", "fcn8s-smallvgg", "--no-pretrained", "--steps", str(steps)]
    options += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]

    def command(run: Path) -> list[str]:
        if (run / CONFIG).exists():
            return ["train", "--resume", "--out", str(run)]
        return ["train", "--data", str(data), *options, "--out", str(run)]

    def result(run: Path) -> dict[str, object]:
        with (run / CURVES).open(newline="") as file:
            rows = [{key: value for key, value in row.items() if key != "minutes"} for row in csv.DictReader(file)]
        state = torch.load(run / LAST, weights_only=True)["state_dict"]
        return {
            **{f"network {name}": tensor.numpy().tobytes() for name, tensor in load_file(run / WEIGHTS).items()},
            **{f"checkpoint {name}": tensor.numpy().tobytes() for name, tensor in state.items()},
            "curves": rows,
            "evaluation": (run / EVALUATION).read_text(),
        }

    return Job("train", command, lambda run: (run / LAST).exists(), result)


def labelling(folder: Path, side: int) -> Job:
    image, model = folder / "image.tif", folder / "model"
    noise = np.random.default_rng(0).integers(0, 256, (3, STEP // 16, STEP // 16), np.uint8).repeat(16, 1).repeat(16, 2)
    options = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    options |= {"crs": "EPSG:32633", "transform": from_origin(500_000, 4_100_000, 0.5, 0.5)}
    with rasterio.open(image, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", **options) as file:
        for top in range(0, side, STEP):
            for left in range(0, side, STEP):
                window = Window(left, top, min(STEP, side - left), min(STEP, side - top))
                file.write(np.roll(noise, top + left, (1, 2))[:, : window.height, : window.width], window=window)
    torch.manual_seed(0)
    net = build("fcn8s-smallvgg", [f"class {i}" for i in range(21)])
    for score in net.score.values():
        torch.nn.init.normal_(score.get_parameter("weight"))
    run_folder.save(net, model)

    def command(out: Path) -> list[str]:
        return ["predict", str(model), str(image), "--out", str(out), "--tile", "512"]

    def begun(out: Path) -> bool:
        return any(path.stat().st_size > 2**12 for path in out.glob("*.partial"))

    def result(out: Path) -> dict[str, object]:
        return {path.name: path.read_bytes() for path in sorted(out.iterdir())}

    return Job("predict", command, begun, result)


def start(job: Job, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "fullyconv", *job.command(out)]
    with out.with_suffix(".log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def refuse_failure(process: subprocess.Popen, out: Path) -> None:
    if process.returncode:
        said = out.with_suffix(".log").read_text()
        raise SystemExit(f"{process.args} ended with {process.returncode}:\n{said}")


def undisturbed(job: Job, out: Path) -> tuple[float, float]:
    """Seconds until the job had begun its work, and until its end."""
    started = time.monotonic()
    process = start(job, out)
    begun = 0.0
    while process.poll() is None:
        if not begun and job.begun(out):
            begun = time.monotonic() - started
        time.sleep(0.01)
    refuse_failure(process, out)
    total = time.monotonic() - started
    return begun or total, total


def kill_and_compare(job: Job, folder: Path, kills: int, chance: random.Random) -> tuple[str, bool]:
    """Return a row of the table, and whether all ends were equal."""
    begun, total = undisturbed(job, folder / "whole")
    expected = job.result(folder / "whole")
    latest = begun + 3 * (total - begun) / kills  # so that the kills are spread over the work
    done, after_begin, ends, different = 0, 0, 0, set[str]()
    while done < kills or not ends:
        out = folder / f"killed-{ends}"
        while True:
            process = start(job, out)
            try:
                process.wait(timeout=chance.uniform(0, latest) if done < kills else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                done += 1
                after_begin += job.begun(out)
                continue
            refuse_failure(process, out)
            break
        found = job.result(out)
        different |= {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
        ends += 1
    verdict = "yes" if not different else f"NO: {', '.join(sorted(different)[:3])}"
    return f"| {job.name} | {total:.0f} s | {done} | {after_begin} | {ends} | {verdict} |", not different


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each job")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=4096, help="of the image, in pixels")
    parser.add_argument("--steps", type=int, default=200, help="of the training")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print("| job | undisturbed | kills | after its first checkpoint or block | ends | equal, bit for bit |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    equal = []
    for make in (lambda at: training(at, options.steps), lambda at: labelling(at, options.side)):
        with tempfile.TemporaryDirectory() as folder:
            row, same = kill_and_compare(make(Path(folder)), Path(folder), options.kills, chance)
            print(row, flush=True)
            equal.append(same)
    raise SystemExit(0 if all(equal) else 1)


if __name__ == "__main__":
    main()
