"""Band by band: the labels of an image that comes row by row, no row of any layer computed twice.

A tile pays for its halo: all that its border cells see is computed again for its neighbours. Down a column of bands
nothing has to be: each layer keeps the last rows of its input, as many as its kernel needs, until the next band comes.
Memory follows the band's height times the image's width, and what each layer keeps. Where that is too much, the image
is cut into strips from top to bottom, with a halo to the left and right, as tiles have.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_map

from fullyconv.geometry import Lattice
from fullyconv.inference.streaming import (
    Chunk,
    Convolution,
    Padding,
    Pending,
    Pooling,
    RowByRow,
    Slice,
    Stage,
    Transposed,
)
from fullyconv.inference.tape import Operation, Ref, Rows, record, rows_of, same_order
from fullyconv.inference.tiles import Tile, plan, sight, standing_for, tile_scores, unfilled_labels
from fullyconv.model.fcn import FCN
from fullyconv.model.upsample import KERNELS

T = TypeVar("T")
BAND = 128
"""Rows of the image at a time: many enough to keep the processor busy, few enough to be little memory."""


@torch.no_grad()
def predict_bands(net: FCN, images: Tensor, band: int = BAND, strip: int | None = None) -> Tensor:
    """``net.predict(images)``, ``band`` rows at a time; with ``strip``, so many columns at a time.

    Images may be on another device than the network; labels lie with them. Raises GeometryError, naming the layer,
    for networks that cannot run band by band.
    """
    result = unfilled_labels(net, images)
    size = (images.shape[2], images.shape[3])
    for tile in plan(net, size, (size[0], strip or size[1])):
        for place in range(len(images)):
            image = images[place : place + 1, ..., *tile.crop]
            top = 0
            for found in band_labels(net, tile, image.split(band, 2)):
                result[place, ..., top : top + found.shape[-2], tile.columns] = found[0]
                top += found.shape[-2]
    return result


@torch.no_grad()
def band_labels(net: FCN, tile: Tile, bands: Iterable[Tensor]) -> Iterator[Tensor]:
    """The tile's labels, a few rows (1, rows, columns) at a time, from the top; with heads (1, heads, rows, columns).

    ``bands``: the tile's crop of an image, from top to bottom, each (1, C, rows, columns) of any number of rows. Labels
    come as soon as what they depend on has come.
    """
    scores = BandScores(net, tile)
    for band in bands:
        stop = scores.feed(band)
        if stop > scores.done:
            yield net.labels_on(*scores.read(stop))


class BandScores:
    """The scores of a tile, of which bands come from the top.

    ``done`` rows of the tile have been read. Raises GeometryError for networks that cannot run band by band.
    """

    def __init__(self, net: FCN, tile: Tile):
        self.net, self.tile = net, tile
        self.height, width = (side.stop - side.start for side in tile.crop)
        self.coarsest, least = net.backbone.strides[-1], net.backbone.minimum
        self.small = standing_for(self.height, self.coarsest, least)
        if self.small < self.height:
            sight(net, (self.height, width))
        self.stream: _Stream | None = None
        self.low: list[Tensor] = []  # the bands of a tile that is too low to be computed in parts
        self.wanted = Slice(tile.cells[0].start, tile.cells[0].stop, 2)
        self.cells, self.seen, self.done = Pending(), 0, 0
        self.reach = KERNELS[net.interpolation][1]

    def feed(self, band: Tensor) -> int:
        """Take the next rows of the tile's crop; return the row of the tile before which labels can be read."""
        self.seen += band.shape[2]
        last, height = self.seen == self.height, self.tile.size[0]
        self._add(band.to(self.net.device), last)
        stride, offset = self.tile.lattice.stride[0], self.tile.lattice.offset[0]
        known = height if last else min(height, ceil(stride * (self.cells.stop - self.reach) + offset))
        return max(known, self.done)

    def _add(self, band: Tensor, last: bool) -> None:
        if self.small == self.height:
            self.low.append(band)
            self.cells.add(tile_scores(self.net, self.tile, torch.cat(self.low, 2)) if last else None)
            return
        if self.stream is None:
            self.stream = _Stream(self.net, band, self.height, (self.small, self.small + self.coarsest))
        scores = self.stream.feed(band, last)
        if scores is not None:
            self.cells.add(self.wanted.feed([scores[..., self.tile.cells[1]]], last))

    def read(self, stop: int) -> tuple[Tensor, Lattice, tuple[int, int]]:
        """The scores that the tile's rows ``done`` … ``stop`` − 1 need, where they look, and these rows' size."""
        (stride, across), (offset, left) = self.tile.lattice
        assert self.cells.rows is not None
        scores, size = self.cells.rows, (stop - self.done, self.tile.size[1])
        lattice = Lattice((stride, across), (offset + stride * self.cells.start - self.done, left))
        self.done = stop
        self.cells.drop(_first_cell(stop, stride, offset, self.reach))
        return scores, lattice, size


def _first_cell(pixel: int, stride: Fraction, offset: Fraction, reach: int) -> int:
    """The first that the pixel is interpolated from."""
    return max(0, floor((pixel - offset) / stride) + 1 - reach)


class _Stream:
    """A network as stages, one for each operation that depends on the image: bands in, rows of scores out."""

    def __init__(self, net: FCN, band: Tensor, height: int, heights: tuple[int, int]):
        tape = record(net, (band.shape[1], band.shape[3]), heights, band.dtype)
        image = Rows(2, 1, heights)
        places: dict[int, Rows] = {-1: image}
        constants: dict[int, Tensor] = {}
        shapes: dict[int, tuple[int, ...]] = {-1: (1, band.shape[1], heights[0], band.shape[3])}
        self.stages: list[tuple[int, Stage, list[int]]] = []
        users = [0] * (len(tape) + 1)
        for operation in tape:
            for value in operation.inputs:
                users[value] += 1
        fresh: set[int] = set()
        for index, operation in enumerate(tape):
            shapes[index] = operation.shape
            moving = [value for value in operation.inputs if value in places]
            if not moving:
                args, kwargs = _filled((operation.args, operation.kwargs), constants)
                constants[index] = _first(operation.func(*args, **kwargs))
                continue
            alone = users[moving[0]] == 1 and moving[0] in fresh
            stage, places[index] = _stage(operation, places, shapes, constants, height, heights, alone)
            if not (operation.func.is_view or isinstance(stage, Slice)):
                fresh.add(index)
            self.stages.append((index, stage, moving))
        self.last_use = {value: index for index, _, values in self.stages for value in values}
        self.result = len(tape) - 1

    def feed(self, band: Tensor, last: bool) -> Chunk:
        """The rows of scores that are final once ``band`` has come."""
        chunks: dict[int, Chunk] = {-1: band}
        for index, stage, values in self.stages:
            given = [chunks[value] for value in values]
            for value in values:
                if self.last_use[value] == index:
                    chunks.pop(value, None)
            chunks[index] = stage.feed(given, last)
            del given
        return chunks[self.result]


def _stage(
    operation: Operation,
    places: dict[int, Rows],
    shapes: dict[int, tuple[int, ...]],
    constants: dict[int, Tensor],
    height: int,
    heights: tuple[int, int],
    alone: bool,
) -> tuple[Stage, Rows]:
    """The stage of one operation, and where its value holds rows. ``alone``: nothing else needs its first input."""
    values = [value for value in operation.inputs if value in places]
    first = places[values[0]]
    args, kwargs = _filled((operation.args, operation.kwargs), constants)
    names = [argument.name for argument in operation.func._schema.arguments]
    given = {argument.name: argument.default_value for argument in operation.func._schema.arguments}
    given |= dict(zip(names, args, strict=False)) | kwargs
    image = first.dim == 2 and first.unit == 1 and len(shapes[values[0]]) == 4
    found = _along_rows(operation, given, image, first, height, heights)
    if found is not None:
        return found, rows_of(operation)
    counts = {places[value].count for value in values}
    if len(counts) != 1:
        raise operation.refuse("maps of different heights meet")
    new = rows_of(operation, counts.pop())
    _check_each_row(operation, given, first, shapes[values[0]], new)
    func = operation.func
    if func._schema.is_mutable and not alone:
        func = _out_of_place(operation)
    where = [(places[value].dim, places[value].unit) for value in values]
    return RowByRow(_by_row(operation, func, constants, new), where), new


def _along_rows(
    operation: Operation, given: dict[str, Any], image: bool, rows: Rows, height: int, heights: tuple[int, int]
) -> Stage | None:
    """The stage of an operation that mixes or moves rows, on an image (1, C, rows, columns); None: of another."""
    name, func = operation.name, operation.func
    if name == "slice" and given["dim"] % len(operation.shape) == rows.dim:
        few = rows.count[0]
        start, count = given["start"] or 0, rows_of(operation).at(height, heights)
        if given["step"] != 1 or rows.unit != 1:
            raise operation.refuse("rows are left out")
        start = start + few if start < 0 else start
        return Slice(start, start + count, rows.dim)
    pad: Sequence[int] = (
        given["padding"] if name == "replication_pad2d" else given["pad"] if name == "constant_pad_nd" else ()
    )
    if image and len(pad) == 4 and any(pad[2:]):
        left, right, above, below = pad
        if min(above, below) < 0:
            raise operation.refuse("rows are taken off")
        mode = "replicate" if name == "replication_pad2d" else "constant"
        value = given.get("value") if mode == "constant" else None
        return Padding(lambda x, up, down: F.pad(x, (left, right, up, down), mode, value), above, below)
    if name == "convolution" and image and len(given["stride"]) == 2:
        weight, (stride, _) = given["weight"], given["stride"]
        if given["transposed"]:
            if any(given["padding"]) or any(given["output_padding"]) or set(given["dilation"]) != {1}:
                raise operation.refuse("its transposed convolution pads")
            return Transposed(lambda x: func(x, *_after_input(given)), stride, weight.shape[2])
        padding, columns = given["padding"]
        unpadded = {**given, "padding": [0, columns]}
        reach = given["dilation"][0] * (weight.shape[2] - 1)
        return Convolution(lambda x: func(x, *_after_input(unpadded)), stride, padding, reach)
    if name in ("max_pool2d_with_indices", "avg_pool2d") and image:
        kernel, padding, dilation = (_first_of(given.get(key, 1)) for key in ("kernel_size", "padding", "dilation"))
        stride = _first_of(given["stride"] or given["kernel_size"])
        run = lambda x: _first(func(x, *_after_input(given)))  # noqa: E731
        return Pooling(run, stride, padding, dilation * (kernel - 1))
    return None


def _check_each_row(operation: Operation, given: dict[str, Any], rows: Rows, shape: tuple[int, ...], new: Rows) -> None:
    """Raises GeometryError unless the operation makes each row of its output of the same row of its inputs."""
    name, after = operation.name, len(shape) - rows.dim
    whole_rows = {
        "view": lambda: same_order(shape, rows, operation.shape, new),
        "_unsafe_view": lambda: same_order(shape, rows, operation.shape, new),
        "native_layer_norm": lambda: len(given["normalized_shape"]) < after,
        "constant_pad_nd": lambda: len(given["pad"]) // 2 < after or not any(given["pad"][2 * after - 2 : 2 * after]),
        "replication_pad2d": lambda: after == 2 and not any(given["padding"][2:]),
        "avg_pool3d": lambda: after == 2 and given["kernel_size"][1] == 1 and not given["padding"][1],
        "cat": lambda: given["dim"] % len(shape) != rows.dim,
        "addmm": lambda: rows.dim == 0,
        "mm": lambda: rows.dim == 0,
        **dict.fromkeys(("native_batch_norm", "cudnn_batch_norm", "batch_norm"), lambda: rows.dim > 1),
        "hardtanh": lambda: True,  # pointwise, without the tag in torch 2.11
        **dict.fromkeys(("permute", "transpose", "unsqueeze", "squeeze", "slice", "_to_copy", "clone"), lambda: True),
    }
    pointwise = torch.Tag.pointwise in operation.func.tags
    if not (pointwise or (name in whole_rows and whole_rows[name]())):
        raise operation.refuse("it is not known to take rows one by one")


def _by_row(
    operation: Operation, func: OpOverload, constants: dict[int, Tensor], new: Rows
) -> Callable[[Sequence[Tensor], int], Tensor]:
    """What `RowByRow` runs: the operation, its sizes those of as many rows as there are."""
    if "view" in operation.name:
        shape = list(operation.shape)

        def view(chunks: Sequence[Tensor], rows: int) -> Tensor:
            shape[new.dim] = rows * new.unit
            return chunks[0].reshape(shape)

        return view
    template = tree_map(
        lambda leaf: constants[leaf.index] if isinstance(leaf, Ref) and leaf.index in constants else leaf,
        (operation.args, operation.kwargs),
    )

    def run(chunks: Sequence[Tensor], rows: int) -> Tensor:
        come = iter(chunks)
        args, kwargs = tree_map(lambda leaf: next(come) if isinstance(leaf, Ref) else leaf, template)
        return _first(func(*args, **kwargs))

    return run


def _out_of_place(operation: Operation) -> OpOverload:
    """``add`` of ``add_``: for where the input is needed again."""
    schema = operation.func._schema
    packet = getattr(torch.ops.aten, operation.name)
    return getattr(packet, schema.overload_name or "default")


def _after_input(given: dict[str, Any]) -> list[Any]:
    return list(given.values())[1:]


def _filled(arguments: T, constants: dict[int, Tensor]) -> T:
    """With the constants where they are referred to."""
    return tree_map(lambda leaf: constants.get(leaf.index, leaf) if isinstance(leaf, Ref) else leaf, arguments)


def _first(result: Tensor | Sequence[Tensor]) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def _first_of(value: int | Sequence[int]) -> int:
    return value if isinstance(value, int) else value[0]
