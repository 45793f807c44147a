"""timm's networks with TensorFlow's padding give the same with constant padding, in bands, tiles and files, too."""

import pytest
import timm
import torch
from timm.layers import AvgPool2dSame, Conv2dSame
from timm.layers.pool2d_same import MaxPool2dSame
from torch import nn

from fullyconv.exporting import export
from fullyconv.inference import bands, tiles
from fullyconv.model.backbones.same_padding import pad_constantly
from tests.exporting.test_export import network
from tests.inference.families import noise, small


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, (3, 5)])
@pytest.mark.parametrize("stride", [1, 2, (2, 1)])
def test_layers_compute_what_timm_s_do_on_whole_strides(kernel, stride):
    torch.manual_seed(0)
    layers = [
        Conv2dSame(4, 6, kernel, stride, groups=2),
        Conv2dSame(4, 6, kernel, stride, dilation=2),
        MaxPool2dSame(kernel, stride),
        AvgPool2dSame(kernel, stride),
        AvgPool2dSame(kernel, stride, count_include_pad=False),
    ]
    x = torch.randn(2, 4, 12, 18)
    for layer in layers:
        body = nn.Sequential(layer)
        pad_constantly(body)
        assert type(body[0]) is not type(layer)
        torch.testing.assert_close(body(x), layer(x))


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_mobilenetv3_small_minimal_100", "tf_mixnet_s"])
def test_taps_are_timm_s(name):
    net = small(f"fcn8s-{name}")
    theirs = timm.create_model(name, features_only=True, out_indices=(2, 3, 4)).double().eval()
    theirs.load_state_dict(net.backbone.body.state_dict())
    images = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        for tap, expected in zip(net.backbone(images), theirs(images), strict=True):
            torch.testing.assert_close(tap, expected)


def test_lite0_is_the_same_in_bands_and_tiles():
    net = small("fcn8s-tf_efficientnet_lite0")
    images = noise(net, 683, 41)
    expected = net.predict(images)
    assert len(expected.unique()) > 1
    assert (bands.predict_bands(net, images, 100) == expected).all()
    assert (tiles.predict_tiled(net, images, 200) == expected).all()
    assert any(tile.crop[0].start > 0 for tile in tiles.plan(net, (683, 41), 200))


@pytest.mark.no_cover  # as other exports
@pytest.mark.parametrize("file", ["net.onnx", "net.xml", "net.pt2"])
def test_lite0_is_exported_to_every_format(file, tmp_path):
    """The export compares the file with the network on ten sizes."""
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)
    assert export(network("fcn8s-tf_efficientnet_lite0"), tmp_path / file, probabilities=True)
    assert (tmp_path / file).stat().st_size
