"""What ONNX and OpenVINO files may be, judged before a runtime opens them."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

import numpy as np
from google.protobuf.message import Message

from fullyconv.errors import WeightsError
from fullyconv.extras import require
from fullyconv.inference.constants import Layer, check_shapes

if TYPE_CHECKING:
    from onnx import TensorProto

MAX_XML = 64 * 2**20
"""Bytes of an .xml file, which holds no weights; those of large networks have one million."""
MAX_DEPTH = 64
"""Elements of an .xml file within each other; an export has about eight."""
ENTRIES_A_VALUE = 2
"""A value of a tensor's data is at most two of its entries, where these have four bits."""


def check_onnx(path: Path) -> None:
    """Raises WeightsError where an ONNX file reads other files than one beside it, or claims tensors it does not hold.

    What is no ONNX file at all is left to the runtime to refuse.
    """
    onnx = require("onnx", "export")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # protobuf's errors, which say nothing
        raise WeightsError(f"{path} cannot be opened: it is no ONNX file, or a damaged one.") from error
    for part in _messages(model):
        if isinstance(part, onnx.SparseTensorProto):
            raise WeightsError(f"{path}: it holds sparse tensors, which no export of fullyconv does: export it anew.")
        if isinstance(part, onnx.TensorProto):
            _check_tensor(path, part)


def _messages(message: Message) -> Iterator[Message]:
    """``message`` and all within it; protobuf reads no more than a hundred within each other."""
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
    if min(tensor.dims, default=0) < 0 or entries > ENTRIES_A_VALUE * size:
        raise WeightsError(
            f"{path}: its tensor {tensor.name[:80]!r} has the shape {tuple(tensor.dims)[:8]}, but no data for it: the "
            "file is damaged, so export it anew."
        )


def _size_beside(path: Path, entries: dict[str, str]) -> int:
    """The bytes of a tensor in a file beside ``path``, which is the only other file that may be read."""
    name = entries.get("location", "")
    beside = path.parent / name
    if (
        name in ("", "..")
        or name != Path(name).name
        or any(mark in name for mark in '/\\:*"<>|\0')
        or beside.is_symlink()
    ):
        raise WeightsError(
            f"{path}: its weights are to be read from {name[:200]!r}; a file beside it is expected, so export it anew."
        )
    if not beside.is_file():
        raise WeightsError(f"{path}: its weights, {name[:200]}, are not beside it.")
    offset, whole = (entries.get(key, "0") for key in ("offset", "length"))
    if not (offset.isdecimal() and whole.isdecimal()) or max(len(offset), len(whole)) > 18:
        raise WeightsError(f"{path}: it is damaged: weights are at {offset[:40]!r}, {whole[:40]!r} bytes of {name}.")
    length = int(whole) or beside.stat().st_size
    if int(offset) + int(whole) > beside.stat().st_size:
        raise WeightsError(f"{path}: its weights, {name}, are {beside.stat().st_size:,} bytes, fewer than it needs.")
    return length


def check_openvino(path: Path) -> None:
    """Raises WeightsError where an OpenVINO file is no plain XML of a network, or its weights are not all beside it."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError(f"{path}: its weights, {weights.name}, are not beside it.")
    if path.stat().st_size > MAX_XML:
        raise WeightsError(f"{path} cannot be opened: it is larger than the {MAX_XML:,} bytes that are read.")
    content = path.read_bytes()
    if b"<!doctype" in content.lower() or b"<!entity" in content.lower() or b"\0" in content:
        raise WeightsError(f"{path} cannot be opened: it defines entities, or is no UTF-8, unlike any export.")
    network = _Network(path, weights.name, weights.stat().st_size)
    network.read(content)
    values = np.memmap(weights, np.uint8, "r") if network.size else np.zeros(0, np.uint8)
    check_shapes(path, network.layers, values)


class _Network:
    """The elements of an OpenVINO file as they are read; kept is what its layers are, and which need which."""

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
            raise WeightsError(f"{self.path} cannot be opened: it is no whole XML file ({error}).") from error

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.depth == 0 and name != "net":
            raise WeightsError(f"{self.path} cannot be opened: it is no OpenVINO file (it begins with {name[:80]!r}).")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise WeightsError(f"{self.path} cannot be opened: its elements are nested more than {MAX_DEPTH} deep.")
        if name.endswith("body"):
            raise WeightsError(f"{self.path}: it holds loops or branches, which no export of fullyconv does.")
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
                    f"{self.path}: its weights, {self.weights}, have {self.size:,} bytes, fewer than it needs: they "
                    "are of another network, or damaged."
                )

    def end(self, name: str) -> None:
        self.depth -= 1
