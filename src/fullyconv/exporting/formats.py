"""A network written for another runtime, and verified there against the network before the file takes its place."""

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
from fullyconv.inference.exported import KEY, open_runner
from fullyconv.model.fcn import FCN
from fullyconv.model.spec import ExportSpec, checked

PACKAGES: dict[str, tuple[str, ...]] = {
    ".onnx": ("onnx", "onnxscript", "onnxruntime"),
    ".xml": ("onnx", "onnxscript", "openvino"),
    ".pt2": (),
}
"""What writes and verifies each format; all are in the extra ``export``."""
PROTOBUF_LIMIT = 2**31 - 2**24
"""Bytes of weights beyond which ONNX keeps them in a file of their own."""


def export(net: FCN, path: str | Path, *, probabilities: bool = False, source: str = "") -> Agreement:
    """Write ``net`` to ``path``: ``.onnx``, ``.xml`` (OpenVINO IR, with a ``.bin`` beside it) or ``.pt2``.

    The graph takes images (N, C, H, W) of any size from 1×1, RGB bytes, and gives labels (N, H, W), with
    ``probabilities`` also these, (N, classes, H, W); normalization and readout are inside. With heads labels are
    (N, heads, H, W). ``source``, for instance the run's name, is kept in the file with classes and palette.

    What is written is opened on its runtime and compared with ``net`` on images of ten sizes; returned is how well
    they agree. Files are written whole or not at all. Raises ConfigError for a suffix that is unknown, a network that
    cannot be exported, a runtime that is not installed, and where the labels differ.
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
    """The network, or a copy of it, on the CPU: there files are written and verified, for any device."""
    return net if net.device.type == "cpu" else copy.deepcopy(net).cpu()


def check_target(path: Path, int8: bool = False) -> None:
    """Raises ConfigError where ``path`` has no suffix of a format, or what its format needs is not installed."""
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
    """What an exported file says of itself."""
    about = {
        "name": net.name,
        "source": source,
        "classes": net.classes,
        "palette": net.palette,
        "heads": net.heads,
        "in_channels": net.in_channels,
        "inputs": net.inputs,
        "dtype": str(input_dtype(net)).removeprefix("torch."),
        "probabilities": probabilities,
        "int8": int8,
        "version": __version__,
    }
    return checked(ExportSpec, about)


def write(net: FCN, path: Path, about: ExportSpec) -> None:
    """The network, traced, in the format of ``path``'s suffix."""
    program = trace(net, about.probabilities)
    WRITERS[path.suffix](program, path, about)


def move(beside: Path, path: Path) -> None:
    """Put what was written into ``beside``'s folder where it belongs; the file that is opened comes last."""
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
    """An ONNX file as OpenVINO IR, its weights in full precision."""
    openvino = require("openvino", "export")
    model = openvino.Core().read_model(onnx)
    model.set_rt_info(about.model_dump_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=False)


def _write_program(program: torch.export.ExportedProgram, path: Path, about: ExportSpec) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of channels_last weights, which are saved as they are
        torch.export.save(program, path, extra_files={KEY: about.model_dump_json()})


WRITERS: dict[str, Callable[[torch.export.ExportedProgram, Path, ExportSpec], None]] = {
    ".onnx": _write_onnx,
    ".xml": _write_openvino,
    ".pt2": _write_program,
}
