"""The network: any size in, that size out, aligned with the image to the pixel."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

import fullyconv as fc
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model import readout
from fullyconv.model.fcn import build

VGG, RESNET = "vgg11", "resnet10t"
SIZES = [(1, 1), (1, 40), (17, 3), (31, 33), (64, 64), (97, 61)]


def small(name, **options):
    torch.manual_seed(0)
    net = fc.create(name, num_classes=4, **options).eval()
    for module in net.score.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.05)
    return net


def photograph(height, width, channels=3):
    return torch.randint(0, 256, (1, channels, height, width), dtype=torch.uint8)


@pytest.fixture(scope="module", params=[VGG, RESNET])
def net(request):
    return small(f"fcn8s-{request.param}")


@pytest.mark.parametrize("size", SIZES)
def test_the_output_has_the_images_size(net, size):
    with torch.no_grad():
        assert net(photograph(*size)).shape == (1, 4, *size)


@pytest.mark.parametrize("size", [(1, 1), (33, 65)])
def test_labels_are_the_argmax_of_the_logits(net, size):
    images = photograph(*size)
    with torch.no_grad():
        assert torch.equal(net.predict(images).long(), net(images).argmax(1))


def test_float_and_byte_images_are_the_same_image(net):
    images = photograph(40, 40)
    with torch.no_grad():
        torch.testing.assert_close(net(images), net(images.float()))


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("backbone", [VGG, RESNET])
def test_an_image_moved_by_the_coarsest_stride_moves_the_scores_by_as_much(stride, backbone):
    """Fused maps move as one: where every map's border is far, the scores are those of the image before."""
    net = small(f"fcn{stride}s-{backbone}").double()
    scene = torch.rand(1, 3, 800, 96, dtype=torch.float64) * 255
    with torch.no_grad():
        here = net.scores(scene[:, :, :768])
        there = net.scores(scene[:, :, 32:])
    cells, inside = 32 // stride, slice(320 // stride, 416 // stride)
    moved = slice(inside.start + cells, inside.stop + cells)
    torch.testing.assert_close(here[:, :, moved], there[:, :, inside], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stride", [32, 16, 8, 4])
@pytest.mark.parametrize("backbone", [VGG, RESNET])
def test_a_feature_is_read_out_at_its_pixel(stride, backbone):
    """Taps that hold the coordinates their cells look at give logits that hold each pixel's own coordinates."""
    net = fc.create(f"fcn{stride}s-{backbone}", num_classes=2).eval()
    side = 160
    taps = []
    for lattice, channels in zip(net.backbone.lattices, net.backbone.channels, strict=True):
        cells = torch.arange(side // int(lattice.stride[0]))
        at = cells * float(lattice.stride[0]) + float(lattice.offset[0])
        rows, columns = at[:, None].expand(len(at), len(at)), at.expand(len(at), len(at))
        tap = torch.zeros(1, channels, len(at), len(at))
        tap[0, 0], tap[0, 1] = rows, columns
        taps.append(tap)
    for score in net.score.values():  # every tap passes its coordinates on, in equal parts
        with torch.no_grad():
            score.weight[0, 0] = score.weight[1, 1] = 1 / len(taps)
    with torch.no_grad():
        logits = readout.logits(net.fuse(taps), net.fusion.lattice, (side, side))
    inside = slice(48, 112)
    pixels = torch.arange(side, dtype=torch.float32)
    torch.testing.assert_close(logits[0, 0, inside, inside], pixels[inside, None].expand(64, 64), atol=1e-3, rtol=0)
    torch.testing.assert_close(logits[0, 1, inside, inside], pixels[inside].expand(64, 64), atol=1e-3, rtol=0)


def test_vgg_cells_sit_between_pixels_and_resnet_cells_on_them():
    assert small(f"fcn32s-{VGG}").fusion.lattice.offset == (15.5, 15.5)
    assert small(f"fcn32s-{RESNET}").fusion.lattice.offset == (0, 0)


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("backbone", [VGG, RESNET])
def test_the_traced_scores_lie_on_the_lattice_that_the_network_states(stride, backbone):
    net = fc.create(f"fcn{stride}s-{backbone}", num_classes=2)
    traced = fc.geometry.trace(net, (256, 256)).outputs[0]
    assert (traced.stride, traced.size) == (net.fusion.lattice.stride, (256 // stride, 256 // stride))
    assert traced.offset == net.fusion.lattice.offset


def test_score_fusion_is_the_papers_sum():
    """FCN-16s on a half-pixel backbone: 2× bilinear of the stride-32 scores plus the stride-16 scores."""
    net = small(f"fcn16s-{VGG}")
    with torch.no_grad():
        taps = net.backbone(net.normalize(photograph(64, 96)))
        coarse, fine = net.score["32"](taps[1]), net.score["16"](taps[0])
        expected = F.interpolate(coarse, scale_factor=2, mode="bilinear") + fine
        torch.testing.assert_close(net.fuse(taps), expected, rtol=1e-4, atol=1e-5)


def test_new_score_layers_start_at_zero():
    net = fc.create(f"fcn8s-{RESNET}", num_classes=3)
    assert all(not p.any() for p in net.score.parameters())


@pytest.mark.parametrize("upsample", ["nearest", "bilinear", "bicubic", "transposed"])
@pytest.mark.parametrize("width", [None, 8])
def test_every_upsampling_and_fusion_trains(upsample, width):
    net = fc.create(f"fcn8s-{RESNET}", num_classes=3, upsample=upsample, width=width)
    labels = torch.randint(0, 3, (2, 45, 37))
    loss = net.loss(torch.cat([photograph(45, 37)] * 2), labels)
    loss.backward()
    assert torch.isfinite(loss)
    learnt = [p for name, p in net.named_parameters() if name.startswith("upsample")]
    assert bool(learnt) == (upsample == "transposed")
    assert all(p.grad is not None for p in learnt)


def test_the_loss_is_cross_entropy_of_the_logits(net):
    images, labels = photograph(50, 30), torch.randint(0, 4, (1, 50, 30))
    labels[0, :5] = 255
    expected = F.cross_entropy(net(images), labels, ignore_index=255)
    torch.testing.assert_close(net.loss(images, labels), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_any_number_of_input_channels(channels):
    net = small(f"fcn32s-{RESNET}", in_channels=channels)
    with torch.no_grad():
        assert net(photograph(40, 50, channels)).shape == (1, 4, 40, 50)


def test_normalization_lives_in_the_model(net):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
    torch.testing.assert_close(net.normalize(mean.expand(1, 3, 32, 32)), torch.zeros(1, 3, 32, 32), atol=1e-5, rtol=0)


def test_the_spec_builds_the_same_network(net):
    twin = build(**dict(net.spec)).eval()
    twin.load_state_dict(net.state_dict())
    images = photograph(33, 47)
    with torch.no_grad():
        torch.testing.assert_close(twin(images), net(images))


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize(
    "backbone",
    [
        "smallvgg",
        "mobilenetv3_small_050",
        "convnext_atto",
        "regnetx_002",
        "tf_efficientnet_lite0",
        "densenet121",
        "inception_v3",
    ],
)
def test_backbones_of_every_kind(backbone):
    net = small(f"fcn8s-{backbone}")
    with torch.no_grad():
        assert net(photograph(45, 70)).shape == (1, 4, 45, 70)


def test_a_transformer_is_a_backbone_too():
    net = small("fcn16s-vit_tiny_patch16_224")
    with torch.no_grad():
        assert net(photograph(45, 70)).shape == (1, 4, 45, 70)


def test_a_transformer_s_tap_is_its_last_block():
    """Against timm's whole network, without the norm that its classifier begins with."""
    net = small("fcn16s-test_vit").double()
    whole = timm.create_model("test_vit", dynamic_img_size=True).double().eval()
    weights = {name.removeprefix("model."): tensor for name, tensor in net.backbone.body.state_dict().items()}
    assert not whole.load_state_dict(weights, strict=False).unexpected_keys
    whole.norm = nn.Identity()
    images = torch.rand(1, 3, 48, 80, dtype=torch.float64)
    with torch.no_grad():
        (tap,) = net.backbone(images)
        tokens = whole.forward_features(images)[:, whole.num_prefix_tokens :]
    torch.testing.assert_close(tap.flatten(2).transpose(1, 2), tokens)


def test_taps_are_told_by_their_strides_where_timm_leaves_the_first_map_out():
    with torch.device("meta"):
        net = fc.create("fcn8s-dla46_c", num_classes=2)
        taps = net.backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(tap.shape[2:]) for tap in taps] == [(8, 12), (4, 6), (2, 3)]
    assert [tap.shape[1] for tap in taps] == net.backbone.channels


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "test_mambaout"])
def test_channels_are_not_taken_for_rows_where_there_are_as_many(name):
    """Some of timm's networks give (N, h, w, channels)."""
    with torch.device("meta"):
        net = fc.create(f"fcn4s-{name}", num_classes=2)
        channels = net.backbone.channels[0]
        finest = net.backbone(torch.zeros(1, 3, 4 * channels, 64))[0]
    assert tuple(finest.shape) == (1, channels, channels, 16)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unet-resnet18", "Unknown network 'unet-resnet18'.*fcn8s-resnet50"),
        ("fcn8s-resnet81", "no network named 'resnet81'.*Did you mean"),
        ("fcn2s-convnext_atto", "no feature map of stride 2.*4, 8, 16, 32"),
        ("fcn2s-smallvgg", "no feature map of stride 2.*4, 8, 16, 32"),
        ("fcn32s-vit_tiny_patch16_224", "no feature map of stride 32"),
    ],
)
def test_names_that_do_not_exist_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        fc.create(name, num_classes=2)


def test_weights_that_cannot_be_fetched_are_refused(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="--no-pretrained"):
        fc.create("fcn8s-resnet10t", num_classes=2, pretrained=True)


def test_a_wrong_channel_count_is_refused(net):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\), got \(1, 1, 8, 8\)"):
        net(photograph(8, 8, 1))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(1, 500, 9, dtype=torch.uint8), r"shape \(1, 500, 9\); images \(1, 3, 64, 64\) need \(1, 64, 64\)"),
        (torch.zeros(1, 1, 64, 64, dtype=torch.uint8), r"shape \(1, 1, 64, 64\)"),
        (torch.zeros(2, 64, 64, dtype=torch.uint8), r"shape \(2, 64, 64\)"),
        (torch.zeros(1, 64, 64), r"labels are torch.float32; expected whole numbers"),
        (torch.full((1, 64, 64), 4), r"labels hold 4; expected 0 to 3, one for each class, or 255"),
        (torch.full((1, 64, 64), -1), r"labels hold -1; expected 0 to 3"),
    ],
)
def test_labels_that_do_not_fit_are_refused(net, labels, message):
    with pytest.raises(ValueError, match=message):
        net.loss(photograph(64, 64), labels)


def test_heads_have_labels_of_their_own():
    net = small(f"fcn32s-{RESNET}", heads={"matter": 3, "form": 1})
    with pytest.raises(ValueError, match=r"need \(1, 2, 40, 40\), \(N, matter, form, H, W\)"):
        net.loss(photograph(40, 40), torch.zeros(1, 40, 40, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"labels hold 2; expected 0 to 0"):
        net.loss(photograph(40, 40), torch.full((1, 2, 40, 40), 2))


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize("upsample", ["bilinear", "nearest"])
def test_predict_compiles_whole_for_any_size(upsample):
    net = small("fcn8s-test_resnet", upsample=upsample)
    torch._dynamo.reset()
    compiled = torch.compile(net.predict, fullgraph=True, backend="eager")
    for size in [(75, 300), (80, 90), (33, 41)]:
        images = photograph(*size)
        assert torch.equal(compiled(images), net.predict(images))


def test_a_network_in_training_mode_is_not_compiled_for_prediction():
    net = small("fcn8s-test_resnet").train()
    torch._dynamo.reset()
    with pytest.raises(Exception, match=r"call net.eval\(\) before"):
        torch.compile(net.predict, fullgraph=True, backend="eager")(photograph(40, 40))
