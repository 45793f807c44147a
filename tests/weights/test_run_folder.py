"""A network on disk is the network in memory; anything else is refused, by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import fullyconv as fc
from fullyconv.errors import WeightsError
from fullyconv.model.fcn import build
from fullyconv.weights import run_folder


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return build("fcn8s-test_resnet", ["sky", "road"], [(1, 2, 3), (4, 5, 6)], width=8, upsample="transposed").eval()


@pytest.fixture
def saved(net, tmp_path):
    run_folder.save(net, tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", [".", "model.safetensors"])
def test_what_was_saved_is_loaded(net, saved, source):
    twin = fc.load(saved / source)
    images = torch.randint(0, 256, (1, 3, 45, 37), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(twin(images), net(images))
    assert (twin.classes, twin.palette, twin.training) == (net.classes, net.palette, False)


def test_the_weights_file_stands_alone(saved, tmp_path_factory):
    alone = tmp_path_factory.mktemp("alone") / "weights.safetensors"
    alone.write_bytes((saved / "model.safetensors").read_bytes())
    assert fc.load(alone).classes == ["sky", "road"]


def test_the_architecture_is_readable(saved):
    spec = json.loads((saved / "model.json").read_text())
    assert (spec["name"], spec["classes"], spec["palette"]) == (
        "fcn8s-test_resnet",
        ["sky", "road"],
        [[1, 2, 3], [4, 5, 6]],
    )


def rewrite(folder, change, metadata=True):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"fullyconv": (folder / "model.json").read_text()} if metadata else None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("score.8.0.weight"), r"score\.8\.0\.weight is missing"),
        (lambda t: t.update({"more": torch.ones(1)}), "more is no part of fcn8s-test_resnet"),
        (lambda t: t.update({"head.4.bias": torch.ones(7)}), r"head\.4\.bias has shape \(7,\), .* expects \(2,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(WeightsError, match=message):
        fc.load(saved)


def test_weights_without_an_architecture_are_refused(saved):
    rewrite(saved, lambda tensors: None, metadata=False)
    with pytest.raises(WeightsError, match="was not written by fullyconv"):
        fc.load(saved)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(saved, keep):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        fc.load(saved)


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(WeightsError, match="nowhere: no such file"):
        fc.load(tmp_path / "nowhere")
