"""A run killed at any moment and resumed, and a run shared by two processes, end as the undisturbed one."""

import contextlib
import csv
import subprocess
import sys
import time

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from fullyconv.training.checkpoints import AtomicCheckpoints
from fullyconv.training.module import Module
from fullyconv.training.save_best import SaveBest
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
    assert ends_alike(tmp_path / "whole", killed)


SETTINGS = st.fixed_dictionaries(
    {
        "data.batch_size": st.sampled_from([2, 4]),
        "data.balance": st.sampled_from([0, 0.5]),
        "model.dropout": st.sampled_from([None, 0.3]),
        "optimizer.name": st.sampled_from(["adamw", "sgd"]),
        "optimizer.schedule": st.sampled_from(["poly", "cosine", "constant"]),
        "optimizer.bias_rate": st.sampled_from([1, 2]),
        "optimizer.backbone_rate": st.sampled_from([1, 0.1]),
        "optimizer.accumulate": st.sampled_from([1, 2]),
        "training.objective": st.sampled_from(["cross_entropy", "dice+ohem", "focal", "tversky"]),
        "training.class_weights": st.sampled_from(["none", "root_median_frequency", {"red": 2}]),
        "training.ema": st.sampled_from([0, 0.9]),
        "training.freeze": st.sampled_from(["none", 32, "backbone"]),
        "training.stages": st.sampled_from([None, [32, 16]]),
        "training.keep": st.sampled_from(["best", "last"]),
        "training.patience": st.sampled_from([None, 1, 2]),
        "training.validate_every": st.sampled_from([2, 3]),
    }
)
MOMENTS = {
    "before a step": (Module, "on_train_batch_start"),
    "before a validation": (Module, "on_validation_start"),
    "before the network is kept": (SaveBest, "_is_best"),
    "before a checkpoint is written": (AtomicCheckpoints, "save_checkpoint"),
}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SETTINGS, st.lists(st.tuples(st.sampled_from(sorted(MOMENTS)), st.integers(1, 6)), min_size=1, max_size=2))
def test_a_run_of_any_settings_that_stops_at_any_moment_resumes_exactly(data, tiny, tmp_path_factory, changes, stops):
    """``stops``: where the run is interrupted, and how many times it has come there then."""
    config = tiny(**{"training.steps": 8} | changes)
    whole, stopped = (tmp_path_factory.mktemp(name) for name in ("whole", "stopped"))
    train(data, config, whole, say=quiet)
    for moment, number in stops:
        with interrupted(*MOMENTS[moment], number), contextlib.suppress(KeyboardInterrupt):
            train(data, config, stopped, resume=True, say=quiet)
    train(data, config, stopped, resume=True, say=quiet)
    for folder in (whole, *(path.parent for path in whole.glob("*/model.json"))):
        assert ends_alike(folder, stopped / folder.relative_to(whole))


@contextlib.contextmanager
def interrupted(kind, name, at):
    """Raise KeyboardInterrupt instead of the call number ``at`` of a method."""
    original, calls = getattr(kind, name), []

    def press(*args, **options):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, name, press)
        yield


def ends_alike(one, other):
    """Whether two runs have, bit for bit, the same network, the same state, and the same table but for the minutes."""
    states = [torch.load(run / LAST, weights_only=True)["state_dict"] for run in (one, other)]
    tables = [list(csv.DictReader((run / "metrics.csv").open())) for run in (one, other)]
    for table in tables:
        for row in table:
            row.pop("minutes")
    return (
        same(one, other)
        and states[0].keys() == states[1].keys()
        and all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        and tables[0] == tables[1]
    )


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
