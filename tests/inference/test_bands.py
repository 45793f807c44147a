"""Bands give what the whole image gives, and compute no row twice."""

from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import fullyconv as fc
from fullyconv.errors import GeometryError
from fullyconv.inference import bands, tiles
from tests.inference.families import FAMILIES, WIDTHS_AND_REMAINDERS, noise, small

network = lru_cache(lambda family: small(FAMILIES[family][0], **FAMILIES[family][1]))


BOUNDARIES = [
    (101, 20, 1, None),  # a row at a time
    (128, 1, 7, None),
    (101, 20, 33, None),
    (127, 33, 400, None),  # one band, larger than the image
    (613, 20, 128, None),
    (703, 33, 96, None),
    (101, 100, 50, 52),  # strips, from top to bottom
]
"""Height and width of an image, the rows of a band and the columns of a strip."""


@pytest.fixture
def bands_seen(monkeypatch):
    """How many bands each stream has been given."""
    seen: list[int] = []
    make, feed = bands._Stream.__init__, bands._Stream.feed

    def begin(self, *arguments):
        seen.append(0)
        make(self, *arguments)

    def count(self, band, last):
        seen[-1] += 1
        return feed(self, band, last)

    monkeypatch.setattr(bands._Stream, "__init__", begin)
    monkeypatch.setattr(bands._Stream, "feed", count)
    return seen


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize("family", FAMILIES)
def test_bands_give_the_labels_of_the_whole_image(family, bands_seen):
    net = network(family)
    inputs: set[tuple[int | None, ...]] = set()
    streamed = in_pieces = 0

    @settings(max_examples=48, deadline=None)
    @given(
        kind=st.sampled_from(WIDTHS_AND_REMAINDERS),
        cells=st.integers(3, 5),
        band=st.integers(40, 100),
        seed=st.integers(0, 1000),
    )
    def try_it(kind, cells, band, seed):
        same(32 * cells + kind[1], kind[0], band, None, seed)

    def same(height, width, band, strip, seed=0):
        nonlocal streamed, in_pieces
        inputs.add((height, width, band, strip, seed))
        images = noise(net, height, width, seed=seed)
        bands_seen.clear()
        assert (bands.predict_bands(net, images, band, strip) == net.predict(images)).all()
        assert sum(bands_seen) == len(bands_seen) * -(-height // band)  # no row went around the stream
        streamed += min(bands_seen) > 1
        if strip is None and height > 600:
            (whole,) = tiles.plan(net, (height, width), None)
            in_pieces += len(list(bands.band_labels(net, whole, iter(images.split(band, 2))))) > 1

    for boundary in BOUNDARIES:
        same(*boundary)
    try_it()
    assert len(inputs) >= 50
    assert streamed >= 45
    assert in_pieces == 2


@settings(max_examples=8, deadline=None)
@given(heights=st.lists(st.integers(1, 60), min_size=3, max_size=9))
def test_bands_may_have_any_heights(heights):
    net = network("ResNet, heads")
    images = noise(net, sum(heights), 33)
    (whole,) = tiles.plan(net, (sum(heights), 33), None)
    found = list(bands.band_labels(net, whole, iter(images.split(heights, 2))))
    assert (torch.cat(found, 2) == net.predict(images)).all()


def test_labels_come_as_soon_as_they_are_final():
    net = network("MobileNetV2")
    images = noise(net, 1600, 16)
    (whole,) = tiles.plan(net, (1600, 16), None)
    behind, given, got = [], 0, 0

    def counted():
        nonlocal given
        for band in images.split(32, 2):
            given += 32
            yield band

    for found in bands.band_labels(net, whole, counted()):
        got += found.shape[1]
        behind.append(given - got)
    assert got == 1600
    assert max(behind) <= (sight := tiles.sight(net, (1600, 16))[0]).after + 2 * sight.stride + 64


def test_no_row_is_computed_twice():
    """Of a longer image, convolutions take as many operations more as in one pass over the whole."""
    net = network("ResNet, heads")
    bands.predict_bands(net, noise(net, 640, 32), 64)  # follows the network once, which counts as operations, too

    def operations(work, height):
        images = noise(net, height, 32)
        with FlopCounterMode(display=False) as counter:
            work(net, images)
        counts = counter.get_flop_counts()["Global"]
        return sum(count for operation, count in counts.items() if "convolution" in str(operation))

    works = {
        "whole": lambda net, images: net.predict(images),
        "bands": lambda net, images: bands.predict_bands(net, images, 64),
        "tiles": lambda net, images: tiles.predict_tiled(net, images, 64),
    }
    more = {name: operations(work, 960) - operations(work, 640) for name, work in works.items()}
    assert more["bands"] <= 1.02 * more["whole"] < 3 * more["whole"] < more["tiles"]


def test_maps_that_are_needed_again_are_not_overwritten():
    """A ReLU in place after a map has gone two ways."""
    net = network("ResNet, heads")
    images = noise(net, 300, 20)
    before = images.clone()
    for _ in range(2):
        assert (bands.predict_bands(net, images, 50) == net.predict(images)).all()
    assert (images == before).all()


def test_networks_that_see_the_whole_image_are_refused():
    net = fc.create("fcn8s-mobilenetv3_small_050", 3)
    with pytest.raises(GeometryError, match=r"sees the whole image .*--tile approximate"):
        bands.predict_bands(net, torch.zeros(1, 3, 300, 300))
