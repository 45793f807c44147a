"""Python users get what the commands do."""

import inspect
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullyconv as fc
from fullyconv.errors import ConfigError, DataError
from fullyconv.model.fcn import build
from fullyconv.results.segmentation import SHOWN, Segmentation
from fullyconv.weights import run_folder


def test_import_loads_no_torch():
    code = "import sys, fullyconv; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", fc.__all__)
def test_every_public_name_is_there(name):
    assert getattr(fc, name) is not None


def test_no_package_takes_the_place_of_a_function_of_its_name():
    """Importing a package sets it as an attribute of the one around it."""
    folders = {path.name for path in Path(fc.__file__).parent.iterdir() if path.is_dir()}
    modules = {path.stem for path in Path(fc.__file__).parent.glob("*.py")}
    assert (folders | modules) & {*fc.__all__} == {"geometry"}


def test_create_has_the_options_of_build_with_their_types():
    given, created = (inspect.signature(function).parameters for function in (build, fc.create))
    own = {"name", "classes", "palette", "num_classes"}
    assert {k: (v.annotation, v.default) for k, v in given.items() if k not in own} == {
        k: (v.annotation, v.default) for k, v in created.items() if k not in own
    }


@pytest.fixture
def photos(tmp_path):
    draw = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        for kind in ("images", "masks"):
            (tmp_path / "photos" / split / kind).mkdir(parents=True)
        for index in range(count):
            labels = np.zeros((40, 48), np.uint8)
            labels[:, int(draw.integers(12, 36)) :] = 1
            pixels = np.stack([labels * 180 + 20] * 3, 2)
            Image.fromarray(pixels).save(tmp_path / "photos" / split / "images" / f"{index}.png")
            Image.fromarray(labels).save(tmp_path / "photos" / split / "masks" / f"{index}.png")
    return tmp_path / "photos"


def test_train_evaluate_predict_export(photos, tmp_path):
    said = []
    settings = ["data.workers=0", "data.batch_size=2", "training.precision=32"]
    run = fc.train(
        photos, "fcn32s-smallvgg", tmp_path / "run", steps=2, pretrained=False, settings=settings, say=said.append
    )
    assert run == tmp_path / "run"
    assert json.loads((run / "evaluation.json").read_text())["split"] == "val"
    assert (run / "report.html").is_file()
    result = fc.evaluate(run, photos, split="test")
    assert (result["split"], result["images"]) == ("test", 2)
    done, failed = fc.predict(run, photos / "test" / "images", tmp_path / "masks")
    assert (len(done), failed) == (2, [])
    labels = np.asarray(Image.open(tmp_path / "masks" / "0.png"))
    assert np.array_equal(labels, fc.Predictor(fc.load(run))(done[0]).labels)
    written = fc.export(run, tmp_path / "run.pt2")
    assert (written.name, written.cost) == ("fcn32s-smallvgg", None)
    again, _ = fc.predict(tmp_path / "run.pt2", photos / "test" / "images", tmp_path / "again")
    assert len(again) == 2
    assert (tmp_path / "again" / "0.png").read_bytes() == (tmp_path / "masks" / "0.png").read_bytes()
    Image.new("L", (9, 9)).save(photos / "train" / "masks" / "0.png")
    with pytest.raises(DataError, match=r"0\.png"):  # as the command, which looks at the data first
        fc.train(photos, "fcn32s-smallvgg", tmp_path / "other", steps=2, pretrained=False)


def test_the_threshold_that_is_best_on_val_is_measured_on_test(photos, tmp_path):
    net, said = build("fcn32s-smallvgg", ["dark", "light"]), []
    run = tmp_path / "run"
    run_folder.save(net, run)
    first = fc.evaluate(run, photos, "test", threshold_curve=True, say=said.append)["thresholds"]
    assert "chosen" not in first
    assert any("with --split val --threshold-curve first" in line for line in said)
    best = fc.evaluate(run, photos, "val", threshold_curve=True)["thresholds"]["best"]
    result = fc.evaluate(run, photos, "test", threshold_curve=True, calibration=True)
    assert result["thresholds"]["chosen"]["threshold"] == best["threshold"]
    assert result["thresholds"]["half"] == first["half"]
    assert sum(row["pixels"] for row in result["calibration"]["bins"]) == 2 * 40 * 48


def test_two_networks_are_compared(photos, tmp_path):
    for name in ("a", "b"):
        run_folder.save(build("fcn32s-smallvgg", ["dark", "light"]), tmp_path / name)
    result = fc.compare(tmp_path / "a", tmp_path / "b", photos, out=tmp_path / "compared.json")
    assert (result["images"], result["split"]) == (2, "test")
    assert json.loads((tmp_path / "compared.json").read_text()) == result


def test_a_notebook_shows_a_segmentation_as_a_picture():
    labels = np.zeros((10, 3 * SHOWN), np.uint8)
    seg = Segmentation(labels, np.zeros((*labels.shape, 3), np.uint8), ["sky"], [(200, 100, 0)])
    picture = Image.open(io.BytesIO(seg._repr_png_()))
    assert picture.format == "PNG"
    assert picture.width == SHOWN
    assert picture.convert("RGB").getpixel((5, 1)) == (100, 50, 0)


def test_a_segmentation_is_written_as_its_size_and_the_share_of_each_class():
    labels = np.array([[0, 1, 1, 255], [1, 1, 1, 1]], np.uint8)
    seg = Segmentation(labels, np.zeros((2, 4, 3), np.uint8), ["sky", "sea", "land"], [(0, 0, 0)] * 3)
    assert repr(seg) == "Segmentation of 2×4 pixels: sea 75.0%, sky 12.5%, no data 12.5%"


def test_python_that_is_used_line_by_line_starts_no_further_processes(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(ConfigError, match=r"training\.devices is 2: a notebook is one process"):
        fc.train(photos, "fcn32s-smallvgg", tmp_path / "run", pretrained=False, settings=["training.devices=2"])
    assert not (tmp_path / "run").exists()
