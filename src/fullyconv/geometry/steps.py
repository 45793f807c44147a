"""Each spatial operation along one axis, as a `Step`. The arguments are those of torch's operators, one axis
of them.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor, lcm
from typing import Literal

from fullyconv.geometry.axis import Step


def _sides(padding: int | tuple[int, int]) -> tuple[int, int]:
    return (padding, padding) if isinstance(padding, int) else padding


def _windows(kernel: int, stride: int, before: int, dilation: int, size: Callable[[int], int]) -> Step:
    reach = dilation * (kernel - 1)

    def taps(cell: int) -> range:
        start = stride * cell - before
        return range(start, start + reach + 1, dilation)

    return Step(Fraction(stride), Fraction(-before), Fraction(reach - before), size, taps)


def convolution(kernel: int, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1) -> Step:
    """A convolution; ``padding`` on both sides, or (before, after)."""
    before, after = _sides(padding)

    def size(n: int) -> int:
        return (n + before + after - dilation * (kernel - 1) - 1) // stride + 1

    return _windows(kernel, stride, before, dilation, size)


def pooling(
    kernel: int,
    stride: int | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> Step:
    """A maximum or an average over windows; ``ceil_mode`` counts a last, incomplete window, as Caffe does.

    As in torch, that window is dropped where it would start beyond the input and the padding before it.
    """
    stride = stride or kernel
    before, after = _sides(padding)

    def size(n: int) -> int:
        room = n + before + after - dilation * (kernel - 1) - 1
        if not ceil_mode:
            return room // stride + 1
        windows = ceil(Fraction(room, stride)) + 1
        return windows - 1 if (windows - 1) * stride >= n + before else windows

    return _windows(kernel, stride, before, dilation, size)


def adaptive_pooling(n: int, windows: int) -> Step:
    """``n`` cells pooled into ``windows``, which may overlap (torch's adaptive pooling)."""
    stride = Fraction(n, windows)
    rounding = 1 - Fraction(1, stride.denominator)

    def taps(cell: int) -> range:
        return range(floor(cell * stride), ceil((cell + 1) * stride))

    return Step(stride, -rounding, stride - 1 + rounding, lambda _: windows, taps)


def transposed_convolution(
    kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> Step:
    """A transposed convolution: input cell m goes to the output cells m · stride − padding + dilation · (0 ..
    kernel − 1).
    """

    def size(n: int) -> int:
        return (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1

    def taps(cell: int) -> range:
        # The kernel's taps j for which the output cell falls on an input cell; they come in steps of `every`.
        hits = [j for j in range(kernel) if (cell + padding - dilation * j) % stride == 0]
        if not hits:
            return range(0)
        every = hits[1] - hits[0] if len(hits) > 1 else stride
        first, last = ((cell + padding - dilation * j) // stride for j in (hits[-1], hits[0]))
        return range(first, last + 1, max(1, dilation * every // stride))

    return Step(
        Fraction(1, stride),
        Fraction(padding - dilation * (kernel - 1), stride),
        Fraction(padding, stride),
        size,
        taps,
    )


def interpolation(
    n: int,
    size: int,
    align_corners: bool = False,
    cubic: bool = False,
    scale: Fraction | None = None,
) -> Step:
    """Linear (or ``cubic``) interpolation of ``n`` cells to ``size``.

    The two maps' outer borders lie on each other, or, with ``align_corners``, the centres of their outer cells.
    ``scale`` is the factor where it was given and is not ``size / n``. A cell on which an output cell falls
    exactly is the only one that it reads.
    """
    if align_corners and n > 1 and size > 1:
        stride, offset = Fraction(n - 1, size - 1), Fraction(0)
    elif align_corners and n > 1:
        stride, offset = Fraction(n), Fraction(0)  # a single output cell: torch reads cell 0
    else:
        stride = 1 / scale if scale and not align_corners else Fraction(n, size)
        offset = (stride - 1) / 2
    beyond = 1 if cubic else 0

    def taps(cell: int) -> range:
        source = stride * cell + offset
        if source.denominator == 1:
            return range(int(source), int(source) + 1)
        return range(floor(source) - beyond, ceil(source) + beyond + 1)

    parts = lcm(stride.denominator, offset.denominator)
    reach = 1 - Fraction(1, parts) + beyond if parts > 1 else Fraction(0)
    return Step(stride, offset - reach, offset + reach, lambda _: size, taps)


def nearest(n: int, size: int, exact: bool = False, scale: Fraction | None = None) -> Step:
    """Each of ``size`` output cells takes one of ``n`` input cells: torch's "nearest", or "nearest-exact".

    Where one falls exactly between two cells, it takes the later; torch's rounding may then take the earlier.
    Its offset is the mean one: enlarging by ``s``, the ``s`` copies of a cell lie around its centre.
    """
    stride = 1 / scale if scale else Fraction(n, size)
    half = stride / 2 if exact else Fraction(0)
    steps, parts = stride.numerator, stride.denominator

    def taps(cell: int) -> range:
        source = floor(stride * cell + half)
        return range(source, source + 1)

    # stride * i + half, less what floor takes off: at least `least`, at most `most`.
    least = Fraction(1, 2 * parts) if exact and steps % 2 else Fraction(0)
    most = 1 - Fraction(1, parts) + least
    return Step(stride, half - most, half - least, lambda _: size, taps)


def padding(before: int, after: int, mode: Literal["constant", "reflect", "replicate"] = "constant") -> Step:
    """Cells put around a map (negative: taken off); constants show nothing, the others show the map's own
    cells.
    """

    def taps(cell: int) -> range:
        return range(cell - before, cell - before + 1)

    def border(cell: int, n: int) -> range:
        place = cell - before
        source = min(max(place, 0), n - 1) if mode == "replicate" else n - 1 - abs(n - 1 - abs(place))
        return range(source, source + 1)

    zero = Fraction(-before)
    return Step(Fraction(1), zero, zero, lambda n: n + before + after, taps, None if mode == "constant" else border)


def slicing(start: int, size: int, step: int = 1) -> Step:
    """``size`` cells, from cell ``start`` on, every ``step``-th: a crop, or a slice."""

    def taps(cell: int) -> range:
        return range(start + step * cell, start + step * cell + 1)

    return Step(Fraction(step), Fraction(start), Fraction(start), lambda _: size, taps)
