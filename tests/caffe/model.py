"""A network as Caffe describes it, written as a prototxt (text) and as a caffemodel (protobuf's wire format, by hand).

The field numbers are caffe.proto's. Nothing here comes from fullyconv, so that a reader of caffemodels can be tested
against it; OpenCV, which reads both files, vouches for the writer.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Weights = Mapping[str, Sequence[np.ndarray]]
"""A layer's blobs by its name: weights, then biases."""

V1_TYPES = {
    "Concat": 3,
    "Convolution": 4,
    "Deconvolution": 39,
    "Dropout": 6,
    "Eltwise": 25,
    "InnerProduct": 14,
    "LRN": 15,
    "Pooling": 17,
    "ReLU": 18,
    "Softmax": 20,
}
"""V1LayerParameter.LayerType: the layers that there were before Caffe's types became strings."""


class Layer(NamedTuple):
    """``shapes``: of the blobs. ``options``: message → field → value, as in a prototxt."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    top: str
    options: dict[str, dict[str, Any]]
    shapes: tuple[tuple[int, ...], ...]


class Net:
    """A network that is written layer by layer; every method returns the name of the blob that it makes."""

    def __init__(self, name: str, **inputs: int):
        """``inputs``: the channels of each."""
        self.name, self.inputs = name, inputs
        self.layers: list[Layer] = []
        self.channels = dict(inputs)

    def add(
        self,
        type: str,
        name: str,
        *bottoms: str,
        top: str | None = None,
        channels: int | None = None,
        shapes: Sequence[tuple[int, ...]] = (),
        **options: dict[str, Any],
    ) -> str:
        top = top or name
        self.layers.append(Layer(name, type, bottoms, top, options, tuple(shapes)))
        self.channels[top] = channels or self.channels[bottoms[0]]
        return top

    def convolution(
        self, name: str, bottom: str, outputs: int, kernel: int, *, stride: int = 1, pad: int = 0, group: int = 1
    ) -> str:
        return self.add(
            "Convolution",
            name,
            bottom,
            channels=outputs,
            shapes=[(outputs, self.channels[bottom] // group, kernel, kernel), (outputs,)],
            convolution_param={
                "num_output": outputs,
                "pad": pad,
                "kernel_size": kernel,
                "group": group,
                "stride": stride,
            },
        )

    def relu(self, name: str, bottom: str) -> str:
        return self.add("ReLU", name, bottom, top=bottom)

    def dropout(self, name: str, bottom: str) -> str:
        return self.add("Dropout", name, bottom, top=bottom, dropout_param={"dropout_ratio": 0.5})

    def max_pool(self, name: str, bottom: str, kernel: int, stride: int, pad: int = 0) -> str:
        options = {"pool": "MAX", "kernel_size": kernel, "stride": stride, "pad": pad}
        return self.add("Pooling", name, bottom, pooling_param=options)

    def lrn(self, name: str, bottom: str) -> str:
        return self.add("LRN", name, bottom, lrn_param={"local_size": 5, "alpha": 0.0001, "beta": 0.75})

    def scale(self, name: str, bottom: str, value: float) -> str:
        channels = self.channels[bottom]
        filler = {"type": '"constant"', "value": value}
        return self.add("Scale", name, bottom, shapes=[(channels,)], scale_param={"filler": filler})

    def concat(self, name: str, *bottoms: str) -> str:
        return self.add("Concat", name, *bottoms, channels=sum(self.channels[bottom] for bottom in bottoms))

    def sum(self, name: str, *bottoms: str, coefficients: Sequence[float] = ()) -> str:
        return self.add("Eltwise", name, *bottoms, eltwise_param={"operation": "SUM", "coeff": list(coefficients)})

    def deconvolution(self, name: str, bottom: str, kernel: int, stride: int, *, grouped: bool = False) -> str:
        """Class by class, if ``grouped``; else from all classes to all, which is how the release stores it."""
        channels = self.channels[bottom]
        group = channels if grouped else 1
        return self.add(
            "Deconvolution",
            name,
            bottom,
            shapes=[(channels, channels // group, kernel, kernel)],
            convolution_param={
                "num_output": channels,
                "bias_term": "false",
                "kernel_size": kernel,
                "group": group,
                "stride": stride,
            },
        )

    def crop(self, name: str, bottom: str, like: str, offset: int) -> str:
        return self.add("Crop", name, bottom, like, crop_param={"axis": 2, "offset": offset})

    def inner_product(self, name: str, bottom: str, outputs: int, inputs: int) -> str:
        options = {"num_output": outputs}
        return self.add(
            "InnerProduct",
            name,
            bottom,
            channels=outputs,
            shapes=[(outputs, inputs), (outputs,)],
            inner_product_param=options,
        )


def prototxt(net: Net) -> str:
    """The network's deploy file; its inputs have no size."""
    lines = [f'name: "{net.name}"', *(f'input: "{name}"' for name in net.inputs)]
    for layer in net.layers:
        lines += ["layer {", f'  name: "{layer.name}"', f'  type: "{layer.type}"']
        lines += [f'  bottom: "{bottom}"' for bottom in layer.bottoms]
        lines += [f'  top: "{layer.top}"', *_fields(layer.options, "  "), "}"]
    return "\n".join(lines) + "\n"


def _fields(message: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for name, value in message.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name} {{", *_fields(value, indent + "  "), indent + "}"]
        else:
            lines += [f"{indent}{name}: {one}" for one in (value if isinstance(value, list) else [value])]
    return lines


def caffemodel(
    net: Net, weights: Weights, *, old: bool = False, packed: bool = True, legacy: bool = False, double: bool = False
) -> bytes:
    """The network's weights.

    ``old``: V1LayerParameter, before types were strings. ``packed``: values in one run, else each with a tag of its
    own. ``legacy``: shapes as num, channels, height and width, filled up with ones from the left. ``double``: 64-bit.
    """
    message = _text(1, net.name)
    parts = [message]
    for layer in net.layers:
        blobs = [blob(array, packed, legacy, double) for array in weights.get(layer.name, ())]
        if old:
            head = b"".join(_text(2, bottom) for bottom in layer.bottoms) + _text(3, layer.top) + _text(4, layer.name)
            head += _tag(5, 0) + _varint(V1_TYPES[layer.type])
        else:
            head = _text(1, layer.name) + _text(2, layer.type)
            head += b"".join(_text(3, bottom) for bottom in layer.bottoms) + _text(4, layer.top)
        body = b"".join([head, *(_bytes(6 if old else 7, data) for data in blobs)])
        parts.append(_bytes(2 if old else 100, body))
    return b"".join(parts)


def blob(array: np.ndarray, packed: bool = True, legacy: bool = False, double: bool = False) -> bytes:
    """A BlobProto."""
    if legacy:
        sides = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(_tag(field, 0) + _varint(side) for field, side in enumerate(sides, 1))
    else:
        shape = _bytes(7, _bytes(1, b"".join(_varint(side) for side in array.shape)))
    field, wire_type = (8, 1) if double else (5, 5)
    data = np.ascontiguousarray(array, "<f8" if double else "<f4")
    if packed:
        return b"".join([shape, _bytes(field, data.tobytes())])
    code = "<d" if double else "<f"
    return shape + b"".join(_tag(field, wire_type) + struct.pack(code, value) for value in data.flat)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _tag(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _bytes(field: int, content: bytes) -> bytes:
    return b"".join([_tag(field, 2), _varint(len(content)), content])


def _text(field: int, content: str) -> bytes:
    return _bytes(field, content.encode())
