"""ImageNet weights come from packages of pip where these are installed, and else fail at once without a connection."""

import hashlib
import sys
import time
from importlib.util import find_spec

import pytest
import timm
import torch

import fullyconv as fc
from fullyconv.errors import WeightsError
from fullyconv.model.backbones import published

NAME = "test_efficientnet"


def renamed(state):
    """The tensors in the same order, under names of another library."""
    return {f"_layer{place}.{name.rpartition('.')[2]}": tensor for place, (name, tensor) in enumerate(state.items())}


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    net = timm.create_model(NAME, num_classes=1000).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return net


@pytest.fixture
def package(classifier, tmp_path, monkeypatch):
    """A package with the weights of ``classifier``, whose code must not be run."""
    folder = tmp_path / "fake_pytorch_model"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('the code of the package was run')")
    file = folder / "net.pth"
    torch.save(renamed(classifier.state_dict()), file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(published.PACKAGES, NAME, published.Package(folder.name, file.name, sha256))
    return file


@pytest.fixture
def unreachable(monkeypatch):
    """A hub that cannot be reached, and a cache that holds nothing."""
    seen = []

    def fail(self, repo, timeout):
        seen.append(repo)
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", fail)
    monkeypatch.setattr(published, "hf_hub_download", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    return seen


def test_a_packages_weights_are_those_of_the_classifier(package, classifier):
    net = fc.create(f"fcn8s-{NAME}", 3, pretrained=True).eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = classifier.forward_intermediates(images, intermediates_only=True)[-1]
        torch.testing.assert_close(net.backbone(images)[-1], expected)
    assert "fake_pytorch_model" not in sys.modules


@pytest.mark.parametrize("channels", [1, 5])
def test_a_packages_weights_take_other_channels(package, classifier, channels):
    """The response to grey stays for one; further channels start as the mean over the colours."""
    net = fc.create(f"fcn8s-{NAME}", 3, pretrained=True, in_channels=channels)
    weight, colors = net.backbone.body.conv_stem.weight, classifier.conv_stem.weight
    if channels == 1:
        torch.testing.assert_close(weight, colors.sum(1, keepdim=True))
    else:
        torch.testing.assert_close(weight[:, 3:], colors.mean(1, keepdim=True).expand(-1, 2, -1, -1))


def test_another_file_in_a_package_is_not_opened(package):
    package.write_bytes(package.read_bytes() + b"more")
    with pytest.raises(WeightsError, match=r"net\.pth is another file .* --force-reinstall fake-pytorch-model"):
        fc.create(f"fcn8s-{NAME}", 3, pretrained=True)
    package.unlink()
    with pytest.raises(WeightsError, match=r"net\.pth is missing"):
        fc.create(f"fcn8s-{NAME}", 3, pretrained=True)


def test_order_is_trusted_only_where_all_shapes_and_kinds_agree(classifier):
    state = classifier.state_dict()
    assert list(published.by_order(NAME, renamed(state))) == [name for name in state if "num_batches" not in name]
    swapped = dict(reversed(renamed(state).items()))
    fewer = dict(list(renamed(state).items())[2:])
    kinds = {name.replace("running_mean", "running_var"): tensor for name, tensor in renamed(state).items()}
    assert [published.by_order(NAME, other) for other in (swapped, fewer, kinds)] == [None] * 3


def test_without_a_connection_it_fails_at_once_and_names_the_ways(unreachable):
    began = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        fc.create("fcn8s-resnet18", 3, pretrained=True)
    assert time.monotonic() - began < 10
    assert unreachable == ["timm/resnet18.a1_in1k"]
    message = str(caught.value)
    assert "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors" in message
    for way in ("--init", "pip install -e '.[imagenet]'", "--model fcn8s-tf_efficientnet_lite0", "--no-pretrained"):
        assert way in message


def test_what_was_downloaded_before_needs_no_connection(classifier, tmp_path, monkeypatch):
    torch.save(classifier.state_dict(), tmp_path / "model.pth")
    monkeypatch.setattr(published, "hf_hub_download", lambda *_, **__: str(tmp_path / "model.pth"))
    net = fc.create(f"fcn8s-{NAME}", 3, pretrained=True)
    assert torch.equal(net.backbone.body.get_parameter("conv_stem.weight"), classifier.conv_stem.weight)


@pytest.mark.parametrize("name", published.PACKAGES.keys())
def test_the_real_packages_hold_what_timm_expects(name):
    module = published.PACKAGES[name].module
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install -e '.[imagenet]'")
    net = fc.create(f"fcn8s-{name}", 3, pretrained=True)
    with torch.device("meta"):
        expected = timm.create_model(name).state_dict()
    found = published.packaged(name)
    assert {key: tensor.shape for key, tensor in found.items()} == {
        key: tensor.shape for key, tensor in expected.items() if "num_batches" not in key
    }
    assert torch.equal(net.backbone.body.get_parameter("conv_stem.weight"), found["conv_stem.weight"])
