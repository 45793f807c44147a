"""A network as one graph from images to labels, with free batch, height and width.

The package's own readout computes labels block by block, with matrices that Python prepares for each size. The graph
computes with sizes that are known only when it runs: coarse cells are picked by index (which repeats them beyond the
border), interpolated on a grid that contains every pixel's position exactly, and cropped to the image.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges

from fullyconv.errors import ConfigError, first_line
from fullyconv.geometry import Lattice
from fullyconv.model.fcn import FCN
from fullyconv.model.readout import Border, Interpolation, Sampling
from fullyconv.model.upsample import KERNELS, Upsample
from fullyconv.sharing import in_evaluation_mode

EXAMPLE = (2, 75, 101)
"""Batch, height and width of the images that the graph is traced with."""


def trace(net: FCN, probabilities: bool = False) -> torch.export.ExportedProgram:
    """Trace ``Graph(net)`` as a program for images of any size from 1×1 and any batch.

    Raises ConfigError where the network cannot be traced with free sizes.
    """
    graph = Graph(net, probabilities).eval()
    batch, height, width = EXAMPLE
    images = torch.zeros(batch, net.in_channels, height, width, dtype=input_dtype(net), device=net.device)
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    try:
        with torch.no_grad():
            program = torch.export.export(
                graph, (images,), dynamic_shapes=(free,), prefer_deferred_runtime_asserts_over_guards=True
            )
    except ConfigError:
        raise
    except Exception as error:  # torch.export raises errors of many kinds for what it cannot trace
        reason = first_line(error)
        raise ConfigError(f"{net.name} cannot be exported with a free height and width: {reason}") from error
    for node in program.graph.find_nodes(op="placeholder"):
        if node.name == "images" and any(isinstance(node.meta["val"].shape[axis], int) for axis in free):
            raise ConfigError(
                f"{net.name} cannot be exported with a free height and width: its computation fits only images of "
                f"shape {tuple(node.meta['val'].shape)}."
            )
    return _for_any_size(program)


def _for_any_size(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Remove the conditions on sizes that tracing has added, and the file paths of the traced code.

    The conditions are that maps have more than one cell, on which memory layouts depend, but not results; they would
    refuse images of one coarse cell. The export verifies that other sizes give the same labels.
    """
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten._assert_scalar.default):
        program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    for symbol in program.range_constraints:
        program.range_constraints[symbol] = ValueRanges(1, int_oo)
    return program


def input_dtype(net: FCN) -> torch.dtype:
    """Return the type of a graph's images: bytes, or floats for the logarithm of depth and for a value range."""
    return torch.float32 if net.inputs == "rgb+depth" or net.value_range else torch.uint8


class Graph(nn.Module):
    """Images (N, C, H, W), 0..255 → labels as of ``net.predict``, and with ``probabilities`` also these."""

    def __init__(self, net: FCN, probabilities: bool = False):
        super().__init__()
        steps = {f"upsample.{at}": _Step(step) for at, step in net.upsample.items() if isinstance(step, Upsample)}
        self.net, self.probabilities = in_evaluation_mode(net, steps), probabilities
        self.read = _readout(net)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        net = self.net
        scores = net.fuse(net.backbone(self._normalize(images)))
        logits = self.read(scores, images.shape[2:])
        parts = net.by_head(logits)
        labels = net.stacked([part.argmax(1).to(torch.uint8) for part in parts])
        return (labels, torch.cat([part.softmax(1) for part in parts], 1)) if self.probabilities else labels

    def _normalize(self, images: Tensor) -> Tensor:
        """Normalize and extend images as ``net.normalize`` does."""
        net = self.net
        x = (images.to(net.mean.dtype) - net.mean) / net.std
        if net.backbone.alignment != "cells":
            return x
        height, width = (self._whole(side) - side for side in images.shape[2:])
        return F.pad(x, (0, width, 0, height), mode="replicate")

    def _whole(self, side: int) -> int:
        """Return a side in pixels, extended to whole cells."""
        cell, least = self.net.backbone.strides[-1], self.net.backbone.minimum
        cells = (side + cell - 1) // cell
        return cell * (cast(int, torch.sym_max(cells, least // cell)) if least > cell else cells)


class _Step(nn.Module):
    """``Upsample`` onto a map whose size is known only when it runs."""

    def __init__(self, step: Upsample):
        super().__init__()
        self.rows, self.columns, self.groups = step.rows, step.columns, step.groups
        self.register_buffer("weight", step.weight.detach(), persistent=False)

    def forward(self, coarse: Tensor, size: Sequence[int]) -> Tensor:
        starts = []
        for dim, axis in ((2, self.rows), (3, self.columns)):
            before = max(0, axis.reach - math.floor(axis.shift))
            last = (size[dim - 2] - 1) // axis.factor + 1 + math.ceil(axis.shift) + axis.reach
            coarse = _cells(coarse, dim, -before, before + last + 1)
            starts.append(before * axis.factor - axis.first_tap)
        stride = (self.rows.factor, self.columns.factor)
        fine = F.conv_transpose2d(coarse, self.weight, stride=stride, groups=self.groups)  # type: ignore[arg-type]
        return _crop(fine, starts, size)


Readout = Callable[[Tensor, Sequence[int]], Tensor]


def _readout(net: FCN) -> Readout:
    """Return the function from scores (N, C, h, w) and the image's size to logits (N, C, H, W). Raises ConfigError."""
    method, stretched = net.interpolation, net.backbone.alignment == "half-pixel"
    if stretched and method == "nearest":
        return _nearest_stretched
    if stretched:
        return lambda scores, size: F.interpolate(scores, tuple(size), mode=method, align_corners=False)
    if method == "nearest":
        return lambda scores, size: _nearest(scores, size, net.fusion.lattice, net.border)
    rows, columns = (_grid(net, axis) for axis in (0, 1))
    if rows.corners != columns.corners:
        raise ConfigError(f"{net.name} cannot be exported: its rows and columns lie on different grids.")
    return lambda scores, size: _interpolated(scores, size, (rows, columns), method, net.border)


class _Grid(NamedTuple):
    """A fine grid along one axis that contains every pixel.

    It arises from interpolating the cells from ``first`` on by ``factor``; its point ``start`` is the first pixel. With
    ``corners`` its outer points are cells, else they lie symmetrically around cells (torch's ``align_corners``).
    """

    factor: int
    first: int
    start: int
    corners: bool


def _grid(net: FCN, axis: int) -> _Grid:
    stride, offset = net.fusion.lattice.stride[axis], net.fusion.lattice.offset[axis]
    first, _ = Sampling.of(stride, offset).cells_of(0, net.interpolation)
    start = -offset - stride * first
    between = start + (stride - 1) / 2
    if stride.denominator == 1 and (start.denominator == 1 or between.denominator == 1):
        corners = start.denominator == 1
        return _Grid(int(stride), first, int(start if corners else between), corners)
    raise ConfigError(f"{net.name} cannot be exported: its cells are {stride} pixels apart, the first at {offset}.")


def _interpolated(
    scores: Tensor, size: Sequence[int], grids: tuple[_Grid, _Grid], method: Interpolation, border: Border
) -> Tensor:
    scores, beyond = _bordered(scores, border)
    points = []
    for dim, grid in enumerate(grids, 2):
        count = (size[dim - 2] - 1) // grid.factor + 1 + 2 * KERNELS[method][1]
        scores = _cells(scores, dim, grid.first + beyond, count)
        points.append(grid.factor * (count - 1) + 1 if grid.corners else grid.factor * count)
    fine = F.interpolate(scores, tuple(points), mode=method, align_corners=grids[0].corners)
    return _crop(fine, [grid.start for grid in grids], size)


def _nearest(scores: Tensor, size: Sequence[int], lattice: Lattice, border: Border) -> Tensor:
    """Give pixel x the scores of cell ⌊(x − offset) / stride + 1/2⌋."""
    scores, beyond = _bordered(scores, border)
    for dim in (2, 3):
        step, origin, unit = Sampling.of(lattice.stride[dim - 2], lattice.offset[dim - 2])
        low, rest = divmod(unit - 2 * origin, 2 * unit)
        pixels = torch.arange(size[dim - 2], device=scores.device)
        cells = (pixels * 2 * step + rest) // (2 * unit) + low + beyond
        scores = scores.index_select(dim, cells.clamp(0, scores.shape[dim] - 1))
    return scores


def _nearest_stretched(scores: Tensor, size: Sequence[int]) -> Tensor:
    for dim in (2, 3):
        pixels, cells = size[dim - 2], scores.shape[dim]
        scores = scores.index_select(dim, (2 * torch.arange(pixels, device=scores.device) + 1) * cells // (2 * pixels))
    return scores


def _bordered(scores: Tensor, border: Border) -> tuple[Tensor, int]:
    """Return the scores with cells added beyond the border, and their number per side.

    Only zeros are added: the border of other networks repeats its cells, which ``_cells`` does.
    """
    return (F.pad(scores, (1, 1, 1, 1)), 1) if border == "zero" else (scores, 0)


def _cells(cells: Tensor, dim: int, first: int, count: int) -> Tensor:
    """Return ``count`` cells along an axis from ``first`` on, repeating the outermost ones beyond the border."""
    index = torch.arange(count, device=cells.device) + first
    return cells.index_select(dim, index.clamp(0, cells.shape[dim] - 1))


def _crop(fine: Tensor, starts: Sequence[int], size: Sequence[int]) -> Tensor:
    return fine.narrow(2, starts[0], size[0]).narrow(3, starts[1], size[1])
