"""How commands show progress, print messages and results, and end with an error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from fullyconv.evaluation.metrics import Result


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar if stderr is a terminal; yield the function (done, total) that moves it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def say(message: str) -> None:
    """Print a message for the user on stderr; stdout is for results."""
    print(message, file=sys.stderr, flush=True)


def warning_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning of Python's as one line, without the place in the code that gave it."""
    return f"warning: {message}\n"


def fail(message: str) -> NoReturn:
    """Print a message and exit with code 2, which means an error that the user can fix."""
    print(f"fullyconv: {message}", file=sys.stderr)
    raise SystemExit(2)


def table(result: Result, head: str) -> str:
    """Format the four metrics and the classes as text; ``head`` names the labeling where there are several."""
    from fullyconv.evaluation.metrics import METRICS

    def rate(value: float | None) -> str:
        return "    -" if value is None else f"{value:.3f}"

    width = max(22, *(len(entry["name"]) for entry in result["per_class"]))
    many = f"{result['images']} image{'s' * (result['images'] != 1)}"
    lines = [f"{many} of {result['split']}{', ' * bool(head)}{head}", ""]
    lines += [f"{name:{width}}  {rate(result[key])}" for key, name in METRICS.items()]
    lines += ["", f"{'class':{width}}    IoU  accuracy"]
    lines += [
        f"{e['name']:{width}}  {rate(e['iou'])}     {rate(e['accuracy'])}{'' if e['pixels'] else '  absent'}"
        for e in result["per_class"]
    ]
    return "\n".join(lines)


def print_tables(result: Result) -> None:
    """Print the metrics, or those of each head."""
    print("\n\n".join(table(own, name) for name, own in result.get("heads", {"": result}).items()))
