"""A converted network computes what the one in the file computes; what does not fit is refused by name and shape."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision

import fullyconv as fc
from fullyconv import cli
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.weights import run_folder
from fullyconv.weights.convert import convert
from tests import reference
from tests.caffe import nets
from tests.caffe.model import Net, _bytes, _text, caffemodel
from tests.sameness import BGR, CASES, LOG_DEPTH, NYUD_BGR, NYUD_HHA, Case, blobs_of, picture, weights_of

pytestmark = pytest.mark.usefixtures("thin")
SIFT_FLOW_BGR = (114.578, 115.294, 108.353)
by_name = {case.name: case for case in CASES}


@pytest.fixture
def write(tmp_path) -> Callable[..., str]:
    def write(content: bytes) -> str:
        path = tmp_path / "source"
        path.write_bytes(content)
        return str(path)

    return write


def release_inputs(case: Case, images: torch.Tensor) -> list[torch.Tensor]:
    """As the release's data layers make them: colours turned to blue, green, red; depth and HHA as in their files."""
    if "NYUDv2" in case.name:
        color = images[:, :3].flip(1) - torch.tensor(NYUD_BGR).view(1, 3, 1, 1)
        if images.shape[1] == 4:
            return [torch.cat([color, images[:, 3:] - LOG_DEPTH], 1)]
        return [color, images[:, 3:] - torch.tensor(NYUD_HHA).view(1, 3, 1, 1)]
    mean = SIFT_FLOW_BGR if "SIFT" in case.name else BGR
    return [images.flip(1) - torch.tensor(mean).view(1, 3, 1, 1)]


def assert_same(scores: torch.Tensor, expected: torch.Tensor) -> None:
    assert scores.shape == expected.shape
    assert (scores - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", list(by_name))
def test_the_release_s_files_become_the_same_functions(name, write, thin):
    case = by_name[name]
    caffe = case.net(thin=thin)
    weights = weights_of(case, caffe)
    net = convert(write(caffemodel(caffe, weights)), case.model)
    images = picture(net.in_channels, (97, 64))
    with torch.inference_mode():
        expected = case.run(blobs_of(weights), *release_inputs(case, images))
        assert_same(net(images), torch.cat([*expected], 1))
    assert net.method == ("transposed" if case.learnt else "bilinear")
    assert net.heads == case.heads


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("VOC 8s VGG-16", {0: "background", 20: "tvmonitor"}),
        ("PASCAL-Context 8s", {0: "background", 20: "tvmonitor", 21: "bag", 59: "wood"}),
        ("NYUDv2 32s early fusion", {0: "wall", 39: "otherprop"}),
        ("SIFT Flow 8s", {0: "awning", 32: "window", 35: "vertical"}),
    ],
)
def test_classes_are_those_of_the_data_set_with_as_many(name, classes, write, thin):
    case = by_name[name]
    caffe = case.net(thin=thin)
    net = convert(write(caffemodel(caffe, nets.random_weights(caffe))), case.model)
    assert {index: net.classes[index] for index in classes} == classes
    assert net.inputs == ("rgb+depth" if "early" in name else "image")
    assert len(net.classes) == max(classes) + 1


def test_hha_is_taken_in_the_order_of_its_files(write, thin):
    """The release reverses the colours of images and not the channels of HHA; only its data layer tells which it is."""
    caffe = nets.vgg16(32, 40, thin=thin)
    weights = nets.random_weights(caffe)
    python = _bytes(100, _text(1, "data") + _bytes(130, _text(3, "{'tops': ['hha', 'label']}")))
    net = convert(write(python + caffemodel(caffe, weights)), "fcn32s-vgg16")
    assert net.inputs == "hha"
    images = picture(3, (64, 64))
    with torch.inference_mode():
        inputs = images - torch.tensor(NYUD_HHA).view(1, 3, 1, 1)
        assert_same(net(images), reference.fcn_vgg16(blobs_of(weights), inputs, 32))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("classifier", "name", "run"),
    [
        (nets.vgg16_classifier, "fcn32s-vgg16", reference.fcn_vgg16),
        (nets.vgg16_classifier, "fcn8s-atonce-vgg16", reference.fcn_vgg16),
        (nets.alexnet_classifier, "fcn32s-alexnet", reference.fcn_alexnet),
        (nets.googlenet_classifier, "fcn32s-googlenet", reference.fcn_googlenet),
    ],
)
def test_a_classifier_s_layers_become_the_trunk_s_convolutions(classifier, name, run, old, write, thin):
    """Fully connected layers, too: at one place they compute the same."""
    caffe = classifier(thin=thin, classes=10)
    weights = nets.random_weights(caffe)
    net = convert(write(caffemodel(caffe, weights, old=old, legacy=old)), name, classes=3)
    assert net.classes == ["class 0", "class 1", "class 2"]
    assert not any(score.weight.any() or score.bias.any() for score in net.score.values())
    blobs = blobs_of(weights)
    last = net.backbone.body
    if name.endswith("googlenet"):
        torch.testing.assert_close(last.get_submodule("inception_5b.5x5").weight, blobs["inception_5b/5x5"][0])
        return
    taps = torch.rand(1, *last.fc6.weight.shape[1:])
    with torch.inference_mode():
        expected = torch.nn.functional.linear(taps.flatten(1), *blobs["fc6"])
        torch.testing.assert_close(last.fc6(taps).flatten(1), expected, atol=1e-4, rtol=1e-4)
        first = getattr(last, "conv1_1" if name.endswith("vgg16") else "conv1")
        torch.testing.assert_close(first.weight.flip(1), blobs["conv1_1" if name.endswith("vgg16") else "conv1"][0])
    assert [f"{scale:.4f}" for key, scale in last.state_dict().items() if "scale" in key] in ([], ["0.0100", "0.0001"])


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_pytorch_fcn_s_files_become_the_same_functions(stride, wrapped, tmp_path, thin):
    caffe = nets.vgg16(stride, thin=thin)
    weights = blobs_of(nets.random_weights(caffe))
    net = convert(str(pytorch_fcn_file(tmp_path, weights, wrapped)), f"fcn{stride}s-vgg16")
    images = picture(3, (64, 97))
    with torch.inference_mode():
        inputs = images.flip(1) - torch.tensor(BGR).view(1, 3, 1, 1)
        assert_same(net(images), reference.fcn_vgg16(weights, inputs, stride))


def test_pytorch_fcn_s_at_once_network_has_its_scales_in_its_code(tmp_path, thin):
    caffe = nets.vgg16(8, thin=thin, scaled=True)
    weights = blobs_of(nets.random_weights(caffe))
    stored = {layer: blobs for layer, blobs in weights.items() if not layer.startswith("scale")}
    net = convert(str(pytorch_fcn_file(tmp_path, stored, False)), "fcn8s-atonce-vgg16")
    images = picture(3, (64, 97))
    with torch.inference_mode():
        inputs = images.flip(1) - torch.tensor(BGR).view(1, 3, 1, 1)
        assert_same(net(images), reference.fcn_vgg16(weights, inputs, 8))


def pytorch_fcn_file(folder, weights, wrapped):
    """Names as its modules have them."""
    kinds = ("weight", "bias")
    state = {
        f"{layer}.{kind}": blob for layer, blobs in weights.items() for kind, blob in zip(kinds, blobs, strict=False)
    }
    path = folder / "model.pth.tar"
    checkpoint = {"epoch": 3, "arch": "FCN8s", "best_mean_iu": np.float64(0.6), "model_state_dict": state}
    torch.save(checkpoint if wrapped else state, path)
    return path


def test_torchvision_s_files_are_told_by_their_names(tmp_path, monkeypatch):
    theirs = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=21).eval()
    torch.save(theirs.state_dict(), tmp_path / "file")
    net = convert(str(tmp_path / "file"), "fcn_resnet50")
    assert net.score["8"].weight.equal(theirs.classifier[4].weight)
    monkeypatch.setattr("fullyconv.weights.torchvision.fetch", lambda name: theirs.state_dict())
    assert convert("torchvision", "fcn_resnet50").score["8"].weight.equal(theirs.classifier[4].weight)


def test_a_run_folder_of_it_is_the_same_network(write, thin, tmp_path):
    caffe = nets.vgg16(8, {"_sem": 33, "_geo": 3}, thin=thin)
    net = convert(write(caffemodel(caffe, nets.random_weights(caffe))), "fcn8s-vgg16", padding="same")
    run_folder.save(net, tmp_path / "run")
    again = fc.load(tmp_path / "run")
    images = picture(3, (50, 70))
    assert again.padding == "same"
    assert torch.equal(again.predict(images), net.predict(images))
    assert json.loads((tmp_path / "run/model.json").read_text())["heads"] == {"semantic": 33, "geometric": 3}


def changed(net: Net, layer: str, blobs: list[np.ndarray] | None) -> bytes:
    weights = dict(nets.random_weights(net))
    if blobs is None:
        del weights[layer]
    else:
        weights[layer] = blobs
        shapes = {each.name for each in net.layers}
        if layer not in shapes:
            net.convolution(layer, "data", 1, 1)
    return caffemodel(net, weights)


def test_the_first_layer_that_differs_is_named_with_both_shapes(write, thin):
    net = nets.vgg16(8, thin=thin)
    narrow = [np.zeros((8, 8, 5, 5), np.float32), np.zeros(8, np.float32)]
    with pytest.raises(WeightsError, match=r"weight of layer conv2_2 has shape \(8, 8, 5, 5\), .* \(8, 8, 3, 3\)"):
        convert(write(changed(net, "conv2_2", narrow)), "fcn8s-vgg16")
    with pytest.raises(WeightsError, match=r"layer conv3_1 is missing; .* of shape \(16, 8, 3, 3\)"):
        convert(write(changed(net, "conv3_1", None)), "fcn8s-vgg16")
    with pytest.raises(WeightsError, match=r"layer more, of shape \(1, 3, 1, 1\), is no part of fcn8s-vgg16"):
        convert(write(changed(net, "more", [np.zeros((1, 3, 1, 1), np.float32)])), "fcn8s-vgg16")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fcn32s-vgg16", "layer score_pool4, of shape .* is no part of fcn32s-vgg16"),
        ("fcn8s-atonce-vgg16", "layer scale_pool4 is missing"),
        ("fcn32s-alexnet", r"layer conv1 is missing; .* \(6, 3, 11, 11\)"),
        ("fcn32s-latefusion-vgg16", "layer conv1_1color is missing"),
        ("fcn8s-resnet18", "one of the paper's networks"),
    ],
)
def test_another_network_s_name_is_refused(name, message, write, thin):
    net = nets.vgg16(8, thin=thin)
    with pytest.raises((WeightsError, ConfigError), match=message):
        convert(write(caffemodel(net, nets.random_weights(net))), name)


def test_alexnet_in_its_own_paper_s_order_is_refused(write, thin):
    """bvlc_alexnet's shapes are CaffeNet's; it normalizes before it pools."""
    net = nets.alexnet_classifier(thin=thin)
    weights = nets.random_weights(net)
    places = {layer.name: place for place, layer in enumerate(net.layers)}
    for number in (1, 2):
        pool, norm = places[f"pool{number}"], places[f"norm{number}"]
        net.layers[pool], net.layers[norm] = net.layers[norm], net.layers[pool]
    for old in (False, True):
        with pytest.raises(WeightsError, match=r"norm1 runs before pool1, as in bvlc_alexnet.*reference_caffenet"):
            convert(write(caffemodel(net, weights, old=old)), "fcn32s-alexnet")


def test_a_last_upsampling_that_was_learnt_is_refused(write, thin):
    net = nets.vgg16(8, 3, thin=thin)
    learnt = [np.random.default_rng(0).standard_normal((3, 3, 16, 16), np.float32)]
    with pytest.raises(WeightsError, match=r"upscore8 is not bilinear interpolation. The last upsampling"):
        convert(write(changed(net, "upscore8", learnt)), "fcn8s-vgg16")


def test_a_kernel_for_each_class_may_be_learnt_between_skips(write, thin):
    """Stored in groups, as a kernel for each class: nearest neighbours, which is not bilinear."""
    caffe = nets.vgg16(16, 3, thin=thin, grouped=True)
    weights = dict(nets.random_weights(caffe))
    weights["upscore2"] = [np.ones((3, 1, 4, 4), np.float32)]
    net = convert(write(caffemodel(caffe, weights)), "fcn16s-vgg16")
    images = picture(3, (64, 97))
    with torch.inference_mode():
        inputs = images.flip(1) - torch.tensor(BGR).view(1, 3, 1, 1)
        assert_same(net(images), reference.fcn_vgg16(blobs_of(weights), inputs, 16))
    assert net.method == "transposed"


def test_scales_of_their_own_for_each_channel_are_refused(write, thin):
    net = nets.vgg16(8, 3, thin=thin, scaled=True)
    scales = [np.linspace(0.1, 1, nets.thinned(256, thin), dtype=np.float32)]
    with pytest.raises(WeightsError, match="scale_pool3 scales channels by different numbers"):
        convert(write(changed(net, "scale_pool3", scales)), "fcn8s-atonce-vgg16")


def test_a_number_of_classes_is_for_classifiers(write, thin):
    net = nets.vgg16(8, thin=thin)
    with pytest.raises(ConfigError, match=r"--classes 5: .* scores of 21 classes"):
        convert(write(caffemodel(net, nets.random_weights(net))), "fcn8s-vgg16", classes=5)


def test_a_pickle_is_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "executed").write_text, ("boom",)

    for new in (True, False):
        path = tmp_path / "bomb.pth"
        torch.save({"conv1_1.weight": Bomb()}, path, _use_new_zipfile_serialization=new)
        with pytest.raises(WeightsError, match="never executed"):
            convert(str(path), "fcn8s-vgg16")
    assert not (tmp_path / "executed").exists()


def test_a_state_dict_of_neither_is_refused(tmp_path):
    torch.save({"encoder.0.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"first tensor is 'encoder.0.weight'"):
        convert(str(tmp_path / "other.pth"), "fcn8s-vgg16")
    with pytest.raises(WeightsError, match="no such file"):
        convert(str(tmp_path / "absent.caffemodel"), "fcn8s-vgg16")


def test_the_command_writes_a_run_folder_and_keeps_what_is_there(write, thin, tmp_path, monkeypatch, capsys):
    net = nets.vgg16(32, thin=thin)
    source, out = write(caffemodel(net, nets.random_weights(net))), str(tmp_path / "run")
    monkeypatch.setattr("sys.argv", ["fullyconv", "convert", source, "--model", "fcn32s-vgg16", "--out", out])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert not done.value.code
    assert "21 classes (background, aeroplane, bicycle, ...)" in capsys.readouterr().err
    assert fc.load(out).name == "fcn32s-vgg16"
    with pytest.raises(SystemExit) as refused:
        cli.main()
    assert refused.value.code == 2
    assert "the folder holds a network already" in capsys.readouterr().err
