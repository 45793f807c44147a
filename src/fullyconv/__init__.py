"""Fully convolutional networks for semantic segmentation (Long, Shelhamer, Darrell, 2015).

What a user imports is loaded when it is first asked for: ``import fullyconv`` itself loads no torch.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fullyconv import geometry as geometry
    from fullyconv.convolutionalization import convolutionalize as convolutionalize
    from fullyconv.data import open_data as open_data
    from fullyconv.inference.predictor import Predictor as Predictor
    from fullyconv.model.fcn import FCN as FCN
    from fullyconv.model.fcn import create as create
    from fullyconv.publish import push_to_hub as push_to_hub
    from fullyconv.weights.run_folder import load as load

_HOMES = {
    "FCN": "fullyconv.model.fcn",
    "Predictor": "fullyconv.inference.predictor",
    "convolutionalize": "fullyconv.convolutionalization",
    "create": "fullyconv.model.fcn",
    "load": "fullyconv.weights.run_folder",
    "open_data": "fullyconv.data",
    "push_to_hub": "fullyconv.publish",
}

__all__ = ["FCN", "Predictor", "convolutionalize", "create", "geometry", "load", "open_data", "push_to_hub"]


def __getattr__(name: str) -> object:
    if name == "geometry":
        return importlib.import_module("fullyconv.geometry")
    if name not in _HOMES:
        raise AttributeError(f"module 'fullyconv' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
