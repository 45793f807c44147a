"""Networks by name, untrained, where a command's MODEL may be a name as well as something on disk or on the hub."""

from pathlib import Path
from typing import cast

from fullyconv.classes import VOC_CLASSES
from fullyconv.model import fcn
from fullyconv.model.backbones import Padding

ENDINGS = (".safetensors", ".onnx", ".xml", ".pt2", ".pth", ".pt", ".ckpt", ".caffemodel")
"""Of files; names have dots, too: timm's fcn8s-resnet18.a1_in1k."""


def is_name(model: str) -> bool:
    """Whether ``model`` can only be a network's name: nothing of that name is here, and it is no file's or hub id."""
    return not (Path(model).exists() or "/" in model or model.endswith(ENDINGS))


def untrained(name: str, classes: int | None = None, padding: str | None = None) -> fcn.FCN:
    """The network of this name with random weights, in evaluation mode, for colours (late fusion: and HHA).

    ``classes``: None means PASCAL VOC's 21. Raises ConfigError.
    """
    channels = 6 if "latefusion" in name else 3
    known = cast(Padding | None, padding)  # others are refused
    return fcn.create(name, classes or len(VOC_CLASSES), padding=known, in_channels=channels).eval()
