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

from fullyconv.cli.tables import comparison, tables
from fullyconv.errors import visible

if TYPE_CHECKING:
    from fullyconv.evaluation.compare import PairedResult
    from fullyconv.evaluation.result import Result


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


def print_tables(result: Result) -> None:
    """Print the measurements, or those of each head."""
    heads = result.get("heads", {"": result})
    print_result("\n\n".join(part for name, own in heads.items() for part in tables(own, name)))


def print_comparison(result: PairedResult) -> None:
    """Print which of two networks is better, and the difference of each class."""
    print_result(comparison(result))
