"""Without the work on the border the paper's networks give the same scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fullyconv as fc
from fullyconv.backbones import paper
from fullyconv.errors import ConfigError
from fullyconv.inference.border import without_border


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
                torch.nn.init.normal_(score.weight)
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
    assert lean.score is net.score


@pytest.mark.parametrize(("name", "options"), [("fcn8s-vgg16", {"padding": "same"}), ("fcn32s-alexnet", {})])
def test_other_networks_are_refused(networks, name, options, monkeypatch):
    monkeypatch.setattr(paper.VGG16, "hidden", 16)
    monkeypatch.setattr(paper.AlexNet, "hidden", 16)
    with pytest.raises(ConfigError, match="has no border to leave out"):
        without_border(fc.create(name, 3, **options))
