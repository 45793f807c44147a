"""Data sets: opening them in whatever form they have, checking them, and feeding them to a network.

What needs torch is in ``fullyconv.data.dataset`` and ``fullyconv.data.augment``; this package itself loads
without.
"""

from fullyconv.data.check import check
from fullyconv.data.data import Data
from fullyconv.data.frequencies import ClassPixels, class_pixels
from fullyconv.data.layouts import open_data
from fullyconv.data.masks import IGNORE
from fullyconv.data.pairs import Pair
from fullyconv.data.problems import Problem, Report

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
