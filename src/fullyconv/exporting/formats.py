"""Write a network for another runtime, and verify the file there before it takes its place."""

import contextlib
import copy
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from fullyconv import __version__
from fullyconv.errors import ConfigError
from fullyconv.exporting.graph import input_dtype, trace
from fullyconv.exporting.verify import Agreement, verify
from fullyconv.extras import require
from fullyconv.files import UMASK
from fullyconv.inference.exported import open_runner
from fullyconv.model.fcn import FCN
from fullyconv.model.spec import KEY, ExportSpec, checked

PACKAGES: dict[str, tuple[str, ...]] = {
    ".onnx": ("onnx", "onnxscript", "onnxruntime"),
    ".xml": ("onnx", "onnxscript", "openvino"),
    ".pt2": (),
}
"""The packages that write and verify each format; all are in the extra ``export``."""
PROTOBUF_LIMIT = 2**31 - 2**24
"""Bytes of weights above which they are written to a separate file beside the .onnx file."""


def export(net: FCN, path: str | Path, *, probabilities: bool = False, source: str = "") -> Agreement:
    """Write ``net`` to ``path``: ``.onnx``, ``.xml`` (OpenVINO IR, with a ``.bin`` beside it) or ``.pt2``.

    The graph takes images (N, C, H, W), RGB bytes, of any size from 1×1, and gives labels (N, H, W), or (N, heads, H,
    W) of a network with heads. Normalization and readout are inside.

    - ``probabilities``: also give probabilities, (N, classes, H, W).
    - ``source``: kept in the file with classes and palette, for instance the run's name.

    The file is opened on its runtime and compared with ``net`` on images of ten sizes; their agreement is returned.
    Files are written whole or not at all. Raises ConfigError for an unknown suffix, a network that cannot be exported,
    a runtime that is not installed, and where the labels differ.
    """
    path = Path(path)
    check_target(path)
    net = on_cpu(net)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        beside = Path(folder) / path.name
        write(net, beside, description(net, probabilities, source))
        agreement = verify(net, open_runner(beside), probabilities)
        move(beside, path)
    return agreement


def on_cpu(net: FCN) -> FCN:
    """Return the network, or a copy of it, on the CPU, where files for any device are written and verified."""
    return net if net.device.type == "cpu" else copy.deepcopy(net).cpu()


def check_target(path: Path, int8: bool = False) -> None:
    """Raise ConfigError where ``path`` has an unknown suffix, or a package that its format needs is not installed."""
    if path.suffix not in PACKAGES:
        raise ConfigError(
            f"{path}: expected a name that ends in .onnx, .xml (OpenVINO) or .pt2 (torch.export), found "
            f"{path.suffix or 'no suffix'}."
        )
    if int8 and path.suffix == ".pt2":
        raise ConfigError(f"{path}: 8-bit integers are for .onnx and .xml; torch.export files keep floats.")
    for package in PACKAGES[path.suffix] + (("onnxruntime",) if int8 else ()):
        require(package, "export")
    path.parent.mkdir(parents=True, exist_ok=True)


def description(net: FCN, probabilities: bool, source: str, int8: bool = False) -> ExportSpec:
    """Return the description that an exported file holds of itself."""
    about = {
        "name": net.name,
        "source": source,
        "classes": net.classes,
        "palette": net.palette,
        "heads": net.heads,
        "in_channels": net.in_channels,
        "inputs": net.inputs,
        "value_range": net.value_range,
        "dtype": str(input_dtype(net)).removeprefix("torch."),
        "probabilities": probabilities,
        "int8": int8,
        "version": __version__,
    }
    return checked(ExportSpec, about)


def write(net: FCN, path: Path, about: ExportSpec) -> None:
    """Trace the network and write it in the format of ``path``'s suffix, without verifying it."""
    program = trace(net, about.probabilities)
    WRITERS[path.suffix](program, path, about)


def move(beside: Path, path: Path) -> None:
    """Move the files in ``beside``'s folder to that of ``path``, ``beside`` last, as it is the one that is opened."""
    for written in sorted(beside.parent.iterdir(), key=lambda file: file == beside):
        written.chmod(0o666 & ~UMASK)
        written.replace(path.parent / written.name)


def _write_onnx(program: torch.export.ExportedProgram, path: Path, about: ExportSpec) -> None:
    names = {0: "batch", 2: "height", 3: "width"}
    outputs = ["labels", "probabilities"] if about.probabilities else ["labels"]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        onnx = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes={"images": names},
            verbose=False,
        )
    assert onnx is not None
    onnx.model.metadata_props[KEY] = about.model_dump_json()
    weights = sum(tensor.nbytes for tensor in program.state_dict.values())
    onnx.save(str(path), external_data=weights > PROTOBUF_LIMIT)


def _write_openvino(program: torch.export.ExportedProgram, path: Path, about: ExportSpec) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent.parent, prefix=".export-") as folder:
        onnx = Path(folder) / "model.onnx"
        _write_onnx(program, onnx, about)
        to_openvino(onnx, path, about)


def to_openvino(onnx: Path, path: Path, about: ExportSpec) -> None:
    """Convert an ONNX file to OpenVINO IR, with weights in full precision."""
    openvino = require("openvino", "export")
    model = openvino.Core().read_model(onnx)
    model.set_rt_info(about.model_dump_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=False)


def _write_program(program: torch.export.ExportedProgram, path: Path, about: ExportSpec) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of channels_last weights, which it saves as they are
        torch.export.save(program, path, extra_files={KEY: about.model_dump_json()})


WRITERS: dict[str, Callable[[torch.export.ExportedProgram, Path, ExportSpec], None]] = {
    ".onnx": _write_onnx,
    ".xml": _write_openvino,
    ".pt2": _write_program,
}
