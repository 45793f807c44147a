"""Data sets: opening them in whatever form they have, checking them, and feeding them to a network.

What needs torch is in ``fullyconv.data.dataset`` and ``fullyconv.data.augment``; this package itself loads
without.
"""

from fullyconv.data.catalog import Data
from fullyconv.data.checks.find import check
from fullyconv.data.checks.problems import Problem, Report
from fullyconv.data.frequencies import ClassPixels, class_pixels
from fullyconv.data.layouts.detect import open_data
from fullyconv.data.masks import IGNORE
from fullyconv.data.pairs import Pair

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
