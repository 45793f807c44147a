"""Open a data set and check it, before anything is done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fullyconv.data import Data
    from fullyconv.model.segmenter import Segmenter

Step = Callable[[int, int | None], None]
ProgressBar = Callable[[str], AbstractContextManager[Step]]
"""A function that opens a progress bar with a title, and yields the function (done, total) that moves it."""


@contextmanager
def no_bar(title: str) -> Iterator[Step]:
    """Show no progress."""
    yield lambda done, total: None


def checked(
    path: str | Path,
    layout: str | None = None,
    split: str | None = None,
    allow: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
    bar: ProgressBar = no_bar,
    net: Segmenter | None = None,
    fold: str | None = None,
    valid: str | Path | None = None,
) -> Data:
    """Open a data set and check it, or one split of it; return what of it can be used.

    Problems of the kinds in ``allow`` do not count; ``say`` is told of those that are warnings, and of what was decided
    about the files. ``net`` is the network that predicted the masks: it names their classes. ``fold`` is one of the
    folds in ``splits.csv`` (see ``open_data``). ``valid`` is a folder with a mask of the area that counts for each
    image of ``split``. Raises DataError for what is wrong with the data, and ConfigError for unknown kinds and folds.
    """
    from fullyconv.data import check, open_data
    from fullyconv.data.layouts.pairing import with_valid

    data = open_data(path, layout, fold)
    if net is not None:
        data = replace(data.with_classes(net.classes, net.palette), inferred=False)
    if say is not None:
        for note in data.notes:
            say(note)
    if split is not None:
        data.split(split)
    if valid is not None and split is not None:
        data = with_valid(data, split, Path(valid))
    with bar("checking data") as step:
        report = check(data, [split] if split else None, progress=step, allow=allow)
    report.raise_for_errors()
    if say is not None:
        for warning in report.format_warnings():
            say(warning)
    return report.usable_data()


def warn_of_faint(data: Data, split: str, net: Segmenter, say: Callable[[str], None]) -> None:
    """Say whether a network sees next to nothing in images of a checked split: their type or values are not its own."""
    from fullyconv.data.cache import contents_of
    from fullyconv.data.checks.images import faint_to_network

    if data.channels is not None or data.inputs != "image":
        return
    contents = contents_of(data.root)
    warning = faint_to_network({pair.image: contents.image(pair.image) for pair in data.split(split)}, net.value_range)
    if warning is not None:
        say(warning)
