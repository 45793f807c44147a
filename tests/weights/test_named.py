"""A network's name is told from what is, or should be, on disk or on the hub."""

import pytest

from fullyconv.weights.named import is_name, untrained


@pytest.mark.parametrize("model", ["fcn8s-resnet18", "fcn8s-resnet18.a1_in1k", "fcn_resnet50", "fnc8s-resnet18"])
def test_names(model):
    assert is_name(model)


@pytest.mark.parametrize("model", ["missing.safetensors", "fcn8s-vgg16.onnx", "runs/missing", "org/name", "./missing"])
def test_what_is_looked_for_on_disk_or_on_the_hub(model):
    assert not is_name(model)


def test_a_folder_goes_before_a_network_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_name("fcn8s-test_resnet")
    (tmp_path / "fcn8s-test_resnet").mkdir()
    assert not is_name("fcn8s-test_resnet")


def test_an_untrained_network_has_voc_s_classes_unless_said():
    net = untrained("fcn8s-test_resnet")
    assert (net.num_classes, net.in_channels, net.training) == (21, 3, False)
    assert untrained("fcn8s-test_resnet", 4).num_classes == 4


def test_two_streams_take_colour_and_hha(thin):
    assert untrained("fcn32s-latefusion-vgg16", padding="same").in_channels == 6
