"""Data sets: opening them in whatever form they have, checking them, and feeding them to a network.

Names are imported from their modules at first use. Only ``fullyconv.data.dataset`` and ``fullyconv.data.augment`` need
torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fullyconv.classes import IGNORE as IGNORE
    from fullyconv.data.catalog import Data as Data
    from fullyconv.data.checks.find import check as check
    from fullyconv.data.checks.problems import Problem as Problem
    from fullyconv.data.checks.problems import Report as Report
    from fullyconv.data.frequencies import ClassPixels as ClassPixels
    from fullyconv.data.frequencies import class_pixels as class_pixels
    from fullyconv.data.layouts.detect import open_data as open_data
    from fullyconv.data.pairs import Pair as Pair

_HOMES = {
    "Data": "fullyconv.data.catalog",
    "check": "fullyconv.data.checks.find",
    "Problem": "fullyconv.data.checks.problems",
    "Report": "fullyconv.data.checks.problems",
    "ClassPixels": "fullyconv.data.frequencies",
    "class_pixels": "fullyconv.data.frequencies",
    "open_data": "fullyconv.data.layouts.detect",
    "IGNORE": "fullyconv.classes",
    "Pair": "fullyconv.data.pairs",
}

__all__ = [
    "IGNORE",
    "ClassPixels",
    "Data",
    "Pair",
    "Problem",
    "Report",
    "check",
    "class_pixels",
    "open_data",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fullyconv.data' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
