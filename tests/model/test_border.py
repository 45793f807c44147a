"""Without the work on the border the paper's networks give the same scores."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import fullyconv as fc
from fullyconv import api
from fullyconv.api import measuring
from fullyconv.errors import ConfigError
from fullyconv.evaluation.report import report
from fullyconv.inference import ensemble
from fullyconv.inference.predictor import Predictor
from fullyconv.model.backbones import border, paper
from fullyconv.model.border import without_border


@pytest.fixture(scope="module")
def networks():
    """Thin ones, with biases, without which the border's constants would be zero."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper.VGG16, "widths", (4, 6, 8, 8, 8))
        patch.setattr(paper.VGG16, "hidden", 16)
        torch.manual_seed(0)
        nets = [fc.create(name, num_classes=4) for name in ("fcn32s-vgg16", "fcn16s-vgg16", "fcn8s-atonce-vgg16")]
        for net in nets:
            for parameter in net.parameters():
                if parameter.dim() == 1:
                    torch.nn.init.normal_(parameter, std=0.5)
            for score in net.score.values():
                torch.nn.init.normal_(score.get_parameter("weight"))
        yield [(net.double().eval(), without_border(net)) for net in nets]


@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150), which=st.integers(0, 2), seed=st.integers(0, 99))
def test_the_scores_are_those_of_the_plain_pass(networks, height, width, which, seed):
    net, lean = networks[which]
    torch.manual_seed(seed)
    images = torch.rand(2, 3, height, width, dtype=torch.float64) * 255
    with torch.no_grad():
        scores = net.scores(images)
        torch.testing.assert_close(lean.scores(images), scores, rtol=0, atol=1e-11 * scores.abs().max().item())


def test_the_network_itself_stays_as_it_was(networks):
    net, lean = networks[0]
    assert type(net.backbone.body) is paper.VGG16
    assert all(own is shared for own, shared in zip(net.score.parameters(), lean.score.parameters(), strict=True))


def test_a_predictor_leaves_the_border_out(networks):
    for net, _ in networks:
        predictor = Predictor(net)
        image = torch.rand(3, 70, 45, dtype=torch.float64) * 255
        with FlopCounterMode(display=False) as lean:
            found = predictor.segment(image, probabilities=True)
        with FlopCounterMode(display=False) as plain, torch.no_grad():
            expected = net.probabilities(image[None])[0]
        assert lean.get_total_flops() < 0.9 * plain.get_total_flops()
        assert (predictor.segment(image).labels == net.predict(image[None])[0].numpy()).all()
        np.testing.assert_allclose(found.probabilities, expected.numpy(), rtol=0, atol=1e-6)
        assert predictor.net is net


def test_evaluate_leaves_the_border_out(networks, monkeypatch):
    measured = []

    def evaluate_and_report(net, *_, **__):
        measured.append(net)
        return {"heads": {}}

    net, lean = networks[0]
    monkeypatch.setattr(report, "evaluate_and_report", evaluate_and_report)
    monkeypatch.setattr(ensemble, "open_model", lambda model: net)
    monkeypatch.setattr(ensemble, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(measuring, "checked", lambda *_, **__: None)
    api.evaluate("net.safetensors", "data")
    assert type(measured[0].backbone.body) is type(lean.backbone.body)
    assert type(net.backbone.body) is paper.VGG16


def train(net):
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    torch.optim.SGD(net.parameters(), 0.1).step()


CHANGES = {
    "a step of training": train,
    "other weights": lambda net: net.load_state_dict({k: 1.1 * v for k, v in net.state_dict().items()}),
    "other precision": lambda net: net.float(),
    "half of it": lambda net: net.bfloat16(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_may_change_in_between(networks, change):
    net = copy.deepcopy(networks[2][0])
    lean = without_border(net)
    images = torch.rand(1, 3, 40, 33, dtype=torch.float64) * 255
    before = lean.scores(images)
    CHANGES[change](net)
    with torch.no_grad():
        scores = net.scores(images)
        assert (scores - before).abs().max() > 0
        found = lean.scores(images)
    assert found.dtype == scores.dtype
    error = (found - scores).abs().max() / scores.abs().max()
    assert error <= 32 * torch.finfo(scores.dtype).eps


@pytest.mark.parametrize(("name", "options"), [("fcn8s-vgg16", {"padding": "same"}), ("fcn32s-alexnet", {})])
def test_other_networks_are_refused(networks, name, options, monkeypatch):
    monkeypatch.setattr(paper.VGG16, "hidden", 16)
    monkeypatch.setattr(paper.AlexNet, "hidden", 16)
    with pytest.raises(ConfigError, match="has no border to leave out"):
        without_border(fc.create(name, 3, **options))


def test_a_pass_under_autocast_breaks_none_that_follows(networks):
    net = copy.deepcopy(networks[2][0]).float()
    images = torch.rand(1, 3, 40, 33) * 255
    expected = without_border(net).scores(images)
    with torch.no_grad():
        net.score["32"].bias += 0  # the weights are new: what is kept is made in the pass that follows
        lean = without_border(net)
        net.score["32"].bias += 0
        with torch.autocast("cpu", torch.bfloat16):
            half, plain = lean.scores(images), net.scores(images)
        assert torch.equal(lean.scores(images), expected)
    assert (half - plain).abs().max() <= 0.05 * plain.abs().max()


def test_what_is_kept_of_the_border_is_bounded(networks, monkeypatch):
    net, lean = networks[2][0], without_border(networks[2][0])
    trunk = lean.backbone.body
    assert isinstance(trunk, border.Borderless)
    constants = trunk.known[0]
    lean.scores(torch.zeros(1, 3, 1, 1, dtype=torch.float64))
    monkeypatch.setattr(border, "KEPT_BYTES", 3 * border._bytes(constants.maps))
    for side in (*range(1, 17), *range(1, 6)):
        images = torch.rand(1, 3, side, 7, dtype=torch.float64)
        torch.testing.assert_close(lean.scores(images), net.scores(images).detach(), rtol=1e-9, atol=1e-9)
        assert border._bytes(constants.maps) <= border.KEPT_BYTES
    assert len(constants.maps) > 1


def test_shapes_without_numbers_are_kept_apart(networks):
    lean = without_border(networks[1][0])
    images = torch.rand(1, 3, 21, 22, dtype=torch.float64)
    expected = without_border(networks[1][0]).scores(images)
    with FakeTensorMode(allow_non_fake_inputs=True):
        lean.scores(torch.empty(1, 3, 21, 22, dtype=torch.float64))
    assert torch.equal(lean.scores(images), expected)


def test_a_network_in_training_stays_so(networks):
    net = copy.deepcopy(networks[0][0]).train()
    without_border(net)
    assert all(module.training for module in net.modules())
