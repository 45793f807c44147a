"""Validate ONNX and OpenVINO files before a runtime opens them."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

import numpy as np
from google.protobuf.message import Message

from fullyconv.errors import WeightsError
from fullyconv.extras import require
from fullyconv.inference.graphs.constants import Layer, check_shapes

if TYPE_CHECKING:
    from onnx import TensorProto

MAX_XML = 64 * 2**20
"""Maximum size of an .xml file in bytes. It holds no weights; those of large networks have a million bytes."""
MAX_DEPTH = 64
"""Maximum nesting of elements in an .xml file; an export has about eight levels."""
ENTRIES_PER_VALUE = 2
"""Maximum number of tensor entries in one stored value: two, if entries have four bits."""


def check_onnx(path: Path) -> None:
    """Raise WeightsError if an ONNX file is damaged, reads files outside its folder, or lacks data of its tensors."""
    onnx = require("onnx", "export")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # protobuf's messages say nothing useful
        raise WeightsError(
            f"{path} cannot be opened: it is not an ONNX file, or it is damaged. Export it again."
        ) from error
    for part in _messages(model):
        if isinstance(part, onnx.SparseTensorProto):
            raise WeightsError(f"{path}: it contains sparse tensors, unlike any export of fullyconv. Export it again.")
        if isinstance(part, onnx.TensorProto):
            _check_tensor(path, part)


def _messages(message: Message) -> Iterator[Message]:
    """Yield ``message`` and all messages inside it; protobuf limits the nesting to a hundred."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if isinstance(value, Message) else value:
            yield from _messages(part)


def _check_tensor(path: Path, tensor: "TensorProto") -> None:
    entries = math.prod(tensor.dims)
    if tensor.external_data or tensor.data_location:
        size = _size_beside(path, {entry.key: entry.value for entry in tensor.external_data})
    else:
        typed = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data", "raw_data")
        size = max(len(getattr(tensor, name)) for name in typed)
    if min(tensor.dims, default=0) < 0 or entries > ENTRIES_PER_VALUE * size:
        raise WeightsError(
            f"{path}: its tensor {tensor.name[:80]!r} has the shape {tuple(tensor.dims)[:8]}, but too little data for "
            "it. The file is damaged; export it again."
        )


def _size_beside(path: Path, entries: dict[str, str]) -> int:
    """Return the size of a tensor's data in bytes. Raises WeightsError unless they are in a file next to ``path``."""
    name = entries.get("location", "")
    beside = path.parent / name
    if (
        name in ("", "..")
        or name != Path(name).name
        or any(mark in name for mark in '/\\:*"<>|\0')
        or beside.is_symlink()
    ):
        raise WeightsError(
            f"{path}: its weights are in {name[:200]!r}; expected a file in the same folder. Export it again."
        )
    if not beside.is_file():
        raise WeightsError(
            f"{path}: its weights file {name[:200]} is not in the same folder. Put it there, or export again."
        )
    offset, whole = (entries.get(key, "0") for key in ("offset", "length"))
    if not (offset.isdecimal() and whole.isdecimal()) or max(len(offset), len(whole)) > 18:
        raise WeightsError(
            f"{path} is damaged: it has weights at {offset[:40]!r}, {whole[:40]!r} bytes of {name}. Export it again."
        )
    length = int(whole) or beside.stat().st_size
    if int(offset) + int(whole) > beside.stat().st_size:
        raise WeightsError(
            f"{path}: its weights file {name} has only {beside.stat().st_size:,} bytes; it is damaged. Export it again."
        )
    return length


def check_openvino(path: Path) -> None:
    """Raise WeightsError if an OpenVINO file is not plain XML of a network, or weights are missing."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError(
            f"{path}: its weights file {weights.name} is not in the same folder. Put it there, or export again."
        )
    if path.stat().st_size > MAX_XML:
        raise WeightsError(
            f"{path} cannot be opened: it has more than {MAX_XML:,} bytes, unlike any export. Export it again."
        )
    content = path.read_bytes()
    if b"<!doctype" in content.lower() or b"<!entity" in content.lower() or b"\0" in content:
        raise WeightsError(
            f"{path} cannot be opened: it defines entities or is not UTF-8, unlike any export. Export it again."
        )
    network = _Network(path, weights.name, weights.stat().st_size)
    network.read(content)
    values = np.memmap(weights, np.uint8, "r") if network.size else np.zeros(0, np.uint8)
    check_shapes(path, network.layers, values)


class _Network:
    """Collects the layers of an OpenVINO file and their connections while it is parsed."""

    def __init__(self, path: Path, weights: str, size: int):
        self.path, self.weights, self.size, self.depth = path, weights, size, 0
        self.layers: dict[str, Layer] = {}
        self.layer: Layer | None = None
        self.edges: list[dict[str, str]] = []

    def read(self, content: bytes) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        try:
            parser.Parse(content, True)
            for edge in self.edges:
                self.layers[edge["to-layer"]].inputs[int(edge["to-port"])] = edge["from-layer"]
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise WeightsError(
                f"{self.path} cannot be opened: it is not a complete XML file ({error}). Export it again."
            ) from error

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.depth == 0 and name != "net":
            raise WeightsError(
                f"{self.path} cannot be opened: it is not an OpenVINO file (it begins with {name[:80]!r})."
            )
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise WeightsError(
                f"{self.path} cannot be opened: its elements are nested more than {MAX_DEPTH} deep, unlike any export."
            )
        if name.endswith("body"):
            raise WeightsError(
                f"{self.path}: it contains loops or branches, unlike any export of fullyconv. Export it again."
            )
        if name == "layer":
            if attributes["id"] in self.layers:
                raise ValueError(f"two layers have the number {attributes['id'][:20]!r}")
            self.layer = self.layers[attributes["id"]] = Layer(attributes["type"])
        elif name == "data" and self.layer is not None:
            self.layer.data |= attributes
        elif name == "edge":
            self.edges.append(attributes)
        if name == "data" and "offset" in attributes:
            offset, length = int(attributes["offset"]), int(attributes.get("size", ""))
            if min(offset, length) < 0 or offset + length > self.size:
                raise WeightsError(
                    f"{self.path}: its weights file {self.weights} has only {self.size:,} bytes; it belongs to another "
                    "network, or is damaged. Export it again."
                )

    def end(self, name: str) -> None:
        self.depth -= 1
