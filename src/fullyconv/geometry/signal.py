"""What is known of a tensor that was made from the image, and what reshaping and meeting leave of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from fullyconv.geometry.axis import Axis, union
from fullyconv.geometry.steps import adaptive_pooling

Where = tuple[int, int] | int | None


@dataclass(frozen=True)
class Signal:
    """A tensor's cells on the image.

    ``where``: the dimensions of the tensor that hold the rows and the columns; one dimension if they are
    merged, row by row (tokens); None if the cells cannot be told apart any more (pooled away, windows,
    attention weights). ``pools``: the entries of the list of whole-image operations that the tensor has
    nothing but the poolings of.
    """

    rows: Axis
    cols: Axis
    where: Where
    pools: frozenset[int] = frozenset()

    @property
    def dims(self) -> tuple[int, ...]:
        """The dimensions that hold cells."""
        if self.where is None:
            return ()
        return self.where if isinstance(self.where, tuple) else (self.where,)

    @property
    def whole(self) -> bool:
        """Whether each cell sees the whole image."""
        return self.rows.whole and self.cols.whole

    def at(self, where: Where) -> "Signal":
        """The same cells in other dimensions."""
        return replace(self, where=where)

    def moved(self, places: Sequence[int | None]) -> "Signal":
        """After dimension d has become dimension ``places[d]``; None where it is gone."""
        found = [place for d in self.dims if (place := places[d]) is not None]
        if not found or len(found) < len(self.dims):
            return self.at(None)
        return self.at(found[0] if len(found) == 1 else (found[0], found[1]))

    def mixed(self) -> "Signal":
        """After an operation by which each cell sees all of them."""
        return replace(self, rows=self.rows.seeing([self.rows]), cols=self.cols.seeing([self.cols]))

    def pooled(self, rows: bool = True, cols: bool = True) -> "Signal":
        """After pooling all rows into one, all columns, or both."""

        def pool(axis: Axis) -> Axis:
            return axis.through(adaptive_pooling(axis.size, 1)).seeing([axis])

        return replace(self, rows=pool(self.rows) if rows else self.rows, cols=pool(self.cols) if cols else self.cols)

    def reshaped(self, old: Sequence[int], new: Sequence[int]) -> "Signal":
        """After a view of shape ``old`` as ``new``.

        A dimension is known by its size and by how many elements lie between its neighbours; where both are
        found again it is the same one, merged rows and columns included.
        """
        if list(old) == list(new):
            return self
        height, width = self.rows.size, self.cols.size
        if isinstance(self.where, tuple):
            row, col = self.where
            row_step, col_step = prod(old[row + 1 :]), prod(old[col + 1 :])
        elif self.where is not None:
            col_step = prod(old[self.where + 1 :])
            row_step = col_step * width
        else:
            return self

        def find(size: int, step: int, taken: int | None = None) -> int | None:
            found = [d for d in range(len(new)) if new[d] == size and prod(new[d + 1 :]) == step and d != taken]
            return found[-1] if found else None

        col_place = find(width, col_step)
        row_place = find(height, row_step, taken=col_place)
        if row_place is not None and col_place is not None:
            return self.at((row_place, col_place))
        if row_step == width * col_step:
            return self.at(find(height * width, col_step))
        return self.at(None)

    def recognized(self, shape: Sequence[int], surely: bool = False) -> "Signal":
        """Cells that could not be told apart, in a tensor of ``shape`` that has rows and columns again.

        It has, if it is an image whose height and width, in neighbouring dimensions, are those of the map or
        half of them (patch merging), or if it ``surely`` is an image (N, C, h, w). Then each cell stands for
        a patch of the map and sees the whole image.
        """
        if self.where is not None or len(shape) != 4:
            return self
        height, width = self.rows.size, self.cols.size
        for place in ((2, 3), (1, 2)):
            h, w = shape[place[0]], shape[place[1]]
            if surely or (shape[0] == 1 and (height, width) in ((h, w), (2 * h, 2 * w))):
                rows = self.rows.through(adaptive_pooling(height, h))
                cols = self.cols.through(adaptive_pooling(width, w))
                signal = replace(self, rows=rows, cols=cols, where=place)
                return signal if self.whole else signal.mixed()
        return self


def meet(signals: Sequence[Signal], others: Sequence[Signal] = ()) -> Signal:
    """The tensor made, cell by cell, of ``signals`` (in the same dimensions) and of the whole of ``others``.

    One row (column) among many is spread over them. Raises GeometryError if sizes or strides disagree.
    """

    def along(axes: list[Axis], rest: list[Axis]) -> Axis:
        many = [axis for axis in axes if axis.size > 1] or axes
        spread = [axis for axis in axes if axis not in many] + rest
        return union(many).seeing(spread) if spread else union(many)

    rows = along([signal.rows for signal in signals], [other.rows for other in others])
    cols = along([signal.cols for signal in signals], [other.cols for other in others])
    return Signal(rows, cols, signals[0].where)
