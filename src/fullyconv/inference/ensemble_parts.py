"""The labels of an ensemble of runs from exact tiles and bands: of each run those scores that the pixels need.

A tile is read as far as any of the runs sees; each of them computes its own crop of that. Bands go through all runs
side by side, and a row is labelled once the last of them knows its scores.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fullyconv.inference import tiles
from fullyconv.inference.bands import BAND, BandScores
from fullyconv.inference.ensemble import Ensemble, Seen


class Tile(NamedTuple):
    """The pixels that are labelled, the crop of the image that they are computed from, and each run's own tile."""

    rows: slice
    columns: slice
    crop: tuple[slice, slice]
    own: Sequence[tiles.Tile]


def plan(ensemble: Ensemble, size: tuple[int, int], tile: int | tuple[int, int] | None) -> Iterator[Tile]:
    """The tiles of an image of ``size``, row by row. Raises as ``tiles.plan`` does, for the first run that does."""
    plans = [tiles.plan(net, size, tile) for net in ensemble.runs]
    return (_joined(own) for own in zip(*plans, strict=True))


def _joined(own: Sequence[tiles.Tile]) -> Tile:
    rows, columns = (
        slice(min(tile.crop[axis].start for tile in own), max(tile.crop[axis].stop for tile in own)) for axis in (0, 1)
    )
    return Tile(own[0].rows, own[0].columns, (rows, columns), own)


@torch.no_grad()
def tile_labels(ensemble: Ensemble, tile: Tile, crop: Tensor) -> Tensor:
    """Labels of the tile, as ``ensemble.predict`` gives them, from its ``crop`` (N, C, H, W) of the images."""
    seen = []
    for index, (net, own) in enumerate(zip(ensemble.runs, tile.own, strict=True)):
        given = ensemble.given_to(index, crop[..., *_within(tile.crop, own.crop)])
        seen.append(Seen(tiles.tile_scores(net, own, given), own.lattice))
    return ensemble.labels_on(seen, tile.own[0].size)


@torch.no_grad()
def predict_bands(ensemble: Ensemble, images: Tensor, band: int = BAND, strip: int | None = None) -> Tensor:
    """``ensemble.predict(images)``, ``band`` rows at a time; with ``strip``, so many columns at a time.

    Images may be on another device than the runs; labels lie with them. Raises as ``bands.predict_bands`` does.
    """
    result = tiles.unfilled_labels(ensemble, images)
    size = (images.shape[2], images.shape[3])
    for tile in plan(ensemble, size, (size[0], strip or size[1])):
        for place in range(len(images)):
            image, top = images[place : place + 1, ..., *tile.crop], 0
            for found in _band_labels(ensemble, tile, image, band):
                result[place, ..., top : top + found.shape[-2], tile.columns] = found[0]
                top += found.shape[-2]
    return result


def _band_labels(ensemble: Ensemble, tile: Tile, image: Tensor, band: int) -> Iterator[Tensor]:
    """The labels of a tile that is as high as the image, from the top, as its bands are computed."""
    scores = [BandScores(net, own) for net, own in zip(ensemble.runs, tile.own, strict=True)]
    within = [_within(tile.crop, own.crop)[1] for own in tile.own]
    for rows in image.split(band, 2):
        rows = rows.to(ensemble.device)
        stops = [
            own.feed(ensemble.given_to(index, rows[..., columns]))
            for index, (own, columns) in enumerate(zip(scores, within, strict=True))
        ]
        if min(stops) > scores[0].done:
            read = [own.read(min(stops)) for own in scores]
            yield ensemble.labels_on([Seen(found, lattice) for found, lattice, _ in read], read[0][2])


def _within(outer: tuple[slice, slice], inner: tuple[slice, slice]) -> tuple[slice, slice]:
    """The inner crop's place in the outer one."""
    rows, columns = (slice(own.start - all.start, own.stop - all.start) for all, own in zip(outer, inner, strict=True))
    return rows, columns
