"""How the axes of a tensor are made of the images N, channels C, rows H and columns W of a map."""

import math
from collections.abc import Iterable

# The factors of one axis, outermost first, without those of size 1: flattening a (2, 512, 7, 7) from axis 1
# gives the layout ((("N", 2),), (("C", 512), ("H", 7), ("W", 7))).
Axis = tuple[tuple[str, int], ...]
Layout = tuple[Axis, ...]


def axis_of(letter: str, size: int) -> Axis:
    """An axis of one factor."""
    return ((letter, size),) if size > 1 else ()


def layout_of(letters: str, shape: Iterable[int]) -> Layout:
    """The layout of a tensor with one letter to an axis: `layout_of("NHWC", (2, 7, 7, 512))`."""
    return tuple(axis_of(letter, size) for letter, size in zip(letters, shape, strict=True))


def regroup(layout: Layout, shape: Iterable[int]) -> Layout | None:
    """The layout after a reshape, which keeps the factors' order; None where it would split a factor."""
    factors = [factor for axis in layout for factor in axis]
    axes = []
    for size in shape:
        axis: Axis = ()
        while factors and _size(axis) < size:
            axis += (factors.pop(0),)
        if _size(axis) != size:
            return None
        axes.append(axis)
    return tuple(axes)


def is_nchw(layout: Layout) -> bool:
    """Whether the axes are N, C, H, W in this order, or the first few of these."""
    places = zip(layout, "NCHW", strict=False)
    return len(layout) <= 4 and all(letter == place for axis, place in places for letter, _ in axis)


def is_channels(axis: Axis) -> bool:
    """Whether an axis is the channels and nothing else."""
    return [letter for letter, _ in axis] == ["C"]


def describe(layout: Layout) -> str:
    """For messages: `(N 2, C 512·H 7·W 7)`."""
    return "(" + ", ".join("·".join(f"{letter} {n}" for letter, n in axis) or "1" for axis in layout) + ")"


def _size(axis: Axis) -> int:
    return math.prod(size for _, size in axis)
