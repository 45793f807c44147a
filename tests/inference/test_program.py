"""A .pt2 file is read as data: what it computes is torch.export's own, and nothing that it says to run is run."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fullyconv.errors import DataError, WeightsError
from fullyconv.exporting import export
from fullyconv.inference.exported import open_runner
from fullyconv.inference.graphs.program import OPERATIONS
from fullyconv.model import fcn
from tests.thinning import make_thin

MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
INPUTS = "data/sample_inputs/model.pt"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    export(fcn.create("fcn8s-test_resnet", 3, width=8).eval(), path, probabilities=True)
    return path


class Touch:
    """What, unpickled, makes a file: a stand-in for any command."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.path), "w")


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], None], **options: Any) -> Path:
    """A copy of an archive, its entries (by the names below its folder) changed."""
    with zipfile.ZipFile(source) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w", **options) as archive:
        for name, content in entries.items():
            archive.writestr(f"net/{name}", content)
    return target


def edited(path: tuple[str | int, ...], value: object, entry: str = MODEL) -> Callable[[dict[str, bytes]], None]:
    """A change of one value in an entry's JSON."""

    def change(entries: dict[str, bytes]) -> None:
        tree = place = json.loads(entries[entry])
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        entries[entry] = json.dumps(tree).encode()

    return change


NODES = ("graph_module", "graph", "nodes")


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize("name", ["fcn8s-test_resnet", "fcn16s-test_vit", "fcn8s-test_efficientnet", "fcn32s-alexnet"])
def test_labels_are_those_of_torch_export_itself(name, tmp_path, monkeypatch):
    make_thin(monkeypatch)
    torch.manual_seed(0)
    path = tmp_path / "net.pt2"
    export(fcn.create(name, 3).eval(), path, probabilities=True)
    ours, theirs = open_runner(path), torch.export.load(path).module()
    for size in ((1, 3, 1, 1), (2, 3, 33, 70)):
        images = torch.randint(0, 256, size, dtype=torch.uint8)
        for one, other in zip(ours.run(images), theirs(images), strict=True):
            assert torch.equal(one, other)


def code(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w')"


HOSTILE: dict[str, Callable[[Path], Callable[[dict[str, bytes]], None]]] = {
    "pickle of sample inputs": lambda canary: lambda entries: entries.update({INPUTS: _torch_pickle(canary)}),
    "expression of a size": lambda canary: edited(
        ("graph_module", "graph", "tensor_values", "images", "sizes", 0),
        {"as_expr": {"expr_str": code(canary), "hint": {"as_int": 2}}},
    ),
    "guard": lambda canary: edited(("guards_code",), [code(canary)]),
}


def _torch_pickle(canary: Path) -> bytes:
    return pickle.dumps((Touch(canary),), protocol=2)


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_torch_export_would_run_is_never_looked_at(kind, exported, tmp_path):
    canary = tmp_path / "canary"
    path = rewritten(exported, tmp_path / "net.pt2", HOSTILE[kind](canary))
    images = torch.randint(0, 256, (1, 3, 40, 50), dtype=torch.uint8)
    assert torch.equal(open_runner(path).predict(images), open_runner(exported).predict(images))
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["pickle of sample inputs", "expression of a size"])
def test_the_hostile_files_are_hostile(kind, exported, tmp_path):
    """torch.export.load runs what is in them."""
    canary = tmp_path / "canary"
    path = rewritten(exported, tmp_path / "net.pt2", HOSTILE[kind](canary))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever comes of it
        torch.export.load(path).module()
    assert canary.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited((*NODES, 0, "target"), "torch.serialization.os.system"), "none of the operations"),
        (edited((*NODES, 0, "target"), "torch.hub.load"), "none of the operations"),
        (edited((*NODES, 0, "target"), "torch.ops.aten.from_file.default"), "none of the operations"),
        (edited((*NODES, 0, "target"), "torch.ops.aten.set_.source_Storage"), "none of the operations"),
        (edited((*NODES, 0, "target"), "torch.ops.aten.relu.__class__"), "none of the operations"),
        (edited((*NODES, 0, "target"), "torch.ops.aten.__init__.default"), "none of the operations"),
        (edited((*NODES, 0, "target"), "_operator.attrgetter"), "none of the operations"),
        (edited((*NODES, 0, "target"), "_operator.pow"), "none of the operations"),
        (edited((*NODES, 0, "target"), "#handler:load"), "none of the operations"),
        (edited((*NODES, 0, "inputs", 0, "arg"), {"as_operator": "os.system"}), "which is no number or tensor"),
        (edited((*NODES, 0, "inputs", 0, "arg"), {"as_custom_obj": {"name": "x"}}), "which is no number or tensor"),
        (edited((*NODES, 0, "inputs", 0, "arg"), {"as_tensor": {"name": "none"}}), "'none', which nothing gives"),
        (edited((*NODES, 0, "inputs", 0, "arg"), {}), "which is no number or tensor"),
        (edited(("graph_module", "graph", "outputs"), [{"as_tensor": {"name": "none"}}]), "which nothing makes"),
        (edited(("graph_module",), "x"), "graph_module: "),
        (edited(("config", "net.mean", "use_pickle"), True, WEIGHTS), "pickles are never opened"),
        (edited(("config", "net.mean", "path_name"), "../../models/model.json", WEIGHTS), "not a plain tensor"),
        (edited(("config", "net.mean", "tensor_meta", "sizes", 0, "as_int"), 10**12, WEIGHTS), "but only 3 numbers"),
        (edited(("config", "net.mean", "tensor_meta", "strides", 1, "as_int"), 10**12, WEIGHTS), "out of bounds"),
        (edited(("config", "net.mean", "tensor_meta", "storage_offset", "as_int"), 9, WEIGHTS), "out of bounds"),
        (
            edited(("config", "net.mean", "tensor_meta", "storage_offset", "as_int"), -1, WEIGHTS),
            "greater than or equal",
        ),
        (edited(("config", "net.mean", "tensor_meta", "dtype"), 10, WEIGHTS), "not a plain tensor"),
        (lambda entries: entries.update({"data/aotinductor/model/x.so": b"ELF"}), "contains compiled code"),
        (lambda entries: entries.pop(MODEL), "has no models/model.json"),
        (lambda entries: entries.update({MODEL: b"[" * 100_000}), "cannot be opened"),
        (lambda entries: entries.update({"extra/fullyconv": b'{"name": "x"}'}), "classes is missing"),
        (lambda entries: entries.update({"extra/fullyconv": b"\xff"}), "cannot be opened"),
    ],
)
def test_anything_but_weights_and_known_operations_is_refused(change, message, exported, tmp_path):
    with pytest.raises(WeightsError, match=message):
        open_runner(rewritten(exported, tmp_path / "net.pt2", change))


def test_operations_exist_and_take_nothing_but_values():
    """Neither names of files, nor storages, nor other programs."""
    for name in OPERATIONS:
        packet = getattr(torch.ops.aten, name)
        for overload in packet.overloads():
            for argument in getattr(packet, overload)._schema.arguments:
                assert "Storage" not in str(argument.type)
                assert "file" not in argument.name


def test_compressed_entries_are_refused_unread(exported, tmp_path):
    """A small file could hold any size."""
    path = rewritten(exported, tmp_path / "net.pt2", lambda entries: None, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="is compressed"):
        open_runner(path)


@pytest.mark.parametrize("keep", [0, 10, 1000, 100_000, -1, -100])
def test_a_cut_file_is_refused(keep, exported, tmp_path):
    path = tmp_path / "net.pt2"
    path.write_bytes(exported.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"net\.pt2 (cannot be opened|is not a \.pt2 file)"):
        open_runner(path)


def test_sizes_that_grow_without_end_are_an_error(exported, tmp_path):
    def change(entries: dict[str, bytes]) -> None:
        tree = json.loads(entries[MODEL])
        nodes = tree["graph_module"]["graph"]["nodes"]
        name = nodes[0]["outputs"][0]["as_sym_int"]["as_name"]
        for i in range(40):
            arg = {"as_sym_int": {"as_name": name}}
            name = f"more_{i}"
            inputs = [{"name": side, "arg": arg, "kind": 1} for side in "ab"]
            outputs = [{"as_sym_int": {"as_name": name}}]
            nodes.insert(1 + i, {"target": "_operator.mul", "inputs": inputs, "outputs": outputs, "metadata": {}})
        entries[MODEL] = json.dumps(tree).encode()

    runner = open_runner(rewritten(exported, tmp_path / "net.pt2", change))
    with pytest.raises(DataError, match="a size became"):
        runner.predict(torch.zeros(1, 3, 20, 20, dtype=torch.uint8))
