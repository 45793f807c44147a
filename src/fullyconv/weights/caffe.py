"""Read the weights in a ``.caffemodel``, by the names of the layers. Caffe is not needed.

Protobuf parses the messages, except for the numbers of a blob, which make a file large: those are read straight into
their tensor. The weights are thus in memory once, whatever the form of the file, and a length is trusted only if the
file has as many bytes.
"""

import math
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from google.protobuf.message import DecodeError
from torch import Tensor

from fullyconv.errors import WeightsError
from fullyconv.weights import caffe_schema as schema

MAX_FIELDS = 100_000
"""Most fields in one file, numbers not counted; the largest published networks have a tenth of it."""
MAX_HEADER = 1 << 16
"""Most bytes of a layer or of a blob, numbers not counted."""
MAX_AXES = 32
"""Caffe's own limit."""
CHUNK = 1 << 20

Layers = dict[str, list[Tensor]]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class CaffeNet(NamedTuple):
    """The content of a ``.caffemodel``.

    - ``layers``: the blobs of each layer that has any, float32, weight before bias.
    - ``data``: the parameters of the Python data layer, as text; empty if there is none.
    - ``order``: the names of all layers (their first 80 characters) in the order in which they run.
    """

    layers: Layers
    data: str
    order: list[str]


def read(path: Path) -> CaffeNet:
    """Read a file with layers of the new form or the old one (``V1LayerParameter``), and any form of blob.

    Raises WeightsError where the file is damaged, is of the oldest form (V0), or holds no weights.
    """
    with path.open("rb") as file:
        try:
            net = _read_net(_Wire(file, path.stat().st_size))
        except (_DamageError, DecodeError, UnicodeError, MemoryError) as error:
            raise WeightsError(f"{path} is no .caffemodel, or is damaged: {error}") from error
    if not net.layers:
        raise WeightsError(f"{path} holds no layer with weights: expected a .caffemodel, as Caffe writes it.")
    return net


class _DamageError(Exception):
    """The file's bytes are not those of a network."""


class _Field(NamedTuple):
    """Where a field is in the file. A run of fixed-size fields with one number is one _Field, tags included."""

    number: int
    wire: int
    tag: int
    start: int
    end: int


class _Wire:
    """A protobuf file, walked field by field without reading it into memory."""

    def __init__(self, file: BufferedReader, size: int):
        self.file, self.size, self.fields_left = file, size, MAX_FIELDS

    def read(self, start: int, end: int) -> bytes:
        self.file.seek(start)
        return self.file.read(end - start)

    def fields(self, start: int, end: int) -> Iterator[_Field]:
        """Yield the fields of the message in the bytes from ``start`` to ``end``."""
        while start < end:
            self.fields_left -= 1
            if self.fields_left < 0:
                raise _DamageError(f"more than {MAX_FIELDS} fields")
            head = self.read(start, min(end, start + 20))
            tag, used = _varint(head, 0)
            number, wire = tag >> 3, tag & 7
            if number == 0:
                raise _DamageError(f"no field begins at byte {start}")
            if wire == _VARINT:
                first = start + used
                last = start + _varint(head, used)[1]
            elif wire == _BYTES:
                length, used = _varint(head, used)
                first = start + used
                last = first + length
            elif wire in (_FIXED32, _FIXED64):
                first, last = start, self._end_of_run(start, end, head[:used], used + _width(wire))
            else:
                raise _DamageError(f"unknown wire type {wire} at byte {start}")
            if last > end:
                raise _DamageError(f"field {number} at byte {start} ends {last - end} bytes after its message")
            yield _Field(number, wire, start, first, last)
            start = last

    def _end_of_run(self, start: int, end: int, tag: bytes, unit: int) -> int:
        """Return the end of the run of units of one ``tag`` from ``start`` on; the first unit always counts."""
        expected, last, chunk = np.frombuffer(tag, np.uint8), start + unit, 1 << 12
        while last + unit <= end:
            units = _rows(self.read(last, min(end, last + chunk // unit * unit)), unit)
            same = (units[:, : len(tag)] == expected).all(1)
            run = len(same) if same.all() else int(same.argmin())
            last += run * unit
            if run < len(same) or not len(same):
                break
            chunk = min(2 * chunk, CHUNK)
        return last

    def numbers(self, segments: list[_Field], width: int, count: int) -> Tensor:
        """Read the ``count`` numbers of ``width`` bytes (4: float, 8: double) in ``segments`` as float32."""
        numbers = torch.empty(count)
        array, done = numbers.numpy(), 0
        for field in segments:
            unit = width + (0 if field.wire == _BYTES else 1)  # a field number below 16 has a tag of one byte
            if unit == array.itemsize:
                length = (field.end - field.start) // unit
                self.file.seek(field.start)
                if self.file.readinto(array[done : done + length].view(np.uint8).data) != length * unit:
                    raise _DamageError("it grew shorter while it was read")
                done += length
                continue
            step = CHUNK // unit * unit
            for start in range(field.start, field.end, step):
                rows = _rows(self.read(start, min(field.end, start + step)), unit)
                values = np.ascontiguousarray(rows[:, unit - width :]).view(f"<f{width}")[:, 0]
                with np.errstate(over="ignore", invalid="ignore"):
                    array[done : done + len(values)] = values
                done += len(values)
        return numbers


def _read_net(wire: _Wire) -> CaffeNet:
    layers: Layers = {}
    data, order = "", []
    new, old = schema.number("NetParameter", "layer"), schema.number("NetParameter", "layers")
    for field in wire.fields(0, wire.size):
        if field.wire != _BYTES or field.number not in (new, old):
            continue
        message = "LayerParameter" if field.number == new else "V1LayerParameter"
        header, blobs = _read_layer(wire, field, message)
        if message == "LayerParameter":
            data = data or str(header.python_param.param_str)
        order.append(header.name[:80])
        if blobs:
            name = header.name
            if not isinstance(name, str) or not name.isprintable():
                raise _DamageError(f"the layer at byte {field.tag} has a name that is not text")
            if not name or name in layers:
                raise _DamageError(f"two layers named {name[:80]!r} have weights" if name else "a layer has no name")
            layers[name] = blobs
    return CaffeNet(layers, data, order)


def _read_layer(wire: _Wire, layer: _Field, message: str) -> tuple[Any, list[Tensor]]:
    """Read a layer; return its message without the blobs, and the blobs."""
    blobs_number = schema.number(message, "blobs")
    header, blobs = bytearray(), []
    for field in wire.fields(layer.start, layer.end):
        if field.number == blobs_number and field.wire == _BYTES:
            blobs.append(_read_blob(wire, field))
        elif field.number in schema.numbers(message):
            _append(header, wire, field)
    parsed = getattr(schema, message).FromString(bytes(header))
    if message == "V1LayerParameter" and parsed.HasField("layer"):
        raise _DamageError("it has Caffe's oldest form (V0); upgrade it with Caffe's upgrade_net_proto_binary")
    return parsed, blobs


def _read_blob(wire: _Wire, blob: _Field) -> Tensor:
    header = bytearray()
    found: dict[str, list[_Field]] = {"data": [], "double_data": []}
    numbers = {schema.number("BlobProto", name): name for name in found}
    gradients = [schema.number("BlobProto", name) for name in ("diff", "double_diff")]
    for field in wire.fields(blob.start, blob.end):
        if field.number in numbers:
            found[numbers[field.number]].append(field)
        elif field.number in schema.numbers("BlobProto") and field.number not in gradients:
            _append(header, wire, field)
    parsed = schema.BlobProto.FromString(bytes(header))
    segments, width = (found["double_data"], 8) if found["double_data"] else (found["data"], 4)
    count = sum(_count(field, width) for field in segments)
    legacy = [parsed.HasField(side) for side in ("num", "channels", "height", "width")]
    shape = [parsed.num, parsed.channels, parsed.height, parsed.width] if any(legacy) else list(parsed.shape.dim)
    if len(shape) > MAX_AXES or any(side < 1 for side in shape) or math.prod(shape) != count:
        raise _DamageError(f"a blob of shape {tuple(shape[:8])} has {count} numbers")
    return wire.numbers(segments, width, count).view(shape)


def _count(field: _Field, width: int) -> int:
    """Return how many numbers of ``width`` bytes a data field holds."""
    unit = {_BYTES: width, _FIXED32: 5, _FIXED64: 9}.get(field.wire)
    length = field.end - field.start
    if unit is None or unit - width not in (0, 1) or length % unit:
        raise _DamageError(f"the numbers at byte {field.tag} do not have {width} bytes each")
    return length // unit


def _append(header: bytearray, wire: _Wire, field: _Field) -> None:
    if len(header) + field.end - field.tag > MAX_HEADER:
        raise _DamageError(f"field {field.number} at byte {field.tag} has {field.end - field.tag} bytes")
    header += wire.read(field.tag, field.end)


def _varint(buffer: bytes, start: int) -> tuple[int, int]:
    """Read a variable-length number at ``start``; return it and where it ends."""
    number = 0
    for position in range(start, min(start + 10, len(buffer))):
        number |= (buffer[position] & 0x7F) << 7 * (position - start)
        if buffer[position] < 0x80:
            return number, position + 1
    raise _DamageError("it ends within a number" if len(buffer) < start + 10 else "a number is too long")


def _width(wire: int) -> int:
    return 4 if wire == _FIXED32 else 8


def _rows(buffer: bytes, unit: int) -> np.ndarray:
    return np.frombuffer(buffer, np.uint8, len(buffer) // unit * unit).reshape(-1, unit)
