"""Operations that take a map row by row, as rows come, and give each row as soon as it is final.

Each keeps what the next rows need of those that it was given: a few, the kernel's height. So no row is computed twice.
``feed(chunks, last)``: the rows that have come of each input (None: none), and whether they are the last.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Chunk = Tensor | None


class Stage(Protocol):
    """One operation of a network that runs band by band."""

    def feed(self, chunks: Sequence[Chunk], last: bool) -> Chunk:
        """The rows of the output that are final now."""


class Pending:
    """The rows of a map from ``start`` to ``stop`` − 1, counted from the map's first; ``unit`` entries each."""

    def __init__(self, dim: int = 2, unit: int = 1):
        self.dim, self.unit = dim, unit
        self.start = self.stop = 0
        self.rows: Chunk = None

    def add(self, chunk: Chunk) -> None:
        """``chunk`` comes after those that are here."""
        if chunk is not None:
            self.rows = chunk if self.rows is None else torch.cat([self.rows, chunk], self.dim)
            self.stop += chunk.shape[self.dim] // self.unit

    def __getitem__(self, rows: slice) -> Tensor:
        assert self.rows is not None
        first, count = rows.start - self.start, rows.stop - rows.start
        return self.rows.narrow(self.dim, first * self.unit, count * self.unit)

    def drop(self, before: int) -> None:
        """Forget the rows up to ``before`` − 1; the memory of those is given back."""
        before = min(before, self.stop)
        if before > self.start:
            self.rows = self[before : self.stop].clone() if before < self.stop else None
            self.start = before


class RowByRow:
    """An operation that makes each row of the output of the same rows of its inputs, and of nothing else."""

    def __init__(self, run: Callable[[Sequence[Tensor], int], Tensor], places: Sequence[tuple[int, int]]):
        """``run(chunks, rows)``; ``places``: of each input, the dimension of its rows, and the entries of each."""
        self.run = run
        self.inputs = [Pending(*place) for place in places]

    def feed(self, chunks: Sequence[Chunk], last: bool) -> Chunk:
        for pending, chunk in zip(self.inputs, chunks, strict=True):
            pending.add(chunk)
        start, stop = self.inputs[0].start, min(pending.stop for pending in self.inputs)
        if start == stop:
            return None
        result = self.run([pending[start:stop] for pending in self.inputs], stop - start)
        for pending in self.inputs:
            pending.drop(stop)
        return result


class Convolution:
    """Output row i sees input rows stride · i − padding … stride · i − padding + reach."""

    def __init__(self, run: Callable[[Tensor], Tensor], stride: int, padding: int, reach: int):
        """``run`` pads columns, not rows."""
        self.run, self.stride, self.padding, self.reach = run, stride, padding, reach
        self.input, self.done = Pending(), 0

    def feed(self, chunks: Sequence[Chunk], last: bool) -> Chunk:
        self.input.add(chunks[0])
        known = self.input.stop + self.padding * (2 if last else 1)
        stop = (known - self.reach - 1) // self.stride + 1
        first = self.stride * self.done - self.padding
        end = self.stride * (stop - 1) - self.padding + self.reach + 1
        if stop <= self.done or end <= 0:  # rows that see nothing but padding wait for one that sees more
            return None
        x = self.input[max(first, 0) : min(end, self.input.stop)]
        above, below = max(-first, 0), max(end - self.input.stop, 0)
        result = self.run(F.pad(x, (0, 0, above, below)) if above or below else x)
        self.done = stop
        self.input.drop(stop * self.stride - self.padding)
        return result


class Pooling:
    """As a convolution; ``run`` pads rows, too, and at the end makes what it makes of windows that are not full.

    It is given whole strides of rows; what it makes of rows whose neighbours are missing is left out.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], stride: int, padding: int, reach: int):
        self.run, self.stride, self.padding, self.reach = run, stride, padding, reach
        self.input, self.done = Pending(), 0

    def feed(self, chunks: Sequence[Chunk], last: bool) -> Chunk:
        self.input.add(chunks[0])
        final = (self.input.stop + self.padding - self.reach - 1) // self.stride + 1
        if self.input.rows is None or (final <= self.done and not last):
            return None
        pooled = self.run(self.input.rows)
        origin = self.input.start // self.stride
        stop = origin + pooled.shape[2] if last else final
        if stop <= self.done:
            return None
        result = pooled.narrow(2, self.done - origin, stop - self.done)
        self.done = stop
        self.input.drop(max(stop * self.stride - self.padding, 0) // self.stride * self.stride)
        return result


class Transposed:
    """A transposed convolution: input row m goes to output rows stride · m … stride · m + kernel − 1."""

    def __init__(self, run: Callable[[Tensor], Tensor], stride: int, kernel: int):
        self.run, self.stride, self.kernel = run, stride, kernel
        self.input, self.done = Pending(), 0

    def feed(self, chunks: Sequence[Chunk], last: bool) -> Chunk:
        self.input.add(chunks[0])
        stop = self.stride * self.input.stop
        if last:
            stop += max(self.kernel - self.stride, 0)
        if self.input.rows is None or stop <= self.done:
            return None
        origin = self.stride * self.input.start
        result = self.run(self.input.rows).narrow(2, self.done - origin, stop - self.done)
        self.done = stop
        self.input.drop(max(-(-(stop - self.kernel + 1) // self.stride), 0))
        return result


class Padding:
    """``before`` rows put before the first and ``after`` after the last; ``run(chunk, above, below)`` puts them."""

    def __init__(self, run: Callable[[Tensor, int, int], Tensor], before: int, after: int):
        self.run, self.before, self.after = run, before, after
        self.final: Chunk = None  # the last row that has come

    def feed(self, chunks: Sequence[Chunk], last: bool) -> Chunk:
        (chunk,) = chunks
        below = self.after if last else 0
        if chunk is None:
            return None if self.final is None or not below else self.run(self.final, 0, below)[:, :, 1:]
        above = self.before if self.final is None else 0
        self.final = chunk[:, :, -1:].clone()
        return self.run(chunk, above, below)


class Slice:
    """Rows ``start`` … ``stop`` − 1."""

    def __init__(self, start: int, stop: int, dim: int):
        self.start, self.stop, self.dim = start, stop, dim
        self.seen = 0

    def feed(self, chunks: Sequence[Chunk], last: bool) -> Chunk:
        (chunk,) = chunks
        if chunk is None:
            return None
        count = chunk.shape[self.dim]
        first, end = (min(max(row - self.seen, 0), count) for row in (self.start, self.stop))
        self.seen += count
        return chunk.narrow(self.dim, first, end - first) if end > first else None
