"""Which pixels shapes cover, by the rule of each tool."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from rasterio.features import rasterize
from shapely import LinearRing, box

from fullyconv.data.annotations.painter import paint
from fullyconv.data.annotations.shapes import Bitmap, Ellipse, Line, Polygon, Rectangle, Runs, Shape, ValueMask
from fullyconv.data.annotations.stamps import stamp

SIZE = (32, 40)
SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))
COORDINATES = st.one_of(
    st.integers(-15, 60).map(float), st.integers(-150, 600).map(lambda tenth: tenth / 10), st.floats(-15, 60)
)


def rings(least=3):
    return st.lists(st.tuples(COORDINATES, COORDINATES), min_size=least, max_size=8).map(lambda p: np.array(p, float))


def pixels(geometry, size=SIZE, rule="coco"):
    top, left, inside = stamp(geometry, size, rule)
    whole = np.zeros(size, bool)
    whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return whole


def square(first, last):
    return np.array([(first, first), (last, first), (last, last), (first, last)], float)


@pytest.mark.parametrize(
    ("rule", "integer", "half", "tenths"),
    [("coco", 100, 100, 121), ("pillow", 121, 121, 121), ("centre", 100, 100, 121), ("touched", 100, 121, 121)],
)
def test_a_square_covers_what_its_tool_draws(rule, integer, half, tenths):
    """Corners at (10, 10) and (20, 20), at (10.5, 10.5) and (20.5, 20.5), and at (10.3, 10.3) and (20.7, 20.7)."""
    for corners, covered in (((10, 20), integer), ((10.5, 20.5), half), ((10.3, 20.7), tenths)):
        assert pixels(Polygon((square(*corners),)), rule=rule).sum() == covered


@settings(max_examples=150)
@given(rings(), SIDES)
def test_coco_polygons_are_pycocotools(ring, size):
    expected = coco.decode(coco.merge(coco.frPyObjects([ring.ravel().tolist()], *size)))
    assert np.array_equal(pixels(Polygon((ring,)), size), expected)


@settings(max_examples=100)
@given(rings(), SIDES)
def test_labelme_polygons_are_pillows(ring, size):
    image = Image.new("L", size[::-1])
    ImageDraw.Draw(image).polygon([tuple(point) for point in ring.tolist()], fill=1, outline=1)
    assert np.array_equal(pixels(Polygon((ring,)), size, "pillow"), np.asarray(image))


@settings(max_examples=100)
@given(rings(), SIDES, st.booleans())
def test_centres_within_and_pixels_touched_are_gdals(ring, size, touched):
    """But for pixels of which the outline only meets the edge: GDAL's choice of these depends on the plane's size."""
    ring = np.round(ring * 64) / 64  # where an outline runs along an edge, it does so exactly
    assume(len(np.unique(ring, axis=0)) > 2)
    around = (ring + 100).tolist()
    plane = rasterize([{"type": "Polygon", "coordinates": [[*around, around[0]]]}], (240, 240), all_touched=touched)
    expected = plane[100 : 100 + size[0], 100 : 100 + size[1]]
    drawn = pixels(Polygon((ring,)), size, "touched" if touched else "centre")
    outline = LinearRing(ring)
    for row, column in np.argwhere(drawn != expected):
        assert touched
        assert outline.relate_pattern(box(column, row, column + 1, row + 1), "F********")


@pytest.mark.parametrize("rule", ["coco", "pillow", "centre", "touched"])
def test_a_ring_within_another_is_a_hole(rule):
    outer, inner = square(4, 24), square(10, 16)
    whole, hole = pixels(Polygon((outer,)), rule=rule), pixels(Polygon((inner,)), rule=rule)
    if rule == "touched":  # the hole's border is touched by the area around it
        hole = pixels(Polygon((square(10, 16),)), rule="centre")
    assert np.array_equal(pixels(Polygon((outer, inner)), rule=rule), whole & ~hole)


def test_figure_eights_and_rings_drawn_twice_are_as_pycocotools_has_them():
    eight = np.array([(2, 2), (22, 22), (22, 2), (2, 22)], float)
    assert pixels(Polygon((eight,))).sum() == 200
    assert not pixels(Polygon((np.concatenate([square(2, 12), square(2, 12)]),))).any()


@settings(max_examples=100)
@given(hnp.arrays(bool, SIDES))
def test_runs_are_the_pixels_they_were_made_of(mask):
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    counts = np.diff(np.concatenate([[0], changes, [flat.size]]))
    assert np.array_equal(pixels(Runs(counts, mask.shape), mask.shape), mask)


@given(hnp.arrays(bool, SIDES), st.integers(-50, 50), st.integers(-50, 50))
def test_bitmaps_are_cut_at_the_borders(mask, left, top):
    expected = np.zeros((200, 200), bool)
    expected[100 + top : 100 + top + mask.shape[0], 100 + left : 100 + left + mask.shape[1]] = mask
    assert np.array_equal(pixels(Bitmap(mask, left, top)), expected[100 : 100 + SIZE[0], 100 : 100 + SIZE[1]])


def test_rectangles_are_polygons_of_their_corners_in_any_order():
    assert np.array_equal(
        pixels(Rectangle(20, 21, 4, 5)), pixels(Polygon((np.array([(4, 5), (20, 5), (20, 21), (4, 21)]),)))
    )
    drawn = Image.new("1", SIZE[::-1])
    ImageDraw.Draw(drawn).rectangle((4, 5, 20, 21), fill=1, outline=1)
    assert np.array_equal(pixels(Rectangle(20, 21, 4, 5), rule="pillow"), np.asarray(drawn))


def test_ellipses_hold_the_centres_within_and_turn_clockwise():
    upright = pixels(Ellipse(20, 16, 12, 5))
    y, x = np.mgrid[:32, :40] + 0.5
    assert np.array_equal(upright, ((x - 20) / 12) ** 2 + ((y - 16) / 5) ** 2 <= 1)
    lower_right = pixels(Ellipse(20, 16, 12, 2, angle=45))
    assert lower_right[16 + 6, 20 + 6]
    assert not lower_right[16 - 6, 20 + 6]
    drawn = Image.new("1", SIZE[::-1])
    ImageDraw.Draw(drawn).ellipse((8, 11, 32, 21), fill=1, outline=1)
    assert np.array_equal(pixels(Ellipse(20, 16, 12, 5), rule="pillow"), np.asarray(drawn))


def test_lines_are_pillows_of_their_width_and_points_are_discs():
    points = np.array([(3, 3), (30, 3), (30, 28)], float)
    drawn = Image.new("1", SIZE[::-1])
    ImageDraw.Draw(drawn).line([tuple(point) for point in points.tolist()], fill=1, width=5, joint="curve")
    assert np.array_equal(pixels(Line(points, 5)), np.asarray(drawn))
    assert np.array_equal(pixels(Line(points[:1], 4)), pixels(Ellipse(3, 3, 2, 2), rule="pillow"))


@pytest.mark.parametrize("rule", ["coco", "pillow", "centre", "touched"])
@pytest.mark.parametrize("far", [1e6, 1e12, -1e300])
def test_shapes_that_reach_far_out_are_cut(rule, far):
    ring = np.array([(5, 5), (far, 5), (far, 25), (5, 25)])
    columns = slice(6, None) if far > 0 else slice(0, 4)
    for geometry in (Polygon((ring,)), Rectangle(5, 5, far, 25)):
        assert pixels(geometry, rule=rule)[10:20, columns].all()


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (Polygon((np.zeros((2, 2)),)), "it has 2 points; at least 3"),
        (Polygon((np.array([(0, 0), (1, 1), (np.nan, 2)]),)), "no numbers"),
        (Runs(np.array([3, 4]), (3, 4)), "add up to 7 pixels, not to 12"),
        (Runs(np.array([40 * 32 + 1, -1]), SIZE), "negative"),
        (Runs(np.array([12]), (3, 4)), "of an image of 4x3; the image is 40x32"),
        (Line(np.zeros((1, 2)), -1), "-1 pixels wide"),
        (Line(np.zeros((0, 2)), 1), "at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(geometry, message):
    with pytest.raises(ValueError, match=message):
        stamp(geometry, SIZE if "12" not in message else (3, 4), "coco")


NOTHING = np.zeros((4, 4), bool)
SLIVER = np.array([(5.1, 2), (5.2, 2), (5.2, 9), (5.1, 9)])


@pytest.mark.parametrize(
    ("shape", "beside"),
    [
        (Polygon((SLIVER,)), False),
        (Polygon((np.add(SLIVER, (40, 0)),)), True),
        (Polygon((np.subtract(SLIVER, (0, 20)),)), True),
        (Rectangle(5.2, 30, 5.1, 2), False),
        (Rectangle(60, 9, 50, 2), True),
        (Ellipse(5.1, 5.1, 0.2, 0.2), False),
        (Ellipse(-9, 5, 3, 3), True),
        (Ellipse(-2, 5, 3, 0.01), False),
        (Bitmap(NOTHING, 3, 3), False),
        (Bitmap(NOTHING, 40, 3), True),
        (Bitmap(~NOTHING, -4, 3), True),
        (Line(np.array([(-90.0, 3), (-80, 3)]), 10), True),
        (Runs(np.array([32 * 40]), SIZE), False),
        (ValueMask(np.zeros(SIZE, int), 1), False),
    ],
)
def test_shapes_without_a_pixel_are_told_apart_by_where_they_lie(shape, beside):
    painted = paint([Shape(1, (shape,))], SIZE, "coco")
    assert not painted.labels.any()
    assert (painted.outside, painted.empty, painted.faults) == (int(beside), int(not beside), [])
