"""``splits.csv``: a table of which image is in which split, which people can read and edit in a spreadsheet."""

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fullyconv.data.catalog import Data
from fullyconv.data.pairs import Pair
from fullyconv.data.splits.names import NAMES, canonical, read_fold
from fullyconv.errors import ConfigError, DataError
from fullyconv.files import write_whole

FILE = "splits.csv"
COLUMNS = ("image", "split", "group")
FOLD = "fold"
SHOWN = 3
"""Number of images that a message names; the others are counted."""
MAX_BYTES = 1 << 30


class Row(NamedTuple):
    """An image, named by its path within the data set, its split, its group and, if there are folds, its fold."""

    image: str
    split: str
    group: str
    fold: str = ""


def name_within(root: Path, image: Path) -> str:
    """Return an image's path relative to the data set's folder, with forward slashes, as the file has it."""
    try:
        name = os.path.relpath(image, root)
    except ValueError:  # on another drive of Windows
        name = str(image.absolute())
    return name.replace(os.sep, "/")


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write a file of splits, whole or not at all. The column of folds is left out if no image has one."""
    text = io.StringIO()
    folds = any(row.fold for row in rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, FOLD) if folds else COLUMNS)
    writer.writerows(row if folds else row[:-1] for row in rows)
    write_whole(file, text.getvalue().encode(errors="surrogateescape"))


def read_rows(file: Path) -> list[Row] | None:
    """Read a file of splits with commas or semicolons; None if its columns are others, so that it is no such file.

    Raises DataError if the file is no text, or too large.
    """
    if file.stat().st_size > MAX_BYTES:
        raise DataError(f"{file}: is larger than {MAX_BYTES >> 20:,} MiB; expected a line for each image")
    text = file.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    first = text.partition("\n")[0]
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ","))
    except csv.Error as error:
        raise DataError(f"{file}: cannot be read as a table ({error}); remove it, or export it again as CSV") from error
    header = [name.strip().lower() for name in table[0]] if table else []
    if sorted(header) not in (sorted(COLUMNS), sorted((*COLUMNS, FOLD))):
        return None
    rows = []
    for number, cells in enumerate(table[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue  # as spreadsheets leave at the end
        if len(cells) != len(header):
            raise DataError(
                f"{file}: row {number} has {len(cells)} cells; expected {len(header)}: {', '.join(header)}. Names with "
                "the separator in them stand in quotes"
            )
        rows.append(Row(**dict(zip(header, map(str.strip, cells), strict=True))))
    return rows


def arrange(data: Data, fold: str | None, given: Path) -> Data:
    """Return the data divided as ``splits.csv`` in its folder says, if there is one; ``given`` is how it was opened.

    With ``fold``, such as 0/5, the images of this fold are the split val, and those of the other folds are train.
    Raises DataError if the file does not fit the images, and ConfigError if there are no such folds.
    """
    number, folds = (None, 0) if fold is None else read_fold(fold)
    file = data.root / FILE
    rows = read_rows(file) if file.is_file() else None
    if rows is None:
        if folds:
            raise ConfigError(
                f"fold {fold}: {data.root} has no {FILE} with folds; run `fullyconv data split {given} --folds {folds}`"
            )
        note = f"{file}: is not read, as its columns are not {', '.join(COLUMNS)}: it was not written by `data split`"
        return replace(data, notes=[*data.notes, note]) if file.is_file() else data
    splits = {row.image: canonical(row.split) for row in rows}
    if folds:
        splits |= _of_fold(rows, number, folds, file, given)
    pairs = _match(data, rows, file, given)
    arranged = {name: [pair for image, pair in pairs if splits[image] == name] for name in NAMES}
    arranged = {name: own for name, own in arranged.items() if own}
    counts = ", ".join(f"{name} {len(own)}" for name, own in arranged.items())
    note = f"{FILE} divides the images{f' (fold {fold})' if folds else ''}: {counts}"
    return replace(data, splits=arranged, divided=False, notes=[*data.notes, note])


def each_once(data: Data) -> list[Pair]:
    """Return the pairs of all splits, each image once, sorted by the images' paths."""
    pairs = {pair.image: pair for pairs in reversed(data.splits.values()) for pair in pairs}
    return [pairs[image] for image in sorted(pairs)]


def shown(names: Iterable[str]) -> str:
    """List the first names, and count the others."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def images(count: int) -> str:
    """Return a count in words that a statement can follow."""
    return f"{count} image{'s are' if count != 1 else ' is'}"


def _match(data: Data, rows: Sequence[Row], file: Path, given: Path) -> list[tuple[str, Pair]]:
    """Return each pair with its name in the file. Raises DataError if they do not fit each other."""
    faults = []
    times = Counter(_plain(row.image) for row in rows)
    if twice := [row.image for row in rows if times[_plain(row.image)] > 1]:
        faults.append(f"{images(len(set(twice)))} listed more than once ({shown(dict.fromkeys(twice))})")
    if strange := [f"{row.image}: {row.split!r}" for row in rows if canonical(row.split) not in NAMES]:
        faults.append(f"{images(len(strange))} in an unknown split; expected {', '.join(NAMES)} ({shown(strange)})")
    own = {_plain(name_within(data.root, pair.image)): pair for pair in each_once(data)}
    listed = {_plain(row.image) for row in rows}
    if absent := [row.image for row in rows if _plain(row.image) not in own]:
        faults.append(f"{images(len(absent))} listed, but not in the data set ({shown(absent)})")
    if left := [name_within(data.root, pair.image) for name, pair in own.items() if name not in listed]:
        faults.append(f"{images(len(left))} in the data set, but not listed ({shown(left)})")
    if faults:
        remedy = f"correct the lines, or divide again: `fullyconv data split {given} --force`"
        raise DataError(f"{file}: {'; '.join(faults)}. What to do: {remedy}")
    return sorted(((row.image, own[_plain(row.image)]) for row in rows), key=lambda found: found[1].image)


def _of_fold(rows: Sequence[Row], number: int | None, folds: int, file: Path, given: Path) -> dict[str, str]:
    """Return the split of each image outside of test. Raises ConfigError for another number of folds."""
    rest = [row for row in rows if canonical(row.split) != "test"]
    faulty = [
        f"{row.image}: {row.fold!r}"
        for row in rest
        if not (row.fold.isascii() and row.fold.isdecimal() and len(row.fold) < 5)
    ]
    found = {int(row.fold) for row in rest} if not faulty else set()
    if len(faulty) == len(rest) or (not faulty and found != set(range(folds))):
        has = f"the folds {', '.join(map(str, sorted(found)))}" if found else "no folds"
        raise ConfigError(
            f"fold {number}/{folds}: {file} has {has}; for {folds} folds (0 to {folds - 1}), run "
            f"`fullyconv data split {given} --folds {folds} --force`"
        )
    if faulty:
        raise DataError(
            f"{file}: {images(len(faulty))} without a fold, but not in test ({shown(faulty)}); expected 0 "
            f"to {folds - 1}"
        )
    return {row.image: "val" if int(row.fold) == number else "train" for row in rest}


def _plain(name: str) -> str:
    """Return a name as it is compared: macOS and others write the same accents in different ways."""
    return unicodedata.normalize("NFC", name.removeprefix("./"))
