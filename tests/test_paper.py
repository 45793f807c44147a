"""The paper's networks: sizes, crops and receptive fields as the paper and its release state them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import fullyconv as fc
from fullyconv import geometry
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model import fcn
from fullyconv.model.backbones import paper, release

NAMES = ("fcn32s-vgg16", "fcn16s-vgg16", "fcn8s-vgg16", "fcn8s-atonce-vgg16", "fcn32s-alexnet", "fcn32s-googlenet")


@pytest.fixture(autouse=True)
def thin(monkeypatch):
    """The same layers with few channels, so that the networks run in milliseconds."""
    monkeypatch.setattr(paper.VGG16, "widths", (4, 4, 6, 8, 8))
    monkeypatch.setattr(paper.VGG16, "hidden", 12)
    monkeypatch.setattr(paper.AlexNet, "widths", (6, 8, 8, 8, 8))
    monkeypatch.setattr(paper.AlexNet, "hidden", 12)


def network(name, num_classes=3, **options):
    """With scores that are not zero, so that they say something."""
    torch.manual_seed(0)
    net = fc.create(name, num_classes, **options).eval()
    for score in net.score.values():
        torch.nn.init.normal_(score.get_parameter("weight"))
        torch.nn.init.normal_(score.get_parameter("bias"))
    return net


def last_crop(net):
    """What the release's last layer takes off the last transposed convolution, so that it lies on the image."""
    stride = int(net.fusion.lattice.stride[0])
    kernel = 2 * stride - (net.fusion.lattice.offset[0].denominator == 1)  # 63 for AlexNet, even for VGG-16
    traced = geometry.trace(net, (64, 64), net.in_channels)
    rows = traced.outputs[0].rows.through(geometry.transposed_convolution(kernel, stride))
    return geometry.crop(geometry.Axis.image(64), onto=rows) * -1


@pytest.mark.parametrize(
    ("name", "crops"),
    [
        ("fcn32s-vgg16", [19]),
        ("fcn16s-vgg16", [5, 27]),
        ("fcn8s-vgg16", [5, 9, 31]),
        ("fcn8s-atonce-vgg16", [5, 9, 31]),
        ("fcn32s-alexnet", [18]),
    ],
)
def test_crops_are_those_of_the_release(name, crops):
    net = network(name)
    assert [*(crop[0] for crop in net.fusion.crops.values()), last_crop(net)] == crops
    assert all(down == across for down, across in net.fusion.crops.values())


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize(("name", "field"), [("fcn32s-vgg16", 404), ("fcn32s-alexnet", 355), ("fcn32s-googlenet", 715)])
def test_receptive_fields_are_those_of_table_1(name, field, padding):
    assert geometry.trace(network(name, padding=padding), (97, 64)).outputs[0].field == (field, field)


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None)
@given(height=st.integers(1, 130), width=st.integers(1, 130))
def test_any_image_size_gives_logits_of_that_size(name, padding, height, width):
    with torch.no_grad():
        assert network(name, padding=padding)(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)


@pytest.mark.parametrize("size", [(1, 1), (45, 64), (97, 33)])
def test_the_readout_is_the_releases_last_transposed_convolution_and_crop(size):
    net = network("fcn32s-vgg16")
    images = torch.rand(2, 3, *size) * 255
    along = 1 - (torch.arange(64) - 31.5).abs() / 32
    kernel = (along[:, None] * along).expand(3, 1, 64, 64)
    with torch.no_grad():
        whole = F.conv_transpose2d(net.scores(images), kernel, stride=32, groups=3)
        expected = whole[..., 19 : 19 + size[0], 19 : 19 + size[1]]
        torch.testing.assert_close(net(images), expected, rtol=1e-5, atol=1e-5)
        assert (net.predict(images) == expected.argmax(1)).all()
        labels = torch.randint(0, 3, (2, *size))
        torch.testing.assert_close(net.loss(images, labels), F.cross_entropy(expected, labels))


def test_same_padding_keeps_the_spatial_size():
    for name in NAMES:
        net = network(name, padding="same")
        taps = net.backbone(torch.zeros(1, 3, 96, 64))
        assert [tuple(tap.shape[2:]) for tap in taps] == [(96 // s, 64 // s) for s in net.backbone.strides]


def test_at_once_scales_its_skips():
    net, plain = network("fcn8s-atonce-vgg16"), network("fcn8s-vgg16")
    plain.load_state_dict({name: value for name, value in net.state_dict().items() if "scale" not in name})
    images = net.normalize(torch.rand(1, 3, 40, 40))
    (pool3, pool4, _), (unscaled3, unscaled4, _) = net.backbone(images), plain.backbone(images)
    torch.testing.assert_close(pool4, unscaled4 * 0.01)
    torch.testing.assert_close(pool3, unscaled3 * 0.0001)


def test_late_fusion_scores_are_the_mean_of_two_streams():
    late = network("fcn32s-latefusion-vgg16", in_channels=6)
    color, hha = network("fcn32s-vgg16"), network("fcn32s-vgg16", mean=release.MEAN_HHA)
    for stream, body in ((color, late.backbone.body.color), (hha, late.backbone.body.hha)):
        stream.backbone.body.load_state_dict(body.state_dict())
    late.score["32"].weight.data = torch.cat([color.score["32"].weight, hha.score["32"].weight], 1).data
    late.score["32"].bias.data = ((color.score["32"].bias + hha.score["32"].bias) / 2).data
    images = torch.rand(1, 6, 50, 41) * 255
    with torch.no_grad():
        mean = (color(images[:, :3]) + hha(images[:, 3:])) / 2
        torch.testing.assert_close(late(images), mean, rtol=1e-4, atol=1e-4)


def test_heads_label_each_pixel_once_each():
    """Two heads on one trunk are two networks with the same trunk; their pixels' losses count alike."""
    net = network("fcn8s-vgg16", num_classes=5, heads={"semantic": 3, "geometric": 2})
    images = torch.rand(2, 3, 40, 50) * 255
    with torch.no_grad():
        semantic, geometric = net(images).split([3, 2], 1)
        assert (net.predict(images) == torch.stack([semantic.argmax(1), geometric.argmax(1)], 1)).all()
        torch.testing.assert_close(net.probabilities(images)[:, 3:], geometric.softmax(1))
        labels = torch.stack([torch.randint(0, 3, (2, 40, 50)), torch.randint(0, 2, (2, 40, 50))], 1)
        labels[0, 1, :9] = 255
        total = F.cross_entropy(semantic, labels[:, 0], reduction="sum") + F.cross_entropy(
            geometric, labels[:, 1], ignore_index=255, reduction="sum"
        )
        torch.testing.assert_close(net.loss(images, labels, reduction="sum"), total)
        torch.testing.assert_close(net.loss(images, labels), total / (labels != 255).sum())


def test_torchvisions_alignment_is_kept():
    """Its scores are stretched over the image from border to border, not read where its cells look."""
    net = network("fcn_resnet50").eval()
    images = torch.rand(1, 3, 45, 70) * 255
    with torch.no_grad():
        expected = F.interpolate(net.scores(images), (45, 70), mode="bilinear", align_corners=False)
        torch.testing.assert_close(net(images), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    traced = geometry.trace(net, (64, 64)).outputs[0]
    assert traced.offset == (0, 0) != geometry.Lattice.stretched((8, 8), (64, 64)).offset


def test_the_spec_rebuilds_the_network():
    options = {"in_channels": 4, "padding": "same", "upsample": "transposed", "mean": [1.5, 2, 3, 4]}
    net = network("fcn8s-vgg16", **options)
    again = fcn.build(**dict(net.spec))
    again.load_state_dict(net.state_dict())
    images = torch.rand(1, 4, 33, 40)
    assert again.spec == net.spec
    assert torch.equal(again.eval()(images), net(images))


def test_images_lose_the_releases_mean():
    net = network("fcn32s-vgg16")
    grey = net.normalize(torch.full((1, 3, 2, 2), 128.0))
    torch.testing.assert_close(grey[0, :, 0, 0], 128 - torch.tensor([122.67892, 116.66877, 104.00699]))
    rgbd = network("fcn32s-vgg16", in_channels=4, inputs="rgb+depth")
    assert rgbd.mean.flatten()[3].item() == pytest.approx(7.844)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("fcn16s-alexnet", {}, "the paper has fcn32s-alexnet"),
        ("fcn4s-vgg16", {}, "the paper has fcn8s-vgg16"),
        ("fcn8s-resnet18", {"padding": "paper"}, "padding 'paper' is for the paper's networks"),
        ("fcn8s-vgg16", {"padding": "valid"}, "expected 'paper' or 'same'"),
        ("fcn8s-vgg16", {"mean": [1.0]}, "mean has 1 values for 3 channels"),
        ("fcn8s-vgg16", {"heads": {"a": 1, "b": 1}}, "2 classes in all, found 3 names"),
        ("fcn8s-vgg16", {"heads": {"a": 1, "b": 2}, "upsample": "transposed"}, "would mix the heads"),
        ("fcn32s-latefusion-vgg16", {}, "takes 6 channels"),
    ],
)
def test_what_does_not_exist_is_refused(name, options, words):
    with pytest.raises(ConfigError, match=words):
        fc.create(name, 3, **options)


def test_only_vgg_16_has_weights_that_can_be_fetched():
    with pytest.raises(WeightsError, match="torchvision's network of that name is another one"):
        fc.create("fcn32s-alexnet", 3, pretrained=True)


def test_networks_can_be_followed_without_memory_for_their_weights():
    with torch.device("meta"):
        net = fc.create("fcn8s-vgg16", num_classes=21)
    assert geometry.trace(net, (500, 500)).outputs[0].size == (70, 70)
