"""Untrained networks by name, for commands whose MODEL may be a name, a path or a hub id."""

from pathlib import Path
from typing import cast

from fullyconv.classes import VOC_CLASSES
from fullyconv.model import fcn
from fullyconv.model.backbones import Padding, release

ENDINGS = (".safetensors", ".onnx", ".xml", ".pt2", ".pth", ".pt", ".ckpt", ".caffemodel", ".h5")
"""Endings of files. A dot alone does not tell, as names have some, too: fcn8s-resnet18.a1_in1k."""


def is_name(model: str) -> bool:
    """Whether ``model`` can only be a network's name: no such path exists, and it has no form of a file or hub id."""
    return not (Path(model).exists() or "/" in model or model.endswith(ENDINGS))


def untrained(name: str, classes: int | None = None, padding: str | None = None) -> fcn.FCN:
    """Return the network of this name with random weights, in evaluation mode, for RGB (late fusion: RGB and HHA).

    ``classes`` None means PASCAL VOC's 21. Raises ConfigError.
    """
    channels = 6 if release.trunk_of(name) == release.LATE_FUSION else 3
    known = cast(Padding | None, padding)  # others are refused
    return fcn.create(name, classes or len(VOC_CLASSES), padding=known, in_channels=channels).eval()
