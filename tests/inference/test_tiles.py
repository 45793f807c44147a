"""Tiles give what the whole image gives."""

from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fullyconv as fc
from fullyconv.errors import ConfigError, GeometryError
from fullyconv.inference import tiles
from fullyconv.inference.blended import predict_approximate
from fullyconv.inference.memory import auto_tile, needs
from fullyconv.model.fcn import FCN
from tests.inference.families import FAMILIES, WIDTHS_AND_REMAINDERS, noise, small

network = lru_cache(lambda family: small(FAMILIES[family][0], **FAMILIES[family][1]))
BOUNDARIES = [
    (101, 20, 16),  # tiles smaller than a cell of the coarsest map
    (20, 101, 33),
    (20, 357, 50),
    (613, 20, 90),
    (703, 33, 260),
    (127, 33, 400),  # one tile, larger than the image
]
"""Height and width of an image, and the side of its tiles."""


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize("family", FAMILIES)
def test_tiles_give_the_scores_and_labels_of_the_whole_image(family):
    net = network(family)
    inputs: set[tuple[int, ...]] = set()
    crossed = 0

    @settings(max_examples=46, deadline=None)
    @given(
        kind=st.sampled_from(WIDTHS_AND_REMAINDERS),
        cells=st.integers(3, 5),
        tile=st.integers(48, 95),
        seed=st.integers(0, 1000),
    )
    def try_it(kind, cells, tile, seed):
        same(32 * cells + kind[1], kind[0], tile, seed)

    def same(height, width, tile, seed=0):
        nonlocal crossed
        inputs.add((height, width, tile, seed))
        images = noise(net, height, width, seed=seed)
        with torch.no_grad():
            scores, lattice, whole = net.scores(images), net.fusion.lattice, net.predict(images)
            tolerance = 1e-9 * scores.abs().max().item()
            plan = tiles.plan(net, (height, width), tile)
            crossed += len(plan) > 1
            for part in plan:
                own = tiles.tile_scores(net, part, images[..., *part.crop])
                place = tuple(
                    slice(first := int(crop.start / lattice.stride[axis]) + cells.start, first + own.shape[2 + axis])
                    for axis, (crop, cells) in enumerate(zip(part.crop, part.cells, strict=True))
                )
                torch.testing.assert_close(own, scores[..., *place], rtol=0, atol=tolerance)
                labels = net.labels_on(own, part.lattice, part.size)
                assert (labels == whole[..., part.rows, part.columns]).all()

    for boundary in BOUNDARIES:
        same(*boundary)
    try_it()
    assert len(inputs) >= 50
    assert crossed >= 40


def test_an_image_is_labelled_tile_by_tile():
    net = network("ResNet, heads")
    images = noise(net, 90, 70, batch=2)
    assert (tiles.predict_tiled(net, images, (64, 50)) == net.predict(images)).all()


def test_crops_are_smaller_than_the_image():
    """Or else nothing is shown above."""
    net = network("ResNet, heads")
    parts = tiles.plan(net, (40, 2000), 200)
    assert len(parts) == 10
    assert max(part.crop[1].stop - part.crop[1].start for part in parts) < 900
    assert all(part.crop[1].start % 32 == 0 for part in parts)


def test_cells_just_outside_those_kept_differ():
    """The halo is not larger than it must be: a crop one stride shorter gives other scores."""
    net = network("paper, same padding")
    images = noise(net, 33, 1500)
    part = tiles.plan(net, (33, 1500), 200)[3]
    rows, columns = part.crop
    with torch.no_grad():
        exact = tiles.tile_scores(net, part, images[..., rows, columns])
        columns = slice(columns.start + 64, columns.stop)
        cells = slice(part.cells[1].start - 8, part.cells[1].stop - 8)
        shorter = tiles.tile_scores(net, part._replace(cells=(part.cells[0], cells)), images[..., rows, columns])
    assert not torch.allclose(shorter, exact, rtol=0, atol=1e-9 * exact.abs().max().item())


def test_torchvisions_networks_are_stretched_over_the_whole_image():
    net = small("fcn_resnet50")
    images = noise(net, 9, 700)
    assert (tiles.predict_tiled(net, images, 350) == net.predict(images)).all()


def test_a_plan_of_a_huge_image_takes_no_time():
    net = network("ResNet, heads")
    parts = tiles.plan(net, (100_000, 100_003), 1024)
    assert len(parts) == 98 * 98
    assert parts[len(parts) - 1].columns.stop == 100_003


@pytest.mark.parametrize(("name", "layer"), [("fcn8s-mobilenetv3_small_050", "se"), ("fcn8s-convnextv2_atto", "grn")])
def test_networks_that_see_the_whole_image_are_refused_by_the_layers_name(name, layer):
    net = fc.create(name, 3)
    with pytest.raises(GeometryError, match=rf"{layer}.* sees the whole image .*--tile approximate"):
        tiles.plan(net, (500, 500), 256)
    assert len(tiles.plan(net, (500, 500), 500)) == 1


def test_a_tile_has_a_size():
    with pytest.raises(ConfigError, match="expected 1 or more"):
        tiles.plan(network("ResNet, heads"), (50, 50), 0)


def test_one_approximate_tile_is_the_whole_image():
    net = network("ResNet, heads")
    images = noise(net, 50, 70, batch=2)
    assert (predict_approximate(net, images, 80, 16) == net.predict(images)).all()


class Shares(FCN):
    """Probabilities that are the pixels' own: however tiles are blended, they come out again."""

    def __init__(self, heads=None):
        torch.nn.Module.__init__(self)
        self.classes, self.heads = [f"class {i}" for i in range(sum(heads.values()) if heads else 3)], heads

    device = torch.device("cpu")
    probabilities = staticmethod(lambda images: images)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), tile=st.integers(1, 40), part=st.floats(0, 0.5))
def test_blending_puts_every_tile_in_its_place(height, width, tile, part):
    images = torch.rand(2, 3, height, width)
    found = predict_approximate(Shares(), images, tile, int(tile * part))
    assert (found == images.argmax(1)).all()


def test_blended_labels_of_heads_are_bytes_where_each_heads_classes_are():
    images = torch.rand(1, 400, 5, 6)
    found = predict_approximate(Shares({"one": 200, "other": 200}), images, 4, 2)
    assert found.dtype == torch.uint8
    assert (found == torch.stack([part.argmax(1) for part in images.split(200, 1)], 1)).all()


def test_the_tile_follows_from_the_memory():
    net = network("ResNet, heads")
    per_pixel, base = needs(net)
    assert auto_tile(net, (300, 400), int(base + per_pixel * 300 * 400) + 1) is None
    memory = int(base + per_pixel * 1500 * 1500)
    tile = auto_tile(net, (8000, 9000), memory)
    assert tile % 64 == 0
    crops = [part.crop for part in tiles.plan(net, (8000, 9000), tile)]
    assert max((a.stop - a.start) * (b.stop - b.start) for a, b in crops) * per_pixel + base <= memory
    assert 512 <= tile <= 1500
    with pytest.raises(ConfigError, match="MiB are left"):
        auto_tile(net, (300, 400), 1000)
