"""Early stopping: a run ends where its mean IoU no longer rises, also where it was interrupted on the way."""

import csv

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fullyconv.errors import ConfigError
from fullyconv.training.early_stopping import describe_stall, has_stalled
from fullyconv.training.module import Module
from fullyconv.training.stages import train
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import LAST


def quiet(_):
    pass


def rows_of(values):
    """Rows of metrics.csv, every tenth step; None stands for a row without a validation."""
    return [{"step": 10 * n} | ({} if v is None else {"val_mean_iou": v}) for n, v in enumerate(values, 1)]


@given(st.lists(st.none() | st.sampled_from([0.1, 0.2, 0.3]), max_size=8), st.integers(1, 4))
def test_a_run_has_stalled_when_a_counter_of_worse_validations_reaches_patience(values, patience):
    """As a plain loop counts, which starts anew at each better value; a tie is no better."""
    best, waited = -1.0, 0
    for value in values:
        if value is not None:
            best, waited = (value, 0) if value > best else (best, waited + 1)
    assert has_stalled(rows_of(values), patience) == (waited >= patience)
    assert not has_stalled(rows_of(values), None)


def test_a_stall_is_described_by_its_best_validation():
    said = describe_stall(rows_of([0.25, None, 0.5, 0.5, None, 0.125]))
    assert "not risen above 0.500, that of step 30, in 2 validations" in said


def measures(monkeypatch, values):
    """Let the validations of a run measure these values, by the number of steps made (one stretch is 3 steps)."""

    def measured(module):
        module.confusion.reset()
        module.log("val_mean_iou", values[module.global_step // 3 - 1])

    monkeypatch.setattr(Module, "on_validation_epoch_end", measured)


def steps_of(run):
    return [int(row["step"]) for row in csv.DictReader((run / "metrics.csv").open())]


VALUES = [0.2, 0.4, 0.3, 0.4, 0.5, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(("patience", "last"), [(1, 9), (2, 12), (3, 24), (4, 24), (None, 24)])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_run_stops_after_so_many_worse_validations(data, tiny, tmp_path, monkeypatch, patience, last, keep):
    measures(monkeypatch, VALUES)
    said = []
    config = tiny(training__steps=24, training__patience=patience, training__keep=keep)
    train(data, config, tmp_path / "run", say=said.append)
    assert steps_of(tmp_path / "run")[-1] == last
    assert any("Stopped early, at step" in line for line in said) == (last < 24)


@pytest.mark.parametrize("step", [2, 7, 11])
def test_an_interrupted_run_stops_where_it_would_have_stopped(data, tiny, tmp_path, monkeypatch, step):
    """Before the first checkpoint, after the best validation, and in the last stretch."""
    measures(monkeypatch, VALUES)
    config = tiny(training__steps=24, training__patience=2, training__ema=0.9, model__dropout=0.3)
    whole = train(data, config, tmp_path / "whole", say=quiet).state_dict()
    original = Module.on_train_batch_start

    def interrupt(self, batch, batch_idx):
        if self.global_step == step:
            raise KeyboardInterrupt
        original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Module, "on_train_batch_start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(data, config, tmp_path / "run", say=quiet)
    resumed = train(data, config, tmp_path / "run", resume=True, say=quiet).state_dict()
    assert steps_of(tmp_path / "run") == steps_of(tmp_path / "whole")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


def test_a_run_that_stopped_early_trains_on_with_more_patience(data, tiny, tmp_path, monkeypatch):
    measures(monkeypatch, VALUES)
    endless = {"training__steps": 24, "training__keep": "last", "optimizer__schedule": "cosine"}
    whole = train(data, tiny(**endless), tmp_path / "whole", say=quiet).state_dict()
    train(data, tiny(**endless, training__patience=1), tmp_path / "run", say=quiet)
    before = (tmp_path / "run" / LAST).read_bytes()
    said = []
    train(data, tiny(**endless, training__patience=1), tmp_path / "run", resume=True, say=said.append)
    assert (tmp_path / "run" / LAST).read_bytes() == before
    assert any("has stopped early, at step 9" in line and "--set training.patience=none" in line for line in said)
    on = train(data, tiny(**endless), tmp_path / "run", resume=True, say=quiet).state_dict()
    assert all(torch.equal(on[name], tensor) for name, tensor in whole.items())


def test_each_stage_has_a_patience_of_its_own(data, tiny, tmp_path, monkeypatch):
    measures(monkeypatch, VALUES)
    config = tiny(training__stages=[32, 16], training__steps=48, training__patience=1)
    train(data, config, tmp_path / "run", say=quiet)
    assert steps_of(tmp_path / "run" / "fcn32s-test_resnet")[-1] == 9
    assert steps_of(tmp_path / "run")[-1] == 9
    assert run_folder.load(tmp_path / "run").name == "fcn16s-test_resnet"


def test_patience_without_a_validation_is_refused(data, tiny, tmp_path):
    del data.splits["val"]
    with pytest.raises(ConfigError, match=r"training\.patience is 2.* no split named val, only train\. Leave it out"):
        train(data, tiny(training__patience=2), tmp_path / "run", say=quiet)
