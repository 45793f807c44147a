"""``report.html``: a run in one self-contained file."""

import csv
import io
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from shlex import quote

import numpy as np
from PIL import Image

from fullyconv.data import IGNORE, Data
from fullyconv.evaluation.evaluate import Comparison, best_and_worst
from fullyconv.evaluation.further import Further
from fullyconv.evaluation.images import table_of_images
from fullyconv.evaluation.measure import measure
from fullyconv.evaluation.report.charts import (
    Points,
    class_bars,
    confusion_table,
    line_chart,
    percent,
    percent_range,
    swatch,
)
from fullyconv.evaluation.report.further import further_sections
from fullyconv.evaluation.report.page import COMPACT, PAGE, STYLE
from fullyconv.evaluation.report.places import images_file
from fullyconv.evaluation.result import Result
from fullyconv.files import write_whole
from fullyconv.model.segmenter import Segmenter
from fullyconv.palettes import VOC_VOID, Colour
from fullyconv.results.figures import WRONG, errors, index_image
from fullyconv.weights.run_files import CONFIG, CURVES, REPORT

LONGEST_SIDE = 400
LONGEST_CURVE = 300
MOST_CURVES = 4
CHARTS = {
    "Loss": {"loss"},
    "IoU": {"iou", "miou"},
    "Accuracy": {"acc", "accuracy"},
    "Learning rate": {"lr"},
}
"""Each chart shows the columns of metrics.csv whose names hold one of its words, such as train_loss_step and lr-SGD."""


def evaluate_and_report(
    net: Segmenter,
    data: Data,
    split: str,
    run: Path | None = None,
    out: Path | None = None,
    report: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    further: Further | None = None,
) -> Result:
    """Measure ``net`` on a split, write the result to ``out`` (JSON) and a report, and return the result.

    - ``run``: the run folder with the configuration and the curves; without it there is no report.
    - ``out``: the file of the result, beside which ``images_file`` has that of each image; None writes neither.
    - ``report``: the file of the report; None means ``report.html`` in ``run``.
    - ``further``: what is measured beside the rates of whole areas.

    Raises DataError where the data have classes that the network does not (see ``measure``).
    """
    measured = measure(net, data, split, progress, further)
    result = measured.result
    if out is not None:
        write_whole(out, json.dumps(result, indent=2))
        write_whole(images_file(out), table_of_images(measured.scores, net.classes, net.heads, measured.boundaries))
    if run is not None:
        root = quote(str(data.root))
        command = (
            f"fullyconv train --recipe {quote(str(run / CONFIG))} --data {root} --out RUN\n"
            f"fullyconv evaluate RUN --data {root} --split {quote(split)}"
        )
        compared = best_and_worst(net, measured.examples, measured.scores)
        write_report(run, result, net.palette, *compared, command=command, file=report, data=data.root.resolve().name)
    return result


def write_report(
    run_dir: str | Path,
    result: Result,
    palette: Sequence[Colour],
    best: Sequence[Comparison] = (),
    worst: Sequence[Comparison] = (),
    command: str = "",
    title: str = "",
    file: Path | None = None,
    data: str = "",
) -> Path:
    """Write the report on a run as one page, ``report.html`` in its folder unless ``file`` is given; return its path.

    - ``result``: the content of ``evaluation.json``.
    - ``palette``: one colour per class, of all heads.
    - ``command``: the commands that repeat the run.
    - ``title``: the run folder's name unless given.
    - ``data``: the data set's name.

    The curves come from the run's ``metrics.csv`` (whichever of Lightning's columns it has), the configuration from its
    ``config.yaml``; parts whose source is missing are left out.
    """
    run_dir = Path(run_dir)
    names = [row["name"] for row in result["per_class"]]
    confusion = '<p class="note">The percentage of each true class\'s pixels that was given each label.</p>'
    own = palette[: len(names)]
    sections = [
        *_measurements(result, palette),
        _section("Confusion", confusion + confusion_table(result)),
        _section("Best images", "".join(_example(example, own) for example in best)),
        _section("Worst images", "".join(_example(example, own) for example in worst)),
        _legend(names, own) if best or worst else "",
        _section("Training", _curves(_read(run_dir / CURVES))),
        _section("To repeat this run", _text(command)),
        _section("Configuration", _text(_read(run_dir / CONFIG))),
    ]
    path = file or run_dir / REPORT
    write_whole(path, _page(title or run_dir.resolve().name, result, sections, data))
    return path


def summary(result: Result, palette: Sequence[Colour], title: str, run: Path | None = None) -> str:
    """Return a page of the figures and tables alone; with ``run``, also of its curves."""
    curves = _section("Training", _curves(_read(run / CURVES))) if run else ""
    sections = [*_measurements(result, palette), curves]
    return _page(title, result, sections, style=STYLE + COMPACT)


def _page(title: str, result: Result, sections: Sequence[str], data: str = "", style: str = STYLE) -> str:
    images = "1 image" if result["images"] == 1 else f"{result['images']:,} images"
    classes = "1 class" if len(result["per_class"]) == 1 else f"{len(result['per_class'])} classes"
    split = f" of the split “{result['split']}”" if result["split"] else ""
    split += f" of {data}" if data else ""
    seen = ". Results on training images do not tell how it does on new ones" if result["split"] == "train" else ""
    return PAGE.substitute(
        title=escape(title),
        subtitle=escape(f"Measured on {images}{split}, {classes}{seen}"),
        style=style,
        sections="\n".join(filter(None, sections)),
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>\n{content}\n</section>" if content else ""


def _measurements(result: Result, palette: Sequence[Colour]) -> list[str]:
    """Return the sections of what was measured; ``palette`` has the colours of all heads."""
    count = len(result["per_class"])
    further = further_sections(result, palette[:count])
    return [
        _numbers(result),
        _section("Classes", class_bars(result, palette[:count])),
        *(_section(title, content) for title, content in further.items()),
        *_further_heads(result, palette[count:]),
    ]


def _further_heads(result: Result, palette: Sequence[Colour]) -> list[str]:
    """Return a section of metrics and classes for each labeling after the first."""
    sections = []
    for name, own in list(result.get("heads", {}).items())[1:]:
        count = len(own["per_class"])
        further = further_sections(own, palette[:count])
        parts = [_numbers(own), class_bars(own, palette[:count]), *(f"<h3>{t}</h3>{c}" for t, c in further.items())]
        sections.append(_section(f"Labeling: {escape(name)}", "".join(parts)))
        palette = palette[count:]
    return sections


def _numbers(result: Result) -> str:
    shown = {
        "Mean IoU": result["mean_iou"],
        "Pixel accuracy": result["pixel_accuracy"],
        "Mean accuracy": result["mean_accuracy"],
        "Frequency-weighted IoU": result["frequency_weighted_iou"],
    }
    bounds = result.get("mean_iou_interval")
    interval = f'<dd class="interval">95% interval {percent_range(bounds)}</dd>' if bounds else ""
    return (
        '<dl class="numbers">'
        + "".join(
            f"<div><dt>{name}</dt><dd>{percent(value).replace('%', '<small>%</small>')}</dd>"
            f"{interval if name == 'Mean IoU' else ''}</div>"
            for name, value in shown.items()
        )
        + "</dl>"
    )


def _text(text: str) -> str:
    return f'<pre tabindex="0">{escape(text.strip())}</pre>' if text.strip() else ""


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _legend(names: Sequence[str], palette: Sequence[Colour]) -> str:
    entries = [*zip(names, palette, strict=True), ("not labelled in the truth", VOC_VOID), ("wrong", WRONG)]
    return (
        '<p class="legend">'
        + "".join(f"<span>{swatch(colour)}{escape(name)}</span>" for name, colour in entries)
        + "</p>"
    )


def _example(example: Comparison, palette: Sequence[Colour]) -> str:
    """Return an image, its truth, prediction and errors side by side, or two by two on a narrow screen."""
    known = example.truth != IGNORE
    wrong = float((example.prediction != example.truth)[known].mean())
    views = [
        ("Image", Image.fromarray(example.image)),
        ("Truth", index_image(example.truth, palette)),
        ("Prediction", index_image(example.prediction, palette)),
        ("Errors", Image.fromarray(errors(example.image, example.prediction, example.truth))),
    ]
    figures = "".join(
        f'<figure><img{" class=labels" if picture.mode == "P" else ""} src="{_embedded(picture)}"'
        f' alt="{view} of {escape(example.name)}"><figcaption>{view}</figcaption></figure>'
        for view, picture in views
    )
    return (
        f'<figure class="example"><figcaption><b>{escape(example.name)}</b> · '
        f"mean IoU {percent(example.mean_iou)} · {percent(wrong)} of the pixels wrong</figcaption>"
        f'<div class="views">{figures}</div></figure>'
    )


def _embedded(picture: Image.Image) -> str:
    """Return the picture as a data URI: PNG for labels, whose colours must not mix, JPEG for photographs."""
    labels = picture.mode == "P"
    scale = min(1.0, LONGEST_SIDE / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.NEAREST if labels else Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, format="PNG" if labels else "JPEG", optimize=True, quality=80)
    return f"data:image/{'png' if labels else 'jpeg'};base64,{b64encode(file.getvalue()).decode()}"


def _curves(table: str) -> str:
    """Return one chart for each of ``CHARTS``; rows may leave columns empty, as Lightning's logger does."""
    rows = list(csv.DictReader(io.StringIO(table)))
    columns = list(rows[0]) if rows else []
    x_column = next((name for name in ("step", "epoch") if name in columns), None)
    charts = []
    for title, words in CHARTS.items():
        series: dict[str, Points] = {}
        for column in columns:
            if words & set(re.split("[^a-z]+", column.lower())) and len(series) < MOST_CURVES:
                points = _points(rows, x_column, column)
                if points:
                    series[column.replace("_", " ")] = points
        if series:
            charts.append(line_chart(title, series, x_column or "row"))
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _points(rows: list[dict[str, str]], x_column: str | None, column: str) -> Points:
    """Return the finite values of a column in order of x, averaged in groups where there are many."""
    pairs = [
        (_number(row[x_column]) if x_column else float(index), _number(row[column])) for index, row in enumerate(rows)
    ]
    finite = np.array(sorted(pair for pair in pairs if math.isfinite(sum(pair)))).reshape(-1, 2)
    groups = np.array_split(finite, min(len(finite), LONGEST_CURVE)) if len(finite) else []
    return [(float(x), float(y)) for x, y in (group.mean(axis=0) for group in groups)]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
