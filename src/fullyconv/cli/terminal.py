"""How commands show progress, print messages and results, and end with an error."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from fullyconv.errors import visible

if TYPE_CHECKING:
    from fullyconv.evaluation.compare import Difference, PairedResult
    from fullyconv.evaluation.metrics import Result


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar if stderr is a terminal; yield the function (done, total) that moves it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(escape(visible(what)), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def say(*lines: str) -> None:
    """Print a message of one line or more for the user on stderr; stdout is for results."""
    print("\n".join(map(visible, lines)), file=sys.stderr, flush=True)


def warning_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning of Python's as one line, without the place in the code that gave it."""
    return f"warning: {visible(str(message))}\n"


def print_result(result: str) -> None:
    """Print a result, which may have several lines, on stdout."""
    print(visible_lines(result), flush=True)


def fail(*lines: str) -> NoReturn:
    """Print a message of one line or more and exit with code 2, which means an error that the user can fix."""
    print("fullyconv:", "\n".join(map(visible, lines)), file=sys.stderr)
    raise SystemExit(2)


def guard() -> None:
    """Print warnings as lines of ours, and make control characters visible in what libraries log.

    What Pillow and tifffile remark of a file has no file's name, and is left out: what matters is raised with it.
    """
    warnings.formatwarning = warning_line
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    if logging.lastResort is not None:  # shows what libraries log of broken files
        logging.lastResort.setFormatter(_VisibleLines())


def visible_lines(text: str) -> str:
    """Return several lines of text with the control characters in each of them made visible."""
    return "\n".join(map(visible, text.split("\n")))


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an error, with control characters in it made visible; what ``sys.excepthook`` may be."""
    sys.stderr.write(visible_lines("".join(traceback.format_exception(kind, error, trace))))


class _VisibleLines(logging.Formatter):
    """The message alone, as without a formatter, made visible."""

    def format(self, record: logging.LogRecord) -> str:
        return visible_lines(super().format(record))


def table(result: Result, head: str) -> str:
    """Format the four metrics and the classes as text; ``head`` names the labeling where there are several."""
    from fullyconv.evaluation.metrics import METRICS

    def rate(value: float | None) -> str:
        return "    -" if value is None else f"{value:.3f}"

    def interval(bounds: list[float] | None) -> str:
        if "mean_iou_interval" not in result:
            return ""
        return f"  {'-' if bounds is None else f'{bounds[0]:.3f} to {bounds[1]:.3f}':14}"

    width = max(22, *(len(entry["name"]) for entry in result["per_class"]))
    many = f"{result['images']} image{'s' * (result['images'] != 1)}"
    lines = [f"{many} of {result['split']}{', ' * bool(head)}{head}", ""]
    lines += [f"{name:{width}}  {rate(result[key])}" for key, name in METRICS.items()]
    of_interval = "  95% interval  " if "mean_iou_interval" in result else ""
    lines += ["", f"{'class':{width}}    IoU{of_interval}   Dice  precision  recall"]
    lines += [
        f"{e['name']:{width}}  {rate(e['iou'])}{interval(e.get('iou_interval'))}  {rate(e['dice'])}"
        f"      {rate(e['precision'])}   {rate(e['recall'])}{'' if e['pixels'] else '  absent'}"
        for e in result["per_class"]
    ]
    lines.append(
        f"{'mean':{width}}  {rate(result['mean_iou'])}{interval(result.get('mean_iou_interval'))}"
        f"  {rate(result['mean_dice'])}      {rate(result['mean_precision'])}   {rate(result['mean_recall'])}"
    )
    return "\n".join(lines)


def print_tables(result: Result) -> None:
    """Print the metrics, or those of each head."""
    print_result("\n\n".join(table(own, name) for name, own in result.get("heads", {"": result}).items()))


def print_comparison(result: PairedResult) -> None:
    """Print which of two networks is better, and the difference of each class."""

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
    print_result("\n".join(lines))
