"""Exported files stand in for networks wherever images are labelled or networks measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fullyconv import cli
from fullyconv.data import open_data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.demo.shapes import make
from fullyconv.errors import ConfigError, DataError, WeightsError
from fullyconv.evaluation.evaluate import evaluate
from fullyconv.exporting import export
from fullyconv.inference.batch import predict_files
from fullyconv.inference.exported import Runner, open_model, open_runner
from fullyconv.inference.predictor import Predictor
from fullyconv.model import fcn
from fullyconv.model.spec import ExportSpec
from fullyconv.weights import run_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    make(root, train=1, val=1, test=2, crops_per_class=1, seed=0)
    return open_data(root)


@pytest.fixture(scope="module")
def net(data):
    torch.manual_seed(0)
    net = fcn.build("fcn32s-smallvgg", data.classes, data.palette).eval()
    for parameter in net.score.parameters():
        torch.nn.init.normal_(parameter)
    return net


@pytest.fixture(scope="module")
def path(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    export(net, path, probabilities=True)
    return path


def image(size=(40, 52)):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def test_a_predictor_labels_with_a_file_as_with_its_network(net, path):
    ours, theirs = Predictor(net)(image(), True), Predictor(open_model(path))(image(), True)
    assert np.array_equal(ours.labels, theirs.labels)
    assert np.allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    assert (ours.classes, ours.palette) == (theirs.classes, theirs.palette)


def test_scaled_images_are_rounded_to_bytes(net, path):
    """So that averages over scales differ by no more than half a step of grey would."""
    ours, theirs = (Predictor(model, scales=(0.5, 1), flip=True)(image(), True) for model in (net, open_model(path)))
    assert np.abs(ours.probabilities - theirs.probabilities).max() < 0.05


def test_labels_come_with_their_probabilities(net, path):
    images = torch.from_numpy(image().transpose(2, 0, 1).copy())[None]
    for model in (net, open_model(path)):
        labels, confidence = model.labels_and_confidence(images)
        assert torch.equal(labels, net.predict(images))
        torch.testing.assert_close(confidence, net.probabilities(images).amax(1), rtol=0, atol=1e-5)


def test_a_file_is_measured_as_its_network(net, path, data):
    examples = SegmentationDataset(data, "test")
    ours, theirs = (evaluate(model, examples, workers=0)[0] for model in (net, open_model(path)))
    assert ours == theirs


def test_commands_take_exported_files(path, data, tmp_path, capsys):
    Image.fromarray(image()).save(tmp_path / "scene.png")
    cli.app(["predict", str(path), str(tmp_path / "scene.png"), "--out", str(tmp_path / "out")], standalone_mode=False)
    labels = Image.open(tmp_path / "out" / "scene.png")
    assert (labels.mode, labels.size) == ("P", (52, 40))
    cli.app(["evaluate", str(path), "--data", str(data.root), "--out", str(tmp_path / "e.json")], standalone_mode=False)
    assert json.loads((tmp_path / "e.json").read_text())["images"] == 2
    assert "mean IoU" in capsys.readouterr().out


def test_export_as_a_command(net, tmp_path, capsys):
    run_folder.save(net, tmp_path / "photos")
    out = tmp_path / "deployed" / "net.pt2"
    cli.app(["export", str(tmp_path / "photos"), "--out", str(out)], standalone_mode=False)
    assert "equal on" in capsys.readouterr().err
    runner = open_runner(out)
    assert (runner.classes, runner.description.source) == (net.classes, "photos")
    with pytest.raises(ConfigError, match=r"net\.pt2 gives labels alone.*--probabilities"):
        Predictor(runner, flip=True)(image())
    with pytest.raises(ConfigError, match=r"net\.pt2 gives labels alone.*calibration"):
        runner.labels_and_confidence(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ConfigError, match="--int8 needs --data"):
        cli.app(["export", "run", "--out", "net.onnx", "--int8"], standalone_mode=False)
    with pytest.raises(ConfigError, match="--data, --split and --images are for --int8"):
        cli.app(["export", "run", "--out", "net.onnx", "--split", "val"], standalone_mode=False)


def test_what_a_runtime_fails_on_is_said_with_file_and_size(path, tmp_path):
    runner = open_runner(path)
    with pytest.raises(DataError, match=r"net\.pt2 fails on images \(1, 3, 0, 5\): Expected 3D or 4D"):
        runner.predict(torch.zeros(1, 3, 0, 5))
    run = runner.run
    runner.run = lambda images: run(images[..., :0, :] if images.shape[-1] == 52 else images)
    for width in (51, 52):
        Image.fromarray(image((40, width))).save(tmp_path / f"{width}.png")
    done, failed = predict_files(Predictor(runner), [tmp_path], tmp_path / "out")
    assert [file.name for file in done] == ["51.png"]
    assert [(file.name, "fails on images (1, 3, 40, 52)" in str(why)) for file, why in failed] == [("52.png", True)]


def test_bytes_stay_and_floats_stay_where_the_graph_takes_floats():
    """Log depth is no whole number."""
    seen = []
    for dtype in ("uint8", "float32"):
        about = ExportSpec(
            name="net", classes=["a"], palette=[(0, 0, 0)], in_channels=4, dtype=dtype, probabilities=False
        )
        runner = Runner(Path("net"), about, lambda images: seen.append(images) or [images[:, 0]])
        runner.predict(torch.full((1, 4, 2, 2), 7.6))
    assert (seen[0].dtype, float(seen[0].max())) == (torch.uint8, 8.0)
    assert (seen[1].dtype, float(seen[1].max())) == (torch.float32, pytest.approx(7.6))


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt2"])
def test_files_that_are_none_are_refused_in_words(suffix, tmp_path):
    pytest.importorskip({".onnx": "onnxruntime", ".xml": "openvino", ".pt2": "torch"}[suffix])
    path = tmp_path / f"net{suffix}"
    with pytest.raises(WeightsError, match=r"there is no such file"):
        open_runner(path)
    path.write_bytes(b"nothing")
    path.with_suffix(".bin").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=f"net{suffix} cannot be opened"):
        open_runner(path)


def test_a_graph_of_others_is_refused(tmp_path):
    program = torch.export.export(torch.nn.Identity(), (torch.zeros(1),))
    torch.export.save(program, tmp_path / "theirs.pt2")
    with pytest.raises(WeightsError, match=r"theirs\.pt2 was not written by fullyconv export"):
        open_runner(tmp_path / "theirs.pt2")


def test_a_missing_runtime_is_named(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    onnx = path.with_suffix(".onnx")
    onnx.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"onnxruntime is not installed\. .* pip install -e '\.\[export\]'"):
        open_runner(onnx)
