"""Two networks on the same images: the differences are those of the draws, and the sentence says what they show."""

import numpy as np
import pytest

from fullyconv.errors import DataError
from fullyconv.evaluation.bootstrap import RESAMPLES
from fullyconv.evaluation.compare import PairedResult, compare
from fullyconv.evaluation.metrics import Counts, metrics

NAMES = ["sky", "road", "car"]


def confusions(seed: int, right: int, images: int = 12) -> np.ndarray:
    draw = np.random.default_rng(seed)
    matrices = draw.integers(0, 20, (images, 3, 3))
    matrices[:, range(3), range(3)] += right
    return matrices


def compared(first: np.ndarray, second: np.ndarray) -> PairedResult:
    one, other = (Counts.stacked([Counts.of(matrix) for matrix in matrices]) for matrices in (first, second))
    return compare(one, other, NAMES, ("runs/a", "runs/b"), "test")


def test_equals_measuring_both_on_each_draw():
    first, second = confusions(0, 20), confusions(1, 22)
    found = compared(first, second)
    draws = np.random.default_rng(0).multinomial(12, [1 / 12] * 12, size=RESAMPLES)
    pairs = [[metrics(np.einsum("i,ijk->jk", draw, m), NAMES) for m in (first, second)] for draw in draws]
    means = np.array([b["mean_iou"] - a["mean_iou"] for a, b in pairs])
    assert found["mean_iou"]["interval"] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist())
    assert found["p"] == pytest.approx(2 * (1 + min((means <= 0).sum(), (means >= 0).sum())) / (RESAMPLES + 1))
    whole = [metrics(m.sum(0), NAMES) for m in (first, second)]
    assert found["mean_iou"]["difference"] == pytest.approx(whole[1]["mean_iou"] - whole[0]["mean_iou"])
    for index, row in enumerate(found["per_class"]):
        assert [row["first"], row["second"]] == pytest.approx([one["per_class"][index]["iou"] for one in whole])
        ious = [b["per_class"][index]["iou"] - a["per_class"][index]["iou"] for a, b in pairs]
        assert row["interval"] == pytest.approx(np.percentile(ious, [2.5, 97.5]).tolist())


def test_a_clear_difference_is_said_from_either_side():
    worse, better = confusions(0, 20), confusions(1, 200)
    assert compared(worse, better)["verdict"].startswith("runs/b is better than runs/a: its mean IoU is ")
    back = compared(better, worse)
    assert back["verdict"].startswith("runs/a is better than runs/b: its mean IoU is ")
    assert "p < 0.002, 12 images" in back["verdict"]
    assert (back["mean_iou"]["difference"] or 0) < 0


def test_chance_is_called_chance():
    found = compared(confusions(0, 20), confusions(1, 20))
    assert found["verdict"].startswith("These images do not tell which is better")
    assert found["p"] > 0.05


@pytest.mark.parametrize(("images", "p"), [(2, 0.5), (3, 0.25), (5, 0.0625)])
def test_few_images_that_agree_do_not_tell(images, p):
    """Signs that agree by chance have the probability 2 · 2⁻ⁿ."""
    found = compared(confusions(0, 20, images), confusions(1, 400, images))
    assert found["p"] == p
    assert found["verdict"].startswith("These images do not tell which is better")
    assert compared(confusions(0, 20, 6), confusions(1, 400, 6))["verdict"].startswith("runs/b is better")


def test_a_network_equals_itself():
    found = compared(confusions(0, 20), confusions(0, 20))
    assert found["verdict"] == "The mean IoU of runs/a and runs/b is the same on these 12 images."
    assert (found["p"], found["mean_iou"]["interval"]) == (1.0, [0.0, 0.0])


def test_pairing_sees_a_small_steady_gain_in_images_that_differ_much():
    """Image i has 100 i of 2,000 pixels right in the first network, and 20 more in the second."""
    right = 100 * np.arange(1, 19)

    def matrices(gain: int) -> np.ndarray:
        return np.array([np.diag([r + gain] * 3) + np.roll(np.eye(3), 1, 1) * (2000 - r - gain) for r in right])

    first, second = matrices(0).astype(int), matrices(20).astype(int)
    found = compared(first, second)
    assert found["verdict"].startswith("runs/b is better")
    assert found["mean_iou"]["interval"][1] < 0.03


def test_one_image_is_refused():
    with pytest.raises(DataError, match="has one image"):
        compared(confusions(0, 1, images=1), confusions(1, 1, images=1))
