"""Networks and data sets as commands need them: found, checked, measured."""

from pathlib import Path
from typing import Any

from fullyconv.cli.terminal import progress_bar, table


def network(model: str) -> Any:
    """The network, on the best device; an exported one on its runtime."""
    from fullyconv.inference.exported import open_model

    return placed(open_model(model))


def placed(net: Any) -> Any:
    from fullyconv.hardware import best_device

    return net.to(best_device())


def checked(path: Path, layout: str | None, split: str | None = None) -> Any:
    """The data set, if nothing is wrong with it."""
    from fullyconv.data import check, open_data

    data = open_data(path, layout)
    if split is not None:
        data.split(split)
    with progress_bar("checking data") as step:
        check(data, [split] if split else None, progress=step).raise_if_any()
    return data


def measure(net: Any, data: Any, split: str, run: Path | None, out: Path | None) -> None:
    """Measure, print, and where there is a run folder write its report."""
    from fullyconv.evaluation.report.report import evaluate_and_report
    from fullyconv.model.border import for_inference

    with progress_bar(f"evaluating on {split}") as step:
        result = evaluate_and_report(for_inference(net), data, split, run, out, progress=step)
    print("\n\n".join(table(own, name) for name, own in result.get("heads", {"": result}).items()))
