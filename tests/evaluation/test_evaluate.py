import json

import pytest
import torch
from torch import distributed, multiprocessing

from fullyconv.data import IGNORE
from fullyconv.errors import DataError
from fullyconv.evaluation.evaluate import best_and_worst, evaluate
from fullyconv.evaluation.metrics import metrics


def with_errors(labels: torch.Tensor, count: int) -> torch.Tensor:
    """A truth that differs from ``labels`` in ``count`` pixels."""
    truth = labels.flatten().clone()
    truth[:count] = (truth[:count] + 1) % 3
    return truth.view_as(labels)


@pytest.fixture
def examples(paint):
    """Images of six sizes, of which the i-th is labelled with i pixels wrong."""
    draw = torch.Generator().manual_seed(0)
    labels = [torch.randint(0, 3, (4 + i, 9 - i), generator=draw) for i in range(6)]
    return [(paint(label), with_errors(label, i).to(torch.uint8), i) for i, label in enumerate(labels)]


def counted(net, examples):
    confusion = torch.zeros(3, 3, dtype=torch.long)
    for image, mask, _ in examples:
        for row, line in enumerate(mask):
            for column, truth in enumerate(line):
                if truth != IGNORE:
                    confusion[int(truth), int(image[:, row, column].argmax())] += 1
    return confusion


@pytest.mark.parametrize("workers", [0, 2])
def test_equals_counting_pixel_by_pixel(colour_net, examples, workers):
    examples[0][1][0] = IGNORE
    result, scores = evaluate(colour_net, examples, "val", workers=workers)
    assert result == metrics(counted(colour_net, examples), colour_net.classes, images=6, split="val")
    for score, example in zip(scores, examples, strict=True):
        own = metrics(counted(colour_net, [example]), colour_net.classes)
        assert (score.mean_iou, score.pixel_accuracy) == (own["mean_iou"], own["pixel_accuracy"])


def evaluate_a_part(rank, net, parts, folder):
    torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork
    distributed.init_process_group("gloo", f"file://{folder}/meet", world_size=len(parts), rank=rank)
    result, scores = evaluate(net, parts[rank], workers=0)
    (folder / f"{rank}.json").write_text(json.dumps([result, len(scores)]))
    distributed.destroy_process_group()


def test_two_processes_with_a_part_each_measure_the_whole(colour_net, examples, tmp_path):
    parts = [examples[:2], examples[2:]]
    multiprocessing.start_processes(evaluate_a_part, (colour_net, parts, tmp_path), nprocs=2, start_method="fork")
    whole, _ = evaluate(colour_net, examples, workers=0)
    for rank, part in enumerate(parts):
        result, scored = json.loads((tmp_path / f"{rank}.json").read_text())
        assert result == whole
        assert scored == len(part)


def test_takes_any_iterable_and_reports_progress(colour_net, examples):
    seen = []
    from_list, _ = evaluate(colour_net, examples, workers=0, progress=lambda *at: seen.append(at))
    assert seen == [(i, 6) for i in range(1, 7)]
    seen.clear()
    from_stream, _ = evaluate(colour_net, iter(examples), progress=lambda *at: seen.append(at))
    assert seen == [(i, None) for i in range(1, 7)]
    assert from_stream == from_list


@pytest.mark.parametrize("training", [True, False])
def test_the_network_stays_in_its_mode(colour_net, examples, training):
    colour_net.train(training)
    _, scores = evaluate(colour_net, examples, workers=0)
    best_and_worst(colour_net, examples, scores)
    assert colour_net.training is training


def test_best_and_worst_are_ranked_and_apart(colour_net, examples):
    labels = [str(i) for i in range(6)]
    _, scores = evaluate(colour_net, examples, names=labels, workers=0)
    best, worst = best_and_worst(colour_net, examples, scores, count=2)
    assert [c.name for c in best] == ["0", "1"]
    assert [c.mean_iou for c in best] == sorted((c.mean_iou for c in best), reverse=True)
    assert worst[0].mean_iou == min(s.mean_iou for s in scores)
    assert (best[0].prediction == best[0].truth).all()
    assert best[0].image.shape == (*best[0].truth.shape, 3)


@pytest.mark.parametrize(("images", "sizes"), [(1, (1, 0)), (3, (2, 1)), (5, (3, 2)), (6, (3, 3))])
def test_no_image_is_both_best_and_worst(colour_net, examples, images, sizes):
    _, scores = evaluate(colour_net, examples[:images], workers=0)
    best, worst = best_and_worst(colour_net, examples, scores)
    assert (len(best), len(worst)) == sizes
    assert not {c.name for c in best} & {c.name for c in worst}


def test_image_without_any_class_has_no_score_and_no_rank(colour_net, paint):
    labels = torch.zeros(2, 2)
    examples = [(paint(labels), torch.full((2, 2), IGNORE), 0), (paint(labels), labels.long(), 1)]
    result, scores = evaluate(colour_net, examples, workers=0)
    assert (result["images"], [score.mean_iou for score in scores]) == (2, [None, 1.0])
    best, worst = best_and_worst(colour_net, examples, scores)
    assert ([comparison.name for comparison in best], worst) == (["image 1"], [])


def test_images_without_any_class_are_refused(colour_net, paint):
    examples = [(paint(torch.zeros(2, 2)), torch.full((2, 2), IGNORE), 0)]
    with pytest.raises(DataError, match="no pixel of the 1 images of the split 'test' has a class"):
        evaluate(colour_net, examples, "test", workers=0)


def test_a_wrong_mask_is_named(colour_net, paint):
    examples = [(paint(torch.zeros(2, 2)), torch.full((2, 2), 7), 0)]
    with pytest.raises(DataError, match=r"street\.png: the mask holds values 7\.\.7"):
        evaluate(colour_net, examples, names=["street.png"], workers=0)


def test_nothing_to_evaluate_is_refused(colour_net):
    with pytest.raises(DataError, match="'test' has no image"):
        evaluate(colour_net, [], "test")


def test_a_network_with_heads_is_measured_on_a_mask_for_each(colour_net, paint):
    """The second head says where it is not red; the second mask says the same but for one pixel."""
    colour_net.heads, colour_net.classes = {"colour": 3, "red": 2}, ("red", "green", "blue", "yes", "no")
    first = torch.tensor([[0, 1], [2, 0]])
    predict = colour_net.predict
    colour_net.predict = lambda images: torch.stack([predict(images), (predict(images) != 0).long()], 1)
    truth = torch.stack([first, torch.tensor([[1, 1], [1, 0]])])
    examples = [(paint(first), truth, 0)]
    result, scores = evaluate(colour_net, examples)
    assert result["pixel_accuracy"] == 1
    assert result["heads"]["red"]["pixel_accuracy"] == 3 / 4
    best, _ = best_and_worst(colour_net, examples, scores)
    assert best[0].prediction.tolist() == first.tolist()
