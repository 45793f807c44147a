"""Networks and data sets as commands need them: found, checked, measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fullyconv.cli.terminal import progress_bar, table

if TYPE_CHECKING:  # a command's help needs no torch
    from fullyconv.data import Data
    from fullyconv.model.segmenter import Segmenter

    Placeable = TypeVar("Placeable", bound=Segmenter)


def network(model: str) -> Segmenter:
    """Open a network on the best device, or an exported one on its runtime."""
    from fullyconv.inference.exported import open_model

    return placed(open_model(model))


def placed(net: Placeable) -> Placeable:
    """Move a network to the best device of this machine."""
    from fullyconv.hardware import best_device

    return net.to(best_device())


def checked(path: Path, layout: str | None, split: str | None = None) -> Data:
    """Open a data set and check it, or one split of it. Raises DataError for what is wrong with it."""
    from fullyconv.data import check, open_data

    data = open_data(path, layout)
    if split is not None:
        data.split(split)
    with progress_bar("checking data") as step:
        check(data, [split] if split else None, progress=step).raise_if_any()
    return data


def measure(
    net: Segmenter, data: Data, split: str, run: Path | None, out: Path | None, report: Path | None = None
) -> None:
    """Measure, print, and where there is a run folder write the report, to ``report`` or as its report.html."""
    from fullyconv.evaluation.report.report import evaluate_and_report
    from fullyconv.model.border import for_inference

    with progress_bar(f"evaluating on {split}") as step:
        result = evaluate_and_report(for_inference(net), data, split, run, out, report, progress=step)
    print("\n\n".join(table(own, name) for name, own in result.get("heads", {"": result}).items()))
