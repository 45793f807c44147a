"""Measurements as text: tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fullyconv.evaluation.compare import Difference, PairedResult
    from fullyconv.evaluation.result import BoundaryResult, CalibrationResult, Result, ThresholdResult

_WIDTH = 22
"""Least width of the first column."""


def tables(result: Result, head: str) -> list[str]:
    """Format the metrics and what else was measured; ``head`` names the labeling where there are several."""
    found = [_areas(result, head)]
    if "boundary" in result:
        found.append(_boundaries(result["boundary"]))
    if "calibration" in result:
        found.append(_calibration(result["calibration"]))
    if "thresholds" in result:
        found.append(_thresholds(result["thresholds"]))
    return found


def _areas(result: Result, head: str) -> str:
    """Format the four metrics and the classes."""
    from fullyconv.evaluation.metrics import METRICS

    intervals = "mean_iou_interval" in result

    def interval(bounds: list[float] | None) -> list[str]:
        return ["-" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"] if intervals else []

    many = f"{result['images']} image{'s' * (result['images'] != 1)}"
    width = max(_WIDTH, *(len(entry["name"]) for entry in result["per_class"]))
    metrics = [f"{name:{width}}  {_rate(result[key]):>5}" for key, name in METRICS.items()]
    columns = ("class", "IoU", *(["95% interval"] if intervals else []), "Dice", "precision", "recall", "")
    rows = [
        [
            entry["name"],
            _rate(entry["iou"]),
            *interval(entry.get("iou_interval")),
            *(_rate(entry[rate]) for rate in ("dice", "precision", "recall")),
            "" if entry["pixels"] else "absent",
        ]
        for entry in result["per_class"]
    ]
    means = [
        "mean",
        _rate(result["mean_iou"]),
        *interval(result.get("mean_iou_interval")),
        *(_rate(result[rate]) for rate in ("mean_dice", "mean_precision", "mean_recall")),
        "",
    ]
    lines = [
        f"{many} of {result['split']}{', ' * bool(head)}{head}",
        "",
        *metrics,
        "",
        _aligned(columns, [*rows, means]),
    ]
    return "\n".join(lines)


def _boundaries(result: BoundaryResult) -> str:
    columns = ("boundaries", "IoU", "F1", "precision", "recall", "HD95", "images")
    rows = [
        [
            entry["name"],
            *(_rate(entry[rate]) for rate in ("iou", "f1", "precision", "recall")),
            _distance(entry["hd95"]),
            str(entry["hd95_images"]),
        ]
        for entry in result["per_class"]
    ]
    means = ["mean", _rate(result["mean_iou"]), _rate(result["mean_f1"]), "", "", _distance(result["mean_hd95"]), ""]
    reach = f"IoU within {result['width']}, F1 within {result['tolerance']}"
    note = (
        f"{reach}{' (of the diagonal)' * ('%' in reach)}; HD95 in {result['hd95_unit']}, over the images that show the "
        "class and are given it."
    )
    return f"{_aligned(columns, [*rows, means])}\n{note}"


def _calibration(result: CalibrationResult) -> str:
    pixels = sum(row["pixels"] for row in result["bins"])
    rows = [
        [
            f"{row['low']:.2f} to {row['high']:.2f}",
            f"{100 * row['pixels'] / pixels:.1f}%",
            _rate(row["probability"]),
            _rate(row["frequency"]),
        ]
        for row in result["bins"]
        if row["pixels"]
    ]
    mean = ["all", "100.0%", _rate(result["probability"]), _rate(result["frequency"])]
    columns = (f"probability of {result['of']}", "pixels", "mean", "came true")
    return f"{_aligned(columns, [*rows, mean])}\nexpected calibration error (ECE)  {_rate(result['ece'], 4)}"


def _thresholds(result: ThresholdResult) -> str:
    from fullyconv.evaluation.thresholds import named_rates

    rows = [
        [f"{row['threshold']:<6g} {name}", *(_rate(row[rate]) for rate in ("precision", "recall", "f1", "iou"))]
        for name, row in named_rates(result).items()
    ]
    columns = (f"threshold of {result['name']}", "precision", "recall", "F1", "IoU")
    return f"{_aligned(columns, rows)}\naverage precision  {_rate(result['average_precision'])}"


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table: the first column to the left, the others to the right."""
    lines = [columns, *rows]
    first, *others = (max(map(len, cells)) for cells in zip(*lines, strict=True))
    padded = (
        f"{line[0]:{max(_WIDTH, first)}}" + "".join(f"  {cell:>{n}}" for cell, n in zip(line[1:], others, strict=True))
        for line in lines
    )
    return "\n".join(map(str.rstrip, padded))


def _rate(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _distance(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def comparison(result: PairedResult) -> str:
    """Format which of two networks is better, and the difference of each class."""

    def row(entry: Difference) -> str:
        rates = ["-" if entry[key] is None else f"{entry[key]:.3f}" for key in ("first", "second")]
        gain = "-" if entry["difference"] is None else f"{entry['difference']:+.3f}"
        bounds = "-" if entry["interval"] is None else "{:+.3f} to {:+.3f}".format(*entry["interval"])
        return f"{entry['name']:{width}}  {rates[0]:>6}  {rates[1]:>6}  {gain:>10}  {bounds}"

    width = max(22, *(len(entry["name"]) for entry in result["per_class"]))
    lines = [
        f"{result['images']} images of {result['split']}: A is {result['models'][0]}, B is {result['models'][1]}",
        "",
        f"{'IoU':{width}}  {'A':>6}  {'B':>6}  {'B - A':>10}  95% interval",
        *map(row, result["per_class"]),
        row(result["mean_iou"]),
        "",
        result["verdict"],
    ]
    return "\n".join(lines)
