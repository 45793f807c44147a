"""Training as the paper's release has it: Caffe's solver, its table of rates and steps, several heads."""

import csv
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fullyconv.data import open_data
from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.model import fcn
from fullyconv.model.backbones.paper import VGG16
from fullyconv.model.fcn import FCN
from fullyconv.training.augmented.samples import training_set
from fullyconv.training.batches import Batches
from fullyconv.training.clock import Clock
from fullyconv.training.config import load_config
from fullyconv.training.run import class_weights, training_loader
from fullyconv.training.stages import new_network, train
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import LAST
from tests.data import archives

RECIPES = Path(__file__).parents[2] / "recipes" / "paper"
VGG, ALEXNET = "runs/vgg16", "runs/alexnet"
TABLE = {
    "voc-fcn32s-vgg16": ("fcn32s-vgg16", "sbd+voc", VGG, 1e-10, 0.99, 100_000),
    "voc-fcn16s-vgg16": ("fcn16s-vgg16", "sbd+voc", "runs/voc-fcn32s-vgg16", 1e-12, 0.99, 100_000),
    "voc-fcn8s-vgg16": ("fcn8s-vgg16", "sbd+voc", "runs/voc-fcn16s-vgg16", 1e-14, 0.99, 100_000),
    "voc-fcn8s-atonce-vgg16": ("fcn8s-atonce-vgg16", "sbd+voc", VGG, 1e-10, 0.99, 300_000),
    "voc-fcn32s-alexnet": ("fcn32s-alexnet", "sbd+voc", ALEXNET, 1e-4, 0.9, 100_000),
    "nyud-fcn32s-color": ("fcn32s-vgg16", "nyud", VGG, 1e-10, 0.99, 300_000),
    "nyud-fcn32s-hha": ("fcn32s-vgg16", "nyud-hha", VGG, 1e-10, 0.99, 300_000),
    "nyud-fcn32s-early": ("fcn32s-vgg16", "nyud-rgbd", VGG, 1e-10, 0.99, 300_000),
    "nyud-fcn32s-late": (
        "fcn32s-latefusion-vgg16",
        "nyud-color-hha",
        ["runs/nyud-fcn32s-color", "runs/nyud-fcn32s-hha"],
        1e-12,
        0.99,
        300_000,
    ),
    "siftflow-fcn32s": ("fcn32s-vgg16", "siftflow", VGG, 1e-10, 0.99, 300_000),
    "siftflow-fcn16s": ("fcn16s-vgg16", "siftflow", "runs/siftflow-fcn32s", 1e-12, 0.99, 300_000),
    "siftflow-fcn8s": ("fcn8s-vgg16", "siftflow", "runs/siftflow-fcn16s", 1e-12, 0.99, 300_000),
    "context-fcn32s": ("fcn32s-vgg16", "pascal-context", VGG, 1e-10, 0.99, 300_000),
    "context-fcn16s": ("fcn16s-vgg16", "pascal-context", "runs/context-fcn32s", 1e-12, 0.99, 300_000),
    "context-fcn8s": ("fcn8s-vgg16", "pascal-context", "runs/context-fcn16s", 1e-14, 0.99, 300_000),
}
"""The release's solvers: network, data, where it starts, rate, momentum, steps."""
ILSVRC, SIFTFLOW = (104.007, 116.669, 122.679), (114.578, 115.294, 108.353)
MEANS = {"sbd+voc": ILSVRC, "pascal-context": ILSVRC, "siftflow": SIFTFLOW}
"""Of the release's data layers: blue, green, red."""
RGB, HHA, LOG_DEPTH = [92.318, 97.203, 116.190], [132.431, 94.076, 118.477], [7.844]
NYUD = {"nyud": RGB, "nyud-hha": HHA, "nyud-rgbd": RGB + LOG_DEPTH, "nyud-color-hha": RGB + HHA}


def quiet(_):
    pass


@pytest.fixture
def thin(monkeypatch):
    """The paper's VGG-16 with a handful of channels."""
    monkeypatch.setattr(VGG16, "widths", (4, 4, 6, 6, 8))
    monkeypatch.setattr(VGG16, "hidden", 10)


def test_there_is_a_recipe_for_each_row_of_the_table():
    assert {path.stem for path in RECIPES.glob("*.yaml")} == TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_a_recipe_is_the_releases_solver(name):
    config = load_config(RECIPES / f"{name}.yaml")
    model, data, optimizer, training = config.model, config.data, config.optimizer, config.training
    init = [str(path) for path in model.init] if isinstance(model.init, list) else str(model.init)
    assert (model.name, data.layout, init, optimizer.lr, optimizer.momentum, training.steps) == TABLE[name]
    assert (optimizer.name, optimizer.weight_decay, optimizer.bias_rate) == ("sgd", 0.0005, 2.0)
    assert (optimizer.schedule, optimizer.warmup, optimizer.clip) == ("constant", 0, 0)
    assert (data.batch_size, data.augment, training.class_weights) == (1, Augmentation(preset="none"), "none")
    assert [resolution.crop for resolution in data.resolutions] == [None]
    alexnet = name == "voc-fcn32s-alexnet"
    assert (optimizer.accumulate, training.loss) == ((20, "mean") if alexnet else (1, "sum"))
    expected = NYUD.get(data.layout) or MEANS[data.layout][::-1]
    assert model.mean == pytest.approx(list(expected), abs=1e-3)
    assert (model.in_channels or 3) == len(expected)


@pytest.mark.parametrize("name", TABLE)
def test_the_commands_of_a_recipe_name_it(name):
    text = (RECIPES / f"{name}.yaml").read_text()
    layout = TABLE[name][1]
    assert f"fullyconv train --data DATA --recipe recipes/paper/{name}.yaml --out runs/{name}\n" in text
    assert f"fullyconv evaluate runs/{name} --data DATA --layout {layout} --split " in text


def test_steps_are_those_of_caffes_solver(data, tiny, tmp_path, thin):
    """V ← m V + rate (g + decay · W), W ← W − V; g averaged over the images of a step, each image's over its pixels."""
    rate, momentum, decay = 0.01, 0.9, 0.0005
    config = tiny(
        model__name="fcn16s-vgg16",
        model__padding="same",
        model__dropout=0.0,
        data__batch_size=1,
        data__resolutions=[{"crop": None}],
        data__flip=0,
        data__color=0,
        optimizer__name="sgd",
        optimizer__accumulate=12,
        optimizer__lr=rate,
        optimizer__momentum=momentum,
        optimizer__weight_decay=decay,
        optimizer__bias_rate=2,
        optimizer__schedule="constant",
        optimizer__warmup=0,
        optimizer__clip=0,
        training__steps=3,
    )
    torch.manual_seed(0)
    net = new_network(data, config, quiet)
    run_folder.save(net, tmp_path / "start")
    config.model.init = tmp_path / "start"
    train(data, config, tmp_path / "run", say=quiet)

    examples = [SegmentationDataset(data, "train")[i] for i in range(12)]
    velocity = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for _ in range(3):
        net.zero_grad()
        for image, mask, _ in examples:
            (net.loss(image[None], mask[None]) / 12).backward()
        with torch.no_grad():
            for name, p in net.named_parameters():
                bias = name.endswith(".bias")
                step = (2 * rate) * p.grad if bias else rate * (p.grad + decay * p)
                velocity[name] = momentum * velocity[name] + step
                p.sub_(velocity[name])
    trained = torch.load(tmp_path / "run" / LAST, weights_only=True)["state_dict"]
    start = run_folder.load(tmp_path / "start").state_dict()
    for name, p in net.named_parameters():
        moved, expected = trained[f"net.{name}"] - start[name], p.detach() - start[name]
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-6, msg=name)
        assert expected.any(), name


def test_two_labelings_are_learnt_together_and_measured_apart(tmp_path, tiny, thin):
    archives.siftflow(tmp_path)
    data = open_data(tmp_path, "siftflow")
    data.splits["val"] = data.splits["test"]
    config = tiny(
        model__name="fcn16s-vgg16", model__padding="same", data__batch_size=1, data__resolutions=[{"crop": None}],
        optimizer__lr=0.01, training__loss="sum", training__steps=40, training__validate_every=20,
    )  # fmt: skip
    net = train(data, config, tmp_path / "run", say=quiet)
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert float(rows[-1]["train_loss"]) < 0.9 * float(rows[0]["train_loss"])
    assert {"val_mean_iou", "val_mean_iou_geometric", "val_pixel_accuracy_geometric"} <= rows[0].keys()
    assert net.heads == {"semantic": 33, "geometric": 3}
    image, mask, _ = SegmentationDataset(data, "test")[0]
    assert net.predict(image[None]).shape == mask[None].shape


@pytest.mark.parametrize("kind", ["none", "median_frequency"])
def test_the_mean_loss_is_over_the_pixels_of_all_heads(tmp_path, tiny, thin, kind):
    """Untrained scores are all zero: a pixel costs the logarithm of its labeling's number of classes."""
    archives.siftflow(tmp_path)
    data = open_data(tmp_path, "siftflow")
    whole = {"data__resolutions": [{"crop": None}], "data__flip": 0, "data__color": 0, "data__batch_size": 1}
    config = tiny(model__name="fcn32s-vgg16", **whole, training__class_weights=kind, training__steps=1)
    weights = class_weights(data, config)
    weights = torch.ones(36) if weights is None else weights
    train(data, config, tmp_path / "run", say=quiet)
    (row,) = csv.DictReader((tmp_path / "run" / "metrics.csv").open())
    cost = mass = 0.0
    ((first,),) = Batches(4, 1, 1, 0, lambda: 0, lambda batch: 0)
    _, (semantic, geometric), _ = SegmentationDataset(data, "train")[first.image]
    for plane, own in ((semantic, weights[:33]), (geometric, weights[33:])):
        of_pixels = own[plane[plane != 255].long()].sum().item()
        cost += of_pixels * math.log(len(own))
        mass += of_pixels
    assert float(row["train_loss"]) == pytest.approx(cost / mass, rel=1e-5)


def test_accumulated_batches_follow_one_another(data, tiny):
    """A stretch of 2 steps of 3 batches that begins after 2 steps: batches 6 to 11."""
    config = tiny(data__batch_size=5, optimizer__accumulate=3)
    trainer = SimpleNamespace(global_step=2, global_rank=0, world_size=1)
    samples = training_set(data, SegmentationDataset(data, "train"), config)
    loader = training_loader(samples, config, 2, trainer, Clock(config, 10))
    assert list(loader.batch_sampler) == list(Batches(12, 5, 12, 0, lambda: 0, lambda batch: 0))[6:]


def test_the_last_layer_alone_is_trained(data, tiny, tmp_path, thin):
    config = tiny(model__name="fcn32s-vgg16", training__freeze="backbone", training__steps=2)
    start = new_network(data, config, quiet)
    run_folder.save(start, tmp_path / "start")
    config.model.init = tmp_path / "start"
    net = train(data, config, tmp_path / "run", say=quiet)
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, start.state_dict()[name])}
    assert moved == {"score.32.weight", "score.32.bias"}


def test_the_last_network_is_kept_where_that_is_asked(data, tiny, tmp_path, monkeypatch):
    """Even where an earlier one was better: here validation says so of each but the first."""
    original = FCN.predict
    monkeypatch.setattr(FCN, "predict", lambda net, images: original(net, images) * 0)
    for keep in ("best", "last"):
        train(data, tiny(training__keep=keep, training__steps=6), tmp_path / keep, say=quiet)
        trained = torch.load(tmp_path / keep / LAST, weights_only=True)["state_dict"]
        kept = run_folder.load(tmp_path / keep).state_dict()
        last = all(torch.equal(tensor, trained[f"net.{name}"]) for name, tensor in kept.items())
        assert last == (keep == "last")


def test_a_mean_of_the_recipe_stays_when_weights_come_with_another(data, tiny, tmp_path, thin):
    run_folder.save(fcn.create("fcn32s-vgg16", 3, mean=[1.0, 2.0, 3.0]), tmp_path)
    kept = new_network(data, tiny(model__name="fcn32s-vgg16", model__mean=[7, 8, 9], model__init=tmp_path), quiet)
    theirs = new_network(data, tiny(model__name="fcn32s-vgg16", model__init=tmp_path), quiet)
    assert (kept.mean.flatten().tolist(), theirs.mean.flatten().tolist()) == ([7, 8, 9], [1, 2, 3])
