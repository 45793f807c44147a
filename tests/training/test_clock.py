"""The length of a run: its minutes hold whatever the machine's speed, and a run can be made longer."""

import csv

import pytest
import torch
from safetensors.torch import load_file

from fullyconv.training import clock as clock_module
from fullyconv.training.clock import Clock
from fullyconv.training.module import Module
from fullyconv.training.save_best import SaveBest
from fullyconv.training.stages import _minutes_left, train
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import CONFIG, LAST


def quiet(_):
    pass


class Machine:
    """A machine on which a step and a validation take as long as is said, by the number of steps made."""

    def __init__(self, monkeypatch, step, validation):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(clock_module, "monotonic", lambda: self.now)
        training_step, validation_end = Module.training_step, Module.on_validation_epoch_end

        def timed_step(module, batch, batch_idx):
            self.now += step(module.global_step)
            self.log.append("step")
            return training_step(module, batch, batch_idx)

        def timed_validation(module):
            self.now += validation(module.global_step)
            self.log.append("validation")
            return validation_end(module)

        monkeypatch.setattr(Module, "training_step", timed_step)
        monkeypatch.setattr(Module, "on_validation_epoch_end", timed_validation)


# a budget of 60 seconds; seconds of a step and of a validation by the number of steps made; validations every 5 steps
RUNS = {
    "even": (lambda n: 1.0, lambda n: 5.0, 5),
    "steps slow down": (lambda n: 1.0 if n < 20 else 4.0, lambda n: 5.0, 5),
    "everything slows down": (lambda n: 1.0 if n < 20 else 5.0, lambda n: 5.0 if n < 20 else 25.0, 25),
    "a validation slows down in mid-run": (lambda n: 1.0, lambda n: 5.0 if n < 15 else 40.0, 40),
    "validations take most of the time": (lambda n: 1.0, lambda n: 22.0, 22),
    "a validation longer than the run": (lambda n: 1.0, lambda n: 100.0, 100),
    "steps longer than a tenth of the run": (lambda n: 17.0, lambda n: 2.0, 2),
    "one step longer than the run": (lambda n: 70.0, lambda n: 2.0, 12),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_over_its_minutes_by_a_validation_and_a_tenth_at_most(data, tiny, tmp_path, monkeypatch, name):
    step, validation, longest = RUNS[name]
    machine = Machine(monkeypatch, step, validation)
    train(data, tiny(training__max_minutes=1, training__validate_every=5), tmp_path / "run", say=quiet)
    assert machine.now <= 66 + longest
    assert machine.now >= 50
    assert machine.log[-1] == "validation"
    assert machine.log[-2] == "step"
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    measured = [row for row in rows if row["val_mean_iou"]]
    assert len(measured) == machine.log.count("validation")
    assert rows[-1] is measured[-1]
    assert run_folder.load(tmp_path / "run")


def test_a_validation_that_does_not_fit_leaves_its_time_to_training(data, tiny, tmp_path, monkeypatch):
    """After 5 steps and 22 s, twice, 6 s are left: the validation after step 15 would not fit."""
    machine = Machine(monkeypatch, lambda n: 1.0, lambda n: 22.0)
    train(data, tiny(training__max_minutes=1, training__validate_every=5), tmp_path / "run", say=quiet)
    assert machine.log == [*["step"] * 5, "validation"] * 2 + ["step"] * 6 + ["validation"]


def test_what_was_measured_before_is_not_taken_for_a_validation_left_out(data, tiny, tmp_path, monkeypatch):
    kept = []
    original = SaveBest._is_best
    monkeypatch.setattr(
        SaveBest, "_is_best", lambda self, trainer: kept.append(trainer.global_step) or original(self, trainer)
    )
    Machine(monkeypatch, lambda n: 1.0, lambda n: 20.0)
    train(data, tiny(training__max_minutes=1, training__validate_every=4), tmp_path / "run", say=quiet)
    assert kept == [4, 8, 20]  # 4 + 20 + 4 + 20 = 48; 12 more steps fill the minute, two stretches of them unmeasured
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [int(row["step"]) for row in rows if not row["val_mean_iou"]] == [12, 16]


def test_stages_share_what_is_left_of_the_minutes(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, seconds in zip(folders[:2], (240.0, 60.0), strict=True):
        (folder / LAST).parent.mkdir(parents=True)
        clock = {"trained": seconds, "step": 9}
        torch.save({"callbacks": {"Clock": clock}, "state_dict": {}, "loops": {}}, folder / LAST)
    assert _minutes_left(9, folders, 1) == 3
    assert _minutes_left(9, folders, 2) == 2.5
    assert _minutes_left(9, folders, 3) == 4
    assert _minutes_left(3, folders, 3) == pytest.approx(0.05)


def test_a_state_of_an_earlier_version_is_read(tiny):
    clock = Clock(tiny(training__max_minutes=1), 0)
    clock.load_state_dict({"trained": 30.0, "step": 7})
    assert clock.progress(7) == 0.5


CONSTANT = {"optimizer__schedule": "constant", "optimizer__warmup": 0, "training__ema": 0.5, "model__dropout": 0.3}


@pytest.mark.parametrize("first", [4, 5])
def test_a_run_made_longer_ends_as_one_that_was_as_long_from_the_start(data, tiny, tmp_path, first):
    """At a rate that does not depend on the length; stretches between validations are cut otherwise."""
    whole = tiny(training__steps=12, training__keep="last", **CONSTANT)
    train(data, whole, tmp_path / "whole", say=quiet)
    run = tmp_path / "run"
    train(data, tiny(training__steps=first, training__keep="last", **CONSTANT), run, say=quiet)
    assert torch.load(run / LAST, weights_only=True)["global_step"] in (4, 6)
    train(data, whole, run, resume=True, say=quiet)
    one, other = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", run))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "steps: 12" in (run / CONFIG).read_text()


def test_a_run_that_is_over_says_how_to_train_on(data, tiny, tmp_path):
    train(data, tiny(training__steps=3), tmp_path / "my run", say=quiet)
    said = []
    train(data, tiny(training__steps=3), tmp_path / "my run", resume=True, say=said.append)
    assert any(
        "reached its length (3 steps" in line and "It trains on by --resume with more --steps" in line for line in said
    )


def test_a_later_stage_that_has_begun_alone_is_trained_on(data, tiny, tmp_path):
    run = tmp_path / "run"
    train(data, tiny(training__stages=[32, 16], training__steps=6), run, say=quiet)
    first = (run / "fcn32s-test_resnet" / "model.safetensors").read_bytes()
    net = train(data, tiny(training__stages=[32, 16], training__steps=12), run, resume=True, say=quiet)
    assert net.name == "fcn16s-test_resnet"
    assert (run / "fcn32s-test_resnet" / "model.safetensors").read_bytes() == first
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 6
