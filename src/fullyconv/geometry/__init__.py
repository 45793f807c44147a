"""Where the cells of each layer look in the image: sizes, strides, offsets, receptive fields, crops."""

from fullyconv.geometry.axis import Axis, Interval, Lattice, Step, crop, hull, union
from fullyconv.geometry.steps import (
    adaptive_pooling,
    convolution,
    interpolation,
    nearest,
    padding,
    pooling,
    slicing,
    transposed_convolution,
)
from fullyconv.geometry.trace import Layer, Scorer, Trace, trace

__all__ = [
    "Axis",
    "Interval",
    "Lattice",
    "Layer",
    "Scorer",
    "Step",
    "Trace",
    "adaptive_pooling",
    "convolution",
    "crop",
    "hull",
    "interpolation",
    "nearest",
    "padding",
    "pooling",
    "slicing",
    "trace",
    "transposed_convolution",
    "union",
]
