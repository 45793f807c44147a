"""Progress in one line that is written anew: on a terminal, or below the cell of a notebook."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Protocol

INTERVAL = 0.25
"""Fewest seconds between two states of a line in a notebook: each is sent to a browser."""


class Line(Protocol):
    """A bar, a text, and the time left."""

    def show(self, done: float | None, text: str) -> None:
        """Show that a fraction ``done`` in 0..1 is done (None: unknown), and a text."""

    def close(self, text: str = "") -> None:
        """Take the line away; in a notebook ``text`` stays in its place."""


def in_notebook() -> bool:
    """Return whether this code runs in a notebook: in IPython, with a browser or an editor that shows its output."""
    ipython = sys.modules.get("IPython")  # a notebook has loaded it
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


def open_line() -> Line | None:
    """Return a line where somebody sees it, in a notebook or on a terminal (stderr); else None."""
    if in_notebook():
        return NotebookLine()
    return TerminalLine() if sys.stderr.isatty() else None


@contextmanager
def notebook_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show progress below a notebook's cell, and none elsewhere; yield the function (done, total) that moves it."""
    if not in_notebook():
        yield lambda done, total: None
        return
    line = NotebookLine()
    try:
        yield lambda done, total: line.show(done / total if total else None, title)
    finally:
        line.close()


class NotebookLine:
    """A line in HTML. It needs nothing but IPython, which each notebook has."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self.html, self.handle = HTML, display(HTML(""), display_id=True)
        self.began: tuple[float, float] | None = None
        self.shown = -math.inf

    def show(self, done: float | None, text: str) -> None:
        now = time.monotonic()
        if self.began is None:
            self.began = now, done or 0.0
        if now - self.shown < INTERVAL:
            return
        self.shown = now
        value = "" if done is None else f'value="{done:.4f}" '
        bar = f'<progress {value}max="1" style="width: 16em; vertical-align: middle"></progress>'
        self.handle.update(self.html(f"{bar} {escape(text)}{self._time_left(now, done)}"))

    def _time_left(self, now: float, done: float | None) -> str:
        assert self.began is not None
        since, first = self.began
        if done is None or done - first < 0.01:
            return ""
        minutes, seconds = divmod(round((now - since) * (1 - done) / (done - first)), 60)
        return f" · {minutes}:{seconds:02} left"

    def close(self, text: str = "") -> None:
        self.handle.update(self.html(escape(text)))


class TerminalLine:
    """A line of rich's, which is taken away at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        text = TextColumn("{task.fields[text]}", markup=False)
        self.progress = Progress(BarColumn(), text, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task("", total=1.0, text="")
        self.progress.start()

    def show(self, done: float | None, text: str) -> None:
        self.progress.update(self.task, completed=done or 0.0, text=text)

    def close(self, text: str = "") -> None:
        self.progress.stop()
