"""What else was measured, in the report: boundaries, calibration, and thresholds of two classes."""

from collections.abc import Sequence
from html import escape
from typing import Literal

from fullyconv.evaluation.report.charts import line_chart, percent, reliability_chart, swatch
from fullyconv.evaluation.result import BoundaryResult, CalibrationResult, Result, ThresholdResult
from fullyconv.evaluation.thresholds import named_rates
from fullyconv.palettes import Colour

Rate = Literal["precision", "recall", "f1", "iou"]
RATES: dict[Rate, str] = {"precision": "Precision", "recall": "Recall", "f1": "F1", "iou": "IoU"}


def further_sections(result: Result, palette: Sequence[Colour]) -> dict[str, str]:
    """Return the title and content of a section for each of them that the result has."""
    sections = {}
    if "boundary" in result:
        sections["Boundaries"] = _boundaries(result["boundary"], palette)
    if "calibration" in result:
        sections["Calibration"] = _calibration(result["calibration"])
    if "thresholds" in result:
        sections["Thresholds"] = _thresholds(result["thresholds"])
    return sections


def _boundaries(result: BoundaryResult, palette: Sequence[Colour]) -> str:
    shares = "%" in result["width"] + result["tolerance"]
    note = (
        f"Boundary IoU: the IoU of the areas within {result['width']} of the boundaries. F1, precision and recall: "
        f"boundary pixels are right that have one of the other’s within {result['tolerance']}. HD95: the mean over the "
        f"images that show the class and are given it, in {result['hd95_unit']}."
        f"{' Percentages are of the diagonal.' * shares}"
    )
    names = ("Class", "Boundary IoU", "F1", "Precision", "Recall", "HD95", "One-sided images")
    rows = [
        [
            swatch(colour) + escape(row["name"]),
            *(percent(row[rate]) for rate in ("iou", "f1", "precision", "recall")),
            _number(row["hd95"]),
            str(row["one_sided_images"]),
        ]
        for row, colour in zip(result["per_class"], palette, strict=True)
    ]
    means = ["Mean", percent(result["mean_iou"]), percent(result["mean_f1"]), "", "", _number(result["mean_hd95"]), ""]
    return f'<p class="note">{escape(note)}</p>' + _table(names, rows, means)


def _calibration(result: CalibrationResult) -> str:
    of = "each pixel’s label" if result["of"] == "the labels" else f"“{result['of']}”"
    note = (
        f"Expected calibration error {percent(result['ece'], 2)}: the mean distance between the probability of {of} "
        f"and how often it came true. On average it is {percent(result['probability'])}, and it came true "
        f"for {percent(result['frequency'])} of the pixels."
    )
    pixels = sum(row["pixels"] for row in result["bins"]) or 1
    rows = [
        [
            f"{percent(row['low'], 0)} to {percent(row['high'], 0)}",
            percent(row["pixels"] / pixels),
            percent(row["probability"]),
            percent(row["frequency"]),
        ]
        for row in result["bins"]
        if row["pixels"]
    ]
    table = _table(("Probability", "Share of pixels", "Mean", "Came true"), rows)
    return f'<p class="note">{escape(note)}</p><div class="charts">{reliability_chart(result)}{table}</div>'


def _thresholds(result: ThresholdResult) -> str:
    note = (
        f"Pixels are “{result['name']}” from this probability on. Average precision: "
        f"{percent(result['average_precision'])}. A threshold that is the best on these images flatters; choose it on "
        "val."
    )
    series = {
        name: [(row["threshold"], value) for row in result["curve"] if (value := row[rate]) is not None]
        for rate, name in RATES.items()
    }
    over_recall = [
        (recall, precision)
        for row in result["curve"]
        if (recall := row["recall"]) is not None and (precision := row["precision"]) is not None
    ]
    charts = [
        line_chart(title, curves, x, whole_numbers=False, ends=False)
        for title, curves, x in (
            ("Rates by threshold", {name: points for name, points in series.items() if points}, "threshold"),
            ("Precision over recall", {"precision": over_recall} if over_recall else {}, "recall"),
        )
        if curves
    ]
    rows = [
        [f"{row['threshold']:g}", name, *(percent(row[rate]) for rate in RATES)]
        for name, row in named_rates(result).items()
    ]
    table = _table(("Threshold", "", *RATES.values()), rows)
    return f'<p class="note">{escape(note)}</p><div class="charts">{"".join(charts)}</div>{table}'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], means: Sequence[str] = ()) -> str:
    """Return a table with a heading for each column and row; cells are HTML."""

    def line(cells: Sequence[str]) -> str:
        return f'<tr><th scope="row">{cells[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in cells[1:]) + "</tr>"

    head = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in names)
    foot = f"<tfoot>{line(means)}</tfoot>" if means else ""
    return (
        f'<div class="scroll" tabindex="0"><table class="classes"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(map(line, rows))}</tbody>{foot}</table></div>"
    )
