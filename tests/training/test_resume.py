"""A run killed at any moment and resumed, and a run shared by two processes, end as the undisturbed one."""

import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from fullyconv.training.stages import train
from fullyconv.weights.run_files import LAST


def quiet(_):
    pass


def command(config, run):
    """``fullyconv train`` with this configuration, in a process of its own."""
    recipe = run.with_suffix(".yaml")
    recipe.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return [sys.executable, "-m", "fullyconv", "train", "--recipe", str(recipe), "--out", str(run)]


def same(one, other):
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


RARE = {
    "data__balance": 0.7,
    "training__objective": "dice+ohem",
    "training__class_weights": {"red": 2},
    "training__boundary_weight": 10,
}
AUGMENTED = {
    "data__augment": {
        "preset": "aerial",
        "rotate": 20,
        "shear": 10,
        "elastic": 5,
        "elastic_spacing": 20,
        "flip_pairs": [["red", "green"]],
        "gray": 0.3,
        "noise": 8,
        "jpeg": 40,
        "cutout": 0.3,
        "copy_paste": 0.5,
    }
}


@pytest.mark.parametrize(
    ("workers", "accumulate", "further"), [(0, 1, {}), (2, 3, {}), (2, 1, RARE), (2, 1, RARE | AUGMENTED)]
)
def test_a_killed_run_resumes_as_if_nothing_had_happened(data, tiny, tmp_path, workers, accumulate, further):
    config = tiny(
        data__path=data.root,
        data__workers=workers,
        optimizer__accumulate=accumulate,
        training__ema=0.9,
        model__dropout=0.3,
        training__steps=120 // accumulate,
        **further,
    )
    train(data, config, tmp_path / "whole", say=quiet)

    killed = tmp_path / "killed"
    process = subprocess.Popen(command(config, killed))
    try:
        deadline = time.monotonic() + 120
        while not (killed / LAST).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None, "the run ended before it could be killed"
    finally:
        process.kill()  # its loader processes end when they miss it
        process.wait()
    step = torch.load(killed / LAST, weights_only=True)["global_step"]
    assert 0 < step < config.training.steps
    train(data, config, killed, resume=True, say=quiet)

    assert same(tmp_path / "whole", killed)
    ends = [torch.load(run / LAST, weights_only=True) for run in (tmp_path / "whole", killed)]
    assert all(torch.equal(ends[0]["state_dict"][name], ends[1]["state_dict"][name]) for name in ends[0]["state_dict"])
    tables = [(run / "metrics.csv").read_text().splitlines() for run in (tmp_path / "whole", killed)]
    without_minutes = [[[cell for i, cell in enumerate(row.split(",")) if i != 1] for row in table] for table in tables]
    assert without_minutes[0] == without_minutes[1]


def test_two_processes_learn_what_one_learns_from_whole_batches(data, tiny, tmp_path):
    """Without batch norm, whose statistics would be each process's own on a CPU. Void pixels fall unevenly."""
    changes = {"data__batch_size": 2, "optimizer__accumulate": 2, "training__epochs": 2}
    config = tiny(data__path=data.root, model__name="fcn8s-test_convnext", **changes)
    train(data, config, tmp_path / "one", say=quiet)
    config.training.devices = 2
    subprocess.run(command(config, tmp_path / "two"), check=True, timeout=240)

    one, two = (torch.load(tmp_path / run / LAST, weights_only=True) for run in ("one", "two"))
    for name, tensor in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    rows = [
        [
            float(cell)
            for line in (tmp_path / run / "metrics.csv").read_text().splitlines()[1:]
            for cell in line.split(",")[3:]
        ]
        for run in ("one", "two")
    ]
    assert rows[0] == pytest.approx(rows[1], abs=2e-3)
