"""The resampled measurements are those of the images drawn, counted again one by one."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullyconv.evaluation import bootstrap
from fullyconv.evaluation.bootstrap import RESAMPLES, interval, resampled, with_intervals
from fullyconv.evaluation.evaluate import ImageScore
from fullyconv.evaluation.images import table_of_images
from fullyconv.evaluation.metrics import Counts, metrics, metrics_of_heads


def confusions(images: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 9, (images, classes, classes))


def counted(matrices: np.ndarray) -> Counts:
    return Counts.stacked([Counts.of(matrix) for matrix in matrices])


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_equals_measuring_each_draw_of_images_by_itself(images, classes, seed):
    matrices = confusions(images, classes, seed)
    names = [str(i) for i in range(classes)]
    draws = np.random.default_rng(0).multinomial(images, [1 / images] * images, size=RESAMPLES)
    measured = [metrics(np.einsum("i,ijk->jk", draw, matrices), names) for draw in draws]
    whole = metrics(matrices.sum(0), names)
    found = with_intervals(whole, counted(matrices))
    means = [draw["mean_iou"] for draw in measured if draw["mean_iou"] is not None]
    assert found["mean_iou_interval"] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist())
    for index, row in enumerate(found["per_class"]):
        ious = [draw["per_class"][index]["iou"] for draw in measured]
        known = [iou for iou in ious if iou is not None]
        assert row["iou_interval"] == (pytest.approx(np.percentile(known, [2.5, 97.5]).tolist()) if known else None)
    added = {"per_class": whole["per_class"], "mean_iou_interval": found["mean_iou_interval"]}
    assert {**found, **added} == {**whole, **added}


def test_draws_in_blocks_are_the_same(monkeypatch):
    counts = counted(confusions(7, 3, 0))
    at_once = resampled(counts)
    monkeypatch.setattr(bootstrap, "_LARGEST_DRAW", 7 * 300)
    assert all(np.array_equal(a, b) for a, b in zip(at_once, resampled(counts), strict=True))


def test_more_images_give_a_narrower_interval_by_the_square_root():
    widths = []
    for images in (100, 400):
        low, high = interval(_mean_of(counted(confusions(images, 2, 1)))) or [0, 0]
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.2)


def _mean_of(counts: Counts) -> np.ndarray:
    drawn = resampled(counts)
    return drawn.right.sum(1) / drawn.truth.sum(1)


def test_one_image_has_no_interval():
    result = metrics([[3, 1], [1, 1]], ["a", "b"], images=1)
    assert with_intervals(result, counted(np.array([[[3, 1], [1, 1]]]))) == result


def test_a_class_without_a_pixel_has_no_interval():
    matrices = np.array([[[2, 0], [0, 0]], [[1, 0], [0, 0]]])
    found = with_intervals(metrics(matrices.sum(0), ["a", "b"]), counted(matrices))
    assert [row["iou_interval"] for row in found["per_class"]] == [[1.0, 1.0], None]


def test_each_head_has_its_own():
    heads, names = {"x": 2, "y": 1}, ["a", "b", "c"]
    matrices = confusions(4, 3, 5) * np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    found = with_intervals(metrics_of_heads(matrices.sum(0), names, heads), counted(matrices))
    own = with_intervals(metrics(matrices[:, :2, :2].sum(0), names[:2]), counted(matrices[:, :2, :2]))
    assert found["heads"]["x"] == own
    assert found["mean_iou_interval"] == own["mean_iou_interval"]
    assert found["heads"]["y"]["per_class"][0]["iou_interval"] == [1.0, 1.0]


def image(name: str, matrix: list[list[int]]) -> ImageScore:
    return ImageScore(0, name, None, None, Counts.of(np.array(matrix)))


def test_the_table_of_images_has_a_row_for_each():
    scores = [image("day, one.png", [[3, 1], [1, 1]]), image("night.png", [[2, 0], [0, 0]])]
    rows = list(csv.DictReader(io.StringIO(table_of_images(scores, ["sky", "my road"], None))))
    assert rows[0] == {
        "image": "day, one.png",
        "pixel_accuracy": "0.666667",
        "mean_iou": "0.466667",
        "iou sky": "0.6",
        "iou my road": "0.333333",
        "dice sky": "0.75",
        "dice my road": "0.5",
    }
    assert list(rows[1].values()) == ["night.png", "1", "1", "1", "", "1", ""]


def test_columns_of_several_labelings_name_theirs():
    scores = [image("a.png", [[4, 0, 0], [0, 1, 1], [0, 0, 2]])]
    (row,) = csv.DictReader(io.StringIO(table_of_images(scores, ["any", "no", "yes"], {"x": 1, "y": 2})))
    assert row["x: iou any"] == row["x: pixel_accuracy"] == "1"
    assert (row["y: pixel_accuracy"], row["y: iou no"], row["y: dice yes"]) == ("0.75", "0.5", "0.8")
