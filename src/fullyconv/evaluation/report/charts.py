"""Charts of the report as HTML and SVG, which take the page's colours, light or dark, and scale with it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from math import sqrt

from matplotlib.ticker import MaxNLocator

from fullyconv.evaluation.result import CalibrationResult, Result
from fullyconv.palettes import Colour

Point = tuple[float, float]
Points = list[Point]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 440, 260, 56, 22, 12, 46
LARGEST_TABLE = 32
"""Most classes for which the whole confusion matrix is shown."""


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def percent_range(bounds: Sequence[float] | None) -> str:
    return "–" if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}%"


def line_chart(
    title: str, series: Mapping[str, Points], x_label: str, whole_numbers: bool = True, ends: bool = True
) -> str:
    """Return a figure of at most four curves, each of at least one point, with a legend.

    ``whole_numbers``: x has no fractions. ``ends``: the last point of each curve is marked, and its value said.
    """
    parts, at = _axes(
        MaxNLocator(5, integer=whole_numbers).tick_values(*_span(x for points in series.values() for x, _ in points)),
        MaxNLocator(5).tick_values(*_span(y for points in series.values() for _, y in points)),
        x_label,
    )
    for number, points in enumerate(series.values()):
        places = [at(x, y) for x, y in points]
        line = "L".join(f"{u:.1f} {v:.1f}" for u, v in places)
        parts.append(f'<path class="line s{number}" d="M{line}"/>')
        if ends:
            parts.append(f'<circle class="dot s{number}" cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="3"/>')
    said = "; ".join(f"{name} ends at {points[-1][1]:.4g}" if ends else name for name, points in series.items())
    legend = "".join(
        f'<span><i class="key s{number}"></i>{escape(name)}{f" <b>{points[-1][1]:.4g}</b>" if ends else ""}</span>'
        for number, (name, points) in enumerate(series.items())
    )
    return _figure(title, said, parts, legend)


def reliability_chart(result: CalibrationResult) -> str:
    """Return a figure of how often each range of probabilities came true, beside how often it should have."""
    parts, at = _axes([0, 0.2, 0.4, 0.6, 0.8, 1], [0, 0.2, 0.4, 0.6, 0.8, 1], "probability")
    (left, bottom), (right, top) = at(0, 0), at(1, 1)
    for row in result["bins"]:
        if row["frequency"] is not None:
            (u, v), (end, _) = at(row["low"], row["frequency"]), at(row["high"], 0)
            parts.append(
                f'<rect class="fill s0" x="{u:.1f}" y="{v:.1f}" width="{end - u:.1f}" height="{bottom - v:.1f}"/>'
            )
    parts.append(f'<path class="line s1" d="M{left:.1f} {bottom:.1f}L{right:.1f} {top:.1f}"/>')
    names = ("how often it came true", "how often it should")
    legend = "".join(f'<span><i class="key s{number}"></i>{name}</span>' for number, name in enumerate(names))
    ece = "–" if result["ece"] is None else f"{result['ece']:.4f}"
    return _figure("Reliability", f"expected calibration error {ece}", parts, legend)


def _axes(xs: Sequence[float], ys: Sequence[float], x_label: str) -> tuple[list[str], Callable[..., Point]]:
    """Return the parts of a chart with ticks at ``xs`` and ``ys``, and the place in it of a point (x, y)."""

    def at(x: float, y: float) -> Point:
        across, up = (x - xs[0]) / (xs[-1] - xs[0]), (y - ys[0]) / (ys[-1] - ys[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for y in ys:
        _, v = at(xs[0], y)
        parts.append(f'<path class="grid" d="M{LEFT} {v:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{v + 5:.1f}" text-anchor="end">{y:.6g}</text>')
    for x in xs:
        u, _ = at(x, ys[0])
        parts.append(f'<text x="{u:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{x:.6g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>')
    return parts, at


def _figure(title: str, said: str, parts: Sequence[str], legend: str) -> str:
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}: {escape(said)}">'
        f'{"".join(parts)}</svg><p class="legend">{legend}</p></figure>'
    )


def class_bars(result: Result, palette: Sequence[Colour]) -> str:
    """Return a table of the classes with a bar for each one's IoU."""
    total = sum(row["pixels"] for row in result["per_class"]) or 1
    intervals = "mean_iou_interval" in result

    def interval(bounds: Sequence[float] | None) -> str:
        return f"<td>{percent_range(bounds)}</td>" if intervals else ""

    rows = "".join(
        f'<tr><th scope="row">{swatch(colour)}{escape(row["name"])}</th>'
        f'<td class="bar"><i style="width:{100 * (row["iou"] or 0):.1f}%"></i></td>'
        f"<td>{percent(row['iou'])}</td>{interval(row.get('iou_interval'))}<td>{percent(row['dice'])}</td>"
        f"<td>{percent(row['precision'])}</td><td>{percent(row['recall'])}</td>"
        f"<td>{percent(row['pixels'] / total) if row['pixels'] else 'absent'}</td></tr>"
        for row, colour in zip(result["per_class"], palette, strict=True)
    )
    means = (
        f'<tr><th scope="row">Mean</th><td></td><td>{percent(result["mean_iou"])}</td>'
        f"{interval(result.get('mean_iou_interval'))}<td>{percent(result['mean_dice'])}</td>"
        f"<td>{percent(result['mean_precision'])}</td><td>{percent(result['mean_recall'])}</td><td></td></tr>"
    )
    of_interval = '<th scope="col">95% interval</th>' if intervals else ""
    return (
        '<div class="scroll" tabindex="0"><table class="classes"><thead><tr>'
        '<th scope="col">Class</th><td></td><th scope="col">IoU</th>'
        f'{of_interval}<th scope="col">Dice</th>'
        '<th scope="col">Precision</th><th scope="col">Recall</th><th scope="col">Share of pixels</th></tr></thead>'
        f"<tbody>{rows}</tbody><tfoot>{means}</tfoot></table></div>"
    )


def confusion_table(result: Result) -> str:
    """Return each true class's share of pixels by label, and the largest confusions.

    For more than ``LARGEST_TABLE`` classes, only the largest confusions are shown.
    """
    names = [row["name"] for row in result["per_class"]]
    shares = [[count / max(1, sum(row)) for count in row] for row in result["confusion"]]
    wrong = sorted(
        ((share, i, j) for i, row in enumerate(shares) for j, share in enumerate(row) if i != j and share > 0),
        reverse=True,
    )[: 5 if len(names) <= LARGEST_TABLE else 20]
    items = "".join(
        f"<li><b>{percent(share)}</b> of {escape(names[i])} is labelled {escape(names[j])}</li>"
        for share, i, j in wrong
    )
    largest = f"<h3>Largest confusions</h3><ol>{items}</ol>" if items else ""
    if len(names) > LARGEST_TABLE:
        return largest
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{escape(names[i])}</th>' + "".join(_cell(i == j, s) for j, s in enumerate(row)) + "</tr>"
        for i, row in enumerate(shares)
    )
    return (
        '<div class="scroll" tabindex="0"><table class="confusion"><thead><tr>'
        f"<td>truth ↓ labelled →</td>{head}</tr></thead><tbody>{body}</tbody></table></div>{largest}"
    )


def swatch(colour: Colour) -> str:
    return f'<i class="swatch" style="background:rgb{tuple(colour)}"></i>'


def _cell(diagonal: bool, share: float) -> str:
    """Return a table cell whose shade grows with the square root of the share, so that rare confusions are visible."""
    kind = "right" if diagonal else "wrong"
    text = f"{100 * share:.0f}" if share >= 0.005 else ""
    return f'<td class="{kind}" style="--v:{100 * sqrt(share):.0f}%">{text}</td>'


def _span(values: Iterable[float]) -> tuple[float, float]:
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    return (low, high) if high > low else (low - 0.5, high + 0.5)
