"""torchvision's state dicts become networks that compute what torchvision's do; others are refused by name, shape."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import segmentation

import fullyconv as fc
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model.backbones import imagenet
from fullyconv.model.backbones.paper import VGG16
from fullyconv.weights import torchvision


def classifier(widths, hidden, norm=False):
    """torchvision's vgg16 layer by layer, with these widths, and dropout that does nothing."""
    features, inputs = [], 3
    for width, depth in zip(widths, VGG16.depths, strict=True):
        for _ in range(depth):
            features += [nn.Conv2d(inputs, width, 3, padding=1), *[nn.BatchNorm2d(width)] * norm, nn.ReLU()]
            inputs = width
        features.append(nn.MaxPool2d(2))
    dense = [nn.Linear(49 * inputs, hidden), nn.ReLU(), nn.Identity()]
    dense += [nn.Linear(hidden, hidden), nn.ReLU(), nn.Identity(), nn.Linear(hidden, 10)]
    return nn.ModuleDict({"features": nn.Sequential(*features), "classifier": nn.Sequential(*dense)}).eval()


@pytest.fixture
def vgg(thin):
    torch.manual_seed(0)
    vgg = classifier(VGG16.widths, VGG16.hidden)
    for module in vgg.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
    return vgg


def published(net, path, monkeypatch, weights):
    """``weights`` of torchvision, at an address that has the state dict of ``net``."""
    torch.save(net.state_dict(), path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(path.parent / "cache"))

    def get_state_dict(self, *, check_hash, **options):
        assert check_hash
        return torch.hub.load_state_dict_from_url(path.as_uri(), **options)

    monkeypatch.setattr(type(weights), "get_state_dict", get_state_dict)


def test_vgg16_s_weights_in_the_paper_s_trunk_see_what_vgg16_sees(vgg):
    net = torchvision.convert(vgg.state_dict(), "fcn32s-vgg16", padding="same")
    images = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        features = vgg["features"]((images / 255 - mean) / std)
        expected = F.relu(vgg["classifier"][:4](features.flatten(1)))
        (tap,) = net.backbone(net.normalize(images))
    torch.testing.assert_close(tap[0, :, 3, 3], expected[0], rtol=1e-4, atol=1e-4 * expected.max().item())
    assert expected.count_nonzero() > 10
    assert (net.num_classes, net.classes[1], net.training) == (21, "aeroplane", False)


def test_pretrained_fetches_them(vgg, tmp_path, monkeypatch):
    published(vgg, tmp_path / "vgg16.pth", monkeypatch, imagenet.VGG16_Weights.IMAGENET1K_V1)
    first = vgg["features"][0].weight
    net = fc.create("fcn8s-atonce-vgg16", 2, pretrained=True)
    assert net.backbone.body.conv1_1.weight.equal(first)
    assert net.backbone.body.fc6.weight.flatten(1).equal(vgg["classifier"][0].weight)
    torch.testing.assert_close(net.mean.flatten(), 255 * torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(net.std.flatten(), 255 * torch.tensor([0.229, 0.224, 0.225]))
    grey = fc.create("fcn32s-vgg16", 2, in_channels=1, pretrained=True).backbone.body.conv1_1.weight
    torch.testing.assert_close(grey, first.sum(1, keepdim=True))
    depth = fc.create("fcn32s-vgg16", 2, in_channels=4, pretrained=True).backbone.body.conv1_1.weight
    torch.testing.assert_close(depth, torch.cat([first, first.mean(1, keepdim=True)], 1))


def test_what_cannot_be_fetched_is_named_with_its_address(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def no_route(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_route)
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth cannot be fetched.*no route.*fullyconv convert FILE"):
        torchvision.fetch("fcn8s-vgg16")


def test_a_damaged_copy_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    copy = tmp_path / "checkpoints" / "fcn_resnet50_coco-1167a1af.pth"
    copy.parent.mkdir()
    copy.write_bytes(b"half of it")
    with pytest.raises(WeightsError, match=r"fcn_resnet50_coco-1167a1af\.pth is damaged.*Remove that copy"):
        torchvision.fetch("fcn_resnet50")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t, vgg: classifier(VGG16.widths, VGG16.hidden, norm=True).state_dict(),
            r"found features\.1\.weight of shape \(4,\) where torchvision's vgg16 has features\.2\.weight of shape "
            r"\(4, 4, 3, 3\)",
        ),
        (
            lambda t, vgg: t | {"classifier.3.weight": torch.zeros(3, 5)},
            r"found classifier\.3\.weight of shape \(3, 5\) .* of shape \(256, 256\)",
        ),
        (
            lambda t, vgg: {name: tensor for name, tensor in t.items() if not name.startswith("classifier")},
            r"found nothing of shape \(0,\) where .* classifier\.0\.weight of shape \(256, 1568\)",
        ),
        (lambda t, vgg: t | {"more": torch.zeros(2)}, r"more, of shape \(2,\), is no part"),
    ],
)
def test_other_vggs_are_refused(vgg, change, message):
    with pytest.raises(WeightsError, match=message):
        torchvision.convert(change(dict(vgg.state_dict()), vgg), "fcn8s-vgg16")


@pytest.mark.parametrize(
    ("name", "layer", "reason"),
    [
        ("alexnet", {"features.0.weight": torch.zeros(64, 3, 11, 11)}, "no groups and no LRN"),
        ("googlenet", {"conv1.conv.weight": torch.zeros(64, 3, 7, 7)}, "batch normalization, and 3×3 .* 5×5"),
    ],
)
def test_networks_of_the_paper_s_names_are_not_the_paper_s(name, layer, reason):
    assert torchvision.looks_like(layer)
    for call in (
        lambda: torchvision.convert(layer, f"fcn32s-{name}"),
        lambda: torchvision.convert(layer, "fcn8s-vgg16"),
        lambda: torchvision.fetch(f"fcn32s-{name}"),
    ):
        with pytest.raises(WeightsError, match=rf"{name} is not the paper's network: .*{reason}.*models\.{name}\("):
            call()


@pytest.fixture(scope="module")
def whole():
    torch.manual_seed(0)
    net = segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return net


@pytest.fixture(scope="module")
def converted(whole):
    return torchvision.convert(whole.state_dict(), "fcn_resnet50")


def test_fcn_resnet50_is_the_same_function(whole, converted):
    assert torchvision.looks_like(whole.state_dict())
    images = torch.randint(0, 256, (1, 3, 75, 99), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        expected = whole((images / 255 - mean) / std)["out"]
        found = converted(images)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert converted.classes[:2] == ["__background__", "aeroplane"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone.layer4.2.bn3.bias": None}, r"layer4\.2\.bn3\.bias is missing, fcn_resnet50 expects \(2048,\)"),
        ({"classifier.4.bias": None}, r"classifier\.4\.bias is missing"),
        (
            {"backbone.conv1.weight": torch.zeros(64, 4, 7, 7)},
            r"conv1\.weight has shape \(64, 4, 7, 7\), .* expects \(64, 3, 7, 7\)",
        ),
        ({"more": torch.zeros(1)}, r"more, of shape \(1,\), is no part of fcn_resnet50"),
    ],
)
def test_what_is_not_fcn_resnet50_is_refused(whole, converted, monkeypatch, change, message):
    monkeypatch.setattr(torchvision, "_build", lambda *_: converted)  # seconds to build anew
    tensors = {name: tensor for name, tensor in (whole.state_dict() | change).items() if tensor is not None}
    with pytest.raises(WeightsError, match=message):
        torchvision.convert(tensors, "fcn_resnet50")


def test_the_count_of_classes_is_the_file_s(whole):
    with pytest.raises(ConfigError, match=r"holds scores of 21 classes"):
        torchvision.convert(whole.state_dict(), "fcn_resnet50", classes=5)
