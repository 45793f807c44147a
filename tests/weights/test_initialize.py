"""Networks that start from others: the stages, early fusion and late fusion of the paper."""

import pytest
import torch

from fullyconv.errors import WeightsError
from fullyconv.model import fcn
from fullyconv.model.backbones.paper import VGG16
from fullyconv.weights import run_folder
from fullyconv.weights.initialize import initialize


@pytest.fixture(autouse=True)
def thin(monkeypatch):
    monkeypatch.setattr(VGG16, "widths", (4, 4, 6, 6, 8))
    monkeypatch.setattr(VGG16, "hidden", 10)


def trained(folder, name="fcn32s-vgg16", classes=5, seed=0, **options):
    """A network all of whose weights are random, as if trained, saved in ``folder``."""
    torch.manual_seed(seed)
    net = fcn.create(name, classes, **options)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.1)
    run_folder.save(net, folder)
    return net.eval()


def images(channels=3, seed=1):
    return 255 * torch.rand(1, channels, 40, 50, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("source", "name"), [("fcn32s", "fcn16s"), ("fcn16s", "fcn8s")])
def test_a_stage_begins_with_all_that_the_one_before_has(tmp_path, source, name):
    before = trained(tmp_path, f"{source}-vgg16")
    net = fcn.create(f"{name}-vgg16", 5)
    new = initialize(net, [tmp_path])
    stride = name.removeprefix("fcn").removesuffix("s")
    assert {n for n in new if n.startswith("score")} == {f"score.{stride}.weight", f"score.{stride}.bias"}
    assert all(torch.equal(net.state_dict()[n], tensor) for n, tensor in before.state_dict().items())
    assert not net.score[stride].weight.any()
    assert not net.score[stride].bias.any()


def test_at_once_starts_from_a_classifiers_trunk_and_keeps_its_scales(tmp_path):
    trained(tmp_path, classes=7)
    net = fcn.create("fcn8s-atonce-vgg16", 5)
    initialize(net, [tmp_path])
    assert net.backbone.body.scale_pool4.item() == pytest.approx(0.01)


def test_one_labelings_trunk_becomes_that_of_two_heads_which_start_at_zero(tmp_path):
    trained(tmp_path, classes=21)
    net = fcn.create("fcn32s-vgg16", 36, heads={"semantic": 33, "geometric": 3})
    assert initialize(net, [tmp_path]) == ["score.32.weight", "score.32.bias"]
    assert not net.score["32"].weight.any()


@pytest.mark.parametrize("options", [{}, {"width": 6}, {"upsample": "transposed"}])
def test_classes_of_other_names_are_scored_anew(tmp_path, options):
    torch.manual_seed(0)
    before = fcn.build("fcn16s-vgg16", ["sky", "road", "car"], **options)
    with torch.no_grad():
        for parameter in before.parameters():
            parameter.normal_(std=0.1)
    run_folder.save(before, tmp_path)
    said = []
    same = fcn.build("fcn16s-vgg16", ["class 0", "class 1", "class 2"], **options)
    assert initialize(same, [tmp_path], say=said.append) == said == []
    net = fcn.build("fcn16s-vgg16", ["sky", "road", "cat"], **options)
    new = initialize(net, [tmp_path], say=said.append)
    assert "car new; cat missing" in said[0]
    of_three = {name for name, tensor in net.named_parameters() if 3 in tensor.shape[:1]}
    assert set(new) == of_three
    assert all(torch.equal(net.state_dict()[n], t) == (n not in new) for n, t in before.state_dict().items())


def test_early_fusion_sees_depth_as_the_mean_of_the_colours(tmp_path):
    before = trained(tmp_path, mean=[1.0, 2.0, 3.0])
    net = fcn.create("fcn32s-vgg16", 5, in_channels=4, mean=[1.0, 2.0, 3.0, 4.0]).eval()
    assert initialize(net, [tmp_path]) == []
    weight, colors = net.backbone.body.conv1_1.weight, before.backbone.body.conv1_1.weight
    assert torch.equal(weight[:, :3], colors)
    torch.testing.assert_close(weight[:, 3], colors.mean(1))
    assert net.mean.flatten().tolist() == [1, 2, 3, 4]
    plain = images()
    blind = torch.cat([plain, torch.full((1, 1, 40, 50), 4.0)], 1)  # a depth at its mean says nothing
    with torch.no_grad():
        torch.testing.assert_close(net.scores(blind), before.scores(plain), rtol=1e-4, atol=1e-5)


def test_late_fusion_scores_as_the_mean_of_its_two_networks(tmp_path):
    color = trained(tmp_path / "color", seed=0, mean=[1.0, 2.0, 3.0])
    hha = trained(tmp_path / "hha", seed=1, mean=[4.0, 5.0, 6.0])
    net = fcn.create("fcn32s-latefusion-vgg16", 5, in_channels=6).eval()
    assert initialize(net, [tmp_path / "color", tmp_path / "hha"]) == []
    both = images(6)
    with torch.no_grad():
        expected = (color.scores(both[:, :3]) + hha.scores(both[:, 3:])) / 2
        torch.testing.assert_close(net.scores(both), expected, rtol=1e-4, atol=1e-5)


def test_late_fusion_of_networks_for_other_classes_scores_afresh(tmp_path):
    for name, classes in (("color", 5), ("hha", 6)):
        trained(tmp_path / name, classes=classes)
    net = fcn.create("fcn32s-latefusion-vgg16", 5, in_channels=6)
    assert initialize(net, [tmp_path / "color", tmp_path / "hha"]) == ["score.32.weight", "score.32.bias"]


@pytest.mark.parametrize(
    ("name", "channels", "count", "message"),
    [
        ("fcn32s-vgg16", 3, 2, "found 2 sources; fcn32s-vgg16 starts from one"),
        ("fcn32s-latefusion-vgg16", 6, 3, "found 3 sources; .* or from two: the colour network and the HHA"),
        ("fcn32s-latefusion-vgg16", 6, 1, r"color\.conv1_1\.weight is missing.* Late fusion starts from two"),
        ("fcn32s-alexnet", 3, 1, r"backbone of fcn32s-alexnet: backbone\.body\.conv1\.weight is missing"),
        ("fcn32s-vgg16", 1, 1, r"conv1_1\.weight has shape \(4, 3, 3, 3\), expected \(4, 1, 3, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, monkeypatch, name, channels, count, message):
    from fullyconv.model.backbones.paper import AlexNet

    monkeypatch.setattr(AlexNet, "widths", (4, 4, 4, 4, 4))
    monkeypatch.setattr(AlexNet, "hidden", 8)
    trained(tmp_path)
    net = fcn.create(name, 5, in_channels=channels)
    before = {n: tensor.clone() for n, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        initialize(net, [tmp_path] * count)
    assert all(torch.equal(net.state_dict()[n], tensor) for n, tensor in before.items())


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"--init .*nowhere: no such file"):
        initialize(fcn.create("fcn32s-vgg16", 5), [tmp_path / "nowhere"])
