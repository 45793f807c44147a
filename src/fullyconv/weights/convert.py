"""Convert published weights, of Caffe, pytorch-fcn, torchvision or Keras, to a network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fullyconv.channels import Inputs
from fullyconv.classes import MAX_CLASSES, VOC_CLASSES, numbered
from fullyconv.data.published import nyud, siftflow
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model import fcn
from fullyconv.model.backbones import Padding
from fullyconv.model.backbones import release as trunks
from fullyconv.palettes import Colour, voc_palette
from fullyconv.weights import caffe, foreign, keras, pytorch_fcn, release
from fullyconv.weights import torchvision as torchvision_weights
from fullyconv.weights.tensors import is_safetensors, is_torch, read_tensors

TORCHVISION = "torchvision"
"""The source whose weights are downloaded."""
FILES = ".caffemodel, .pth, .safetensors or .h5 file"
"""What can be converted, for messages."""
_IN_KERAS = "A .keras file is a zip archive: unpack it, and convert the model.weights.h5 that it holds."


class DataSet(NamedTuple):
    """A data set that the release trained on; ``mean`` is that of the images' channels, in our order, in 0..255."""

    classes: Sequence[str]
    palette: Sequence[Colour] | None
    mean: tuple[float, ...]


# fmt: off
_CONTEXT = [
    "bag", "bed", "bench", "book", "building", "cabinet", "ceiling", "clothes", "computer", "cup", "door", "fence",
    "floor", "flower", "food", "grass", "ground", "keyboard", "light", "mountain", "mouse", "curtain", "platform",
    "sign", "plate", "road", "rock", "shelves", "sidewalk", "sky", "snow", "bedcloth", "track", "tree", "truck",
    "wall", "water", "window", "wood",
]
# fmt: on
_NYUD_COLOR = (92.318, 97.203, 116.19)
VOC = DataSet(VOC_CLASSES, voc_palette(len(VOC_CLASSES)), trunks.MEAN)
CONTEXT = DataSet([*VOC_CLASSES, *_CONTEXT], voc_palette(len(VOC_CLASSES) + len(_CONTEXT)), trunks.MEAN)
SIFT_FLOW = DataSet([*siftflow.SEMANTIC, *siftflow.GEOMETRIC], None, (108.353, 115.294, 114.578))


def convert(
    source: str,
    name: str,
    *,
    padding: Padding | None = None,
    classes: int | None = None,
    say: Callable[[str], None] = print,
) -> fcn.FCN:
    """Return the network ``name`` with the weights of ``source``, in evaluation mode.

    - ``source``: a ``.caffemodel``, ``.pth``, ``.safetensors`` or Keras' ``.h5`` file, recognized by its content, or
      "torchvision".
    - ``padding``: of the paper's networks, "paper" (None means this) or "same".
    - ``classes``: how many to score where the source is a classifier (None: PASCAL VOC's 21); scores start at zero.
    - ``say``: called with a message where layers of the trunk are not in the source and start at random.

    Raises WeightsError where the weights cannot be read or are not those of ``name``, ConfigError for ``name``.
    """
    if source == TORCHVISION:
        fetched = torchvision_weights.fetch(name)
        return torchvision_weights.convert(fetched, name, padding=padding, classes=classes)
    path = Path(source)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "no such file"
        raise WeightsError(f"{source}: {found}. Expected a {FILES}, or the word {TORCHVISION}.")
    if keras.is_hdf5(path) or path.suffix.lower() == ".h5":
        _check_name(name, source)
        trunk = keras.read(path)
        missing = [layer for layer in keras.FULLY_CONNECTED if layer not in trunk]
        converted = _from_layers(trunk, name, source, padding, classes, missing=missing)
        if missing:
            say(f"{source} holds no fully connected layers: {' and '.join(missing)} start at random.")
        return converted
    other = foreign.kind(path)
    if other and path.suffix.lower() not in foreign.CONVERTIBLE and not is_torch(path):
        raise WeightsError(
            f"{source} is {other}, which cannot be converted. Expected a {FILES}, or the word {TORCHVISION}. "
            + (_IN_KERAS if path.suffix.lower() == ".keras" else "Perhaps its authors also publish it as one of these.")
        )
    if not (is_torch(path) or is_safetensors(path)):
        _check_name(name, source)
        net = caffe.read(path)
        release.refuse_alexnet_order(net.order, name, source)
        return _from_layers(net.layers, name, source, padding, classes, data=net.data)
    tensors: dict[str, Tensor] = read_tensors(path)
    if torchvision_weights.looks_like(tensors):
        return torchvision_weights.convert(tensors, name, source, padding=padding, classes=classes)
    if not pytorch_fcn.looks_like(tensors):
        first = next(iter(tensors), "nothing")
        raise WeightsError(
            f"{source}: expected a state dict of pytorch-fcn or torchvision, found one whose first tensor is "
            f"{first[:80]!r}. Weights that fullyconv saved need no conversion."
        )
    _check_name(name, source)
    return _from_layers(pytorch_fcn.layers(tensors, name), name, source, padding, classes)


def _check_name(name: str, source: str) -> None:
    if trunks.trunk_of(name) is None:
        raise ConfigError(
            f"--model {name}: expected fcn32s, fcn16s or fcn8s on one of the paper's networks "
            f"({', '.join(trunks.NAMES)}), whose layers {source} holds."
        )


def _from_layers(
    layers: caffe.Layers,
    name: str,
    source: str,
    padding: Padding | None,
    classes: int | None,
    data: str | None = None,
    missing: Sequence[str] = (),
) -> fcn.FCN:
    """Build the network ``name`` from layers named as in the release.

    ``data`` is the parameters of a Caffe network's data layer; None means that the source is not Caffe's. Layers that
    are ``missing`` start at random, the same each time.
    """
    counts = release.score_counts(layers)
    count = sum(counts.values()) or classes or len(VOC_CLASSES)
    if classes not in (None, count):
        raise ConfigError(f"--classes {classes}: {source} holds scores of {count} classes; leave the option out.")
    if count > MAX_CLASSES:
        raise WeightsError(f"{source} holds scores of {count} classes; at most {MAX_CLASSES} are possible.")
    heads = counts if len(counts) > 1 else None
    channels = 6 if trunks.trunk_of(name) == trunks.LATE_FUSION else release.input_channels(layers)
    inputs = _inputs(channels, data)
    net = release.skeleton(name, count, channels)
    fitted = release.fit(net, layers, source, heads=heads, color=inputs != "hha", missing=missing)
    known = _data_set(count, inputs, heads is not None) if data is not None or count == len(VOC_CLASSES) else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = fcn.build(
            name,
            known.classes if known else numbered(count),
            known.palette if known else None,
            in_channels=channels,
            inputs=inputs,
            padding=padding,
            upsample=release.upsampling(layers, name, source),
            mean=known.mean if known and len(known.mean) == channels else None,
            heads=heads,
        )
    net.load_state_dict(fitted, strict=False)  # the scores of a classifier, a mean and fixed scales are not among them
    return net.eval()


def _inputs(channels: int, data: str | None) -> Inputs:
    """Return what the channels of a release network's images are; ``data`` is that of ``_from_layers``."""
    if channels == 3 and data is not None and "hha" in data and "color" not in data:
        return "hha"
    return "rgb+depth" if channels == 4 else "rgb+hha" if channels == 6 else "image"


def _data_set(count: int, inputs: Inputs, heads: bool) -> DataSet | None:
    """Return the release's data set with ``count`` classes, if there is one."""
    if heads:
        return SIFT_FLOW if count == len(SIFT_FLOW.classes) else None
    if count == len(nyud.CLASSES):
        mean = trunks.MEAN_HHA if inputs == "hha" else _NYUD_COLOR + trunks.DEPTHS.get(inputs, ((), ()))[0]
        return DataSet(nyud.CLASSES, None, mean)
    return next((known for known in (VOC, CONTEXT) if count == len(known.classes)), None)
