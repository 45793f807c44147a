"""Tracing: random stacks of layers against what lighting single pixels shows, and torchvision's and timm's networks."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fullyconv.errors import GeometryError
from fullyconv.geometry import Trace, trace
from tests.geometry.networks import responses, seen, stacks

ALL = "convolution max average transposed resize nearest pad crop branches"


def agrees(network: nn.Module, height: int, width: int) -> None:
    """Each cell of the network's output sees exactly the pixels that light it."""
    try:
        lit = responses(network, height, width)
    except RuntimeError:  # it does not run at this size
        assume(False)
    (output,) = trace(network, (height, width), channels=1).outputs
    assert output.size == tuple(lit.shape[2:])
    for row in range(output.size[0]):
        for col in range(output.size[1]):
            assert output.sees(row, col) == seen(lit, row, col), (row, col)


@settings(deadline=None, max_examples=100)
@given(stacks(ALL, one_axis=True), st.integers(1, 40))
def test_cells_see_the_pixels_that_light_them(network: nn.Module, height: int) -> None:
    agrees(network, height, 1)


@settings(deadline=None, max_examples=40)
@given(stacks("convolution max average transposed resize nearest crop"), st.integers(1, 12), st.integers(1, 12))
def test_cells_see_the_pixels_that_light_them_on_both_axes(network: nn.Module, height: int, width: int) -> None:
    agrees(network, height, width)


@settings(deadline=None, max_examples=40)
@given(stacks("convolution max average transposed resize nearest", padded=False, one_axis=True))
def test_field_is_what_cells_far_from_the_borders_see(network: nn.Module) -> None:
    try:
        lit = responses(network, 60, 1)
    except RuntimeError:
        assume(False)
    (output,) = trace(network, (60, 1), channels=1).outputs
    widths = []
    for row in range(output.size[0]):
        reach = output.rows.reaches(row)
        pixels = seen(lit, row, 0)
        if reach is None:
            assert pixels is None
        elif reach[0] >= 0 and reach[1] < 60:
            assert pixels is not None
            assert pixels[0] == reach
            widths.append(reach[1] - reach[0] + 1)
    assert output.field is not None
    assert max(widths, default=0) <= output.field[0]
    if len(widths) >= len(output.rows.reach):
        assert max(widths) == output.field[0]


@settings(deadline=None, max_examples=40)
@given(stacks("convolution average resize crop", padded=False))
def test_a_ramp_reads_back_each_cells_coordinate(network: nn.Module) -> None:
    """Averages and linear interpolation keep a ramp a ramp: away from borders a cell's value is where it lies."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1 / layer.weight.numel())
    rows = torch.arange(40, dtype=torch.double)[:, None] + torch.zeros(30)
    cols = torch.arange(30, dtype=torch.double) + torch.zeros(40, 1)
    try:
        values = network(torch.stack([rows, cols])[:, None])[:, 0]
    except RuntimeError:
        assume(False)
    (output,) = trace(network, (40, 30), channels=1).outputs
    for value, axis in ((values[0][:, 0], output.rows), (values[1][0], output.cols)):
        for cell in range(axis.size):
            if axis.seen[cell] == axis.reaches(cell):  # no border cuts its field
                assert value[cell].item() == pytest.approx(float(axis.stride * cell + axis.offset), abs=1e-9)


def test_transposed_convolution_keeps_a_ramp() -> None:
    up = nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False)
    up.weight.data = torch.tensor([1.0, 3, 3, 1]).outer(torch.tensor([1.0, 3, 3, 1]))[None, None] / 16
    ramp = torch.arange(10.0)[:, None].expand(10, 10)[None, None]
    (output,) = trace(up, (10, 10), channels=1).outputs
    assert (output.stride[0], output.offset[0]) == (Fraction(1, 2), Fraction(-1, 4))
    assert up(ramp)[0, 0, 5, 5].item() == pytest.approx(5 / 2 - 1 / 4)


def kinds(traced: Trace) -> set[str]:
    return {kind for _, kind in traced.whole_image}


def summary(traced: Trace) -> list[tuple[Fraction, Fraction, bool]]:
    """Stride, offset and whether there is a finite field, of each output; rows and columns must agree."""
    assert all(layer.stride[0] == layer.stride[1] and layer.offset[0] == layer.offset[1] for layer in traced.outputs)
    return [(layer.stride[0], layer.offset[0], layer.field is not None) for layer in traced.outputs]


def features(name: str, size: int = 224) -> Trace:
    return trace(timm.create_model(name, pretrained=False, features_only=True), (size, size))


def halves(first: int, count: int) -> list[Fraction]:
    """The offsets (stride - 1) / 2 of non-overlapping patches, for strides first, 2 first, ..."""
    return [Fraction((first << n) - 1, 2) for n in range(count)]


def test_resnet_cells_lie_on_pixels() -> None:
    network = timm.create_model("resnet18", pretrained=False, features_only=True).eval()
    traced = trace(network, (250, 191))
    assert summary(traced) == [(stride, 0, True) for stride in (2, 4, 8, 16, 32)]
    assert [layer.field for layer in traced.outputs] == [(n, n) for n in (7, 43, 99, 211, 435)]
    with torch.no_grad():
        sizes = [tuple(x.shape[2:]) for x in network(torch.zeros(1, 3, 250, 191))]
    assert [layer.size for layer in traced.outputs] == sizes
    assert traced.whole_image == []


def test_vgg_cells_lie_between_pixels() -> None:
    traced = features("vgg16")
    assert summary(traced) == [(1 << n, Fraction((1 << n) - 1, 2), True) for n in range(6)]
    assert [layer.field for layer in traced.outputs][-1] == (212, 212)


def test_densenet_sees_through_all_its_branches() -> None:
    traced = features("densenet121")
    assert [layer.field for layer in traced.outputs] == [(n, n) for n in (7, 59, 255, 1031, 2071)]
    assert [offset for _, offset, _ in summary(traced)] == [0, 0, 2, 6, 14]


@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "regnety_002"])
def test_squeeze_and_excitation_sees_the_whole_image(name: str) -> None:
    traced = features(name)
    assert kinds(traced) == {"squeeze-and-excitation"}
    assert summary(traced)[0] == (2, 0, True)
    assert summary(traced)[1:] == [(stride, 0, False) for stride in (4, 8, 16, 32)]
    assert all(layer.endswith("se") for layer, _ in traced.whole_image)
    assert traced.outputs[-1].sees(3, 4) == ((0, 223), (0, 223))


def test_same_padding_depends_on_the_size() -> None:
    """TensorFlow pads one side more where the size is even: the cells move with it."""
    assert [offset for _, offset, _ in summary(features("tf_efficientnet_b0", 224))] == [1, 3, 7, 15, 31]
    assert [offset for _, offset, _ in summary(features("tf_efficientnet_b0", 225))] == [0] * 5


def test_global_response_norm_sees_the_whole_image() -> None:
    traced = features("convnextv2_atto")
    assert kinds(traced) == {"global response norm"}
    assert "stages_0.blocks.0.mlp.grn" in dict(traced.whole_image)
    assert summary(traced) == [(4 << n, offset, False) for n, offset in enumerate(halves(4, 4))]


def test_convnext_is_followed_through_its_permutes() -> None:
    traced = features("convnext_atto")
    assert kinds(traced) == set()
    assert summary(traced) == [(4 << n, offset, True) for n, offset in enumerate(halves(4, 4))]
    assert traced.outputs[0].field == (52, 52)  # a patch of 4, and two 7×7 convolutions


def test_swin_is_followed_through_windows_and_patch_merging() -> None:
    traced = features("swin_tiny_patch4_window7_224")
    assert "attention" in kinds(traced)
    assert summary(traced) == [(4 << n, offset, False) for n, offset in enumerate(halves(4, 4))]
    assert [layer.size for layer in traced.outputs] == [(n, n) for n in (56, 28, 14, 7)]


def test_vision_transformer_keeps_its_patches() -> None:
    network = timm.create_model("vit_tiny_patch16_224", pretrained=False, features_only=True, img_size=(160, 96))
    traced = trace(network, (160, 96))
    assert kinds(traced) == {"attention"}
    assert len(traced.whole_image) == 12
    assert summary(traced) == [(16, Fraction(15, 2), False)] * 3
    assert traced.outputs[-1].size == (10, 6)


class Apply(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[[Tensor], Any]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.InstanceNorm2d(3), "instance norm"),
        (nn.GroupNorm(1, 3), "group norm"),
        (nn.AdaptiveMaxPool2d(1), "global pooling"),
        (Apply(lambda x: x + F.interpolate(x.mean((2, 3), keepdim=True), size=x.shape[2:])), "global pooling"),
        (Apply(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()), "squeeze-and-excitation"),
        (Apply(lambda x: x * x.norm(dim=(2, 3), keepdim=True)), "global response norm"),
        (Apply(lambda x: F.pixel_unshuffle(x, 2).flatten(2).softmax(2)), "attention"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 12, 5)), "fully connected"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(8 * 12, 5)), "token mixing"),
        (nn.LayerNorm((3, 8, 12)), "layer norm over cells"),
        (nn.Sequential(Apply(lambda x: x.flip(2)), nn.Conv2d(3, 3, 1)), "rearrangement"),
        (Apply(lambda x: x.cumsum(2)), "cumsum"),
    ],
)
def test_what_sees_the_whole_image(layer: nn.Module, kind: str) -> None:
    traced = trace(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), layer), (8, 12))
    assert kinds(traced) == {kind}
    assert traced.outputs[0].field is None
    assert traced.outputs[0].sees(0, 0) == ((0, 7), (0, 11))


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4),
        nn.Dropout2d(),
        nn.ChannelShuffle(2),
        nn.Softmax(1),
        nn.LocalResponseNorm(3),
        Apply(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2)),
        Apply(lambda x: x.flatten(2).transpose(1, 2).reshape(1, 8, 12, 4).permute(0, 3, 1, 2)),
        Apply(lambda x: torch.stack(x.chunk(2, 1), 2).flatten(1, 2)),
        Apply(lambda x: x * x.mean(1, keepdim=True)),
    ],
)
def test_what_keeps_cells_apart(layer: nn.Module) -> None:
    traced = trace(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), layer), (8, 12))
    assert traced.whole_image == []
    assert traced.outputs[0].size == (8, 12)
    assert traced.outputs[0].field == (3, 3)
    assert traced.outputs[0].sees(0, 5) == ((0, 1), (4, 6))


def test_strips_see_along_one_axis() -> None:
    traced = trace(Apply(lambda x: x * x.mean(3, keepdim=True)), (8, 12))
    assert traced.outputs[0].sees(3, 5) == ((3, 3), (0, 11))


def test_pixel_shuffles_keep_half_pixel_centres() -> None:
    (down,) = trace(nn.PixelUnshuffle(2), (8, 12)).outputs
    assert (down.stride[0], down.offset[0], down.sees(1, 2)) == (2, Fraction(1, 2), ((2, 3), (4, 5)))
    (back,) = trace(nn.Sequential(nn.PixelUnshuffle(2), nn.PixelShuffle(2)), (8, 12)).outputs
    assert (back.stride[0], back.offset[0], back.sees(1, 2)) == (1, 0, ((0, 1), (2, 3)))


def test_layers_are_named_and_counted() -> None:
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 8, 3, 2, padding=1))
    network.add_module("pool", nn.MaxPool2d(2))
    network.add_module("head", nn.Sequential(nn.Conv2d(8, 5, 1)))
    layers = trace(network, (32, 48)).layers
    assert [(layer.name, layer.op, layer.size, layer.parameters) for layer in layers] == [
        ("conv", "convolution", (16, 24), 3 * 8 * 9 + 8),
        ("pool", "max pooling", (8, 12), 0),
        ("head.0", "convolution", (8, 12), 8 * 5 + 5),
    ]
    with pytest.raises(GeometryError, match="'pool' has 8×12 cells; there is no cell"):
        layers[1].sees(8, 0)


def test_local_response_normalization_is_one_layer() -> None:
    """torch pads channels and averages over them: neither is of rows and columns, or a pooling."""
    layers = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.LocalResponseNorm(3)), (8, 12)).layers
    assert [layer.op for layer in layers] == ["convolution", "local response normalization"]


def test_outputs_are_flattened_in_order() -> None:
    network = Apply(lambda x: {"coarse": F.max_pool2d(x, 4), "others": [x, F.max_pool2d(x, 2)]})
    assert [layer.size[0] for layer in trace(network, (16, 16)).outputs] == [4, 16, 8]


def test_the_network_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(), nn.Conv2d(4, 2, 1)))
    network.train()
    network[2].eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    identities = [id(parameter) for parameter in network.parameters()]
    trace(network, (20, 20))
    assert [module.training for module in network.modules()] == [True, True, True, False, False, False]
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in state.items())
    assert [id(parameter) for parameter in network.parameters()] == identities
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    with pytest.raises(GeometryError):
        trace(network, (1, 1))
    assert network.training
    assert network(torch.randn(2, 3, 20, 20)).requires_grad


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Conv2d(4, 4, 1)), "layer '0' does not run on 9×9 pixels"),
        (nn.Sequential(Apply(lambda x: torch.fft.rfft2(x).real)), "layer '0', operation _fft_r2c"),
        (Apply(lambda x: F.interpolate(F.max_pool2d(x, 2), size=9) + x), "operation add: maps that meet"),
        (Apply(lambda x: x if x.sum() > 0 else -x), "does not run on 9×9"),
    ],
)
def test_what_cannot_be_followed_is_named(network: nn.Module, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        trace(network, (9, 9))


def test_writing_into_parts_is_refused_rather_than_missed() -> None:
    def halved(x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[:, :, 1:] = x[:, :, :-1]
        return out + 1

    with pytest.raises(GeometryError, match="part of a tensor was written"):
        trace(Apply(halved), (9, 9))


@pytest.mark.parametrize(
    ("network", "depth"),
    [(torchvision.models.resnet18(), 18), (timm.create_model("vit_tiny_patch16_224"), 50)],
    ids=["convolutions", "attention"],
)
def test_layers_add_up_to_the_networks_operations_and_parameters(network: nn.Module, depth: int) -> None:
    """A residual network's depth is its name; a transformer block has four linear layers on its longest way."""
    traced = trace(network, (224, 224))
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    assert traced.operations == counter.get_total_flops()
    assert sum(layer.parameters for layer in traced.layers) == sum(p.numel() for p in network.parameters())
    assert traced.outputs[0].depth == depth


def test_a_convolution_costs_two_operations_for_each_weight_and_place() -> None:
    layer = trace(nn.Conv2d(3, 8, 5, stride=2), (21, 13)).layers[0]
    assert (layer.size, layer.operations, layer.parameters) == ((9, 5), 2 * 9 * 5 * 8 * 3 * 5 * 5, 8 * 3 * 5 * 5 + 8)


class Judge(nn.Conv2d):
    """A network of a user's own, with something of the name of an FCN's method."""

    scores = nn.functional.avg_pool2d


def test_a_network_s_own_scores_are_not_followed():
    assert trace(Judge(3, 8, 3, stride=2), (21, 21)).outputs[0].size == (10, 10)
