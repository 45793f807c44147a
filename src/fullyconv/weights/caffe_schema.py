"""The part of Caffe's file format that holds weights: networks, layers and blobs, as protobuf messages.

Field numbers and types are those of Caffe's ``caffe.proto``; all other fields of a file are skipped.
"""

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

_PACKAGE = "fullyconv.caffe"

# message → field → (number, type, repeated); repeated numbers are packed, as in Caffe
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "BlobShape": {"dim": (1, "int64", True)},
    "BlobProto": {
        "num": (1, "int32", False),
        "channels": (2, "int32", False),
        "height": (3, "int32", False),
        "width": (4, "int32", False),
        "data": (5, "float", True),
        "diff": (6, "float", True),
        "shape": (7, "BlobShape", False),
        "double_data": (8, "double", True),
        "double_diff": (9, "double", True),
    },
    "PythonParameter": {"param_str": (3, "string", False)},
    "LayerParameter": {
        "name": (1, "string", False),
        "type": (2, "string", False),
        "bottom": (3, "string", True),
        "top": (4, "string", True),
        "blobs": (7, "BlobProto", True),
        "python_param": (130, "PythonParameter", False),
    },
    "V1LayerParameter": {
        "layer": (1, "bytes", False),
        "bottom": (2, "string", True),
        "top": (3, "string", True),
        "name": (4, "string", False),
        "type": (5, "int32", False),
        "blobs": (6, "BlobProto", True),
    },
    "NetParameter": {
        "name": (1, "string", False),
        "layers": (2, "V1LayerParameter", True),
        "layer": (100, "LayerParameter", True),
    },
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="fullyconv/caffe.proto", package=_PACKAGE, syntax="proto2")
    for message, fields in _MESSAGES.items():
        descriptor = DescriptorProto(name=message)
        for name, (number, kind, repeated) in fields.items():
            field = descriptor.field.add(name=name, number=number)
            field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
            if kind in _MESSAGES:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
                field.options.packed = repeated and kind in ("int64", "float", "double")
        file.message_type.append(descriptor)
    return file


_classes = message_factory.GetMessages([_file()], pool=descriptor_pool.DescriptorPool())

BlobProto = _classes[f"{_PACKAGE}.BlobProto"]
LayerParameter = _classes[f"{_PACKAGE}.LayerParameter"]
V1LayerParameter = _classes[f"{_PACKAGE}.V1LayerParameter"]
"""A layer of the form before 2014-11, in which ``type`` is a number; ``layer`` is set only in the still older V0."""
NetParameter = _classes[f"{_PACKAGE}.NetParameter"]


def number(message: str, field: str) -> int:
    """Return the number of a message's field."""
    return _MESSAGES[message][field][0]


def numbers(message: str) -> frozenset[int]:
    """Return the numbers of a message's fields that are known here."""
    return frozenset(number for number, _, _ in _MESSAGES[message].values())
