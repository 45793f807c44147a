"""Which parts an image is labelled in follows from the memory; its labels do not."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fullyconv.errors import ConfigError, GeometryError
from fullyconv.inference import bands, memory, predictor, tiles
from fullyconv.inference.batch import predict_files
from fullyconv.inference.predictor import Method, Predictor
from tests.inference.families import FAMILIES, noise, small


@pytest.fixture(scope="module")
def net():
    return small("fcn8s-resnet10t")


def takes(net, pixels):
    """So many bytes, and a few, are what a pass over so many pixels needs."""
    per_pixel, base = memory.needs(net)
    return int(base + per_pixel * pixels) + 1000


@pytest.fixture
def calls(monkeypatch):
    """The strips and the tiles that are labelled. No image is too small to ask for memory."""
    made = []

    def predict_bands(net, images, strip):
        labels = by_bands(net, images, strip=strip)
        made.append(strip)
        return labels

    def tile_labels(*arguments):
        made.append("tile")
        return exactly(*arguments)

    exactly, by_bands = tiles.tile_labels, bands.predict_bands
    monkeypatch.setattr(predictor, "SMALL", 0)
    monkeypatch.setattr(bands, "predict_bands", predict_bands)
    monkeypatch.setattr(tiles, "tile_labels", tile_labels)
    return made


def check_labels(net, height, width, left, folder):
    """That ``predict`` writes the network's labels where so many bytes are left."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "available_memory", lambda device: left)
        _, failed = predict_files(Predictor(net), [folder / "a.png"], folder / "out")
    assert not failed
    whole = net.predict(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0]
    assert np.array_equal(np.asarray(Image.open(folder / "out" / "a.png")), whole)


@pytest.mark.parametrize(
    ("height", "width", "pixels", "strip"),
    [(560, 40, 560 * 40, None), (560, 40, 540 * 40, 40), (100, 700, 100 * 600, 384)],
    ids=["whole", "bands", "strips"],
)
def test_what_does_not_fit_into_memory_is_labelled_in_bands(net, calls, tmp_path, height, width, pixels, strip):
    check_labels(net, height, width, takes(net, pixels), tmp_path)
    assert calls == ([strip] if strip else [])


def test_a_network_that_cannot_run_by_bands_goes_tile_by_tile(calls, tmp_path):
    net = small("fcn8s-resnetblur18")  # blurs after mirrored padding
    with pytest.raises(GeometryError, match="cannot run band by band; use tiles"):
        bands.predict_bands(net, noise(net, 64, 33), strip=33)
    check_labels(net, 64, 1100, takes(net, 64 * 1000), tmp_path)
    assert calls == ["tile", "tile"]


def test_a_strip_is_as_wide_as_memory_allows(net):
    size = (10_000, 5000)
    rows = bands.BAND + sum(tiles.sight(net, size)[0][1:3])
    assert memory.auto_strip(net, size, takes(net, rows * 5000)) == 5000
    strip = memory.auto_strip(net, size, takes(net, rows * 2000))
    assert strip % memory.STEP == 0
    assert 1200 < strip < 2000
    crops = [span.crop for span in tiles.plan(net, size, (10_000, strip)).columns]
    assert max(crop.stop - crop.start for crop in crops) <= 2000
    assert memory.auto_strip(net, size, takes(net, rows * 200)) is None


class Held(memory._Held):
    """Of a pass with numbers: what is recorded without any takes no memory."""

    def hold(self, storage):
        if storage.device.type != "meta":
            super().hold(storage)


@pytest.mark.parametrize("family", ["paper, same padding", "ResNet, heads"])
def test_bands_take_less_than_they_are_given(family):
    """As counted, and not many times less."""
    net = small(FAMILIES[family][0], **FAMILIES[family][1])
    size = (1200, 64)
    images = noise(net, *size)
    with Held() as held:
        bands.predict_bands(net, images)
    takes = memory.RESERVE * (held.peak - images.nbytes)
    assert memory.auto_strip(net, size, int(takes)) != 64
    assert memory.auto_strip(net, size, int(6 * takes)) == 64


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_tiles_that_are_not_exact_lie_side_by_side_within_what_is_read_for_them(make_net, height, width):
    labelled = [np.zeros(side, int) for side in (height, width)]
    image = torch.zeros(3, 1, 1)
    for part in Shapes(make_net(("a", "b"))).windows((height, width), Method("approximate")):
        for axis, (window, crop) in enumerate(zip(part.place, part.crop, strict=True)):
            side = (height, width)[axis]
            assert max(0, window.start - 256) == crop.start
            assert min(side, window.stop + 256) == crop.stop
            labelled[axis][window] += 1
        size = tuple(crop.stop - crop.start for crop in part.crop)
        assert part.label(image.expand(3, *size)).shape == tuple(w.stop - w.start for w in part.place)
    assert labelled[0].min() > 0
    assert labelled[1].min() > 0


class Shapes(Predictor):
    """A predictor whose labels are shapes alone."""

    def label_whole(self, image, probabilities=False):
        return np.broadcast_to(np.uint8(0), image.shape[1:]), None


def test_an_array_is_labelled_within_the_memory_that_is_left(net, calls, monkeypatch):
    """As files are: Python and the command line go one way."""
    pixels = np.random.default_rng(0).integers(0, 256, (560, 40, 3), dtype=np.uint8)
    monkeypatch.setattr(memory, "available_memory", lambda device: takes(net, 540 * 40))
    labels = Predictor(net)(pixels).labels
    assert calls == [40]
    assert np.array_equal(labels, net.predict(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0])


def test_probabilities_that_memory_cannot_hold_are_refused(net, monkeypatch):
    least = 8 * net.num_classes * 3000 * 3000
    for module in (memory, predictor):
        monkeypatch.setattr(module, "available_memory", lambda device: least)
    averaging = Predictor(net, flip=True)
    with pytest.raises(ConfigError, match=r"an image of 3000×3000 pixels needs .* GiB for the probabilities"):
        averaging.method((3000, 3000))
    with pytest.raises(ConfigError, match=r"are left\. Label it without these"):
        Predictor(net).method((3000, 3000), probabilities=True)
    assert averaging.method((100, 100)).kind == "whole"
    assert averaging.method((3000, 3000), "approximate").kind == "approximate"


@pytest.mark.parametrize(("left", "kind"), [(2**40, "whole"), (10**6, "tiles")])
def test_a_small_image_is_not_labelled_whole_where_there_is_little_memory(net, monkeypatch, left, kind):
    for module in (memory, predictor):
        monkeypatch.setattr(module, "available_memory", lambda device: left if kind == "whole" else takes(net, 600**2))
    assert Predictor(net).method((700, 700), by_window=True).kind == kind
