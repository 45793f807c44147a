"""Boundaries are measured as by the plain definitions: each class by itself, pixel by pixel."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from fullyconv.classes import IGNORE
from fullyconv.errors import ConfigError
from fullyconv.evaluation.boundary import (
    Boundaries,
    BoundaryCounts,
    Length,
    boundary_counts,
    boundary_rates,
    boundary_result,
    near_boundary,
)

CLASSES = 3


def blocks(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A truth of blocks, and labels that are shifted and spotted."""
    draw = np.random.default_rng(seed)
    truth = np.kron(draw.integers(0, CLASSES, (height // 4 + 1, width // 5 + 1)), np.ones((4, 5)))[:height, :width]
    labels = np.roll(truth, draw.integers(0, 3, 2), (0, 1))
    spots = draw.random(labels.shape) < 0.05
    labels[spots] = draw.integers(0, CLASSES, np.count_nonzero(spots))
    return truth.astype(np.uint8), labels.astype(np.uint8)


def measured(truth, labels, **options):
    return boundary_counts(truth, labels, CLASSES, Boundaries(**options))


def near_by_erosion(mask, reach):
    """As published with boundary IoU: the mask without what remains of it after ``reach`` erosions."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=reach)
    return mask & (eroded[1:-1, 1:-1] == 0)


sizes = {"height": st.integers(1, 25), "width": st.integers(1, 25), "seed": st.integers(0, 10**6)}


@given(**sizes, reach=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_boundary_iou_is_that_of_eroded_masks(height, width, seed, reach):
    truth, labels = blocks(seed, height, width)
    areas = measured(truth, labels, width=Length(reach, False)).areas
    for index in range(CLASSES):
        own, found = (near_by_erosion(of_one == index, reach) for of_one in (truth, labels))
        assert areas.right[index] == (own & found).sum()
        assert (areas.truth[index], areas.predicted[index]) == (own.sum(), found.sum())


@given(**sizes, tolerance=st.sampled_from([1, 1.5, 2.9]), spacing=st.sampled_from([None, (0.5, 0.5), (2.0, 0.7)]))
@settings(max_examples=60, deadline=None)
def test_f1_and_hd95_are_those_of_all_pairs_of_boundary_pixels(height, width, seed, tolerance, spacing):
    truth, labels = blocks(seed, height, width)
    counts = measured(truth, labels, tolerance=Length(tolerance, False), spacing=spacing)
    for index in range(CLASSES):
        masks = [of_one == index for of_one in (truth, labels)]
        lines = [np.argwhere(mask & ~binary_erosion(mask)) for mask in masks]
        assert [counts.lines.truth[index], counts.lines.predicted[index]] == [len(line) for line in lines]
        assert counts.one_sided[index] == (masks[0].any() != masks[1].any())
        if not all(len(line) for line in lines):
            assert (counts.lines.right[index], counts.right_lines[index]) == (0, 0)
            assert np.isnan(counts.hd95[index])
            continue
        near = cdist(*lines) <= tolerance
        assert (counts.lines.right[index], counts.right_lines[index]) == (near.any(1).sum(), near.any(0).sum())
        distances = cdist(*(line * (spacing or (1, 1)) for line in lines))
        directed = [np.percentile(distances.min(axis), 95) for axis in (0, 1)]
        assert counts.hd95[index] == pytest.approx(max(directed))


@given(
    st.lists(st.lists(st.sampled_from([0, 1, 254, IGNORE]), min_size=6, max_size=6), min_size=1, max_size=6),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_void_ends_no_area_and_the_edge_of_the_image_does(rows, reach):
    labels = np.array(rows, np.uint8)
    expected = np.zeros(labels.shape, bool)
    for row, column in np.argwhere(labels != IGNORE):
        for r in range(row - reach, row + reach + 1):
            for c in range(column - reach, column + reach + 1):
                inside = 0 <= r < labels.shape[0] and 0 <= c < labels.shape[1]
                expected[row, column] |= not inside or labels[r, c] not in (labels[row, column], IGNORE)
    assert np.array_equal(near_boundary(labels, reach), expected)


def test_what_is_said_where_the_truth_is_void_does_not_count():
    truth, labels = blocks(0, 20, 30)
    truth[5:9, 4:20] = IGNORE
    other = labels.copy()
    other[truth == IGNORE] = 2
    for one, two in zip(measured(truth, labels), measured(truth, other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_square_that_is_shifted_by_one_pixel():
    """Of a square of 4 by 4, all 12 pixels of its outline have one of the other's within a pixel; 8 of 16 coincide."""
    truth, labels = np.zeros((2, 12, 12), np.uint8)
    truth[4:8, 4:8], labels[4:8, 5:9] = 1, 1
    counts = boundary_counts(truth, labels, 2, Boundaries(Length(1, False), Length(1, False)))
    iou, f1, precision, recall = boundary_rates(counts)
    assert iou[1] == 6 / 18  # 3 pixels of the upper and of the lower side coincide
    assert (f1[1], precision[1], recall[1], counts.hd95[1]) == (1, 1, 1, 1)


def test_images_are_added_up_and_hd95_is_their_mean():
    """The third image shows class 1 and is not given it; the fourth has none of it on either side."""
    truth, labels = np.zeros((2, 4, 12, 12), np.uint8)
    truth[:3, 4:8, 4:8] = 1
    labels[0, 4:8, 5:9] = labels[1, 4:8, 7:11] = 1
    options = Boundaries(Length(1, False), Length(1, False))
    images = BoundaryCounts.stacked(
        [boundary_counts(*pair, CLASSES, options) for pair in zip(truth, labels, strict=True)]
    )
    result = boundary_result(images, ["sky", "road", "cat"], options)
    sky, road, cat = result["per_class"]
    assert (road["hd95"], road["hd95_images"], road["one_sided_images"]) == (2, 2, 1)
    right, found = images.lines.right[:, 1].sum(), images.right_lines[:, 1].sum()
    assert road["recall"] == right / 36
    assert road["precision"] == found / 24
    assert road["f1"] == pytest.approx(2 * found / 24 * right / 36 / (found / 24 + right / 36))
    assert cat == {
        "name": "cat",
        **dict.fromkeys(("iou", "f1", "precision", "recall", "hd95")),
        "hd95_images": 0,
        "one_sided_images": 0,
    }
    assert result["mean_f1"] == pytest.approx((sky["f1"] + road["f1"]) / 2)
    assert result["mean_hd95"] == pytest.approx((sky["hd95"] + road["hd95"]) / 2)
    assert (result["width"], result["tolerance"], result["hd95_unit"]) == ("1 pixel", "1 pixel", "pixels")


def test_a_class_that_is_only_given_has_f1_0_which_counts_unless_absent_classes_do_not():
    truth, labels = np.zeros((2, 9, 9), np.uint8)
    labels[4] = 2
    images = BoundaryCounts.stacked([measured(truth, labels)])
    f1 = boundary_rates(images)[1][0]
    assert f1[2] == 0
    means = [boundary_result(images, ["a", "b", "c"], Boundaries(), absent)["mean_f1"] for absent in (False, True)]
    assert means == [pytest.approx(f1[0] / 2), pytest.approx(f1[0])]


def test_void_alone_has_nothing_to_measure():
    truth = np.full((5, 6), IGNORE, np.uint8)
    result = boundary_result(
        BoundaryCounts.stacked([measured(truth, np.zeros_like(truth))]), ["a", "b", "c"], Boundaries()
    )
    assert (result["mean_iou"], result["mean_f1"], result["mean_hd95"]) == (None, None, None)


@pytest.mark.parametrize(
    ("written", "length", "pixels", "said"),
    [
        ("2%", Length(0.02, True), 10, "2%"),
        ("0.75 %", Length(0.0075, True), 3.75, "0.75%"),
        (3, Length(3, False), 3, "3 pixels"),
        ("2.5px", Length(2.5, False), 2.5, "2.5 pixels"),
        (".1%", Length(0.001, True), 1, "0.1%"),  # at least one pixel
    ],
)
def test_lengths_are_pixels_or_shares_of_the_diagonal(written, length, pixels, said):
    found = Length.read(written, "--boundary-width")
    assert found == pytest.approx(length)
    assert found.pixels(np.zeros((300, 400))) == pytest.approx(pixels)
    assert str(found) == said


@pytest.mark.parametrize("written", ["", "-1", "0", "100%", "two", "2 mm", "nan", "inf", "1e", math.nan])
def test_what_is_no_length_is_refused(written):
    with pytest.raises(ConfigError, match=r"--boundary-width .*: expected pixels, such as 3, or a share of the diag"):
        Length.read(written, "--boundary-width")
