"""What inspect shows, against the paper's Table 1 and sums that must come out."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import fullyconv as fc
from fullyconv.cli import app
from fullyconv.errors import ConfigError, GeometryError
from fullyconv.geometry import Lattice
from fullyconv.inspection import heat, sight, summary, upsampling
from fullyconv.model.backbones import paper
from fullyconv.weights import run_folder


def trained(name="fcn8s-smallvgg", **options):
    """A network whose scores say something."""
    torch.manual_seed(0)
    net = fc.create(name, 3, **options).eval()
    for score in net.score.values():
        for parameter in score.parameters():
            nn.init.normal_(parameter)
    return net


@pytest.mark.parametrize(
    ("name", "depth", "millions", "field"),
    [("fcn32s-alexnet", 8, 57, 355), ("fcn32s-googlenet", 22, 6, 715), ("fcn32s-vgg16", 16, 134, 404)],
)
def test_summary_says_table_1(name, depth, millions, field):
    net = fc.create(name, 21)
    said = dict(line.split("  ", 1) for line in summary.summary(net, fc.geometry.trace(net, (500, 500))).splitlines())
    rows = {key: value.strip() for key, value in said.items()}
    assert rows["convolution layers"].startswith(f"{depth},")
    assert rows["parameters"].startswith(f"{millions}M ")
    assert rows["receptive field"] == f"{field} × {field}"
    assert rows["maximum stride"] == "32 × 32"


def test_googlenets_last_average_pool_brings_its_field_to_the_papers_907():
    net = fc.create("fcn32s-googlenet", 2)
    whole = nn.Sequential(net.backbone.body, Only(), nn.AvgPool2d(7, 1))
    assert fc.geometry.trace(whole, (500, 500)).outputs[0].field == (907, 907)


class Only(nn.Module):
    def forward(self, taps):
        return taps[0]


def test_table_has_a_line_for_each_layer_and_its_columns_line_up():
    traced = fc.geometry.trace(fc.create("fcn8s-smallvgg", 3), (97, 64))
    lines = summary.table(traced).splitlines()
    assert len(lines) == len(traced.layers) + 1
    assert len({len(line) for line in lines}) == 1
    stem = next(line for line in lines if line.startswith("block4.0.0")).split()
    assert stem[1:5] == ["convolution", "64", "×", "32"]


def test_a_cell_is_described_by_the_pixels_that_it_sees():
    net = nn.Conv2d(3, 1, 5, stride=2, padding=2)
    traced = fc.geometry.trace(net, (11, 11))
    assert sight.describe(traced, (2, 3)) == (
        "Cell (2, 3) of 6 × 6 looks at pixel (4, 6) and sees rows 2 to 6 and columns 4 to 8 (5 × 5 pixels), "
        "all of it image."
    )
    assert "sees rows -2 to 2 and columns 4 to 8 (5 × 5 pixels); of the image that is rows 0 to 2" in (
        sight.describe(traced, (0, 3))
    )
    with pytest.raises(GeometryError, match="no cell"):
        sight.describe(traced, (6, 0))


def test_a_cell_that_sees_everything_says_through_which_layer():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    traced = fc.geometry.trace(net, (11, 11))
    assert "sees the whole image, through 1 (global pooling)" in sight.describe(traced, (0, 0))
    with pytest.raises(GeometryError, match="no window"):
        sight.figure(traced, (0, 0), np.zeros((11, 11, 3), np.uint8))


@pytest.mark.parametrize("upsample", ["bilinear", "transposed"])
@pytest.mark.parametrize("name", ["fcn8s-smallvgg", "fcn8s-vgg16", "fcn16s-vgg16"])
def test_the_taps_contributions_add_up_to_the_logits(name, upsample, monkeypatch):
    monkeypatch.setattr(paper.VGG16, "widths", (4, 4, 6, 8, 8))
    monkeypatch.setattr(paper.VGG16, "hidden", 12)
    net = trained(name, upsample=upsample)
    images = torch.rand(2, 3, 70, 45) * 255
    with torch.no_grad():
        logits = net(images)
    total = sum(heat.contributions(net, images).values())
    torch.testing.assert_close(total, logits, rtol=1e-4, atol=1e-4 * float(logits.abs().max()))


def test_a_contribution_is_that_taps_scores_interpolated():
    """Far from the border, three bilinear steps onto the image, of a lattice whose cells look at 32 · i + 15."""
    net = trained(upsample="bilinear")
    image = torch.rand(3, 256, 256) * 255
    part = heat.heat_maps(net, image, 1)["stride 32"]
    with torch.no_grad():
        scores = net.score["32"](net.backbone(net.normalize(image[None]))[-1])[0, 1]
    offset, stride = net.backbone.lattices[-1].offset[0], 32
    for row, col in ((3, 4), (4, 3)):
        y, x = int(stride * row + offset), int(stride * col + offset)
        torch.testing.assert_close(part[y, x], scores[row, col], rtol=1e-3, atol=1e-3)
        middle = (scores[row, col] + scores[row, col + 1]) / 2
        torch.testing.assert_close(part[y, x + 16], middle, rtol=1e-3, atol=1e-3)


def test_heat_maps_are_the_taps_and_their_sums():
    net = trained()
    image = torch.rand(3, 50, 40) * 255
    maps = heat.heat_maps(net, image, 2)
    assert list(maps) == ["stride 32", "stride 16", "stride 8", "32 + 16", "32 + 16 + 8"]
    torch.testing.assert_close(maps["32 + 16"], maps["stride 32"] + maps["stride 16"])
    with torch.no_grad():
        torch.testing.assert_close(maps["32 + 16 + 8"], net(image[None])[0, 2], rtol=1e-4, atol=1e-3)
    with pytest.raises(ConfigError, match="features"):
        heat.heat_maps(fc.create("fcn8s-smallvgg", 3, width=8), image, 0)


def test_three_ways_of_upsampling_are_torchs():
    """On a half-pixel lattice, which is the one that torch's interpolation is on."""
    coarse = torch.randn(4, 5, 3)
    ways = upsampling.four_ways(coarse, Lattice((Fraction(8),) * 2, (Fraction(7, 2),) * 2), (40, 24))
    for method in ("nearest", "bilinear", "bicubic"):
        torch.testing.assert_close(ways[method], F.interpolate(coarse[None], scale_factor=8, mode=method)[0])
    torch.testing.assert_close(ways["transposed"], ways["bilinear"])


def test_learnt_upsampling_is_the_networks_own():
    net = trained(upsample="transposed")
    image = torch.rand(3, 64, 64) * 255
    _, before = upsampling.of_network(net, image)
    with torch.no_grad():
        net.upsample["16"].weight.mul_(2)
    _, after = upsampling.of_network(net, image)
    torch.testing.assert_close(after["transposed"], 2 * before["transposed"])
    torch.testing.assert_close(after["bilinear"], before["bilinear"])


def test_coarse_scores_of_a_mask_are_its_classes_shares():
    mask = torch.zeros(64, 48, dtype=torch.uint8)
    mask[:32, :8] = 1
    coarse, ways = upsampling.of_mask(mask, 2)
    assert coarse.shape == (2, 2, 2)
    assert coarse[1].tolist() == [[0.25, 0], [0, 0]]
    assert ways["nearest"].shape == (2, 64, 48)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run_folder.save(trained(), folder)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    return folder


@pytest.mark.parametrize(
    "options",
    [["--cell", "2", "3"], ["--heat", "class 1"], ["--heat", "1"], ["--upsampling"]],
    ids=["cell", "heat", "heat by index", "upsampling"],
)
def test_each_figure_is_drawn(run, tmp_path, options):
    out = tmp_path / "figure.png"
    result = CliRunner().invoke(
        app, ["inspect", str(run), "--image", str(run / "image.png"), *options, "--figure", str(out)]
    )
    assert result.exit_code == 0, result.output
    picture = np.asarray(Image.open(out).convert("RGB"))
    assert min(picture.shape[:2]) > 200
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--figure", "f.png"], "which says what to draw"),
        (["--upsampling"], "add --figure"),
        (["--cell", "0", "0", "--upsampling", "--figure", "f.png"], "one at a time"),
        (["--heat", "cat", "--figure", "f.png"], "needs an image"),
        (["--cell", "0", "0", "--figure", "f.pdf"], "PNG"),
        (["--classes", "4"], "untrained"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run, options, words):
    error = CliRunner().invoke(app, ["inspect", str(run), *options]).exception
    assert isinstance(error, ConfigError)
    assert words in str(error)


def test_a_file_that_is_not_there_is_not_taken_for_a_name():
    error = CliRunner().invoke(app, ["inspect", "missing.safetensors"]).exception
    assert "missing.safetensors: no such file" in str(error)


def test_an_unknown_class_is_answered_with_the_classes(run):
    options = ["--image", str(run / "image.png"), "--heat", "cat", "--figure", "f.png"]
    error = CliRunner().invoke(app, ["inspect", str(run), *options]).exception
    assert "class 0, class 1, class 2" in str(error)
