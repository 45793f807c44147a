"""A network's range of values goes wherever the network goes: run folder, exported file, prediction, evaluation."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from fullyconv.api import evaluate
from fullyconv.data import open_data
from fullyconv.evaluation.report.report import evaluate_and_report
from fullyconv.exporting.formats import export
from fullyconv.inference.batch import predict_files
from fullyconv.inference.exported import open_model
from fullyconv.inference.predictor import Predictor
from fullyconv.model import fcn
from fullyconv.weights import run_folder

RANGE = [(100.0, 1100.0), (0.0, 50.0)]
CLASSES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = fcn.build("fcn32s-smallvgg", CLASSES, in_channels=2, value_range=RANGE)
    for score in net.score.values():
        torch.nn.init.normal_(score.get_parameter("weight"))
    return net.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of two bands of 16 bits, one with a corner of no data, each with a mask."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind / "test").mkdir(parents=True)
    for number in range(2):
        values = np.stack([random.integers(0, 1300, (64, 70)), random.integers(0, 60, (64, 70))]).astype(np.float32)
        values[:, :20, :30] = np.nan if number else 7
        path = folder / f"images/test/{number}.tif"
        tifffile.imwrite(path, values, photometric="minisblack", planarconfig="separate")
        mask = random.integers(0, 3, (64, 70), np.uint8)
        Image.fromarray(mask).save(folder / f"masks/test/{number}.png")
    return folder


def expected(net, path):
    values = tifffile.imread(path)
    scaled = [(band - low) / (high - low) * 255 for band, (low, high) in zip(values, RANGE, strict=True)]
    pixels = torch.from_numpy(np.nan_to_num(np.clip(scaled, 0, 255)).astype(np.float32))
    labels = net.predict(pixels[None])[0].numpy()
    labels[np.isnan(values).any(0)] = 255
    return labels


@pytest.mark.parametrize("form", ["run folder", "pt2"])
def test_files_are_labelled_by_the_range_wherever_the_network_is(net, folder, tmp_path, form):
    if form == "run folder":
        run_folder.save(net, model := tmp_path / "run")
    else:
        export(net, model := tmp_path / f"net.{form}")
    opened = open_model(model)
    assert [tuple(pair) for pair in opened.value_range] == RANGE
    done, failed = predict_files(Predictor(opened), [folder / "images"], tmp_path / "out")
    assert (len(done), failed) == (2, [])
    for image in done:
        labels = np.asarray(Image.open(tmp_path / "out" / "test" / f"{image.stem}.png"))
        assert (labels != expected(net, image)).mean() < 1e-3


def test_arrays_are_in_the_units_of_the_files(net, folder):
    path = folder / "images/test/1.tif"
    array = tifffile.imread(path).transpose(1, 2, 0)
    assert np.array_equal(Predictor(net)(array).labels, Predictor(net)(path).labels)


def test_evaluation_counts_pixels_with_data_alone(net, folder):
    data = open_data(folder)
    result = evaluate_and_report(net, data, "test")
    right = total = 0
    for image in sorted((folder / "images/test").iterdir()):
        labels, truth = expected(net, image), np.asarray(Image.open(folder / f"masks/test/{image.stem}.png"))
        right += (labels == truth).sum()
        total += (labels != 255).sum()
    assert result["pixel_accuracy"] == pytest.approx(right / total)


def test_an_image_without_data_is_named(net, tmp_path):
    empty = np.full((2, 40, 40), np.nan, np.float32)
    tifffile.imwrite(tmp_path / "a.tif", empty, photometric="minisblack", planarconfig="separate")
    for tile in ("auto", 32):
        said: list[str] = []
        predict_files(Predictor(net), [tmp_path / "a.tif"], tmp_path / f"out-{tile}", tile=tile, say=said.append)
        assert said == [f"{tmp_path / 'a.tif'}: holds no data; all of its labels are 255"]


def bands_between(low, high, dtype, georeferenced, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(low, high, (2, 40, 40)).astype(dtype)
    tags = [(33550, 12, 3, (1.0, 1.0, 0.0), True)] if georeferenced else []  # which has it read by window
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="separate", extratags=tags)


@pytest.mark.parametrize("georeferenced", [False, True])
def test_images_of_which_the_network_sees_nothing_are_named(net, tmp_path, georeferenced):
    """Files of a type or of values that it was not trained on, such as the bytes of a preview."""
    bands_between(0, 60, np.uint8, georeferenced, tmp_path / "dim/dark.tif")
    bands_between(20_000, 60_000, np.uint16, georeferenced, tmp_path / "dim/white.tif")
    bands_between(0, 1300, np.uint16, georeferenced, tmp_path / "dim/usual.tif")
    dim = fcn.build("fcn32s-smallvgg", CLASSES, in_channels=2, value_range=[(100.0, 9000.0), (100.0, 9000.0)]).eval()
    said: list[str] = []
    predict_files(Predictor(dim), [tmp_path / "dim"], tmp_path / "out", say=said.append)
    (warning,) = said
    assert warning.startswith("warning: 2 of 3 images, such as ")
    assert "dark.tif, are nearly black or nearly white to the network, which takes 100 as black and 9000" in warning
    said.clear()
    predict_files(Predictor(net), [tmp_path / "dim/usual.tif"], tmp_path / "out", say=said.append)
    assert said == []


@pytest.mark.parametrize(
    ("value_range", "dtype", "named"),
    [
        ([(100.0, 9000.0)] * 2, np.uint8, "takes 100 as black and 9000 as white"),
        ([(100.0, 9000.0)] * 2, np.uint16, None),
        (None, np.uint16, r"takes 0 as black and 255 as white (65535 in 16-bit images)"),
        (None, np.uint8, None),
    ],
)
def test_evaluation_names_images_of_which_the_network_sees_nothing(tmp_path, value_range, dtype, named):
    for number in range(2):
        low, high = (20, 60) if dtype == np.uint8 else (300, 1000)
        bands_between(low, high, dtype, False, tmp_path / f"data/images/test/{number}.tif")
        mask = np.indices((40, 40)).sum(0).astype(np.uint8) % 3
        (tmp_path / "data/masks/test").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(tmp_path / f"data/masks/test/{number}.png")
    net = fcn.build("fcn32s-smallvgg", CLASSES, in_channels=2, value_range=value_range)
    run_folder.save(net, tmp_path / "run")
    said: list[str] = []
    evaluate(tmp_path / "run", tmp_path / "data", allow=["duplicates"], say=said.append)
    warnings = [line for line in said if "2 of 2 images" in line]
    assert len(warnings) == (0 if named is None else 1)
    assert named is None or named in warnings[0]
