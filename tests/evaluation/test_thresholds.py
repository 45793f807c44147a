"""The rates at each threshold are scikit-learn's, of probabilities rounded down to the steps of the histogram."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_recall_curve

from fullyconv.classes import IGNORE
from fullyconv.evaluation.thresholds import SHOWN, STEPS, ThresholdCurve, best_threshold


def curve_of(truth: np.ndarray, probability: np.ndarray, chosen: float | None = None) -> ThresholdCurve:
    """Of pixels (n,) in two images, given by the probability of the second class."""
    curve = ThresholdCurve(["sky", "road"], chosen)
    labels = (probability > 0.5).astype(np.uint8)
    confidence = np.where(labels == 1, probability, 1 - probability)
    for part in (slice(5), slice(5, None)):
        curve.add(truth[None, part], labels[None, part], confidence[None, part])
    return curve


def random_pixels(seed: int, count: int = 400, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = (draw.random(count) < share).astype(np.uint8)
    truth[0] = 1
    steps = np.clip(draw.normal(0.3 + 0.3 * truth, 0.25) * STEPS, 0, STEPS).round()
    return truth, (steps + 0.25).clip(max=STEPS) / STEPS  # away from the steps, so that float32 would find them too


@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.5]))
@settings(max_examples=20, deadline=None)
def test_rates_and_average_precision_are_scikit_learns(seed, share):
    truth, probability = random_pixels(seed, share=share)
    rounded = np.floor(probability * STEPS + 1e-9) / STEPS
    result = curve_of(truth, probability).result()
    assert result["name"] == "road"
    assert result["average_precision"] == pytest.approx(average_precision_score(truth, rounded))
    for row in (result["half"], result["best"], result["curve"][37]):
        given_it = rounded >= row["threshold"] - 1e-9
        assert row["f1"] == pytest.approx(f1_score(truth, given_it))
        assert row["iou"] == pytest.approx(jaccard_score(truth, given_it))
    precision, recall, _ = precision_recall_curve(truth, rounded)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert result["best"]["f1"] == pytest.approx(f1.max())
    assert [row["threshold"] for row in result["curve"]] == [step / SHOWN for step in range(SHOWN + 1)]


def test_pixels_counted_by_hand():
    """Probabilities 0.9 and 0.6 of true pixels, 0.7 and 0.1 of others; void at 1."""
    truth = np.array([1, 1, 0, 0, IGNORE], np.uint8)
    result = curve_of(truth, np.array([0.9, 0.6, 0.7, 0.1, 1.0]), chosen=0.8).result()
    assert result["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert result["best"] == {"threshold": 0.5, "precision": 2 / 3, "recall": 1, "f1": 0.8, "iou": 2 / 3}
    assert result["chosen"] == {"threshold": 0.8, "precision": 1, "recall": 0.5, "f1": 2 / 3, "iou": 0.5}
    assert result["curve"][-1] == {"threshold": 1, "precision": None, "recall": 0, "f1": 0, "iou": 0}


def test_where_the_second_class_is_not_there_no_threshold_is_best():
    result = curve_of(np.zeros(9, np.uint8), np.linspace(0, 1, 9)).result()
    assert (result["average_precision"], result["best"]) == (None, None)
    assert result["half"]["recall"] is None
    assert result["half"]["precision"] == 0


@pytest.mark.parametrize(
    "written",
    [None, "", "[]", "{}", '{"thresholds": {"best": null}}', '{"thresholds": {"best": {"threshold": "x"}}}'],
)
def test_a_file_without_a_best_threshold_has_none(tmp_path, written):
    file = tmp_path / "evaluation.json"
    if written is not None:
        file.write_text(written)
    assert best_threshold(file) is None


def test_the_best_threshold_is_found_in_the_file_of_another_split(tmp_path):
    result = curve_of(*random_pixels(1)).result()
    (tmp_path / "evaluation.json").write_text(json.dumps({"thresholds": result}))
    assert best_threshold(tmp_path / "evaluation.json") == result["best"]["threshold"]
