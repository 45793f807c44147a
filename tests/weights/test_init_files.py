"""Networks that start from files of other programs: classifiers, and segmentation networks with the same trunk."""

import pickle

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torch import nn

from fullyconv.errors import WeightsError
from fullyconv.model import fcn
from fullyconv.model.backbones import imagenet
from fullyconv.model.backbones.paper import VGG16
from fullyconv.weights.initialize import initialize


def at_random(module):
    """With batch norm's statistics at random, too, so that no two tensors are the same."""
    torch.manual_seed(0)
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.normal_(std=0.1)
                norm.bias.normal_(std=0.1)
                norm.running_var.uniform_(0.5, 1.5)
                norm.weight.uniform_(0.5, 1.5)
    return module.eval()


def same_taps(net, classifier):
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = classifier.forward_intermediates(images, intermediates_only=True)[-1]
        torch.testing.assert_close(net.eval().backbone(images)[-1], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "encoder.", "module.encoder."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_classifier_of_timm_gives_the_backbone(tmp_path, prefix, suffix):
    classifier = at_random(timm.create_model("test_resnet", num_classes=7))
    tensors = {prefix + name: tensor for name, tensor in classifier.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"epoch": 3, "state_dict": tensors}, path)
    else:
        safetensors.torch.save_file(tensors, path)
    net = fcn.create("fcn8s-test_resnet", 5)
    said = []
    new = initialize(net, [path], say=said.append)
    same_taps(net, classifier)
    assert all(name.startswith("score.") for name in new)
    assert len(new) == 6
    count = len(net.backbone.body.state_dict())
    assert said[0].startswith(f"{path}: {count} tensors")
    assert f"Not used: 2 ({prefix}fc.weight, {prefix}fc.bias)" in said[0] or suffix == ".safetensors"
    assert (f"under {prefix}" in said[0]) == bool(prefix)


def test_torchvisions_resnet_has_timms_names(tmp_path):
    whole = at_random(torchvision.models.resnet18())
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    net = fcn.create("fcn8s-resnet18", 5, in_channels=4)
    initialize(net, [tmp_path / "resnet18.pth"], say=lambda _: None)
    own, theirs = net.backbone.body.state_dict(), whole.state_dict()
    assert torch.equal(own["conv1.weight"][:, :3], theirs["conv1.weight"])
    torch.testing.assert_close(own["conv1.weight"][:, 3], theirs["conv1.weight"].mean(1))
    assert torch.equal(own["layer4.1.bn2.running_var"], theirs["layer4.1.bn2.running_var"])


def test_torchvisions_mobilenet_fits_by_its_order(tmp_path):
    whole = at_random(torchvision.models.mobilenet_v2())
    torch.save(whole.state_dict(), tmp_path / "mobilenet.pth")
    net = fcn.create("fcn8s-mobilenetv2_100", 5)
    said = []
    initialize(net, [tmp_path / "mobilenet.pth"], say=said.append)
    assert "by their order" in said[0]
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = whole.features[:18](images)
        torch.testing.assert_close(net.eval().backbone(images)[-1], expected, rtol=1e-4, atol=1e-4)
    safetensors.torch.save_file(whole.state_dict(), tmp_path / "mobilenet.safetensors")
    with pytest.raises(WeightsError, match="does not hold the backbone of fcn8s-mobilenetv2_100"):
        initialize(net, [tmp_path / "mobilenet.safetensors"])


def test_the_trunk_of_another_segmentation_network_fits(tmp_path):
    other = at_random(smp.FPN("resnet18", encoder_weights=None, classes=4))
    torch.save(other.state_dict(), tmp_path / "fpn.pth")
    net = fcn.create("fcn8s-resnet18", 5)
    said = []
    initialize(net, [tmp_path / "fpn.pth"], say=said.append)
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net.double().eval().backbone(images)[-1], other.double().encoder(images)[-1])
    assert "under encoder." in said[0]
    assert "decoder." in said[0]


@pytest.fixture
def thin(monkeypatch):
    monkeypatch.setattr(VGG16, "widths", (4, 4, 6, 6, 8))
    monkeypatch.setattr(VGG16, "hidden", 10)


def vgg16(names):
    """A state dict as torchvision's or timm's vgg16, of the thin trunk's shapes."""
    torch.manual_seed(0)
    found = {}
    for own, like in VGG16().state_dict().items():
        theirs, tensor = imagenet._published(own), torch.randn(like.shape)
        if names == "timm":
            theirs = theirs.replace("classifier.0", "pre_logits.fc1").replace("classifier.3", "pre_logits.fc2")
        elif own.startswith("fc"):
            tensor = tensor.flatten(1) if tensor.dim() == 4 else tensor
        found[theirs] = tensor
    last = "head.fc." if names == "timm" else "classifier.6."
    return found | {f"{last}weight": torch.randn(3, 10), f"{last}bias": torch.randn(3)}


@pytest.mark.parametrize("names", ["torchvision", "timm"])
def test_the_papers_trunk_takes_a_vgg16_and_its_normalization(thin, tmp_path, names):
    tensors = vgg16(names)
    safetensors.torch.save_file(
        {f"module.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "v.safetensors"
    )
    net = fcn.create("fcn32s-vgg16", 5)
    new = initialize(net, [tmp_path / "v.safetensors"], say=lambda _: None)
    assert new == ["score.32.weight", "score.32.bias"]
    body = net.backbone.body.state_dict()
    assert torch.equal(body["conv3_2.weight"], tensors["features.12.weight"])
    fc6 = tensors["pre_logits.fc1.weight" if names == "timm" else "classifier.0.weight"]
    assert torch.equal(body["fc6.weight"].flatten(), fc6.flatten())
    torch.testing.assert_close(net.mean.flatten(), 255 * torch.tensor(imagenet.MEAN))
    torch.testing.assert_close(net.std.flatten(), 255 * torch.tensor(imagenet.STD))


def refused(net, path):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        initialize(net, [path])
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    return str(caught.value)


def test_too_little_that_fits_is_refused_with_both_sides(thin, tmp_path):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "resnet.pth")
    message = refused(fcn.create("fcn8s-resnet18", 5), tmp_path / "resnet.pth")
    assert "resnet.pth does not hold the backbone of fcn8s-resnet18" in message
    assert "the first 'conv1.0.weight'" in message or "the first 'conv1" in message
    assert "expected" in message
    message = refused(fcn.create("fcn32s-vgg16", 5), tmp_path / "resnet.pth")
    assert "expected a vgg16 of torchvision or timm" in message
    torch.save({"conv1_1.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "fcn.pth")
    assert "fullyconv convert" in refused(fcn.create("fcn32s-vgg16", 5), tmp_path / "fcn.pth")


class Harm:
    def __reduce__(self):
        return exec, ("raise SystemExit('run')",)


def test_what_is_in_a_file_is_not_run(tmp_path):
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
    assert "never executed" in refused(fcn.create("fcn8s-test_resnet", 5), tmp_path / "old.pth")


def test_late_fusion_does_not_start_from_classifiers(thin, tmp_path):
    torch.save(vgg16("torchvision"), tmp_path / "vgg.pth")
    net = fcn.create("fcn32s-latefusion-vgg16", 5, in_channels=6)
    with pytest.raises(WeightsError, match=r"vgg\.pth was not written by fullyconv: late fusion starts from two run"):
        initialize(net, [tmp_path / "vgg.pth", tmp_path / "vgg.pth"])


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_a_file_that_is_only_called_like_one_of_torch_is_called_what_it_is(tmp_path, content):
    (tmp_path / "cut.pth").write_bytes(content)
    message = refused(fcn.create("fcn8s-test_resnet", 5), tmp_path / "cut.pth")
    assert "cut.pth is no file of safetensors or torch.save, or is damaged" in message
