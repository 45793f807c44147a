"""Fully convolutional networks for semantic segmentation (Long, Shelhamer, Darrell, 2015).

What a user imports is loaded when it is first asked for: ``import fullyconv`` itself loads no torch.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fullyconv import geometry as geometry
    from fullyconv.api import compare as compare
    from fullyconv.api import evaluate as evaluate
    from fullyconv.api import export as export
    from fullyconv.api import predict as predict
    from fullyconv.api import train as train
    from fullyconv.convolutionalization import convolutionalize as convolutionalize
    from fullyconv.data import open_data as open_data
    from fullyconv.inference.exported import open_model as load
    from fullyconv.inference.exported import open_model as open_model
    from fullyconv.inference.predictor import Predictor as Predictor
    from fullyconv.model.fcn import FCN as FCN
    from fullyconv.model.fcn import create as create
    from fullyconv.publish import push_to_hub as push_to_hub

_HOMES = {
    "FCN": "fullyconv.model.fcn:FCN",
    "Predictor": "fullyconv.inference.predictor:Predictor",
    "compare": "fullyconv.api:compare",
    "convolutionalize": "fullyconv.convolutionalization:convolutionalize",
    "create": "fullyconv.model.fcn:create",
    "evaluate": "fullyconv.api:evaluate",
    "export": "fullyconv.api:export",
    "load": "fullyconv.inference.exported:open_model",
    "open_data": "fullyconv.data:open_data",
    "open_model": "fullyconv.inference.exported:open_model",
    "predict": "fullyconv.api:predict",
    "push_to_hub": "fullyconv.publish:push_to_hub",
    "train": "fullyconv.api:train",
}

__all__ = [
    "FCN",
    "Predictor",
    "compare",
    "convolutionalize",
    "create",
    "evaluate",
    "export",
    "geometry",
    "load",
    "open_data",
    "open_model",
    "predict",
    "push_to_hub",
    "train",
]


def __getattr__(name: str) -> object:
    if name == "geometry":
        return importlib.import_module("fullyconv.geometry")
    if name not in _HOMES:
        raise AttributeError(f"module 'fullyconv' has no attribute {name!r}")
    module, _, own = _HOMES[name].partition(":")
    value: object = getattr(importlib.import_module(module), own)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
