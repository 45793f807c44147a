"""Read the trunk of VGG-16 from an HDF5 file that Keras wrote. Keras is not needed; h5py is (extra ``keras``).

Keras has several layouts: ``.weights.h5`` (Keras 3), weights and whole models in ``.h5`` (Keras 1 and 2). All name the
convolutions ``block1_conv1`` to ``block5_conv3`` and the fully connected layers ``fc1`` and ``fc2``, as
keras.applications does, and differ only in the groups around them. Other networks on this trunk, such as HED's, are
read as well; their other layers are left out, as is an optimizer's state.

A small file cannot grow in memory: only layers of the trunk are read, in their own shapes, uncompressed, and from the
file itself, never through links to others.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fullyconv.errors import WeightsError, first_line
from fullyconv.extras import require
from fullyconv.model.backbones.paper import VGG16
from fullyconv.weights.caffe import Layers

if TYPE_CHECKING:
    import h5py

FULLY_CONNECTED = ("fc6", "fc7")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CONVOLUTION = re.compile(r"block(\d)_conv(\d)")
_OPTIMIZER = ("optimizer", "optimizer_weights")


def is_hdf5(path: Path) -> bool:
    """Whether the file starts like one of HDF5."""
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def read(path: Path) -> Layers:
    """Return the trunk's layers under the names, and in the shapes, that they have in the paper's release.

    Their images are Caffe's: blue, green, red, less the mean. ``FULLY_CONNECTED`` are left out where the file has none
    ("notop"). Raises ConfigError without h5py; WeightsError where the file is damaged, or a layer of the trunk is
    missing or has another shape.
    """
    h5py = require("h5py", "keras", "reads Keras' .h5 files")
    try:
        with h5py.File(path, "r") as file:
            return _trunk(_datasets(file, path), path)
    except WeightsError:
        raise
    except Exception as error:  # h5py raises almost any kind for damaged files
        raise WeightsError(f"{path} cannot be read as HDF5, or is damaged: {first_line(error)}") from error


def _datasets(file: "h5py.File", path: Path) -> "dict[str, h5py.Dataset]":
    """Find the trunk's tensors, by the names that the release gives their layers and ``weight`` or ``bias``.

    A dataset belongs to the innermost group that is named after a layer, or to the layer that its group's attribute
    ``name`` says.
    """
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: object) -> None:
        groups = name.split("/")[:-1]
        if not isinstance(item, h5py.Dataset) or (groups and groups[0] in _OPTIMIZER):
            return
        said = item.parent.attrs.get("name")
        layers = map(_released, [said if isinstance(said, str) else "", *reversed(groups)])
        if layer := next(filter(None, layers), None):
            tensor = f"{layer}.{'bias' if item.ndim == 1 else 'weight'}"
            if tensor in found:
                raise WeightsError(
                    f"{path} holds two layers of one name, {found[tensor].name[:80]} and {item.name[:80]}; expected "
                    "one VGG-16."
                )
            found[tensor] = item

    file.visititems(visit)
    return found


def _released(name: str) -> str | None:
    """Return the name that the release gives to Keras' layer ``name``; None: it is no layer of the trunk."""
    if match := _CONVOLUTION.fullmatch(name):
        return f"conv{match[1]}_{match[2]}"
    return {"fc1": "fc6", "fc2": "fc7"}.get(name)


def _trunk(found: "dict[str, h5py.Dataset]", path: Path) -> Layers:
    with torch.device("meta"):
        trunk = VGG16().state_dict()
    layers: Layers = {}
    notop = not any(tensor.startswith(FULLY_CONNECTED) for tensor in found)
    for tensor, own in trunk.items():
        layer = tensor.partition(".")[0]
        if not (notop and layer in FULLY_CONNECTED):
            layers.setdefault(layer, []).append(_tensor(found.get(tensor), tensor, own, path))
    return layers


def _tensor(dataset: "h5py.Dataset | None", name: str, own: Tensor, path: Path) -> Tensor:
    """Read a tensor in the shape of ``own``. Keras has inputs before outputs, and channels last."""
    outputs, *inputs = own.shape
    inner = (*inputs[1:], *inputs[:1])  # height, width, channels
    flat = name.startswith(FULLY_CONNECTED)
    shape = (outputs,) if not inputs else (own[0].numel(), outputs) if flat else (*inner, outputs)
    layer = _keras(name)
    if dataset is None:
        raise WeightsError(f"{path}: {layer} is missing; a VGG-16 of Keras has it, of shape {shape}.")
    if dataset.shape != shape:
        raise WeightsError(
            f"{path}: {layer} has shape {dataset.shape}, expected {shape}"
            + (" (height, width, inputs, outputs: kernels of TensorFlow, not of Theano)." if len(shape) == 4 else ".")
        )
    stored = dataset.id.get_create_plist()
    if dataset.dtype.kind != "f" or dataset.is_virtual or stored.get_external_count() or stored.get_nfilters():
        raise WeightsError(f"{path}: {layer} is not stored as plain floating-point numbers, as Keras stores them.")
    numbers = torch.from_numpy(dataset[()].astype("float32", copy=False))
    return numbers.view(*inner, outputs).movedim((-1, -2), (0, 1)) if inputs else numbers


def _keras(name: str) -> str:
    """Return how Keras names one of the trunk's tensors, for messages."""
    layer, kind = name.split(".")
    if layer in FULLY_CONNECTED:
        return f"{kind} of fc{int(layer[-1]) - 5}"
    return f"{kind} of block{layer[4]}_{layer[:4]}{layer[-1]}"
