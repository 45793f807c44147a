"""Whatever form Caffe wrote it in, a blob has the numbers and the shape that went in; a damaged file is refused."""

import struct
import time
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fullyconv.errors import WeightsError
from fullyconv.weights import caffe
from fullyconv.weights.caffe_schema import BlobProto, NetParameter
from tests.caffe import nets
from tests.caffe.model import _bytes, _tag, _text, _varint, blob, caffemodel

NET = nets.vgg16(8, 3, thin=64)
WEIGHTS = nets.random_weights(NET)


@pytest.fixture
def read(tmp_path):
    def read(content: bytes) -> caffe.CaffeNet:
        path = tmp_path / "net.caffemodel"
        path.write_bytes(content)
        return caffe.read(path)

    return read


def layer(name: str, *blobs: bytes) -> bytes:
    return _bytes(100, _text(1, name) + b"".join(_bytes(7, content) for content in blobs))


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_every_form_of_blob_holds_the_same_numbers(read, old, packed, legacy, double):
    small = nets.alexnet_classifier(thin=64, classes=2)
    weights = nets.random_weights(small)
    content = caffemodel(small, weights, old=old, packed=packed, legacy=legacy, double=double)
    layers = read(content).layers
    assert list(layers) == list(weights)
    for name, expected in weights.items():
        for found, array in zip(layers[name], expected, strict=True):
            assert found.dtype == torch.float32
            assert list(found.shape) == [1] * (4 - array.ndim) * legacy + list(array.shape)
            np.testing.assert_array_equal(found.numpy().reshape(array.shape), array)


def test_protobuf_s_own_reading_of_the_file_is_the_same(read):
    content = caffemodel(NET, WEIGHTS)
    layers = read(content).layers
    parsed = {layer.name: layer.blobs for layer in NetParameter.FromString(content).layer if layer.blobs}
    assert list(layers) == list(parsed)
    for name, blobs in parsed.items():
        assert [tensor.flatten().tolist() for tensor in layers[name]] == [list(blob.data) for blob in blobs]


def test_gradients_and_unknown_fields_are_skipped(read):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    message = BlobProto.FromString(blob(values))
    message.diff.extend([9.0] * 6)
    unpacked = b"".join(_tag(6, 5) + struct.pack("<f", 9.0) for _ in range(5000))
    unknown = _tag(77, 0) + _varint(2**63) + _bytes(200, b"\xff" * 500) + _tag(78, 1) + bytes(8)
    layers = read(unknown + layer("fc", message.SerializeToString() + unpacked + unknown)).layers
    np.testing.assert_array_equal(layers["fc"][0].numpy(), values)


def test_numbers_in_several_runs_are_one_blob(read):
    """Protobuf lets a writer split a packed field, and mix it with single numbers, more of them than fields may be."""
    values = np.arange(150_000, dtype=np.float32)
    whole = _bytes(5, values[:700].tobytes())
    singles = b"".join(_tag(5, 5) + struct.pack("<f", value) for value in values[700:149_000])
    rest = _bytes(5, values[149_000:].tobytes())
    shape = _bytes(7, _bytes(1, _varint(150_000)))
    np.testing.assert_array_equal(read(layer("fc", whole + shape + singles + rest)).layers["fc"][0].numpy(), values)


def test_the_data_layer_tells_what_the_network_saw(read):
    python = _bytes(100, _text(1, "data") + _text(2, "Python") + _bytes(130, _text(3, "{'tops': ['hha', 'label']}")))
    assert read(python + layer("fc", blob(np.ones(2)))).data == "{'tops': ['hha', 'label']}"


ONE = np.ones(4, np.float32)
VALUES = _bytes(5, ONE.tobytes())


def shaped(*sides: int) -> bytes:
    return _bytes(7, _bytes(1, b"".join(_varint(side) for side in sides)))


HOSTILE = {
    "nothing": (b"", "no layer with weights"),
    "a prototxt": (b'name: "VGG"\nlayer {\n', "is no .caffemodel, or is damaged"),
    "more bytes declared than there are": (_tag(100, 2) + _varint(2**40) + b"x", "after its message"),
    "a varint without end": (b"\xff" * 40, "a number is too long"),
    "a shape larger than its numbers": (layer("fc", shaped(2**31, 2**31) + VALUES), "has 4 numbers"),
    "a negative side": (layer("fc", shaped(2**64 - 4) + VALUES), "has 4 numbers"),
    "an empty side": (layer("fc", shaped(2**40, 0)), "has 0 numbers"),
    "too many sides": (layer("fc", shaped(*[1] * 33) + _bytes(5, bytes(4))), "has 1 numbers"),
    "half a number": (layer("fc", shaped(1) + _bytes(5, b"123")), "do not have 4 bytes each"),
    "two layers of one name": (layer("fc", blob(ONE)) * 2, "two layers named 'fc'"),
    "no name": (layer("", blob(ONE)), "no name"),
    "a name that is no text": (_bytes(100, _bytes(1, b"\xff\xfe") + _bytes(7, blob(ONE))), "not text"),
    "a huge name": (layer("x" * (1 << 17), blob(ONE)), "field 1"),
    "fields without end": ((_tag(9, 0) + b"\0") * 200_000, "more than 100000 fields"),
    "a group": (_tag(9, 3) * 1000, "wire type 3"),
    "nesting without end": (reduce(lambda inner, _: _bytes(100, inner), range(999), b""), "no layer"),
    "Caffe's oldest form": (_bytes(2, _bytes(1, _text(1, "conv1"))), "oldest form"),
}  # fmt: skip


@pytest.mark.parametrize("content", list(HOSTILE))
def test_a_hostile_file_is_refused_in_words_and_at_once(read, content):
    start = time.perf_counter()
    with pytest.raises(WeightsError, match=HOSTILE[content][1]):
        read(HOSTILE[content][0])
    assert time.perf_counter() - start < 2


@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    small = nets.vgg16(32, 1, thin=64)
    forms = data.draw(st.fixed_dictionaries({name: st.booleans() for name in ("legacy", "double")}))
    content = bytearray(caffemodel(small, nets.random_weights(small), **forms))
    content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 4)) if content else 0):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "net.caffemodel"
    path.write_bytes(content)
    try:
        found = bool(caffe.read(path).layers)
    except WeightsError as error:
        found = str(path) in str(error)
    assert found
