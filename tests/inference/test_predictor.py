import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fullyconv.errors import ConfigError, DataError
from fullyconv.inference.predictor import Predictor
from tests.inference.conftest import ColourNet


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def shares(image: torch.Tensor) -> torch.Tensor:
    return (image.float() + 1) / (image.float() + 1).sum(0, keepdim=True)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 5), (70, 90)])
def test_labels_are_the_networks_at_any_size_and_cost_no_probabilities(colour_net, height, width):
    image = picture(height, width)
    seg = Predictor(colour_net)(image)
    assert seg.labels.dtype == np.uint8
    assert np.array_equal(seg.labels, image.argmax(2))
    assert np.array_equal(seg.image, image)
    assert seg.probabilities is None
    assert colour_net.seen == [("predict", (1, 3, height, width))]


def test_probabilities_come_when_asked_for(colour_net):
    image = picture(6, 4)
    seg = Predictor(colour_net)(image, probabilities=True)
    assert seg.probabilities.dtype == np.float32
    assert np.allclose(seg.probabilities, shares(torch.from_numpy(image).permute(2, 0, 1)))
    assert np.array_equal(seg.labels, seg.probabilities.argmax(0))


def resized(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(C, H, W) resized with a triangle filter as wide as the coarser of the two grids' cells."""

    def weights(given: int, wanted: int) -> torch.Tensor:
        cell = given / wanted
        distance = torch.arange(given) + 0.5 - cell * (torch.arange(wanted)[:, None] + 0.5)
        triangle = (1 - distance.abs() / max(cell, 1)).clamp(min=0)
        return triangle / triangle.sum(1, keepdim=True)

    return weights(images.shape[1], height) @ images.float() @ weights(images.shape[2], width).T


@settings(max_examples=30, deadline=None)
@example(height=3, width=1, scales=[0.5])  # one pixel wide
@example(height=5, width=2, scales=[0.5])
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    scales=st.lists(st.sampled_from([0.1, 0.5, 1, 1.25, 2]), min_size=1, max_size=3),
)
def test_scales_average_probabilities_at_the_images_size(make_net, height, width, scales):
    image = torch.from_numpy(picture(height, width).transpose(2, 0, 1).copy())
    seg = Predictor(make_net(("r", "g", "b")), scales=scales)(image, probabilities=True)
    expected = torch.zeros(3, height, width)
    for scale in scales:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        seen = shares(resized(image, *size))
        expected += resized(seen, height, width) / len(scales)
    assert np.allclose(seg.probabilities, expected, atol=1e-5)
    assert np.allclose(seg.probabilities.sum(0), 1, atol=1e-5)
    assert np.array_equal(seg.labels, seg.probabilities.argmax(0))


def test_flip_averages_with_the_mirror_image():
    class Leftish(ColourNet):
        """Says more of class a the farther left a column is: mirror images differ."""

        def probabilities(self, images):
            ramp = torch.linspace(0.9, 0.3, images.shape[3]).expand(len(images), 1, *images.shape[2:])
            return torch.cat([ramp, 1 - ramp], dim=1)

    seg = Predictor(Leftish(("a", "b")), flip=True)(picture(2, 5), probabilities=True)
    assert np.allclose(seg.probabilities[0], 0.6)  # 0.9..0.3 and 0.3..0.9


def test_the_network_stays_in_its_mode(colour_net):
    colour_net.train()
    Predictor(colour_net)(picture(2, 3))
    assert colour_net.training


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (float("nan"),), (float("inf"),)])
def test_scales_must_be_positive_numbers(colour_net, scales):
    with pytest.raises(ConfigError, match=r"numbers above 0 are expected"):
        Predictor(colour_net, scales=scales)


def test_more_classes_than_bytes_hold_are_refused(make_net):
    with pytest.raises(ConfigError, match="256 classes"):
        Predictor(make_net(tuple(map(str, range(256)))))


def test_each_head_may_have_as_many_classes_as_bytes_hold(make_net):
    net = make_net(tuple(map(str, range(300))))
    net.heads = {"matter": 255, "form": 45}
    assert Predictor(net).head == 0


def test_saved_labels_are_an_index_png_with_the_palette(colour_net, tmp_path):
    seg = Predictor(colour_net)(picture(5, 8))
    seg.save(tmp_path / "new folder" / "a.png")
    saved = Image.open(tmp_path / "new folder" / "a.png")
    assert saved.mode == "P"
    assert np.array_equal(np.asarray(saved), seg.labels)
    assert np.array_equal(np.asarray(saved.convert("RGB")), np.array(colour_net.palette, np.uint8)[seg.labels])
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["a.png"]


def test_labels_are_not_saved_where_they_would_change(colour_net, tmp_path):
    with pytest.raises(ConfigError, match=r"a\.jpg: labels are written as PNG"):
        Predictor(colour_net)(picture(5, 8)).save(tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 300), (100, 80)])
def test_overlay_has_the_images_size_and_with_a_legend_more(colour_net, height, width):
    seg = Predictor(colour_net)(picture(height, width))
    assert seg.overlay(legend=False).size == (width, height)
    sheet = seg.overlay()
    assert sheet.width >= width
    assert sheet.height > height


def test_the_legend_names_only_classes_that_are_there(colour_net):
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 1] = 200
    legend = np.asarray(Predictor(colour_net)(image).overlay())[40:]
    present = [(legend == colour).all(axis=2).any() for colour in colour_net.palette]
    assert present == [False, True, False]


def test_heat_maps_hold_the_probability_in_256_steps(colour_net):
    seg = Predictor(colour_net)(picture(6, 4), probabilities=True)
    for of in ("green", 1, np.int64(1)):
        heat = seg.heatmap(of)
        assert heat.mode == "P"
        assert np.array_equal(np.asarray(heat), np.rint(seg.probabilities[1] * 255))
    dark, light = (seg.heatmap(1).getpalette()[3 * i : 3 * i + 3] for i in (0, 255))
    assert sum(dark) < 30 < 600 < sum(light)


@pytest.mark.parametrize("of", ["purple", 3, -1])
def test_heat_maps_of_no_class_are_refused(colour_net, of):
    seg = Predictor(colour_net)(picture(2, 2), probabilities=True)
    with pytest.raises(ConfigError, match="the classes are red, green, blue"):
        seg.heatmap(of)


def test_heat_maps_need_probabilities(colour_net):
    with pytest.raises(ConfigError, match="probabilities=True"):
        Predictor(colour_net)(picture(2, 2)).heatmap("red")


def test_images_of_other_channel_counts_are_shown(make_net):
    grey = Predictor(make_net(("a",), in_channels=1))(picture(4, 5)[..., 0])
    many = Predictor(make_net(tuple("abcdef"), in_channels=6))(np.zeros((4, 5, 6), np.uint8))
    assert grey.overlay(legend=False).size == many.overlay(legend=False).size == (5, 4)


def test_of_several_heads_the_named_one_labels(make_net):
    net = make_net(("red", "green", "sky", "ground"), in_channels=4)
    net.heads = {"semantic": 2, "geometric": 2}
    net.predict = lambda images: torch.stack([part.argmax(1) for part in images.float().split(2, 1)], 1)
    image = np.zeros((1, 2, 4), np.uint8)
    image[0, :, 1] = 9
    image[0, 1, 3] = 9
    for head, labels, classes in [(None, [[1, 1]], ["red", "green"]), ("geometric", [[0, 1]], ["sky", "ground"])]:
        predictor = Predictor(net, head=head)
        seg = predictor(image)
        assert seg.labels.tolist() == labels
        assert seg.classes == classes
        assert len(seg.palette) == 2
        assert predictor(image, probabilities=True).probabilities.shape == (2, 1, 2)


def test_a_head_that_is_not_there_is_refused(make_net, colour_net):
    net = make_net(("red", "green"))
    net.heads = {"semantic": 1, "geometric": 1}
    with pytest.raises(ConfigError, match="semantic, geometric; name one"):
        Predictor(net, head="depth")
    with pytest.raises(ConfigError, match="one labeling, without a name"):
        Predictor(colour_net, head="depth")


@pytest.mark.parametrize(("inputs", "channels", "words"), [("rgb+depth", 4, "depth"), ("rgb+hha", 6, "HHA")])
def test_a_picture_has_neither_depth_nor_hha(make_net, tmp_path, inputs, channels, words):
    net = make_net(tuple(f"class {index}" for index in range(channels)), in_channels=channels)
    net.inputs = inputs
    Image.new("RGBA", (3, 2)).save(tmp_path / "a.png")
    for picture in (tmp_path / "a.png", Image.new("RGB", (3, 2))):
        with pytest.raises(DataError, match=rf"colour and {words}, of which .* give an array \(H, W, {channels}\)"):
            Predictor(net)(picture)
    assert Predictor(net)(np.full((2, 3, channels), 7.8, np.float32)).labels.shape == (2, 3)
