import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    jaccard_score,
    precision_recall_fscore_support,
)

from fullyconv.data import IGNORE
from fullyconv.errors import DataError
from fullyconv.evaluation.metrics import ConfusionMatrix, joint_labels, metrics, metrics_of_heads
from fullyconv.evaluation.result import Result


def names(count: int) -> list[str]:
    return [f"class {i}" for i in range(count)]


def class_row(name, pixels, iou, dice, precision, recall):
    rates = {"iou": iou, "dice": dice, "precision": precision, "recall": recall, "accuracy": recall}
    return {"name": name, **rates, "pixels": pixels}


def measured(preds: torch.Tensor, target: torch.Tensor, count: int) -> Result:
    matrix = ConfusionMatrix(count)
    matrix.update(preds, target)
    return metrics(matrix.compute(), names(count))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_equals_scikit_learn(count, pixels, seed):
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, count, pixels)
    labels = np.where(draw.random(pixels) < 0.5, truth, draw.integers(0, count, pixels))
    void = draw.random(pixels) < 0.2
    void[0] = False
    result = measured(torch.tensor(labels).view(1, -1), torch.tensor(np.where(void, IGNORE, truth)).view(1, -1), count)

    truth, labels = truth[~void], labels[~void]
    seen = np.union1d(truth, labels)
    shares = np.bincount(truth, minlength=count)[seen] / len(truth)
    ious = jaccard_score(truth, labels, labels=seen, average=None, zero_division=0)
    assert result["confusion"] == confusion_matrix(truth, labels, labels=range(count)).tolist()
    assert result["pixel_accuracy"] == pytest.approx(accuracy_score(truth, labels))
    if len(seen) > 1 and np.isin(labels, truth).all():  # scikit-learn warns of the rest
        assert result["mean_accuracy"] == pytest.approx(balanced_accuracy_score(truth, labels))
    assert result["mean_iou"] == pytest.approx(ious.mean())
    assert result["frequency_weighted_iou"] == pytest.approx((shares * ious).sum())
    assert [row["iou"] for row in result["per_class"] if row["iou"] is not None] == pytest.approx(ious.tolist())
    by_class = precision_recall_fscore_support(truth, labels, labels=range(count), average=None, zero_division=np.nan)
    for row, *expected in zip(result["per_class"], *by_class, strict=True):
        found = [row["precision"], row["recall"], row["dice"], row["pixels"]]
        assert [np.nan if value is None else value for value in found] == pytest.approx(expected, nan_ok=True)
        assert row["accuracy"] == row["recall"]
    means = [result["mean_precision"], result["mean_recall"], result["mean_dice"]]
    assert means == pytest.approx([np.nanmean(values) for values in by_class[:3]])
    assert sum(row["pixels"] for row in result["per_class"]) == len(truth)


def test_one_class_has_a_matrix_of_one_cell():
    result = measured(torch.tensor([[0, 0, 0]]), torch.tensor([[0, IGNORE, 0]]), 1)
    assert result["confusion"] == [[2]]
    assert result["pixel_accuracy"] == result["mean_accuracy"] == result["mean_iou"] == 1
    assert result["per_class"] == [class_row("class 0", 2, 1.0, 1.0, 1.0, 1.0)]
    heads = {"a": 1, "b": 1}
    both = metrics_of_heads(torch.eye(2), names(2), heads)
    assert [both["heads"][name]["confusion"] for name in heads] == [[[1]], [[1]]]


def test_hand_sized_case():
    # rows: truth. Class 0: 3 of 4 right; class 1: 1 of 2 right, one pixel of class 0 taken for it.
    result = metrics([[3, 1], [1, 1]], ["a", "b"], images=1, split="val")
    assert result == {
        "pixel_accuracy": 4 / 6,
        "mean_accuracy": (3 / 4 + 1 / 2) / 2,
        "mean_iou": pytest.approx((3 / 5 + 1 / 3) / 2),
        "frequency_weighted_iou": pytest.approx((4 * 3 / 5 + 2 * 1 / 3) / 6),
        "mean_dice": (6 / 8 + 2 / 4) / 2,
        "mean_precision": (3 / 4 + 1 / 2) / 2,
        "mean_recall": (3 / 4 + 1 / 2) / 2,
        "per_class": [class_row("a", 4, 3 / 5, 6 / 8, 3 / 4, 3 / 4), class_row("b", 2, 1 / 3, 2 / 4, 1 / 2, 1 / 2)],
        "confusion": [[3, 1], [1, 1]],
        "images": 1,
        "split": "val",
    }


def test_class_in_neither_truth_nor_prediction_is_left_out_of_the_mean():
    result = metrics([[2, 0, 0], [0, 2, 0], [0, 0, 0]], names(3))
    assert (result["mean_iou"], result["mean_accuracy"]) == (1.0, 1.0)
    assert result["per_class"][2] == class_row("class 2", 0, None, None, None, None)


def test_class_only_predicted_counts_as_iou_0_and_has_no_accuracy():
    result = metrics([[1, 0, 1], [0, 2, 0], [0, 0, 0]], names(3))
    assert result["per_class"][2] == class_row("class 2", 0, 0.0, 0.0, 0.0, None)
    assert result["mean_iou"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert result["mean_accuracy"] == pytest.approx((1 / 2 + 1) / 2)


def test_with_every_pixel_ignored_the_metrics_are_none():
    result = measured(torch.zeros(1, 2, 2).long(), torch.full((1, 2, 2), IGNORE), 2)
    assert result["pixel_accuracy"] is result["mean_accuracy"] is None
    assert result["mean_iou"] is result["frequency_weighted_iou"] is None


def test_bytes_do_not_overflow_with_many_classes():
    labels = torch.arange(200, dtype=torch.uint8)
    matrix = ConfusionMatrix(200)
    matrix.update(labels, labels)
    assert torch.equal(matrix.compute(), torch.eye(200, dtype=torch.long))


def test_accumulates_over_batches():
    draw = torch.Generator().manual_seed(0)
    preds, target = (torch.randint(0, 4, (6, 5, 7), generator=draw) for _ in range(2))
    whole, parts = ConfusionMatrix(4), ConfusionMatrix(4)
    whole.update(preds, target)
    for p, t in zip(preds, target, strict=True):
        parts.update(p, t)
    assert torch.equal(whole.compute(), parts.compute())


def test_deterministic_algorithms_give_the_same_counts():
    preds, target = torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 0]])
    torch.use_deterministic_algorithms(True)
    try:
        assert measured(preds, target, 2)["confusion"] == [[1, 1], [0, 1]]
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("preds", "target", "message"),
    [
        (torch.zeros(2, 2), torch.full((2, 2), 2), r"mask holds values 2..2; the classes are 0..1"),
        (torch.full((2, 2), 3), torch.zeros(2, 2), r"prediction holds values 3..3"),
        (torch.zeros(2, 3), torch.zeros(3, 2), r"mask is 3×2 pixels, its image 2×3"),
    ],
)
def test_what_does_not_fit_is_refused(preds, target, message):
    with pytest.raises(DataError, match=message):
        ConfusionMatrix(2).update(preds.long(), target.long())


def test_a_class_missing_from_the_truth_counts_unless_the_data_sets_authors_leave_it_out():
    confusion = [[3, 1, 0], [0, 2, 1], [0, 0, 0]]
    counted = metrics(confusion, names(3))
    left_out = metrics(confusion, names(3), absent_excluded=True)
    assert counted["mean_iou"] == pytest.approx((3 / 4 + 2 / 4 + 0) / 3)
    assert left_out["mean_iou"] == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_each_head_is_measured_by_itself():
    heads = {"semantic": 3, "geometric": 2}
    torch.manual_seed(0)
    labels, truth = (torch.stack([torch.randint(0, n, (9, 8)) for n in heads.values()]) for _ in range(2))
    truth[1, :2] = IGNORE
    matrix = ConfusionMatrix(5)
    matrix.update(joint_labels(labels, heads), joint_labels(truth, heads))
    result = metrics_of_heads(matrix.compute(), names(5), heads, images=1, split="test")
    for plane, (head, count) in enumerate(heads.items()):
        own = measured(labels[plane], truth[plane], count)
        assert result["heads"][head]["confusion"] == own["confusion"]
        assert result["heads"][head]["mean_iou"] == own["mean_iou"]
    assert result["mean_iou"] == result["heads"]["semantic"]["mean_iou"]
    assert [row["name"] for row in result["heads"]["geometric"]["per_class"]] == ["class 3", "class 4"]
