"""The mean of several networks' probabilities, against a plain mean of their softmaxes."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fullyconv as fc
from fullyconv.errors import ConfigError, GeometryError
from fullyconv.exporting import export
from fullyconv.inference import ensemble_parts, memory, predictor
from fullyconv.inference.batch import predict_files
from fullyconv.inference.ensemble import Ensemble, Seen, as_one
from fullyconv.inference.exported import open_model
from fullyconv.inference.predictor import Predictor
from fullyconv.inference.rasters.predict import _fingerprint
from fullyconv.model import fcn
from tests.inference.families import noise, small
from tests.inference.test_methods import Held

ORDERS = (["a", "b", "c", "d"], ["d", "a", "c", "b"], ["b", "c", "d", "a"])
FAMILIES = (
    ("fcn8s-vgg16", {"padding": "same", "upsample": "bicubic"}),
    ("fcn8s-mobilenetv2_035", {"upsample": "transposed"}),
    ("fcn4s-test_convnext", {"width": 8}),
)
"""Three networks whose cells look elsewhere, interpolated in other ways, with the classes in other orders."""


@lru_cache
def three() -> list[fcn.FCN]:
    nets = [small(name, **options) for name, options in FAMILIES]
    for net, order in zip(nets, ORDERS, strict=True):
        net.classes = order
    return nets


def speaking(name, classes, **options):
    """A network whose scores say something: new ones are 0."""
    net = fcn.build(name, classes, **options)
    for parameter in net.score.parameters():
        torch.nn.init.normal_(parameter)
    return net


def plain_mean(nets, images, classes=ORDERS[0]):
    """Each network's softmax at the image's size, its classes put in order, and the mean of these."""
    with torch.no_grad():
        each = [net(images).softmax(1)[:, [net.classes.index(name) for name in classes]] for net in nets]
    return torch.stack(each).mean(0)


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(1, 100),
    width=st.sampled_from([1, 20, 300]),
    batch=st.integers(1, 2),
    count=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_probabilities_are_the_plain_mean_of_softmaxes_and_labels_their_argmax(height, width, batch, count, seed):
    nets = three()[:count]
    images = noise(nets[0], height, width, batch, seed)
    mean, ensemble = plain_mean(nets, images), Ensemble(nets)
    torch.testing.assert_close(ensemble.probabilities(images), mean, rtol=0, atol=1e-12)
    assert (ensemble.predict(images) == mean.argmax(1)).all()
    labels, confidence = ensemble.labels_and_confidence(images)
    assert (labels == mean.argmax(1)).all()
    torch.testing.assert_close(confidence, mean.amax(1).float(), rtol=0, atol=1e-6)


def test_the_mean_of_float32_networks_is_that_of_their_probabilities():
    nets = [speaking("fcn8s-test_resnet", list("abcde")) for _ in range(3)]
    images = torch.randint(0, 256, (2, 3, 70, 90), dtype=torch.uint8)
    mean = torch.stack([net.probabilities(images) for net in nets]).mean(0)
    torch.testing.assert_close(Ensemble(nets).probabilities(images), mean, rtol=0, atol=1e-6)
    assert mean.std() > 0.01


@pytest.mark.parametrize(("height", "width", "side"), [(101, 20, 33), (150, 140, 64)])
def test_tiles_and_bands_give_the_labels_of_one_pass(height, width, side):
    ensemble = Ensemble(three())
    images = noise(three()[0], height, width, batch=2)
    whole = ensemble.predict(images)
    planned = list(ensemble_parts.plan(ensemble, (height, width), side))
    assert len(planned) > 3
    for tile in planned:
        labels = ensemble_parts.tile_labels(ensemble, tile, images[..., *tile.crop])
        assert (labels == whole[..., tile.rows, tile.columns]).all()
    assert (ensemble_parts.predict_bands(ensemble, images, 40) == whole).all()
    assert (ensemble_parts.predict_bands(ensemble, images, 40, strip=side) == whole).all()


def test_networks_with_several_labelings_are_averaged_labeling_by_labeling():
    nets = [small("fcn8s-resnet10t", heads={"matter": 2, "form": 2}) for _ in range(2)]
    nets[1].classes = ["class 1", "class 0", "class 2", "class 3"]
    torch.nn.init.normal_(nets[1].score["8"].weight)
    images, ensemble = noise(nets[0], 300, 33), Ensemble(nets)
    first, second = (torch.cat([part.softmax(1) for part in net.by_head(net(images))], 1) for net in nets)
    mean = (first + second[:, [1, 0, 2, 3]]) / 2
    torch.testing.assert_close(ensemble.probabilities(images), mean, rtol=0, atol=1e-12)
    labels = torch.stack([mean[:, :2].argmax(1), mean[:, 2:].argmax(1)], 1)
    assert (ensemble.predict(images) == labels).all()
    confidence = torch.stack([mean[:, :2].amax(1), mean[:, 2:].amax(1)], 1).float()
    torch.testing.assert_close(ensemble.labels_and_confidence(images)[1], confidence, rtol=0, atol=1e-6)
    assert (ensemble_parts.predict_bands(ensemble, images, 50) == labels).all()


def test_probabilities_at_the_images_size_are_held_of_no_run():
    """What a block takes is far less than what the image would."""
    nets = [fc.create("fcn32s-test_resnet", 100) for _ in range(3)]
    ensemble, size = Ensemble(nets), (512, 1024)
    seen = [Seen(torch.randn(1, 100, 16, 32), net.fusion.lattice) for net in nets]
    with Held() as held:
        labels = ensemble.labels_on(seen, size)
    scores = sum(own.scores.nbytes for own in seen)
    assert labels.shape == (1, *size)
    assert held.peak < labels.nbytes + scores + 0.2 * 4 * 100 * size[0] * size[1]


@pytest.mark.parametrize(
    ("other", "size", "left", "way"),
    [
        ("fcn16s-resnet10t", (1300, 40), 1300 * 40, []),
        ("fcn16s-resnet10t", (1300, 40), 1200 * 40, ["predict_bands"]),
        ("fcn8s-resnetblur18", (64, 1100), 64 * 1000, ["tile_labels", "tile_labels"]),  # cannot run band by band
    ],
    ids=["whole", "bands", "tiles"],
)
def test_memory_decides_how_an_ensemble_labels_an_image(monkeypatch, other, size, left, way):
    nets, made = [small("fcn8s-resnet10t"), small(other)], []

    def noted(name):
        work = getattr(ensemble_parts, name)

        def run(*arguments, **options):
            result = work(*arguments, **options)
            made.append(name)
            return result

        monkeypatch.setattr(ensemble_parts, name, run)

    noted("predict_bands")
    noted("tile_labels")
    takes = max(base + (per_pixel + 2) * left for per_pixel, base in map(memory.needs, nets))
    monkeypatch.setattr(predictor, "SMALL", 0)
    monkeypatch.setattr(memory, "available_memory", lambda device: int(takes))
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    labels = Predictor(nets)(pixels).labels
    assert made == way
    assert np.array_equal(labels, Ensemble(nets).predict(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0])


def test_bands_of_several_networks_take_the_memory_of_all():
    net, size = small("fcn8s-resnet10t"), (10_000, 5000)
    per_pixel, base = memory.needs(net)
    left = int(3 * base + per_pixel * 1_000_000)
    one, three = (memory.auto_strip([net] * count, size, left) for count in (1, 3))
    assert 0 < three < one < size[1]
    assert 0.9 * memory.auto_tile(net, size, left) < memory.auto_tile([net] * 3, size, left) < 1000


def test_a_network_that_sees_the_whole_image_has_no_exact_tiles_with_others_either():
    nets = [fc.create("fcn8s-test_resnet", 3), fc.create("fcn8s-mobilenetv3_small_050", 3)]
    with pytest.raises(GeometryError, match=r"se.* sees the whole image .*--tile approximate"):
        Predictor(nets)(np.zeros((300, 200, 3), np.uint8), tile=128)
    labels = Predictor(nets)(np.zeros((1500, 200, 3), np.uint8), tile="approximate").labels
    assert labels.shape == (1500, 200)


@pytest.fixture(scope="module")
def runs_and_file(tmp_path_factory):
    """Two networks, and a third one with its exported file."""
    torch.manual_seed(0)
    nets = [speaking("fcn32s-smallvgg", names) for names in (["sky", "sea"], ["sky", "sea"], ["sea", "sky"])]
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    export(nets[2], path, probabilities=True)
    return nets, open_model(path)


def test_exported_files_are_averaged_with_runs(runs_and_file):
    nets, file = runs_and_file
    images = torch.randint(0, 256, (1, 3, 90, 300), dtype=torch.uint8)
    mean = torch.stack([nets[0].probabilities(images), *[nets[2].probabilities(images)[:, [1, 0]]] * 2]).mean(0)
    mixed = Ensemble([nets[0], file, file])
    torch.testing.assert_close(mixed.probabilities(images), mean, rtol=0, atol=1e-5)
    assert (mixed.predict(images) == mean.argmax(1)).float().mean() > 0.999
    first = Ensemble([file, file, nets[0]])  # whose classes are in the file's order
    torch.testing.assert_close(first.probabilities(images), mean[:, [1, 0]], rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="an exported network has fixed steps"):
        Predictor(mixed)(np.zeros((90, 90, 3), np.uint8), tile=64)
    assert Predictor(mixed).method((10**6, 10**6)).kind == "whole"


def test_a_file_that_gives_labels_alone_is_refused(runs_and_file, tmp_path):
    nets, _ = runs_and_file
    export(nets[2], tmp_path / "labels.pt2")
    with pytest.raises(ConfigError, match=r"labels\.pt2.* gives labels alone.*--probabilities"):
        Ensemble([nets[0], open_model(tmp_path / "labels.pt2")], ["runs/a", str(tmp_path / "labels.pt2")])


def test_heat_maps_and_mirror_images_are_averages_too(runs_and_file):
    nets, _ = runs_and_file
    image = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    found = Predictor(nets[:2], flip=True)(image, probabilities=True).probabilities
    each = [Predictor(net, flip=True)(image, probabilities=True).probabilities for net in nets[:2]]
    assert np.allclose(found, np.mean(each, 0), atol=1e-6)


def test_networks_with_ranges_of_values_of_their_own_each_see_their_own():
    """As folds of 16-bit images have them, whose ranges are found in other images."""
    nets = [
        speaking("fcn32s-smallvgg", ["a", "b"], in_channels=1, value_range=pair)
        for pair in ([(100.0, 3000.0)], [(0.0, 2500.0)], [(100.0, 3000.0)])
    ]
    image = np.random.default_rng(0).integers(0, 4000, (40, 52), dtype=np.uint16)
    found = Predictor(nets)(image, probabilities=True).probabilities
    each = [Predictor(net)(image, probabilities=True).probabilities for net in nets]
    assert np.allclose(found, np.mean(each, 0), atol=1e-5)
    assert np.abs(each[0] - each[1]).max() > 1e-3


def test_a_single_network_stays_what_it_is(colour_net):
    assert as_one([colour_net]) is colour_net
    assert Predictor([colour_net]).net is colour_net
    with pytest.raises(ConfigError, match="no network"):
        Predictor([])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"classes": ["sky", "land"]}, r"land new; sea missing\. .*same classes, in any order"),
        ({"classes": ["sky", "sea", "land"]}, r"3 classes, not 2; land new"),
        ({"in_channels": 1}, r"it takes 1 channel of bytes, the other 3 channels of bytes"),
        ({"value_range": [(0.0, 9.0)] * 3}, r"3 channels of values in a range of its own \(data\.range\)"),
        ({"heads": {"one": 1, "two": 1}}, r"its labelings are one, two, the other's one, without a name"),
    ],
)
def test_networks_that_do_not_fit_are_refused_by_name(options, reason):
    first = fcn.build("fcn32s-smallvgg", ["sky", "sea"])
    other = fcn.build("fcn32s-smallvgg", **({"classes": ["sky", "sea"]} | options))
    with pytest.raises(ConfigError, match=f"runs/b cannot be averaged with runs/a: .*{reason}"):
        Ensemble([first, first, other], ["runs/a", "runs/a2", "runs/b"])
    with pytest.raises(ConfigError, match=r"network 2 \(fcn32s-smallvgg\) cannot be averaged with network 1"):
        Predictor([first, other])


def test_default_names_stand_for_the_classes_in_their_order():
    named, numbered = fcn.build("fcn32s-smallvgg", ["sky", "sea"]), fc.create("fcn32s-smallvgg", 2)
    assert Ensemble([named, numbered]).orders == [None, None]
    assert Ensemble([named, numbered]).classes == ["sky", "sea"]


def test_files_read_by_window_are_resumed_only_with_the_same_networks():
    nets = [fc.create("fcn32s-smallvgg", 2) for _ in range(3)]
    prints = [_fingerprint(Ensemble(chosen)) for chosen in (nets[:2], nets[1:], nets[:2], [nets[0], nets[2]])]
    assert prints[0] == prints[2]
    assert len(set(prints)) == 3


def test_large_files_are_labelled_window_by_window(tmp_path):
    from tests.inference.geotiffs import geotiff, labels_of
    from tests.inference.geotiffs import noise as pixels_of

    nets, pixels = [small("fcn8s-resnet10t"), small("fcn16s-resnet10t")], pixels_of(3, 150, 130)
    geotiff(tmp_path / "map.tif", pixels)
    done, failed = predict_files(Predictor(nets), [tmp_path / "map.tif"], tmp_path / "out", tile=64)
    assert (done, failed) == ([tmp_path / "map.tif"], [])
    whole = Ensemble(nets).predict(torch.from_numpy(pixels)[None])[0]
    assert np.array_equal(labels_of(tmp_path / "out" / "map.tif"), whole)
    assert len(np.unique(whole)) > 1
