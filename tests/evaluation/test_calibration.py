"""Calibration is what torchmetrics and scikit-learn compute of all pixels at once."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from fullyconv.classes import IGNORE
from fullyconv.evaluation.calibration import BINS, Reliability


def images(classes: int, count: int = 3):
    """Random truths and probabilities (C, H, W), sure and right to different degrees."""
    draw = torch.Generator().manual_seed(classes)
    for index in range(count):
        truth = torch.randint(0, classes, (20, 30 + index), generator=draw)
        logits = torch.randn(classes, *truth.shape, generator=draw)
        logits += 2 * index * torch.nn.functional.one_hot(truth, classes).movedim(-1, 0)
        yield truth, logits.softmax(0)


def collected(classes: int, void: bool = False):
    reliability, truths, probabilities = Reliability([str(i) for i in range(classes)]), [], []
    for truth, probability in images(classes):
        if void:
            truth[:4] = IGNORE
        confidence, labels = probability.max(0)
        reliability.add(truth.numpy().astype(np.uint8), labels.numpy().astype(np.uint8), confidence.numpy())
        truths.append(truth.flatten())
        probabilities.append(probability.flatten(1).T)
    return reliability.result(), torch.cat(truths), torch.cat(probabilities)


@pytest.mark.parametrize("void", [False, True])
@pytest.mark.parametrize("classes", [3, 7])
def test_ece_of_many_classes_is_torchmetrics(classes, void):
    result, truth, probability = collected(classes, void)
    known = truth != IGNORE
    expected = multiclass_calibration_error(probability[known], truth[known], classes, n_bins=BINS)
    assert result["ece"] == pytest.approx(expected.item(), abs=1e-6)
    assert result["of"] == "the labels"
    assert sum(row["pixels"] for row in result["bins"]) == int(known.sum())


def test_ece_of_two_classes_is_torchmetrics_and_the_table_is_scikit_learns():
    result, truth, probability = collected(2)
    expected = binary_calibration_error(probability[:, 1].contiguous(), truth, n_bins=BINS)
    assert result["ece"] == pytest.approx(expected.item(), abs=1e-6)
    assert result["of"] == "1"
    frequency, mean = calibration_curve(truth, probability[:, 1], n_bins=BINS)
    filled = [row for row in result["bins"] if row["pixels"]]
    assert [row["frequency"] for row in filled] == pytest.approx(frequency.tolist())
    assert [row["probability"] for row in filled] == pytest.approx(mean.tolist(), abs=1e-6)
    assert result["probability"] == pytest.approx(probability[:, 1].mean().item(), abs=1e-6)
    assert result["frequency"] == pytest.approx(truth.double().mean().item())


def test_pixels_counted_by_hand():
    """Labels at 70% of which one of two is right, and one at 100% that is wrong: |1.4 − 1| + |1 − 0| of three."""
    reliability = Reliability(["a", "b", "c"])
    truth = np.array([[0, 1, 2, IGNORE]], np.uint8)
    reliability.add(truth, np.array([[0, 0, 1, 1]], np.uint8), np.array([[0.7, 0.7, 1, 0.4]], np.float32))
    result = reliability.result()
    assert result["ece"] == pytest.approx(1.4 / 3)
    seventy, whole = (row for row in result["bins"] if row["pixels"])
    assert (seventy["low"], seventy["high"]) == (10 / BINS, 11 / BINS)
    assert (seventy["pixels"], seventy["probability"], seventy["frequency"]) == (2, pytest.approx(0.7), 0.5)
    assert (whole["pixels"], whole["probability"], whole["frequency"], whole["high"]) == (1, 1, 0, 1)


def test_without_a_pixel_nothing_is_known():
    reliability = Reliability(["a", "b"])
    reliability.add(np.full((2, 2), IGNORE, np.uint8), np.zeros((2, 2), np.uint8), np.ones((2, 2), np.float32))
    result = reliability.result()
    assert (result["ece"], result["probability"], result["frequency"]) == (None, None, None)
    assert {row["frequency"] for row in result["bins"]} == {None}
