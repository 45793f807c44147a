"""The file of labels while it grows: it appears whole, and a run that was ended is resumed."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fullyconv.errors import ConfigError
from fullyconv.inference.predictor import Predictor
from fullyconv.inference.rasters import output, predict
from fullyconv.inference.rasters.output import LabelFile
from fullyconv.inference.rasters.predict import predict_raster
from fullyconv.model.fcn import build
from fullyconv.weights import run_folder
from tests.inference.geotiffs import CLASSES, geotiff, labels_of, network, noise, tifffile, whole
from tests.machines import windows_locks


@pytest.fixture
def predictor():
    return Predictor(network())


class Stop(BaseException):
    pass


def stop_after(tiles: int):
    def progress(done: int, _: int) -> None:
        if done == tiles:
            raise Stop

    return progress


@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_run_that_was_stopped_is_gone_on_with(predictor, tmp_path, torn):
    """``torn``: so many of the last bytes are missing."""
    image, target = geotiff(tmp_path / "a.tif", noise(3, 200, 200)), tmp_path / "labels.tif"
    predict_raster(predictor, image, tmp_path / "at once.tif", 64)
    partial = tmp_path / "labels.tif.partial"
    with pytest.raises(Stop):
        predict_raster(predictor, image, target, 64, progress=stop_after(7))
    assert not target.exists()
    content = partial.read_bytes()
    partial.write_bytes(content[: len(content) - torn])
    with pytest.raises(Stop):
        predict_raster(predictor, image, target, 64, progress=stop_after(8))
    seen = []
    predict_raster(predictor, image, target, 64, progress=lambda *at: seen.append(at))
    assert seen == [(done, 16) for done in range(9, 17)]
    assert target.read_bytes() == (tmp_path / "at once.tif").read_bytes()
    assert not partial.exists()


def test_a_run_is_gone_on_with_in_tiles_of_another_size(predictor, tmp_path):
    image, target = geotiff(tmp_path / "a.tif", noise(3, 600, 700)), tmp_path / "labels.tif"
    predict_raster(predictor, image, tmp_path / "at once.tif", "auto")
    with pytest.raises(Stop):
        predict_raster(predictor, image, target, 256, progress=stop_after(5))
    seen = []
    predict_raster(predictor, image, target, 512, progress=lambda *at: seen.append(at))
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert target.read_bytes() == (tmp_path / "at once.tif").read_bytes()


def test_another_networks_or_images_unfinished_labels_are_not_gone_on_with(predictor, tmp_path):
    image, target = geotiff(tmp_path / "a.tif", noise(3, 200, 200)), tmp_path / "labels.tif"
    other = build("fcn8s-smallvgg", CLASSES).eval()
    with pytest.raises(Stop):
        predict_raster(Predictor(other), image, target, 64, progress=stop_after(7))
    seen = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        stop_after(7)(done, total)

    with pytest.raises(Stop):
        predict_raster(predictor, image, target, 64, progress=progress)
    assert seen[0] == (1, 16)
    pixels = noise(3, 200, 200, seed=1)
    predict_raster(predictor, geotiff(image, pixels), target, 64)
    assert np.array_equal(labels_of(target), whole(predictor.net, pixels))


@pytest.mark.parametrize("system", ["this", "windows"])
def test_a_file_that_another_run_is_writing_is_left_alone(predictor, tmp_path, monkeypatch, system):
    if system == "windows":
        monkeypatch.setattr(output, "fcntl", None)
        monkeypatch.setattr(output, "msvcrt", windows_locks(), raising=False)
    image, target = geotiff(tmp_path / "a.tif", noise(3, 200, 200)), tmp_path / "labels.tif"
    with LabelFile(target, (200, 200), 64, {}):
        before = (tmp_path / "labels.tif.partial").read_bytes()
        with pytest.raises(ConfigError, match=r"labels\.tif: another run is writing it"):
            predict_raster(predictor, image, target, 64)
        assert (tmp_path / "labels.tif.partial").read_bytes() == before
        assert not target.exists()
    predict_raster(predictor, image, target, 64)  # its run has ended
    assert target.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from fullyconv.inference.predictor import Predictor
from fullyconv.inference.rasters.predict import predict_raster
from fullyconv.weights import run_folder

def progress(done, of):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

model, image, target = map(Path, sys.argv[1:])
predict_raster(Predictor(run_folder.load(model)), image, target, 64, progress=progress)
"""


def test_a_killed_process_leaves_nothing_half_valid_and_the_next_gives_the_same_file(predictor, tmp_path):
    run_folder.save(predictor.net, tmp_path / "model")
    image, target = geotiff(tmp_path / "a.tif", noise(3, 200, 200)), tmp_path / "out" / "labels.tif"
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "model", image, target], check=False)
    assert killed.returncode == -9
    assert [path.name for path in target.parent.iterdir()] == ["labels.tif.partial"]
    seen = []
    predict_raster(predictor, image, target, 64, progress=lambda *at: seen.append(at))
    assert seen[0] == (6, 16)
    predict_raster(predictor, image, tmp_path / "at once.tif", 64)
    assert target.read_bytes() == (tmp_path / "at once.tif").read_bytes()


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 32]), st.integers(1, 3), st.randoms())
def test_windows_written_in_any_order_make_up_the_image(tmp_path_factory, height, width, block, blocks, random):
    folder = tmp_path_factory.mktemp("labels")
    labels, side = noise(height, width), block * blocks
    windows = [
        (slice(top, min(top + side, height)), slice(left, min(left + side, width)))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    random.shuffle(windows)
    with LabelFile(folder / "labels.tif", (height, width), block, {}) as file:
        for window in windows:
            assert not file.has(*window)
            file.write(*window, labels[window])
            assert file.has(*window)
        file.finish(["a"], [(1, 2, 3)], [])
    assert np.array_equal(tifffile.imread(folder / "labels.tif"), labels)


def test_labels_beyond_four_gigabytes_are_bigtiff(tmp_path, monkeypatch):
    for large, expected in ((False, False), (True, True)):
        with LabelFile(tmp_path / "labels.tif", (16, 16), 16, {}) as file:
            file.write(slice(0, 16), slice(0, 16), noise(16, 16))
            if large:
                monkeypatch.setattr("fullyconv.inference.rasters.output.CLASSIC", 100)
            file.finish(["a"], [(1, 2, 3)], [])
        with tifffile.TiffFile(tmp_path / "labels.tif") as written:
            assert written.is_bigtiff == expected
            assert np.array_equal(written.asarray(), noise(16, 16))


def test_a_networks_weights_are_hashed_once_until_they_change(predictor, tmp_path, monkeypatch):
    made = []
    hashed = predict._hash_of_network
    monkeypatch.setattr(predict, "_hash_of_network", lambda net: made.append(hashed(net)) or made[-1])
    first, again = (predict._fingerprint(predictor.net) for _ in range(2))
    assert (first, len(made)) == (again, 1)
    net = copy.deepcopy(predictor.net)
    assert predict._fingerprint(net) == first
    with torch.no_grad():
        next(net.parameters()).add_(1)
    assert predict._fingerprint(net) != first
