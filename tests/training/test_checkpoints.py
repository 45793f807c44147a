"""A checkpoint may come from a stranger: it is read as data, whole and of this network, or refused in one message."""

import zipfile

import pytest
import torch

from fullyconv.data import open_data
from fullyconv.errors import WeightsError
from fullyconv.training.checkpoints import read_checkpoint
from fullyconv.training.config import load_config
from fullyconv.training.module import Module
from fullyconv.training.stages import train
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import LAST
from tests.training.conftest import TINY


class Trap:
    """Unpickled, it writes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    """A run of one validation, and its checkpoint's content."""
    config = load_config(None, TINY | {"data.path": pictures, "training.steps": 1, "training.epochs": 1})
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(open_data(pictures), config, folder, say=lambda _: None)
    config.training.steps = 2
    return open_data(pictures), config, folder, torch.load(folder / LAST, weights_only=True)


def changed(content, where, value):
    """A copy in which the entry at the keys ``where`` is ``value``."""
    key, *deeper = where
    if isinstance(content, list):
        return [changed(entry, deeper, value) if at == key else entry for at, entry in enumerate(content)]
    return content | {key: changed(content[key], deeper, value) if deeper else value}


@pytest.mark.parametrize(
    "where", [("trap",), ("state_dict", "trap"), ("callbacks", "Clock"), ("optimizer_states",), ("loops",)]
)
def test_a_hostile_checkpoint_executes_nothing(run, tmp_path, where):
    data, config, folder, content = run
    torch.save(changed(content, where, Trap(tmp_path / "executed")), folder / LAST)
    with pytest.raises(
        WeightsError, match=r"last\.ckpt: this run cannot resume .*never executed.* --out; --init \S+run "
    ) as e:
        train(data, config, folder, resume=True, say=lambda _: None)
    assert "weights_only" not in str(e.value)  # torch's advice is to execute it
    assert not (tmp_path / "executed").exists()
    torch.load(folder / LAST, weights_only=False)["epoch"]  # the trap works
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (("state_dict",), [1], "lacks the state of a run"),
        (("loops",), None, "lacks the state of a run"),
        (("callbacks",), {}, "lacks the progress of the run"),
        (("callbacks", "Clock", "trained"), float("nan"), "lacks the progress of the run"),
        (("callbacks", "Clock", "step"), "3", "lacks the progress of the run"),
        (("state_dict", "more"), torch.ones(2), r"its 'more' is \(2,\), but the configured network has nothing"),
        (("state_dict", "more"), None, "its 'more' is NoneType"),
        (("state_dict", 5), None, "its '5' is NoneType"),
        (("callbacks", "Clock", "step"), 0, "the run is at step 0 and at step 1"),
        (("callbacks", "Clock", "step_seconds"), "1", "its durations of a step and a validation"),
        (("callbacks", "SaveBest", "rows"), [{"step": []}], "its metrics are not numbers"),
        (("callbacks", "SaveBest", "rows"), [{"val_mean_iou": 0.5}], "its metrics are not numbers"),
        (("pytorch-lightning_version",), "two", "expected version 2"),
        (("loops", "fit_loop"), {}, "its loop state"),
        (("loops", "fit_loop", "epoch_progress", "current", "ready"), 7, "its loop state"),
        (("loops", "fit_loop", "epoch_progress", "current", "completed"), "1", "its loop state"),
        (("optimizer_states",), [], "lacks the state of the optimizer"),
        (("optimizer_states", 0, "param_groups"), [], "trains different weights"),
        (("optimizer_states", 0, "state", 10**6), {}, "its optimizer is not adamw"),
        (("optimizer_states", 0, "state", 0), {"momentum_buffer": torch.ones(1)}, "its optimizer is not adamw"),
        (("optimizer_states", 0, "state", 0, "exp_avg"), torch.ones(1), "state of weight 0 does not have the shape"),
        (
            ("optimizer_states", 0, "state", 0, "exp_avg"),
            "much",
            "state of weight 0 does not have the shape of the weight",
        ),
        (("optimizer_states", 0, "state", 0, "step"), torch.tensor(-1.0), "state of weight 0 does not have the shape"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_by_its_reason(run, where, value, reason):
    data, config, folder, content = run
    torch.save(changed(content, where, value), folder / LAST)
    with pytest.raises(WeightsError, match=f"this run cannot resume from this checkpoint: .*{reason}"):
        train(data, config, folder, resume=True, say=lambda _: None)


def test_a_checkpoint_of_a_network_of_other_shapes_is_refused(run):
    data, config, folder, content = run
    name = next(name for name, tensor in content["state_dict"].items() if tensor.dim() == 4)
    torch.save(changed(content, ("state_dict", name), torch.ones(3)), folder / LAST)
    with pytest.raises(WeightsError, match=rf"its '{name}' is \(3,\)"):
        train(data, config, folder, resume=True, say=lambda _: None)


def test_an_optimizer_takes_its_averages_alone_from_a_checkpoint(run):
    """Its options are the configuration's: a learning rate that is text would fail at the next step."""
    _, config, folder, content = run
    module = Module(run_folder.load(folder), config, None, [])
    optimizer = module.configure_optimizers()
    options = optimizer.state_dict()["param_groups"]
    (state,) = content["optimizer_states"]
    optimizer.load_state_dict(changed(state, ("param_groups", 0, "betas"), "much"))
    assert optimizer.state_dict()["param_groups"] == options
    assert torch.equal(optimizer.state_dict()["state"][0]["exp_avg"], state["state"][0]["exp_avg"])


def test_files_that_are_none_are_refused(run, tmp_path):
    content = run[3]
    whole = tmp_path / "whole.ckpt"
    torch.save(content, whole)
    assert read_checkpoint(whole)["global_step"] == content["global_step"]
    packed = tmp_path / "packed.ckpt"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
    torch.save([1], tmp_path / "list.ckpt")
    (tmp_path / "cut.ckpt").write_bytes(whole.read_bytes()[:-1000])
    (tmp_path / "empty.ckpt").write_bytes(b"")
    for name in ("packed", "list", "cut", "empty"):
        with pytest.raises(WeightsError, match=rf"{name}\.ckpt: this run cannot resume"):
            read_checkpoint(tmp_path / f"{name}.ckpt")
