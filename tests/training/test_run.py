"""Training: what is learnt, what is kept, what stops it."""

import csv
import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from fullyconv.data import open_data
from fullyconv.data.frequencies import ClassPixels
from fullyconv.errors import ConfigError, DataError, WeightsError
from fullyconv.training.clock import Clock, rate_factor
from fullyconv.training.module import RATE, Module
from fullyconv.training.run import class_weights, median_frequency, plan
from fullyconv.training.settings.optimizer import Optimizer
from fullyconv.training.stages import _hand_on, new_network, train
from fullyconv.weights import run_folder


def quiet(_):
    pass


def rows(run):
    return list(csv.DictReader((run / "metrics.csv").open()))


def test_a_run_learns_and_keeps_its_best_network(data, tiny, tmp_path):
    net = train(data, tiny(training__epochs=20, training__ema=0.9, optimizer__lr=0.01), tmp_path / "run", say=quiet)
    measured = [float(row["val_mean_iou"]) for row in rows(tmp_path / "run") if row["val_mean_iou"]]
    assert max(measured) > 0.8
    assert [int(row["step"]) for row in rows(tmp_path / "run")] == sorted([*range(3, 61, 3), 50])
    assert net.classes == ["blue", "red", "green"]
    assert all((tmp_path / "run" / name).exists() for name in ("config.yaml", "model.json", "checkpoints/last.ckpt"))
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_run_with_clipping_trains_in_any_precision(data, tiny, tmp_path, precision, optimizer):
    """A CPU needs no hardware of its own for bf16: so what processors with it do is tested on all."""
    config = tiny(training__precision=precision, optimizer__name=optimizer, training__steps=3)
    assert config.optimizer.clip > 0
    net = train(data, config, tmp_path / "run", say=quiet)
    assert all(torch.isfinite(p).all() and p.dtype == torch.float32 for p in net.parameters())


def test_clipping_bounds_the_norm_of_the_gradients_before_a_step(data, tiny):
    config = tiny(training__precision="bf16")
    module = Module(new_network(data, config, quiet), config, None, [])
    optimizer = module.configure_optimizers()
    for parameter in module.net.parameters():
        parameter.grad = torch.ones_like(parameter)
    module.configure_gradient_clipping(optimizer, 0.5)
    norm = torch.cat([p.grad.flatten() for p in module.net.parameters()]).norm()
    assert norm.item() == pytest.approx(0.5, rel=1e-3)


def test_sgd_with_a_summed_loss_and_cosine_learns_too(data, tiny, tmp_path):
    sgd = {"optimizer__name": "sgd", "optimizer__lr": 1e-5, "optimizer__schedule": "cosine", "optimizer__clip": 0}
    config = tiny(**sgd, training__loss="sum", training__epochs=8)
    train(data, config, tmp_path / "run", say=quiet)
    losses = [float(row["train_loss"]) for row in rows(tmp_path / "run")]
    assert losses[-1] < losses[0]


def test_minutes_bound_the_run(data, tiny, tmp_path):
    train(data, tiny(training__max_minutes=0.1), tmp_path / "run", say=quiet)
    last = rows(tmp_path / "run")[-1]
    assert 0.1 <= float(last["minutes"]) < 0.3
    assert float(last["lr"]) < 0.003 * 0.2  # the schedule was stretched over the minutes


def test_stages_hand_their_weights_on(data, tiny, tmp_path, monkeypatch):
    started = []

    def spy(net, *args, **options):
        started.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        return original(net, *args, **options)

    from fullyconv.training import stages

    original = stages.train_network
    monkeypatch.setattr(stages, "train_network", spy)
    train(data, tiny(training__stages=[32, 16, 8], training__epochs=6), tmp_path / "run", say=quiet)
    for stage, folder in ((1, "fcn32s-test_resnet"), (2, "fcn16s-test_resnet")):
        handed_on = run_folder.load(tmp_path / "run" / folder).state_dict()
        assert all(torch.equal(started[stage][name], tensor) for name, tensor in handed_on.items())
    assert not started[1]["score.16.weight"].any()
    assert not started[2]["score.8.weight"].any()
    assert run_folder.load(tmp_path / "run").name == "fcn8s-test_resnet"


def test_a_frozen_backbone_stays_as_it_was(data, tiny, tmp_path):
    config = tiny(training__freeze="backbone")
    torch.manual_seed(0)
    start = new_network(data, config, quiet)
    run_folder.save(start, tmp_path / "start")
    config.model.init = tmp_path / "start"
    net = train(data, config, tmp_path / "run", say=quiet)
    before, after = start.state_dict(), net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("backbone."))
    assert not torch.equal(before["score.32.weight"], after["score.32.weight"])


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_images(data, tiny, tmp_path, monkeypatch):
    from fullyconv.model.fcn import FCN

    original, calls = FCN.loss, []

    def loss(self, *args, **options):
        calls.append(1)
        return original(self, *args, **options) * (float("nan") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(FCN, "loss", loss)
    with pytest.raises(DataError, match=r"nan at step 5 for (images/train/\d+\.png(, )?){4}\."):
        train(data, tiny(), tmp_path / "run", say=quiet)
    kept = run_folder.load(tmp_path / "run")
    assert all(torch.isfinite(p).all() for p in kept.parameters())
    assert [row["step"] for row in rows(tmp_path / "run")] == ["3"]


def test_weights_that_are_not_finite_do_not_replace_the_last_good_ones(data, tiny, tmp_path, monkeypatch):
    original = Module.on_train_batch_end

    def spoil(self, outputs, batch, batch_idx):
        original(self, outputs, batch, batch_idx)
        if self.global_step == 6:
            with torch.no_grad():
                self.net.score["8"].bias.fill_(float("nan"))

    monkeypatch.setattr(Module, "on_train_batch_end", spoil)
    with pytest.raises(DataError, match=r"score\.8\.bias are not finite after step 6"):
        train(data, tiny(), tmp_path / "run", say=quiet)
    assert [row["step"] for row in rows(tmp_path / "run")] == ["3"]
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3


def test_skips_of_features_also_start_without_a_say(data, tiny):
    config = tiny(model__width=8)
    coarse = new_network(data, tiny(model__width=8, model__name="fcn16s-test_resnet"), quiet)
    fine = new_network(data, config, quiet)
    _hand_on(coarse, fine)
    assert not fine.score["8"][1].weight.any()
    assert fine.score["8"][0].weight.any()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_breaks_during_training_is_named(pictures, tiny, tmp_path, workers):
    root = tmp_path / "data"
    shutil.copytree(pictures, root)
    data = open_data(root)
    broken = root / "images" / "train" / "7.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=r"images/train/7\.png") as raised:
        train(data, tiny(data__workers=workers), tmp_path / "run", say=quiet)
    assert "Traceback" not in str(raised.value)


def test_a_run_is_not_overwritten(data, tiny, tmp_path):
    train(data, tiny(training__epochs=1), tmp_path / "run", say=quiet)
    with pytest.raises(ConfigError, match="--resume"):
        train(data, tiny(), tmp_path / "run", say=quiet)


def test_a_finished_run_resumes_to_itself(data, tiny, tmp_path):
    before = train(data, tiny(training__epochs=1), tmp_path / "run", say=quiet).state_dict()
    after = train(data, tiny(training__epochs=1), tmp_path / "run", resume=True, say=quiet).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_resumes_on_its_own_classes_alone(data, tiny, tmp_path):
    train(data, tiny(training__epochs=1), tmp_path / "run", say=quiet)
    others = dataclasses.replace(data, classes=["blue", "red", "pink"])
    with pytest.raises(DataError, match=r"pink new; green missing\. .* train with --init"):
        train(others, tiny(training__epochs=2), tmp_path / "run", resume=True, say=quiet)


def test_batch_norm_of_a_single_value_is_refused_in_words(data, tiny, tmp_path):
    config = tiny(model__name="fcn32s-test_resnet", data__batch_size=1, data__resolutions=[{"crop": [32, 32]}])
    with pytest.raises(ConfigError, match=r"1 image of 32×32 pixels .* Increase data\.batch_size"):
        train(data, config, tmp_path / "run", say=quiet)


def test_ctrl_c_leaves_a_run_that_goes_on(data, tiny, tmp_path, monkeypatch):
    original = Module.on_train_batch_start

    def press(self, batch, batch_idx):
        original(self, batch, batch_idx)
        if self.global_step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Module, "on_train_batch_start", press)
        with pytest.raises(KeyboardInterrupt):
            train(data, tiny(), tmp_path / "run", say=quiet)
    stopped = train(data, tiny(), tmp_path / "run", resume=True, say=quiet).state_dict()
    whole = train(data, tiny(), tmp_path / "whole", say=quiet).state_dict()
    assert all(torch.equal(stopped[name], tensor) for name, tensor in whole.items())


def test_init_takes_the_backbone_and_what_else_fits(data, tiny, tmp_path):
    source = new_network(data, tiny(), quiet)
    run_folder.save(source, tmp_path)
    said = []
    net = new_network(data, tiny(model__init=tmp_path, model__width=8), said.append)
    assert torch.equal(
        net.state_dict()["backbone.body.conv1.0.weight"], source.state_dict()["backbone.body.conv1.0.weight"]
    )
    assert "score.8.0.weight" in said[0]
    with pytest.raises(WeightsError, match=r"does not hold the backbone of fcn8s-test_convnext"):
        new_network(data, tiny(model__init=tmp_path, model__name="fcn8s-test_convnext"), quiet)


def test_biases_of_convolutions_alone_have_a_rate_of_their_own(data, tiny):
    """Norms' parameters are not biases, though half of them are called so."""
    config = tiny(optimizer__bias_rate=2.0, optimizer__name="sgd", optimizer__warmup=0, optimizer__schedule="constant")
    net = new_network(data, config, quiet)
    optimizer = Module(net, config, None, []).configure_optimizers()
    strategy = SimpleNamespace(broadcast=lambda value: value)
    trainer = SimpleNamespace(strategy=strategy, global_step=0, optimizers=[optimizer])
    Clock(config, 10).on_train_batch_start(trainer, None, None, 0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert set(rates) == {id(p) for p in net.parameters()}
    assert set(rates.values()) == {config.optimizer.lr, 2 * config.optimizer.lr}
    twice = {name for name, p in net.named_parameters() if rates[id(p)] == 2 * config.optimizer.lr}
    assert twice == {"score.8.bias", "score.16.bias", "score.32.bias"}


@pytest.mark.parametrize("freeze", ["none", 8, "backbone"])
def test_the_backbone_has_a_rate_of_its_own_also_its_biases(data, tiny, freeze):
    config = tiny(optimizer__backbone_rate=0.1, optimizer__bias_rate=2.0, training__freeze=freeze)
    net = new_network(data, config, quiet)
    channels = len(net.state_dict()["backbone.body.conv1.0.weight"])
    biased = nn.Conv2d(3, channels, 3, stride=2, padding=1)  # the only bias in the backbone
    net.backbone.get_submodule("body.conv1").register_module("0", biased)
    module = Module(net, config, None, [])
    groups = module.configure_optimizers().param_groups
    found = {id(p): group[RATE] for group in groups for p in group["params"]}
    assert groups[0][RATE] == 1
    assert found.keys() == {id(p) for p in net.parameters() if p.requires_grad}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            expected = 0.1 if name.startswith("backbone.") else 1.0
            if name == "backbone.body.conv1.0.bias" or (name.startswith("score.") and name.endswith("bias")):
                expected *= 2
            assert found[id(parameter)] == pytest.approx(expected), name


def test_a_slow_backbone_moves_less_by_its_rate(data, tiny):
    """Of plain SGD with the same gradients: the backbone's change is the tenth part, that of the scores the same."""
    changes = []
    for rate in (1.0, 0.1):
        sgd = {"optimizer__name": "sgd", "optimizer__momentum": 0, "optimizer__weight_decay": 0}
        config = tiny(**sgd, optimizer__backbone_rate=rate)
        torch.manual_seed(0)
        net = new_network(data, config, quiet)
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        optimizer = Module(net, config, None, []).configure_optimizers()
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * group[RATE]
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
        changes.append({name: (p - before[name]).abs().max().item() for name, p in net.named_parameters()})
    for name, change in changes[0].items():
        assert changes[1][name] == pytest.approx(change * (0.1 if name.startswith("backbone.") else 1), rel=1e-4)


def test_weight_decay_holds_for_kernels_alone(data, tiny):
    net = new_network(data, tiny(), quiet)
    decayed, *free = Module(net, tiny(optimizer__weight_decay=0.1), None, []).configure_optimizers().param_groups
    assert [group["weight_decay"] for group in (decayed, *free)] == [0.1, 0.0, 0.0]
    kernels = {id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert {id(p) for p in decayed["params"]} == kernels


def test_the_average_is_exponential_with_a_short_memory_at_first(data, tiny):
    net = new_network(data, tiny(), quiet)
    module = Module(net, tiny(training__ema=0.5), None, [])
    expected = net.score["8"].bias.detach().clone()
    for n in range(6):
        with torch.no_grad():
            net.score["8"].bias.fill_(float(n))
        module.on_train_batch_end(None, None, n)
        decay = min(0.5, (1 + n) / (10 + n)) if n else 0.0  # the first update copies
        expected = decay * expected + (1 - decay) * n
    torch.testing.assert_close(module.result.score["8"].bias, expected)


def test_median_frequency_by_hand():
    """Two images of 100 pixels; class 0 fills 90 + 50 of 200, class 1 the other 50 of the second, class 2 10 of 100."""
    counts = ClassPixels(
        pixels=np.array([140, 50, 10, 0]),
        image_pixels=np.array([200, 100, 100, 0]),
        images=np.array([2, 1, 1, 0]),
        void=0,
    )
    expected = torch.tensor([0.5 / 0.7, 0.5 / 0.5, 0.5 / 0.1, 0.0], dtype=torch.float64)
    torch.testing.assert_close(median_frequency(counts), expected)


@pytest.mark.parametrize("kind", ["median_frequency", "root_median_frequency"])
def test_class_weights_average_to_one_over_the_pixels(data, tiny, kind):
    from fullyconv.data.frequencies import class_pixels

    weights = class_weights(data, tiny(training__class_weights=kind))
    pixels = torch.from_numpy(class_pixels(data, "train").pixels)
    torch.testing.assert_close((weights * pixels).sum() / pixels.sum(), torch.tensor(1.0))
    assert weights[0] < weights[1]


@pytest.mark.parametrize(("schedule", "middle"), [("poly", 0.5**0.9), ("cosine", 0.5), ("constant", 1.0)])
def test_the_rate_warms_up_and_falls(schedule, middle):
    options = Optimizer(schedule=schedule, warmup=0.1)
    assert rate_factor(options, 0.0) < 0.02
    assert rate_factor(options, 0.5) == pytest.approx(middle, abs=1e-6)
    assert rate_factor(options, 1.0) == pytest.approx(1.0 if schedule == "constant" else 0.0, abs=1e-6)


def test_an_epoch_takes_every_image_once_and_validations_divide_the_run(tiny):
    assert plan(3, tiny(training__epochs=4, training__validate_every=3)) == (12, 3)
    assert plan(46, tiny(training__epochs=5, training__validate_every=None)) == (231, 77)


def test_a_batch_that_processes_cannot_share_is_refused(data, tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.batch_size is 4, training\.devices 3"):
        train(data, tiny(training__devices=3), tmp_path / "run", say=quiet)


def test_without_a_val_split_it_is_said_what_is_kept_and_measured(data, tiny, tmp_path):
    data.splits["valid"] = data.splits.pop("val")
    said = []
    train(data, tiny(training__epochs=1), tmp_path / "run", say=said.append)
    assert "no split named val, only train, valid: the network of the lowest training loss is kept" in said[0]
    assert "measured on the images it was trained on" in said[0]


def test_data_without_a_train_split_is_refused(data, tiny, tmp_path):
    del data.splits["train"]
    with pytest.raises(ConfigError, match="no split named train; it has val"):
        train(data, tiny(), tmp_path / "run", say=quiet)
