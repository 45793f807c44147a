"""What commands say, show and end with."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on the terminal, moved by calling what is yielded with (done, total); nothing where there is none."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def say(message: str) -> None:
    """Tell the user how far things are: on stderr, results alone go to stdout."""
    print(message, file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    """End with exit code 2: the user's input is at fault."""
    print(f"fullyconv: {message}", file=sys.stderr)
    raise SystemExit(2)


def table(result: Any, head: str) -> str:
    """The four metrics and the classes, as text; ``head`` names the labeling where there are several."""
    from fullyconv.evaluation.metrics import METRICS

    def rate(value: float | None) -> str:
        return "    -" if value is None else f"{value:.3f}"

    width = max(22, *(len(entry["name"]) for entry in result["per_class"]))
    many = f"{result['images']} image{'s' * (result['images'] != 1)}"
    lines = [f"{many} of {result['split']}{', ' * bool(head)}{head}", ""]
    lines += [f"{name:{width}}  {rate(result[key])}" for key, name in METRICS.items()]
    lines += ["", f"{'class':{width}}    IoU  accuracy"]
    lines += [f"{e['name']:{width}}  {rate(e['iou'])}     {rate(e['accuracy'])}" for e in result["per_class"]]
    return "\n".join(lines)
