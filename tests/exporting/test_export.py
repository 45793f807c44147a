"""Exported files label images of any size as their network does, or are not kept."""

import copy
import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fullyconv.data import open_data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.demo.shapes import make
from fullyconv.errors import ConfigError
from fullyconv.evaluation.evaluate import evaluate
from fullyconv.exporting import export, export_int8, graph, quantize, verify
from fullyconv.exporting.quantize import measured_split
from fullyconv.inference.exported import open_runner
from fullyconv.model import fcn
from fullyconv.model.backbones import paper

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "half-pixel cells": ("fcn8s-smallvgg", {}),
    "cells on whole pixels, bicubic": ("fcn16s-test_resnet", {"upsample": "bicubic"}),
    "nearest": ("fcn32s-smallvgg", {"upsample": "nearest"}),
    "learnt, of features, one channel": ("fcn16s-smallvgg", {"upsample": "transposed", "width": 6, "in_channels": 1}),
    "the paper's border": ("fcn8s-vgg16", {}),
    "the paper's border, nearest, depth": (
        "fcn16s-vgg16",
        {"upsample": "nearest", "in_channels": 4, "inputs": "rgb+depth"},
    ),
    "two streams": ("fcn32s-latefusion-vgg16", {"in_channels": 6, "padding": "same"}),
    "TensorFlow's padding": ("fcn16s-tf_mobilenetv3_small_minimal_100", {}),
    "heads": ("fcn32s-alexnet", {"heads": {"what": 3, "where": 2}}),
}
TRACED = ["learnt, of features, one channel", "the paper's border, nearest, depth", "heads"]


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """torch's trace log, which pytest would format and keep, line by line."""
    log = logging.getLogger("torch.__trace")
    log.propagate = False
    yield
    log.propagate = True


def network(name, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper.VGG16, "widths", (4, 6, 8, 8, 8))
        patch.setattr(paper.VGG16, "hidden", 12)
        patch.setattr(paper.AlexNet, "widths", (6, 8, 8, 8, 8))
        patch.setattr(paper.AlexNet, "hidden", 12)
        torch.manual_seed(0)
        net = fcn.create(name, 5, **options).eval()
    return told_apart(net)


@torch.no_grad()
def told_apart(net):
    """With scores at random, on average equal, so that no class has all pixels."""
    for parameter in net.score.parameters():
        torch.nn.init.normal_(parameter)
    images = pixels(net, (96, 96))
    last = net.head[-1] if net.width else net.score[str(net.backbone.strides[-1])]
    last.bias -= net(images).mean((0, 2, 3))
    assert len(net.predict(images).unique()) > 1
    return net


def pixels(net, size, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, net.in_channels, *size), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def close(probabilities, net, images):
    expected = net.probabilities(images)
    scale = max(1.0, float(net(images).abs().max()))
    return float((probabilities - expected).abs().max()) < 1e-4 * scale


def agree(net, run, size, batch=2, seed=0):
    """Whether labels, but for ties, and probabilities are the network's."""
    images = pixels(net, size, batch, seed).to(graph.input_dtype(net))
    labels, probabilities = run(images)
    expected = net.predict(images)
    same = (labels.dtype, labels.shape) == (torch.uint8, expected.shape)
    return same and close(probabilities, net, images) and not ((labels != expected) & ~verify._ties(net, images)).any()


@pytest.mark.parametrize("case", NETWORKS)
def test_one_graph_computes_what_the_network_does_at_any_size(case):
    name, options = NETWORKS[case]
    net = network(name, **options)
    run = graph.Graph(net, probabilities=True)

    @settings(max_examples=8, deadline=None)
    @given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 99))
    def check(height, width, seed):
        assert agree(net, run, (height, width), 1, seed)

    check()


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize("case", TRACED)
def test_a_trace_holds_for_sizes_it_has_not_seen(case):
    name, options = NETWORKS[case]
    net = network(name, **options)
    run = graph.trace(net, probabilities=True).module()
    for batch, size in enumerate([(1, 1), (1, 47), (33, 64), (70, 41)], 1):
        assert agree(net, run, size, batch)


@pytest.mark.parametrize("method", ["bilinear", "nearest", "bicubic"])
def test_scores_stretched_over_the_image(method):
    """As torchvision's networks are read out, on a small trunk in place of theirs."""
    net = network("fcn32s-smallvgg", upsample=method)
    net.backbone.alignment = "half-pixel"
    run = graph.Graph(net, probabilities=True)
    for size in ((64, 32), (96, 128), (45, 33)):
        assert agree(net, run, size)


@pytest.fixture(scope="module")
def net():
    return network("fcn32s-smallvgg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def onnx_file(net, folder):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    export(net, folder / "net.onnx", probabilities=True, source="streets")
    return folder / "net.onnx"


@pytest.fixture(scope="module")
def openvino_file(net, folder):
    for package in ("onnx", "onnxscript", "openvino"):
        pytest.importorskip(package)
    export(net, folder / "net.xml", probabilities=True, source="streets")
    return folder / "net.xml"


@pytest.fixture(scope="module")
def program_file(net, folder):
    export(net, folder / "net.pt2", probabilities=True, source="streets")
    return folder / "net.pt2"


@pytest.mark.parametrize("file", ["onnx_file", "openvino_file", "program_file"])
def test_files_label_images_of_any_size(net, file, request):
    path = request.getfixturevalue(file)
    runner = open_runner(path)

    @settings(max_examples=10, deadline=None)
    @given(height=st.integers(1, 90), width=st.integers(1, 90), batch=st.integers(1, 3), seed=st.integers(0, 99))
    def check(height, width, batch, seed):
        assert agree(net, runner.run, (height, width), batch, seed)

    check()
    content = b"".join(part.read_bytes() for part in path.parent.glob(f"{path.stem}.*"))
    assert b"site-packages" not in content
    assert str(path.parent).encode() not in content
    assert {file.name for file in path.parent.iterdir()} <= {"net.onnx", "net.xml", "net.bin", "net.pt2"}


def test_an_onnx_file_says_what_it_is(net, onnx_file):
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["fullyconv"])
    assert (about["classes"], about["source"], about["name"]) == (net.classes, "streets", net.name)
    assert about["palette"] == [list(color) for color in net.palette]
    (images,) = session.get_inputs()
    assert (images.type, images.shape) == ("tensor(uint8)", ["batch", 3, "height", "width"])
    labels, probabilities = session.get_outputs()
    assert (labels.type, labels.shape) == ("tensor(uint8)", ["batch", "height", "width"])
    assert (probabilities.type, probabilities.shape) == ("tensor(float)", ["batch", 5, "height", "width"])


def test_weights_too_large_for_one_onnx_file_lie_beside_it(onnx_file, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["fullyconv.exporting.formats"], "PROTOBUF_LIMIT", 0)
    export(network("fcn32s-alexnet", padding="same"), tmp_path / "large.onnx")
    assert {file.name for file in tmp_path.iterdir()} == {"large.onnx", "large.onnx.data"}
    assert open_runner(tmp_path / "large.onnx").predict(torch.zeros(1, 3, 5, 5)).shape == (1, 5, 5)


def test_a_graph_that_labels_otherwise_is_not_kept(net, monkeypatch, tmp_path):
    """Here one that is a pixel off: what a wrong align_corners does."""
    crop = graph._crop
    monkeypatch.setattr(graph, "_crop", lambda fine, starts, size: crop(fine, [starts[0] - 1, starts[1]], size))
    with pytest.raises(ConfigError, match=r"wrong\.pt2 labels \d+ of \d+ pixels of a \d+×\d+ image unlike fcn32s"):
        export(net, tmp_path / "wrong.pt2")
    assert list(tmp_path.iterdir()) == []


def test_a_tie_may_be_decided_otherwise(net):
    twins = network("fcn8s-smallvgg")
    for score in twins.score.children():
        score.weight.data[1], score.bias.data[1] = score.weight[0], score.bias[0]
    images = pixels(twins, (40, 40))
    tied = verify._ties(twins, images)
    assert tied[twins.predict(images) < 2].all()
    assert not tied[twins.predict(images) >= 2].all()


def test_what_cannot_be_exported_is_refused_in_words(net, monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match=r"net\.tflite: expected a name that ends in \.onnx, \.xml .* or \.pt2"):
        export(net, tmp_path / "net.tflite")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"onnxscript is not installed\. .* pip install -e '\.\[export\]'"):
        export(net, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    make(root, train=3, val=2, test=1, crops_per_class=1, seed=0)
    return open_data(root)


def test_the_cost_of_integers_is_measured_on_images_they_were_not_calibrated_on(scenes):
    assert measured_split(scenes, "train") == "val"
    assert measured_split(scenes, "val") == "test"
    assert measured_split(scenes, "test") == "val"
    alone = replace(scenes, splits={"train": scenes.splits["train"]})
    assert measured_split(alone, "train") == "train"


def test_8_bit_integers_are_calibrated_and_what_they_cost_is_measured(scenes, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)
    torch.manual_seed(0)
    net = fcn.build("fcn32s-smallvgg", scenes.classes, scenes.palette).eval()
    told_apart(net)
    _, cost = export_int8(net, tmp_path / "net.xml", scenes, images=3, probabilities=True)
    assert (cost.calibrated, cost.split, cost.images) == (("train", 3), "val", 2)
    assert str(cost).startswith("calibrated on 3 images of train\non 2 images of val ")
    examples = SegmentationDataset(scenes, "val")
    assert cost.mean_iou[0] == pytest.approx(evaluate(net, examples, workers=0)[0]["mean_iou"], abs=1e-3)
    assert "as fast" in str(cost)
    runner = open_runner(tmp_path / "net.xml")
    assert runner.description.int8
    images = examples[0][0][None]
    assert (runner.predict(images) == net.predict(images)).float().mean() > 0.8
    with torch.no_grad():
        apart = (runner.probabilities(images) - net.probabilities(images)).abs().max()
    assert 1e-5 < apart < 0.2  # equal to the last digit, it would not have been quantized
    assert (tmp_path / "net.bin").stat().st_size < 0.3 * sum(4 * weight.numel() for weight in net.parameters())
    with pytest.raises(ConfigError, match=r"8-bit integers are for \.onnx and \.xml"):
        export_int8(net, tmp_path / "net.pt2", scenes)


def test_a_network_on_another_device_is_exported_by_a_copy(net, monkeypatch, tmp_path):
    export_module = sys.modules["fullyconv.exporting.formats"]
    written = []
    monkeypatch.setattr(export_module, "write", lambda given, *_: written.append(given))
    monkeypatch.setattr(export_module, "open_runner", lambda _: None)
    monkeypatch.setattr(export_module, "verify", lambda given, *_: written.append(given))
    monkeypatch.setattr(type(net), "device", torch.device("cuda"))  # as it says
    export(net, tmp_path / "net.pt2")
    assert written[0] is written[1] is not net
    assert all(parameter.device.type == "cpu" for parameter in written[0].parameters())


def test_a_network_in_training_mode_is_exported_as_it_predicts_and_stays_so(net, tmp_path):
    trained = copy.deepcopy(net).train()
    export(trained, tmp_path / "net.pt2")
    assert all(module.training for module in trained.modules())


def test_advice_of_the_quantizer_is_silenced_and_no_setting_of_the_caller_s_undone(caplog):
    logging.disable(logging.INFO)
    try:
        with quantize._without_advice():
            logging.warning("advice")
            logging.error("fault")
            with ThreadPoolExecutor(1) as pool:
                pool.submit(logging.warning, "another thread's").result()
        logging.warning("after")
        assert logging.root.manager.disable == logging.INFO
    finally:
        logging.disable(logging.NOTSET)
    assert caplog.messages == ["fault", "another thread's", "after"]
