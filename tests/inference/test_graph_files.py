"""ONNX and OpenVINO files of strangers: judged before a runtime opens them."""

import json

import numpy as np
import pytest
import torch

from fullyconv.errors import DataError, WeightsError
from fullyconv.inference.exported import open_runner
from fullyconv.inference.graphs.checks import MAX_DEPTH, check_onnx, check_openvino

onnx = pytest.importorskip("onnx")
helper = onnx.helper

ABOUT = json.dumps(
    {
        "name": "net",
        "classes": ["a", "b"],
        "palette": [[0, 0, 0], [1, 1, 1]],
        "dtype": "float32",
        "probabilities": False,
    }
)


def model(path, nodes=(), tensors=(), last="images"):
    """A file whose labels are the images plus ``last``, computed by ``nodes``."""
    value = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, None, None]) for name in ("images", "labels")
    ]
    graph = helper.make_graph(
        [*nodes, helper.make_node("Add", ["images", last], ["labels"])], "g", [value[0]], [value[1]]
    )
    graph.initializer.extend(tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(made, {"fullyconv": ABOUT})
    path.write_bytes(made.SerializeToString())
    return path


def external(location, dims=(1,), **entries):
    tensor = onnx.TensorProto(name="w", dims=dims, data_type=onnx.TensorProto.FLOAT, data_location=1)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_weights_beside_the_file_are_read(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "net.onnx.data").write_bytes(np.float32(5).tobytes())
    runner = open_runner(model(tmp_path / "net.onnx", tensors=[external("net.onnx.data")], last="w"))
    assert runner.predict(torch.ones(1, 3, 2, 2)).unique().tolist() == [6]


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/hostname", "deeper/secret", "..", "", "C:\\secret", "..\\secret", "*/_ORT_MEM_ADDR_/*"],
)
def test_other_files_are_never_read(tmp_path, location):
    folder = tmp_path / "folder"
    (folder / "deeper").mkdir(parents=True)
    for place in (tmp_path, folder / "deeper"):
        (place / "secret").write_bytes(bytes(4))
    path = model(folder / "net.onnx", tensors=[external(location)], last="w")
    with pytest.raises(WeightsError, match=r"net\.onnx: its weights are in .* expected a file in the same folder"):
        open_runner(path)


def test_a_link_beside_the_file_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4))
    (tmp_path / "w").symlink_to(tmp_path / "secret")
    with pytest.raises(WeightsError, match="expected a file in the same folder"):
        check_onnx(model(tmp_path / "net.onnx", tensors=[external("w")], last="w"))


def test_a_tensor_within_a_node_of_a_branch_is_found(tmp_path):
    inner = helper.make_graph([helper.make_node("Constant", [], ["w"], value=external("../secret"))], "b", [], [])
    node = helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner)
    with pytest.raises(WeightsError, match="expected a file in the same folder"):
        check_onnx(model(tmp_path / "net.onnx", [node], last="w"))


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (external("absent"), "its weights file absent is not in the same folder"),
        (external("net.onnx", dims=[10**6]), "but too little data"),
        (external("net.onnx", offset="100000"), "has only .* bytes; it is damaged"),
        (external("net.onnx", offset="-4"), "damaged"),
        (external("net.onnx", length="9" * 400), "damaged"),
        (
            onnx.TensorProto(name="w", dims=[2**40], data_type=1, raw_data=bytes(4)),
            r"\(1099511627776,\), but too little data",
        ),
        (onnx.TensorProto(name="w", dims=[2**40], data_type=1), "but too little data"),
        (onnx.TensorProto(name="w", dims=[-1, -4], data_type=1, raw_data=bytes(16)), "but too little data"),
    ],
)
def test_tensors_that_are_only_claimed_are_refused(tmp_path, tensor, reason):
    path = model(tmp_path / "net.onnx", tensors=[tensor], last="w")
    with pytest.raises(WeightsError, match=reason):
        check_onnx(path)


def test_sparse_tensors_which_a_runtime_writes_out_are_refused(tmp_path):
    values = helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", onnx.TensorProto.INT64, [1], [0])
    path = model(tmp_path / "net.onnx", last="w")
    made = onnx.load(path)
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2**40]))
    path.write_bytes(made.SerializeToString())
    with pytest.raises(WeightsError, match="sparse"):
        check_onnx(path)


def test_constants_are_not_computed_when_a_file_is_opened(tmp_path):
    """A few bytes can ask for a constant of 4 TiB: that is refused when images are labelled, and not taken before."""
    pytest.importorskip("onnxruntime")
    sides = helper.make_tensor("sides", onnx.TensorProto.INT64, [1], [2**40])
    nodes = [helper.make_node("ConstantOfShape", ["sides"], ["all"]), helper.make_node("ReduceMax", ["all"], ["w"])]
    runner = open_runner(model(tmp_path / "net.onnx", nodes, [sides], "w"))
    with pytest.raises(DataError, match="fails on images"):
        runner.predict(torch.ones(1, 3, 2, 2))


def test_operations_of_a_library_are_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    node = helper.make_node("Run", ["images"], ["w"], domain="theirs")
    with pytest.raises(WeightsError, match="cannot be opened"):
        open_runner(model(tmp_path / "net.onnx", [node], last="w"))


NET = (
    '<net name="n" version="11"><layers><layer id="0" type="Const"><data offset="{}" size="{}"/></layer></layers></net>'
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('<!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/hostname">]><net>&a;</net>', "defines entities"),
        ("<!doctype net><net/>", "defines entities"),
        (NET.format(0, 9).encode("utf-16"), "not UTF-8"),
        (NET.format(0, 9), r"net\.bin has only 8 bytes; it belongs to another"),
        (NET.format(2**63, 1), "it belongs to another"),
        (NET.format(-4, 4), "it belongs to another"),
        (NET.format("x", 4), "not a complete XML file"),
        (NET.format(0, 8)[:-3], "not a complete XML file"),
        ("<net>" + "<a>" * 1000, "nested more than 64 deep"),
        ("<html/>", "it begins with 'html'"),
        ("nothing", "not a complete XML file"),
    ],
)
def test_xml_that_is_hostile_is_refused(tmp_path, content, reason):
    (tmp_path / "net.bin").write_bytes(bytes(8))
    path = tmp_path / "net.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WeightsError, match=reason):
        check_openvino(path)


def test_xml_within_the_bounds_is_passed(tmp_path):
    (tmp_path / "net.bin").write_bytes(bytes(8))
    path = tmp_path / "net.xml"
    path.write_text(
        NET.format(0, 8).replace("<layers>", "<layers>" + "<a>" * (MAX_DEPTH - 2) + "</a>" * (MAX_DEPTH - 2))
    )
    check_openvino(path)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(WeightsError, match=r"its weights file net\.bin is not in the same folder"):
        check_openvino(path)
