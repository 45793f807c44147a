"""A loader process that is killed: one message, the checkpoint stays, and the run goes on to the same end."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import Dataset, get_worker_info

from fullyconv.errors import LoaderError
from fullyconv.evaluation.evaluate import evaluate
from fullyconv.training.batches import TrainingSet
from fullyconv.training.stages import new_network, train
from fullyconv.weights.run_files import LAST


@pytest.fixture
def forks():
    """Loaders are copies of this process, so that they inherit what makes them end."""
    if multiprocessing.get_start_method() != "fork":
        pytest.skip("processes start anew here")


def quiet(_):
    pass


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def test_training_ends_with_one_message_and_goes_on_from_its_checkpoint(
    data, tiny, tmp_path, monkeypatch, capfd, forks
):
    run = tmp_path / "my run"
    config = tiny(data__workers=2, training__steps=60, training__keep="last")
    original = TrainingSet.__getitem__

    def get(self, draw):
        if get_worker_info() is not None and (run / LAST).exists():
            kill_itself()
        return original(self, draw)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingSet, "__getitem__", get)
        with pytest.raises(LoaderError, match=r"DataLoader worker .* --resume --out '.*my run'") as raised:
            train(data, config, run, say=quiet)
    assert "\n" not in str(raised.value)
    assert "Traceback" not in capfd.readouterr().err
    assert 0 < torch.load(run / LAST, weights_only=True)["global_step"] < 60
    train(data, tiny(data__workers=0, training__steps=60, training__keep="last"), run, resume=True, say=quiet)
    train(data, config, tmp_path / "whole", say=quiet)
    one, other = (load_file(folder / "model.safetensors") for folder in (run, tmp_path / "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


class Deadly(Dataset):
    """Two images; the second kills the process that reads it."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index == 1:
            kill_itself()
        return torch.zeros(3, 32, 32, dtype=torch.uint8), torch.zeros(32, 32, dtype=torch.uint8), index


def test_an_evaluation_ends_with_one_message(data, tiny, forks):
    with pytest.raises(LoaderError, match="evaluate again"):
        evaluate(new_network(data, tiny(), quiet), Deadly())


def test_other_errors_pass_unchanged(tmp_path: Path):
    from fullyconv.data.loaders import killed_loaders_explained

    with pytest.raises(RuntimeError, match="a bug of ours"), killed_loaders_explained("No remedy."):
        raise RuntimeError("a bug of ours")
