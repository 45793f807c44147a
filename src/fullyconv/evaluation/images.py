"""The table of images: how each one was labelled, as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence

from fullyconv.evaluation.boundary import BoundaryCounts, boundary_rates
from fullyconv.evaluation.evaluate import ImageScore
from fullyconv.evaluation.metrics import Counts, mean_over_classes, rates, share


def table_of_images(
    scores: Sequence[ImageScore],
    classes: Sequence[str],
    heads: Mapping[str, int] | None,
    boundaries: Sequence[BoundaryCounts] = (),
) -> str:
    """Return a CSV with a row for each image: pixel accuracy, mean IoU, and each class's IoU and Dice.

    With ``boundaries``, those of each labeling (images, classes), also boundary IoU, boundary F1 and HD95. A class that
    an image neither shows nor is given has empty cells there. With several labelings each column's name begins with
    that of its own.
    """
    head_of_columns, columns, first = ["image"], [[score.name for score in scores]], 0
    counts = Counts.stacked([score.counts for score in scores])
    for number, (head, size) in enumerate((heads or {"": len(classes)}).items()):
        own = slice(first, first + size)
        of_head = counts.of_classes(own)
        iou, dice, _, _ = rates(of_head)
        measured = {
            "pixel_accuracy": share(of_head.right.sum(1), of_head.truth.sum(1)),
            "mean_iou": mean_over_classes(iou, of_head),
            **{f"iou {name}": iou[:, i] for i, name in enumerate(classes[own])},
            **{f"dice {name}": dice[:, i] for i, name in enumerate(classes[own])},
        }
        if boundaries:
            line_iou, f1, _, _ = boundary_rates(boundaries[number])
            found = {"boundary iou": line_iou, "boundary f1": f1, "hd95": boundaries[number].hd95}
            measured |= {f"{of} {n}": rate[:, i] for of, rate in found.items() for i, n in enumerate(classes[own])}
        head_of_columns += [f"{head}: {name}" if head else name for name in measured]
        columns += [["" if value != value else f"{value:.6g}" for value in column] for column in measured.values()]
        first += size
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(head_of_columns)
    rows.writerows(zip(*columns, strict=True))
    return file.getvalue()
