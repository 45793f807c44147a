"""The parts that an image is labelled in, and how: whole, in exact tiles, or in tiles that are seen with a margin.

Where memory asks for parts, an image that is there as a whole goes band by band, which computes no row twice. One that
is read by window goes tile by tile, after any of which a run can be stopped and gone on with.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fullyconv.errors import ConfigError, GeometryError
from fullyconv.inference import tiles
from fullyconv.inference.bands import predict_bands
from fullyconv.inference.blended import predict_approximate
from fullyconv.inference.memory import auto_strip, auto_tile
from fullyconv.inference.predictor import Predictor
from fullyconv.model.fcn import FCN
from fullyconv.results.figures import displayable
from fullyconv.results.segmentation import Segmentation

TileOption = int | Literal["auto", "approximate"]
"""As asked for: "auto" is no tiles where the image fits into memory."""
Tiling = int | Literal["approximate"] | None
"""The side of exact tiles, in pixels; tiles for networks that have none that are exact; or no tiles."""
SMALL = 2**22
"""Pixels up to which memory is not asked for."""
APPROXIMATE, MARGIN = 1024, 256
"""Side and margin of tiles that are not exact, in pixels."""


class Part(NamedTuple):
    """A window of an image, what must be read for it, and what gives its labels (h, w), uint8, from that."""

    rows: slice
    columns: slice
    crop: tuple[slice, slice]
    label: Callable[[Tensor], np.ndarray]

    @property
    def window(self) -> tuple[slice, slice]:
        return self.rows, self.columns


def tiling(predictor: Predictor, size: tuple[int, int], tile: TileOption) -> Tiling:
    """How an image of ``size`` is tiled. What cannot be tiled exactly is, by itself, not tiled."""
    if tile != "auto":
        return tile
    if not _is_plain(predictor):
        return None
    return auto_tile(predictor.net, size) if size[0] * size[1] > SMALL else None


def parts(predictor: Predictor, size: tuple[int, int], tiling: Tiling) -> Sequence[Part]:
    """The parts of an image of ``size``, row by row.

    Raises GeometryError where tiles cannot be exact, ConfigError where the predictor has no use for them.
    """
    if tiling is None:
        everything = (slice(0, size[0]), slice(0, size[1]))
        return [Part(*everything, everything, lambda crop: predictor.segment(crop).labels)]
    if tiling == "approximate":
        return list(_seen_with_margin(predictor, size))
    net = predictor.net
    if not isinstance(net, FCN):
        raise ConfigError(
            f"--tile {tiling}: an exported network has fixed steps; give the run that it was exported from"
        )
    if predictor.flip or predictor.scales != (1.0,):
        raise ConfigError(f"--tile {tiling} cannot be had with --scales or --flip: give --tile approximate, or neither")
    return [
        Part(tile.rows, tile.columns, tile.crop, _exactly(predictor, tile)) for tile in tiles.plan(net, size, tiling)
    ]


@torch.inference_mode()
def segment_in_parts(predictor: Predictor, image: Tensor, tiling: Tiling, bands: bool = False) -> Segmentation:
    """``predictor.segment`` of an image (C, H, W) in memory, part by part; tiles that are not exact are blended.

    ``bands``: rather band by band, where the network can run so and memory holds a band.
    """
    net, own = predictor.net, predictor.of_head
    found: Tensor | None = None
    if tiling == "approximate" and _is_plain(predictor):
        found = predict_approximate(net, image[None], APPROXIMATE + MARGIN, MARGIN)[0]
    elif bands:
        found = _by_bands(net, image)
    if found is not None:
        labels = (found if predictor.head is None else found[predictor.head]).to(torch.uint8).numpy()
    else:
        labels = np.empty(image.shape[1:], np.uint8)
        for part in parts(predictor, (image.shape[1], image.shape[2]), tiling):
            labels[part.window] = part.label(image[:, *part.crop])
    return Segmentation(labels, displayable(image), list(net.classes)[own], list(net.palette)[own])


def _by_bands(net: FCN, image: Tensor) -> Tensor | None:
    """Labels (H, W), with heads (heads, H, W); None where memory holds no band, or the network cannot run so."""
    strip = auto_strip(net, (image.shape[1], image.shape[2]))
    try:
        return None if strip is None else predict_bands(net, image[None], strip=strip)[0]
    except GeometryError:  # before the first label
        return None


def _is_plain(predictor: Predictor) -> bool:
    """Whether the labels are what the network itself gives in one pass."""
    return isinstance(predictor.net, FCN) and not predictor.flip and predictor.scales == (1.0,)


def _exactly(predictor: Predictor, tile: tiles.Tile) -> Callable[[Tensor], np.ndarray]:
    @torch.inference_mode()
    def label(crop: Tensor) -> np.ndarray:
        labels = tiles.tile_labels(predictor.net, tile, crop[None].to(predictor.net.device))[0]
        own = labels if predictor.head is None else labels[predictor.head]
        return own.to(torch.uint8).cpu().numpy()

    return label


def _seen_with_margin(predictor: Predictor, size: tuple[int, int]) -> Iterator[Part]:
    """Tiles of which each is labelled with what lies around it, as far as ``MARGIN``."""

    def label(inside: tuple[slice, slice], crop: Tensor) -> np.ndarray:
        return predictor.segment(crop).labels[inside]

    for rows, above in _spans(size[0]):
        for columns, beside in _spans(size[1]):
            inside = (_within(above, rows), _within(beside, columns))
            yield Part(rows, columns, (above, beside), partial(label, inside))


def _spans(side: int) -> Iterator[tuple[slice, slice]]:
    """Along one axis: each tile, and what is read for it."""
    for start in range(0, side, APPROXIMATE):
        stop = min(start + APPROXIMATE, side)
        yield slice(start, stop), slice(max(0, start - MARGIN), min(side, stop + MARGIN))


def _within(outer: slice, inner: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)
