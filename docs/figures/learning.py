"""What a loss and its optimizer see: momentum against batch size, and the four metrics by hand."""

import numpy as np
import torch
from looks import BLUE, CLASS_COLOURS, GREEN, INK, ORANGE, PALE, bare, canvas
from matplotlib.figure import Figure

from fullyconv.data import IGNORE
from fullyconv.evaluation.metrics import ConfusionMatrix, metrics

TRUTH = torch.tensor(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 255, 0, 0, 0, 0],
        [0, 1, 1, 255, 0, 2, 2, 0],
        [0, 1, 1, 255, 0, 2, 2, 0],
        [0, 255, 255, 255, 0, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
LABELS = torch.tensor(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 0, 2, 2, 2, 0],
        [0, 1, 0, 0, 2, 2, 2, 0],
        [0, 1, 0, 0, 2, 2, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
CLASSES = ("0", "1", "2")


def momentum() -> Figure:
    """The weight that the gradient of an image seen a while ago has in the velocity."""
    figure, grid = canvas(8.8, 2.8)
    axes = grid[0, 0]
    images = np.arange(0, 400)
    settings = ((20, 0.9, ORANGE), (1, 0.9 ** (1 / 20), BLUE), (1, 0.99, GREEN))
    for batch, factor, colour in settings:
        weights = factor ** (images // batch) / batch if batch > 1 else factor**images / 20
        axes.step(images, weights, where="post", color=colour, lw=1.8, label=f"N={batch}, p={factor:.4g}")
    axes.set(xlim=(0, 400), ylim=(0, 0.056), yticks=[0, 0.025, 0.05])
    axes.grid(color=PALE)
    axes.legend()
    return figure


def four_metrics() -> Figure:
    figure, grid = canvas(8.8, 2.7, 1, 4, width_ratios=(1.25, 1.25, 1, 1.1))
    count = ConfusionMatrix(3)
    count.update(LABELS, TRUTH)
    confusion = count.compute().numpy()
    result = metrics(confusion, CLASSES)
    for axes, labels in zip(grid[0], (TRUTH, LABELS), strict=False):
        known = np.ma.masked_equal(labels.numpy(), IGNORE)
        axes.imshow(known, cmap=CLASS_COLOURS, vmin=0, vmax=3)
        for row, column in np.ndindex(*labels.shape):
            value = int(labels[row, column])
            wrong = TRUTH[row, column] not in (IGNORE, value)
            shade = INK if value in (0, IGNORE) else "white"
            text = "×" if value == IGNORE else str(value)
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color=shade,
                fontsize=8,
                weight="bold" if wrong else "normal",
            )
        bare(axes)
    table = grid[0, 2]
    table.imshow(np.sqrt(confusion), cmap="Blues", vmin=0, vmax=9)
    for row, column in np.ndindex(3, 3):
        shade = "white" if confusion[row, column] > 20 else INK
        table.text(column, row, confusion[row, column], ha="center", va="center", color=shade)
    table.set(xticks=range(3), yticks=range(3))
    table.tick_params(length=0, labeltop=True, labelbottom=False)
    lines = [
        ("pixel acc.", result["pixel_accuracy"]),
        ("mean acc.", result["mean_accuracy"]),
        ("mean IU", result["mean_iou"]),
        ("f.w. IU", result["frequency_weighted_iou"]),
    ]
    for y, (name, value) in enumerate(lines):
        grid[0, 3].text(0.05, 0.85 - 0.22 * y, f"{name}", va="center")
        grid[0, 3].text(0.95, 0.85 - 0.22 * y, f"{value:.3f}", va="center", ha="right", color=BLUE, weight="bold")
    bare(grid[0, 3])
    return figure
