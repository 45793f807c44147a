"""A convolutionalized classifier against the classifier itself: whole networks, windows, heads."""

import copy
from typing import Any

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn
from torch.nn import functional as F

from fullyconv.convolutionalization import convolutionalize
from tests.convolutionalization.classifiers import Net, worked_example

# Small native sizes at which the network still ends in a map of several cells; 224 where it has to be.
NETWORKS = [
    *(("torchvision/alexnet", 224), ("torchvision/vgg16", 224), ("torchvision/googlenet", 224)),
    *(("torchvision/resnet18", 224), ("torchvision/densenet121", 96), ("torchvision/mobilenet_v2", 224)),
    *(
        ("torchvision/squeezenet1_1", 96),
        ("torchvision/shufflenet_v2_x0_5", 96),
        ("torchvision/mnasnet0_5", 96),
    ),
    *(("torchvision/regnet_y_400mf", 96), ("torchvision/efficientnet_b0", 96)),
    *(("torchvision/convnext_tiny", 96), ("torchvision/swin_t", 96), ("timm/resnet18", 96)),
    *(("timm/resnet50d", 96), ("timm/vgg11_bn", 224), ("timm/mobilenetv3_small_100", 224)),
    *(("timm/mobilenetv4_conv_small", 96), ("timm/efficientnet_b0", 96), ("timm/convnext_atto", 96)),
    *(("timm/convnextv2_atto", 96), ("timm/regnetx_002", 96), ("timm/regnety_002", 96)),
    *(("timm/cspresnet50", 96), ("timm/repvgg_a0", 96), ("timm/dla34", 96), ("timm/ghostnet_100", 96)),
    *(("timm/lcnet_050", 96), ("timm/hardcorenas_a", 96), ("timm/mambaout_femto", 96), ("timm/nfnet_f0", 64)),
    *(("timm/densenet121", 96), ("timm/xception41", 96)),
]


def build(name: str) -> nn.Module:
    """A classifier with every parameter and statistic drawn anew; torch's own way of drawing is slow."""
    library, name = name.split("/")
    with pytest.MonkeyPatch.context() as patch:
        for draw in ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_"):
            patch.setattr(nn.init, draw, lambda tensor, *_, **__: tensor)
        if library == "timm":
            network = timm.create_model(name)
        else:
            quiet = {"init_weights": False} if name == "googlenet" else {}
            network = torchvision.models.get_model(name, weights=None, **quiet)
    return randomized(network)


@torch.no_grad()
def randomized(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2**17 + 1, generator=generator)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        values = noise.repeat(-(-tensor.numel() // len(noise)))[: tensor.numel()].view(tensor.shape)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + values.abs())
        elif name.endswith(("running_mean", "bias")):
            tensor.copy_(0.1 * values)
        elif tensor.dim() > 1 and tensor.requires_grad:
            tensor.copy_(values * (2 / tensor[0].numel()) ** 0.5)
        elif tensor.requires_grad:
            tensor.copy_(1 + 0.1 * values)
    return network.eval()


@torch.no_grad()
def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    assert expected.isfinite().all()
    assert expected.unique().numel() > 1 or expected.numel() == 1
    return ((found - expected).abs().max() / expected.abs().max()).item()


@torch.no_grad()
def windows_error(classifier: nn.Module, dense: nn.Module, image: Tensor, size: int, stride: int) -> float:
    """Each cell of the grid against the classifier on the cell's window."""
    windows = image.unfold(2, size, stride).unfold(3, size, stride)  # (1, channels, h, w, size, size)
    _, channels, h, w, *_ = windows.shape
    crops = windows.permute(0, 2, 3, 1, 4, 5).reshape(h * w, channels, size, size)
    expected = classifier(crops).unflatten(0, (h, w)).permute(2, 0, 1).unsqueeze(0)
    return relative_error(dense(image), expected)


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize(("name", "size"), NETWORKS)
def test_at_the_native_size_it_is_the_classifier(name: str, size: int) -> None:
    classifier = build(name)
    dense = convolutionalize(classifier, size)
    image = torch.randn(1, 3, size, size)
    with torch.no_grad():
        assert relative_error(dense(image), classifier(image)[:, :, None, None]) < 1e-5


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/lcnet_050", "timm/convnext_atto"])
def test_a_larger_image_gives_a_grid_of_one_cell_per_stride(name: str) -> None:
    with torch.no_grad():
        scores = convolutionalize(build(name), 64)(torch.rand(1, 3, 128, 96))
    assert scores.shape == (1, 1000, 3, 2)


def test_vgg16_fc6_has_the_published_parameters_and_its_name() -> None:
    with torch.device("meta"):
        vgg = torchvision.models.vgg16()
    fc6 = convolutionalize(vgg, 224).get_submodule("classifier.0")
    assert fc6.weight.shape == (4096, 512, 7, 7)
    assert sum(parameter.numel() for parameter in fc6.parameters()) == 102_764_544


@pytest.mark.parametrize(("size", "cells"), [(14, 1), (16, 2), (28, 8)])
def test_the_worked_example_sees_windows_of_14_pixels_2_apart(size: int, cells: int) -> None:
    classifier = randomized(worked_example())
    dense, image = convolutionalize(classifier, 14), torch.randn(1, 3, size, size)
    assert dense(image).shape == (1, 3, cells, cells)
    assert windows_error(classifier, dense, image, size=14, stride=2) < 1e-5


@settings(max_examples=20, deadline=None)
@given(
    kernel=st.integers(1, 4),
    pool=st.integers(1, 3),
    left=st.integers(1, 4),
    more=st.integers(0, 9),
    channels=st.integers(1, 3),
)
def test_without_padding_every_cell_is_the_classifier_on_its_window(
    kernel: int, pool: int, left: int, more: int, channels: int
) -> None:
    trunk = [nn.Conv2d(channels, 4, kernel), nn.MaxPool2d(pool)]
    head = [nn.Flatten(), nn.Linear(4 * left**2, 6), nn.Tanh(), nn.Linear(6, 3)]
    classifier = randomized(nn.Sequential(*trunk, *head))
    size = pool * left + kernel - 1
    dense = convolutionalize(classifier, size, channels)
    image = torch.randn(1, channels, size + more, size + more)
    assert windows_error(classifier, dense, image, size, stride=pool) < 1e-5


def test_the_native_size_need_not_be_square() -> None:
    classifier = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 8, 5)))
    dense, images = convolutionalize(classifier, (8, 10)), torch.randn(2, 3, 8, 10)
    assert dense.get_submodule("2").weight.shape == (5, 4, 6, 8)
    assert relative_error(dense(images), classifier(images)[:, :, None, None]) < 1e-5
    assert dense(torch.randn(1, 3, 9, 12)).shape == (1, 5, 2, 3)


def norm_of_pixels(x: Tensor, norm: Any) -> Tensor:
    return norm(x.permute(0, 2, 3, 1))


HEADS: dict[str, Net] = {
    "torch.flatten": Net(lambda n, x: n.flat_fc(torch.flatten(x, 1))),
    "view by batch": Net(lambda n, x: n.flat_fc(x.view(x.size(0), -1))),
    "view by features": Net(lambda n, x: n.flat_fc(x.view(-1, 216))),
    "reshape by shape": Net(lambda n, x: n.flat_fc(x.reshape(x.shape[0], -1))),
    "rows and columns first": Net(lambda n, x: n.flat_fc(x.permute(0, 2, 3, 1).flatten(1))),
    "columns, channels, rows": Net(lambda n, x: n.flat_fc(x.transpose(1, 3).transpose(2, 3).flatten(1))),
    "dropout and relu before": Net(lambda n, x: n.flat_fc(n.relu(F.dropout(x, training=n.training)).flatten(1))),
    "relu in place, unassigned": Net(lambda n, x: (y := n.pool(x).flatten(1), y.relu_(), n.fc(y))[-1]),
    "adaptive module": Net(lambda n, x: n.fc(n.pool(x).flatten(1))),
    "adaptive function": Net(lambda n, x: n.fc(F.adaptive_avg_pool2d(x, (1, 1)).squeeze((2, 3)))),
    "adaptive maximum": Net(lambda n, x: n.fc(F.adaptive_max_pool2d(x, 1).view(-1, 6))),
    "plain pool function": Net(lambda n, x: n.fc(F.avg_pool2d(x, 6).flatten(1))),
    "plain pool module": Net(lambda n, x: n.fc(n.plain(x).flatten(1)), plain=nn.AvgPool2d((6, 6))),
    "mean": Net(lambda n, x: n.fc(x.mean([2, 3]))),
    "torch.mean, kept": Net(lambda n, x: n.fc(torch.mean(x, dim=(-2, -1), keepdim=True).squeeze(-1).squeeze(-1))),
    "mean of tokens": Net(lambda n, x: n.fc(x.flatten(2).mean(-1))),
    "mean of columns, then rows": Net(lambda n, x: n.fc(x.mean(3).mean(2))),
    "scores, then mean": Net(lambda n, x: n.fc(x.flatten(2).transpose(1, 2)).mean(1)),
    "maximum": Net(lambda n, x: n.fc(x.amax((2, 3)))),
    "timm average and maximum": Net(lambda n, x: n.fc(n.sel(x)), sel=SelectAdaptivePool2d(1, "avgmax", True)),
    "timm both": Net(
        lambda n, x: n.wide(n.sel(x)), sel=SelectAdaptivePool2d(1, "catavgmax", True), wide=nn.Linear(12, 5)
    ),
    "twice the same": Net(lambda n, x: n.wide(torch.cat([x.mean((2, 3))] * 2, -1)), wide=nn.Linear(12, 5)),
    "batch norm": Net(lambda n, x: n.fc(n.bn(n.pool(x).flatten(1))), bn=nn.BatchNorm1d(6)),
    "layer norm": Net(lambda n, x: n.fc(n.ln(x.mean((2, 3)))), ln=nn.LayerNorm(6)),
    "layer norm of pixels": Net(lambda n, x: n.fc(F.gelu(norm_of_pixels(x, n.ln)).mean((1, 2))), ln=nn.LayerNorm(6)),
    "convolution after the pool": Net(lambda n, x: n.conv(n.pool(x)).flatten(1), conv=nn.Conv2d(6, 5, 1)),
    "prelu": Net(lambda n, x: n.fc(n.act(x.mean((2, 3)))), act=nn.PReLU(6)),
    "a learned scale": Net(lambda n, x: n.scale.exp() * n.fc(x.mean((2, 3)))),
    "log softmax": Net(lambda n, x: F.log_softmax(n.fc(x.mean((2, 3))), dim=-1)),
    "softmax module": Net(lambda n, x: n.soft(n.fc(x.mean((2, 3)))), soft=nn.Softmax(dim=1)),
    "one class": Net(lambda n, x: n.one(n.relu(n.fc(x.mean((2, 3))))), one=nn.Linear(5, 1)),
    "no head": Net(lambda n, x: x.mean((2, 3))),
}


@pytest.mark.parametrize("head", HEADS)
def test_every_form_of_head_slides(head: str) -> None:
    classifier = randomized(HEADS[head])
    dense = convolutionalize(classifier, 8)
    assert windows_error(classifier, dense, torch.randn(1, 3, 8, 8), size=8, stride=1) < 1e-5
    assert windows_error(classifier, dense, torch.randn(1, 3, 11, 10), size=8, stride=1) < 1e-5


@pytest.mark.parametrize(("cells", "stride"), [(6, 1), (3, 2), (2, 3), (5, 1)])
def test_adaptive_pooling_to_cells_keeps_its_native_windows(cells: int, stride: int) -> None:
    head = Net(
        lambda n, x: n.wide(n.cells(x).flatten(1)),
        cells=nn.AdaptiveAvgPool2d(cells),
        wide=nn.Linear(6 * cells**2, 4),
    )
    classifier = randomized(head)
    dense = convolutionalize(classifier, 8)
    assert windows_error(classifier, dense, torch.randn(1, 3, 14, 14), size=8, stride=stride) < 1e-5


@pytest.mark.parametrize("options", [{"padding": 1}, {"divisor_override": 5}])
def test_average_pooling_that_is_not_the_mean_of_the_map_stays_itself(options: dict[str, Any]) -> None:
    pool = nn.AvgPool2d(6, **options)
    classifier = randomized(Net(lambda n, x: n.fc(n.plain(x).flatten(1)), plain=pool))
    dense = convolutionalize(classifier, 8)
    assert windows_error(classifier, dense, torch.randn(1, 3, 8, 8), size=8, stride=1) < 1e-5


def test_a_multilayer_perceptron_on_pixels_slides_too() -> None:
    classifier = randomized(nn.Sequential(nn.Flatten(), nn.Linear(49, 16), nn.ReLU(), nn.Linear(16, 10)))
    dense = convolutionalize(classifier, 7, channels=1)
    assert windows_error(classifier, dense, torch.randn(1, 1, 9, 9), size=7, stride=1) < 1e-5


class Gated(nn.Module):
    """Squeeze and excitation: the pooled map gates the map it comes from."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.squeeze, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x * self.squeeze(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.fc(x.mean((2, 3)))


def test_pooling_inside_the_trunk_sees_the_whole_larger_image() -> None:
    classifier: Any = randomized(Gated())
    dense, image = convolutionalize(classifier, 8), torch.randn(1, 3, 12, 12)
    maps = classifier.conv(image)
    gated = maps * classifier.squeeze(maps.mean((2, 3), keepdim=True)).sigmoid()
    expected = F.conv2d(F.avg_pool2d(gated, 6, 1), classifier.fc.weight[:, :, None, None], classifier.fc.bias)
    assert relative_error(dense(image), expected) < 1e-5


def test_the_classifier_is_neither_changed_nor_shared() -> None:
    classifier = randomized(worked_example()).train()
    before = copy.deepcopy(classifier.state_dict())
    dense = convolutionalize(classifier, 14)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.zero_()
    assert classifier.training
    assert isinstance(classifier[6], nn.Linear)
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())


def test_names_and_frozen_parameters_are_kept() -> None:
    classifier = torchvision.models.resnet18()
    classifier.fc.weight.requires_grad_(False)
    dense = convolutionalize(classifier, 64)
    assert dense.state_dict().keys() == classifier.state_dict().keys()
    assert not dense.training
    assert [name for name, p in dense.named_parameters() if not p.requires_grad] == ["fc.weight"]


def test_auxiliary_heads_are_gone() -> None:
    names = convolutionalize(build("torchvision/googlenet"), 96).state_dict()
    assert "fc.weight" in names
    assert not any(name.startswith("aux") for name in names)


def test_it_learns_on_larger_images() -> None:
    bn = Net(lambda n, x: n.fc(n.bn(n.pool(x).flatten(1))), bn=nn.BatchNorm1d(6))
    dense = convolutionalize(bn, 8).train()
    dense(torch.randn(2, 3, 12, 12)).square().mean().backward()
    used = {"trunk.weight", "trunk.bias", "fc.weight", "fc.bias", "bn.weight", "bn.bias"}
    assert {name for name, p in dense.named_parameters() if p.grad is not None} == used
    assert dense.get_submodule("bn").num_batches_tracked == 1


def test_half_precision_is_kept() -> None:
    dense = convolutionalize(worked_example().bfloat16(), 14)
    assert dense(torch.rand(1, 3, 14, 14, dtype=torch.bfloat16)).dtype == torch.bfloat16
