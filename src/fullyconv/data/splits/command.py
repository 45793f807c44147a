"""Check a data set, divide it, and write ``splits.csv``: what ``fullyconv data split`` does."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fullyconv.data.checks.checked import ProgressBar, no_bar
from fullyconv.data.checks.find import check
from fullyconv.data.layouts.detect import open_as_laid_out
from fullyconv.data.splits.file import FILE, each_once, write_rows
from fullyconv.data.splits.options import Options
from fullyconv.data.splits.split import Division, split
from fullyconv.errors import ConfigError, DataError


def split_data(
    path: str | Path,
    options: Options,
    layout: str | None = None,
    *,
    allow: Sequence[str] = (),
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
    bar: ProgressBar = no_bar,
) -> tuple[Path, Division]:
    """Divide a data set; return the file that was written into its folder, and the division.

    Splits that the layout has are replaced. ``allow``, ``say`` and ``bar`` are those of ``checked``. Raises ConfigError
    if there is a ``splits.csv`` (unless ``force``) or the folder cannot be written, and DataError for what is wrong
    with the data.
    """
    data = open_as_laid_out(path, layout)
    file = data.root / FILE
    if file.exists() and not force:
        raise ConfigError(f"{file}: exists; --force replaces it, or remove it to have the layout's own splits again")
    for note in data.notes:
        say(note)
    whole = replace(data, splits={"all": each_once(data)}, divided=True)
    with bar("checking data") as step:
        report = check(whole, progress=step, allow=allow)
    report.raise_for_errors()
    for warning in report.format_warnings():
        say(warning)
    if not data.divided:
        counts = ", ".join(f"{name} {len(pairs)}" for name, pairs in data.splits.items())
        say(f"{file} will replace the splits of the layout ({counts}).")
    with bar("dividing") as step:
        division = split(whole, options, step)
    try:
        write_rows(file, division.rows())
    except OSError as error:
        raise DataError(
            f"{file}: cannot be written ({error.strerror}). Make the folder writable, or describe its files in a "
            "dataset.yaml in a folder of your own, by their absolute paths: splits.csv then lies beside it"
        ) from error
    return file, division
