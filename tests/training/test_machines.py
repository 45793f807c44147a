"""A short training on machines unlike this one; ``make test-machines`` runs far more of the tests on each."""

import pickle
from types import SimpleNamespace

import lightning
import pytest
import torch
import yaml

from fullyconv import hardware
from fullyconv.inference import ensemble
from fullyconv.model import fcn
from fullyconv.training import run as run_module
from fullyconv.training.augmented.samples import training_set
from fullyconv.training.clock import Clock
from fullyconv.training.run import training_loader, validation_loader
from fullyconv.training.stages import new_network, train
from tests.machines import MACHINES, simulated


def quiet(_):
    pass


@pytest.mark.parametrize("machine", MACHINES)
def test_a_network_is_trained_and_resumed_on_any_machine(data, tiny, tmp_path, machine):
    spawns = machine == "windows"  # a loader process that starts anew imports torch: seconds each
    config = tiny(training__precision="auto", training__steps=2, data__workers=1 if spawns else 0)
    with simulated(machine):
        train(data, config, tmp_path, say=quiet)
        longer = tiny(training__steps=3, data__workers=0, training__precision="auto")
        net = train(data, longer, tmp_path, resume=True, say=quiet)
    assert all(torch.isfinite(p).all() for p in net.parameters())
    if machine == "no-bf16":
        assert yaml.safe_load((tmp_path / "config.yaml").read_text())["training"]["precision"] == "32"


def test_what_loader_processes_are_given_can_be_sent_to_them(data, tiny):
    config = tiny(data__augment={"copy_paste": 0.5, "flip_pairs": [["red", "green"]]}, data__balance=0.5)
    trainer = SimpleNamespace(global_step=0, global_rank=0, world_size=1)
    samples = training_set(data, run_module.SegmentationDataset(data, "train"), config)
    for loader in (
        training_loader(samples, config, 3, trainer, Clock(config, 3)),
        validation_loader(data, config, fcn.build("fcn32s-smallvgg", data.classes), trainer),
    ):
        dataset, collate = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn)))
        assert type(dataset) is type(loader.dataset)
        assert collate is loader.collate_fn
        assert loader.worker_init_fn is None


@pytest.fixture
def apple(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_an_apple_gpu_trains_the_network(data, tiny, tmp_path, monkeypatch, apple):
    asked = {}

    def trainer(**options):
        asked.update(options)
        raise KeyboardInterrupt  # no such trainer can be made here

    monkeypatch.setattr(lightning, "Trainer", trainer)
    with pytest.raises(KeyboardInterrupt):
        train(data, tiny(training__precision="auto"), tmp_path, say=quiet)
    assert (asked["accelerator"], asked["precision"]) == ("mps", "32-true")


def test_an_apple_gpu_is_where_commands_place_the_network(data, tiny, monkeypatch, apple):
    net = new_network(data, tiny(), quiet)
    placed = []
    monkeypatch.setattr(net, "to", placed.append)
    monkeypatch.setattr(ensemble, "open_model", lambda model: net)
    ensemble.opened("run")
    assert placed == [torch.device("mps")] == [hardware.best_device()]
