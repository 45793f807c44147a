"""Where the cells of a map look in the image, axis by axis: exact rational arithmetic, no floats.

A spatial operation is a `Step`; a map's rows (or columns) are an `Axis`, which passes through steps. Rows and
columns are followed separately. Coordinates are those of cell centres: pixel 0 of the image is at 0, pixel 1
at 1.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from typing import NamedTuple

from fullyconv.errors import GeometryError

Interval = tuple[int, int]  # first and last, both included


def hull(intervals: Iterable[Interval | None]) -> Interval | None:
    """The smallest interval that holds all of ``intervals``; None (nothing is seen) if all are None."""
    seen = [interval for interval in intervals if interval is not None]
    return (min(low for low, _ in seen), max(high for _, high in seen)) if seen else None


def _clip(cells: range, size: int) -> range:
    """Those of ``cells`` (increasing) that lie in 0 .. size − 1."""
    start = cells.start if cells.start >= 0 else cells.start % cells.step
    return range(start, min(cells.stop, size), cells.step)


@dataclass(frozen=True, eq=False)
class Step:
    """One spatial operation along one axis.

    An input of n cells gives ``size(n)`` output cells. Output cell i reads the input cells ``taps(i)``, all
    of which lie in stride · i + first .. stride · i + last; its centre is at stride · i + offset. ``taps``
    knows no borders: of an input that has only cells 0 .. n − 1, the cell reads ``reads(i, n)``, for padding
    shows nothing.
    """

    stride: Fraction
    first: Fraction
    last: Fraction
    size: Callable[[int], int]
    taps: Callable[[int], range]
    border: Callable[[int, int], range] | None = None  # reads(i, n), where that is not taps(i) clipped

    @property
    def offset(self) -> Fraction:
        """Where output cell 0 is centred, in input cells."""
        return (self.first + self.last) / 2

    @property
    def is_identity(self) -> bool:
        """Whether every cell reads itself alone (a 1×1 convolution, say), save at borders."""
        return self.stride == 1 and self.first == self.last == 0

    def reads(self, cell: int, size: int) -> range:
        """The input cells that output ``cell`` reads of an input of ``size`` cells; may be empty."""
        return self.border(cell, size) if self.border else _clip(self.taps(cell), size)


@dataclass(frozen=True, eq=False)
class Axis:
    """The rows, or the columns, of a map of cells, on the image that it was made from.

    Cell i is centred at stride · i + offset in the image, and sees of it no more than the pixels between
    stride · i + first and stride · i + last. ``seen[i]`` is exactly what it sees (None: nothing but padding).
    ``reach`` is what it would see of an endless image, for one period of cells (after an upsampling,
    neighbours differ). ``whole``: an operation such as global pooling has shown every cell the whole image.
    """

    stride: Fraction
    first: Fraction
    last: Fraction
    seen: tuple[Interval | None, ...]
    reach: tuple[Interval | None, ...]
    whole: bool = False

    @classmethod
    def image(cls, size: int) -> "Axis":
        """The pixels of an image, ``size`` of them."""
        zero = Fraction(0)
        return cls(Fraction(1), zero, zero, tuple((i, i) for i in range(size)), ((0, 0),))

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.seen)

    @property
    def offset(self) -> Fraction:
        """Where cell 0 is centred, in pixels of the image."""
        return (self.first + self.last) / 2

    @property
    def field(self) -> int | None:
        """The largest receptive field of any cell, in pixels, borders ignored; None: the whole image."""
        if self.whole:
            return None
        return max((high - low + 1 for low, high in filter(None, self.reach)), default=0)

    def reaches(self, cell: int) -> Interval | None:
        """What ``cell`` (of any index, negative too) would see of an endless image."""
        periods, phase = divmod(cell, len(self.reach))
        interval = self.reach[phase]
        shift = int(periods * len(self.reach) * self.stride)
        return None if interval is None else (interval[0] + shift, interval[1] + shift)

    def through(self, step: Step) -> "Axis":
        """This axis after one operation. Raises GeometryError if no cell is left."""
        size = step.size(self.size)
        if size < 1:
            raise GeometryError(f"a map of {self.size} cells is too small for it; give a larger image")
        if step.is_identity and size == self.size:
            return self
        # The smallest number of output cells after which both the operation and the axis repeat.
        repeats = step.stride.denominator * len(self.reach)
        period = repeats // gcd(repeats, step.stride.numerator)
        return Axis(
            self.stride * step.stride,
            self.stride * step.first + self.first,
            self.stride * step.last + self.last,
            tuple(hull(self.seen[j] for j in step.reads(i, self.size)) for i in range(size)),
            tuple(hull(self.reaches(j) for j in step.taps(i)) for i in range(period)),
            self.whole,
        )

    def seeing(self, axes: Iterable["Axis"]) -> "Axis":
        """The same cells, each of which now sees all that any cell of ``axes`` sees: the whole image."""
        everything = hull(interval for axis in axes for interval in axis.seen)
        seen = tuple(hull((interval, everything)) for interval in self.seen)
        return replace(self, seen=seen, whole=True)


def union(axes: Sequence[Axis]) -> Axis:
    """The axis of a map made of several maps, cell by cell: a sum, a concatenation.

    A cell sees the hull of what the branches' cells see, and is centred in the middle of the hull of their
    fields. Branches that see the whole image have no centre to offer where others have one.
    Raises GeometryError if the branches differ in size or in stride.
    """
    if len({id(axis) for axis in axes}) == 1:
        return axes[0]
    placed = [axis for axis in axes if not axis.whole] or list(axes)
    strides, sizes = {axis.stride for axis in placed}, {axis.size for axis in axes}
    if len(sizes) > 1 or len(strides) > 1:
        found = ", ".join(f"{axis.size} cells {axis.stride} pixels apart" for axis in axes)
        raise GeometryError(
            f"maps that meet must have equal sizes and strides, found {found}; "
            "an image size divisible by the network's largest stride may mend it"
        )
    period = lcm(*(len(axis.reach) for axis in placed))
    return Axis(
        strides.pop(),
        min(axis.first for axis in placed),
        max(axis.last for axis in placed),
        tuple(hull(cells) for cells in zip(*(axis.seen for axis in axes), strict=True)),
        tuple(hull(axis.reaches(i) for axis in placed) for i in range(period)),
        any(axis.whole for axis in axes),
    )


def crop(axis: Axis, onto: Axis) -> int:
    """How many cells to take off the start of ``axis`` so that its first cell lies on that of ``onto``.

    Negative: to pad. These are the paper's crop offsets: 19 for FCN-32s; 5, 27 for FCN-16s; 5, 9, 31 for
    FCN-8s.
    Raises GeometryError if the strides differ, or if the offset is not a whole number of cells.
    """
    if axis.stride != onto.stride:
        raise GeometryError(
            f"cannot crop a map of stride {axis.stride} onto one of stride {onto.stride}; upsample first"
        )
    cells = (onto.offset - axis.offset) / axis.stride
    if cells.denominator != 1:
        raise GeometryError(f"cannot align two maps of stride {axis.stride} by cropping: they are {cells} cells apart")
    return int(cells)


class Lattice(NamedTuple):
    """Where a map's cells look: cell (i, j) at pixel (stride[0] · i + offset[0], stride[1] · j + offset[1])."""

    stride: tuple[Fraction, Fraction]
    offset: tuple[Fraction, Fraction]

    @classmethod
    def stretched(cls, cells: tuple[int, int], size: tuple[int, int]) -> "Lattice":
        """``cells`` that cover ``size`` pixels from border to border (torch's ``align_corners=False``)."""
        rows, columns = (Fraction(pixels, n) for pixels, n in zip(size, cells, strict=True))
        return cls((rows, columns), ((rows - 1) / 2, (columns - 1) / 2))
