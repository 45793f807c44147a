"""Tiles whose labels are those of the whole image: no blending, no seams, bounded memory.

A score cell sees the pixels of its receptive field and no others. So the crop that a tile is computed from holds all
that the cells see which the tile's pixels are interpolated from: only those cells are kept, and of the crop's own
borders they see nothing, unless these are the image's. Crops start at multiples of the coarsest stride, and end there
or where the image does: then the cells of every layer are those of the whole image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

import torch
from torch import Tensor

from fullyconv import geometry
from fullyconv.errors import ConfigError, GeometryError
from fullyconv.geometry import Lattice
from fullyconv.model.fcn import FCN
from fullyconv.model.segmenter import Segmenter
from fullyconv.model.upsample import KERNELS
from fullyconv.sharing import Remembered, in_evaluation_mode


class Tile(NamedTuple):
    """One tile: the pixels that it labels, what of the image it is computed from, and what is kept of the scores.

    ``cells`` are those of the crop's scores that are as in the whole image and that the pixels need; ``lattice`` says
    where they look, in pixels from the tile's first.
    """

    rows: slice
    columns: slice
    crop: tuple[slice, slice]
    cells: tuple[slice, slice]
    lattice: Lattice

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


class Span(NamedTuple):
    """A tile along one axis; ``offset`` is that of its lattice."""

    pixels: slice
    crop: slice
    cells: slice
    offset: Fraction


@dataclass(frozen=True)
class Plan:
    """The tiles of an image of ``size``, row by row: a sequence."""

    size: tuple[int, int]
    stride: tuple[Fraction, Fraction]
    rows: Sequence[Span]
    columns: Sequence[Span]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __getitem__(self, index: int) -> Tile:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} tiles, no tile {index}")
        down, across = (
            spans[i] for spans, i in zip((self.rows, self.columns), divmod(index, len(self.columns)), strict=True)
        )
        lattice = Lattice(self.stride, (down.offset, across.offset))
        return Tile(down.pixels, across.pixels, (down.crop, across.crop), (down.cells, across.cells), lattice)

    def __iter__(self) -> Iterator[Tile]:
        return (self[index] for index in range(len(self)))


class Sight(NamedTuple):
    """One axis of a network's scores, for images whose sides leave one remainder by the coarsest stride.

    An image of ``side`` pixels has ``cells``. Of an endless one cell i sees the pixels stride · i − ``before`` …
    stride · i + ``after``.
    """

    stride: Fraction
    before: Fraction
    after: Fraction
    side: int
    cells: int

    def cells_of(self, side: int) -> int:
        """How many an image of ``side`` pixels has."""
        return self.cells + int((side - self.side) / self.stride)


def plan(net: FCN, size: tuple[int, int], tile: int | tuple[int, int] | None) -> Plan:
    """The tiles of an image of ``size``, each of at most ``tile`` pixels a side (None: the whole image).

    Raises GeometryError, naming the layer, where cells see the whole image and one tile does not hold it.
    """
    height, width = (tile, tile) if tile is None or isinstance(tile, int) else tile
    sides = (size[0] if height is None else height, size[1] if width is None else width)
    if min(sides) < 1:
        raise ConfigError(f"a tile of {sides[0]}×{sides[1]} pixels: expected 1 or more a side")
    sights = sight(net, size, whole=all(side >= pixels for side, pixels in zip(sides, size, strict=True)))
    cells = (sights[0].cells_of(size[0]), sights[1].cells_of(size[1]))
    lattice = net.lattice_for(size, cells)
    rows, columns = (
        [
            _span(net, sights[axis], lattice.offset[axis], lattice.stride[axis], start, sides[axis], size[axis])
            for start in range(0, size[axis], sides[axis])
        ]
        for axis in (0, 1)
    )
    return Plan(size, lattice.stride, rows, columns)


def _span(net: FCN, sight: Sight, offset: Fraction, stride: Fraction, start: int, tile: int, size: int) -> Span:
    """The tile from pixel ``start`` on; ``offset`` and ``stride`` are those of the readout's lattice."""
    stop = min(start + tile, size)
    _, reach = KERNELS[net.interpolation]
    most = sight.cells_of(size) - 1
    first = min(max(floor((start - offset) / stride) + 1 - reach, 0), most)
    last = min(max(floor((stop - 1 - offset) / stride) + reach, 0), most)
    coarsest, least = net.backbone.strides[-1], net.backbone.minimum
    begin = max(0, floor((sight.stride * first - sight.before) / coarsest) * coarsest)
    end = ceil((sight.stride * last + sight.after + 1) / coarsest) * coarsest
    end = min(size, max(end, begin + least))
    begin = min(begin, max(0, (size - least) // coarsest * coarsest))
    shift = int(begin / sight.stride)
    cells = slice(first - shift, last + 1 - shift)
    return Span(slice(start, stop), slice(begin, end), cells, offset + stride * first - start)


_traces: Remembered[geometry.Trace] = Remembered()
_sights: Remembered[tuple[Sight, Sight]] = Remembered()


def sight(net: FCN, size: tuple[int, int], whole: bool = False) -> tuple[Sight, Sight]:
    """What the scores' rows and columns see of images of ``size``.

    Followed at small sizes that stand for this one. Raises GeometryError where cells see the whole image, unless it is
    to be computed ``whole``, and where what they see depends on its size otherwise.
    """
    coarsest, least = net.backbone.strides[-1], net.backbone.minimum
    small = (standing_for(size[0], coarsest, least), standing_for(size[1], coarsest, least))
    return _sights.get(net, (small, whole), lambda: _sight(net, small, whole))


def _sight(net: FCN, small: tuple[int, int], whole: bool) -> tuple[Sight, Sight]:
    coarsest = net.backbone.strides[-1]
    larger = (small[0] + coarsest, small[1] + coarsest)
    traced, again = (_traced(net, sides) for sides in (small, larger))
    if traced.whole_image and not whole:
        raise GeometryError(refusal(*traced.whole_image[0]))
    (scores,), (more,) = traced.outputs, again.outputs
    found: list[Sight] = []
    for axis, larger_axis in ((scores.rows, more.rows), (scores.cols, more.cols)):
        steady = axis.reach == larger_axis.reach and larger_axis.size == axis.size + coarsest / axis.stride
        if not steady and not whole:
            raise GeometryError(refusal("scores", "a field of view that depends on the image's size"))
        seen = [(i * axis.stride, interval) for i, interval in enumerate(axis.reach) if interval is not None]
        before = max((place - low for place, (low, _) in seen), default=Fraction(0))
        after = max((high - place for place, (_, high) in seen), default=Fraction(0))
        found.append(Sight(axis.stride, Fraction(before), Fraction(after), small[len(found)], axis.size))
    return found[0], found[1]


def refusal(layer: str, kind: str) -> str:
    """Why a network cannot be computed in parts."""
    return (
        f"layer {layer!r} sees the whole image ({kind}): parts of it cannot give the same labels. Label the image "
        "whole, or give --tile approximate: overlapping tiles, their probabilities blended."
    )


def standing_for(side: int, coarsest: int, least: int) -> int:
    """The smallest side that a network treats as it does ``side``."""
    return side if side < least else least + (side - least) % coarsest


def _traced(net: FCN, size: tuple[int, int]) -> geometry.Trace:
    return _traces.get(net, size, lambda: geometry.trace(net, size, net.in_channels))


def tile_scores(net: FCN, tile: Tile, crop: Tensor) -> Tensor:
    """The scores (N, classes, h, w) of the tile's cells, from its ``crop`` (N, C, H, W) of the images."""
    rows, columns = tile.cells
    return in_evaluation_mode(net).scores(crop)[..., rows, columns]


@torch.no_grad()
def tile_labels(net: FCN, tile: Tile, crop: Tensor) -> Tensor:
    """Labels (N, *tile.size) from the tile's ``crop`` (N, C, H, W) of the images; with heads (N, heads, *tile.size)."""
    return net.labels_on(tile_scores(net, tile, crop), tile.lattice, tile.size)


def predict_tiled(net: FCN, images: Tensor, tile: int | tuple[int, int] | None) -> Tensor:
    """``net.predict(images)``, tile by tile. Images may be on another device than the network; labels lie with them.

    Raises as ``plan`` does.
    """
    result = unfilled_labels(net, images)
    for part in plan(net, (images.shape[2], images.shape[3]), tile):
        result[..., part.rows, part.columns] = tile_labels(net, part, images[..., *part.crop].to(net.device))
    return result


def unfilled_labels(net: Segmenter, images: Tensor) -> Tensor:
    """Room beside ``images`` (N, C, H, W) for their labels, as ``net.predict`` gives them; not filled in yet."""
    heads = [len(net.heads)] if net.heads else []
    return torch.empty(len(images), *heads, *images.shape[2:], dtype=torch.uint8, device=images.device)
