"""Map the values and colours in masks to class indices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fullyconv.classes import IGNORE, MAX_CLASSES
from fullyconv.errors import DataError
from fullyconv.palettes import Colour

LOWEST, HIGHEST = -32768, 65535
"""The smallest and largest mask value that can be a class."""

DOUBTFUL = 32
"""Distance to the nearest class, in grey levels, above which it is doubtful which class was meant."""

Unknown = tuple[int | Colour, int]
"""A value or colour that is not a class, and the number of its pixels."""


@dataclass(frozen=True)
class MaskCode:
    """What the values and colours in the masks of a data set mean.

    - ``classes``: the number of classes. Mask values number them from 0, skipping ``ignore_index`` and ``void``, the
      values of pixels without a class. With two classes, and unless 255 is void, a file may use 0 and 255 instead.
    - ``colours``: the label of each RGB colour, IGNORE for void.
    - ``by_colour``: read all masks by their colours, not only RGB masks.
    - ``values``: the label of each value (LOWEST to HIGHEST), IGNORE for void, if values do not number the classes.
    - ``other_values``: a second numbering; each file follows one of the two throughout.
    - ``nearest``: unknown values and colours take the label of the nearest known one.
    - ``key``: the location of the mask in MATLAB files (see ``read_matrix``).
    """

    classes: int
    ignore_index: int | None = None
    colours: Mapping[Colour, int] | None = None
    by_colour: bool = False
    values: Mapping[int, int] | None = None
    key: str | None = None
    void: tuple[int, ...] = ()
    other_values: Mapping[int, int] | None = None
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.classes > MAX_CLASSES:
            raise DataError(
                f"the masks have {self.classes} classes; expected at most {MAX_CLASSES}, because labels are bytes and "
                f"{IGNORE} stands for pixels without a class"
            )

    @cached_property
    def numberings(self) -> tuple[Mapping[int, int], ...]:
        """The label of each value. If there are two mappings, each file follows one of them throughout."""
        if self.values is not None:
            return (self.values, self.other_values) if self.other_values else (self.values,)
        voids = dict.fromkeys((*self.void, *(() if self.ignore_index is None else (self.ignore_index,))), IGNORE)
        counted = count_values(self.classes, voids)
        if self.classes == 2 and counted.keys() - voids == {0, 1} and 255 not in voids:
            return counted, {0: 0, 255: 1} | voids
        return (counted,)

    @cached_property
    def labels_of_values(self) -> tuple[np.ndarray, ...]:
        """For each numbering, the label of each value, int16; -1: unknown. Negative values index from the end."""
        tables = []
        for numbering in self.numberings:
            table = np.full(HIGHEST + 1 - LOWEST, -1, np.int16)
            table[list(numbering)] = list(numbering.values())
            tables.append(table)
        return tuple(tables)

    @cached_property
    def labels_of_colours(self) -> tuple[np.ndarray, np.ndarray]:
        """The colours with a label as ascending numbers 0xRRGGBB, and their labels."""
        assert self.colours is not None
        known = sorted((numbers_of_colours(np.array(colour)), label) for colour, label in self.colours.items())
        return np.array([number for number, _ in known]), np.array([label for _, label in known], np.int16)

    @cached_property
    def numbers_objects(self) -> bool:
        """Whether values above 1 are object ids: the classes are 0 and 1, and other values take the nearest."""
        classes = {value for value, label in self.numberings[0].items() if label != IGNORE}
        return self.nearest and not self.by_colour and classes == {0, 1}

    def label_values(self, values: np.ndarray) -> tuple[np.ndarray, list[Unknown]]:
        """Return the labels of a mask of integers, uint8 of its shape, and its unknown values (labelled IGNORE)."""
        if self.nearest:
            return self._nearest(values)[0], []
        best: tuple[np.ndarray, list[Unknown]] | None = None
        for table in self.labels_of_values:
            found = _look_up(values, table)
            if best is None or len(found[1]) < len(best[1]):
                best = found
            if not found[1]:
                break
        assert best is not None
        return best

    def label_colours(self, rgb: np.ndarray) -> tuple[np.ndarray, list[Unknown]]:
        """Return the labels of an RGB array (..., 3), uint8 (...), and its unknown colours (labelled IGNORE)."""
        if self.nearest:
            return self._nearest(rgb, colours=True)[0], []
        known, labels_of_known = self.labels_of_colours
        numbers = numbers_of_colours(rgb)
        place = np.searchsorted(known[:-1], numbers)
        labels = labels_of_known[place].astype(np.uint8)
        strange = known[place] != numbers
        labels[strange] = IGNORE
        return labels, count_colours(numbers[strange])

    def doubtful(self, found: np.ndarray, colours: bool = False) -> np.ndarray:
        """Return for which values, or colours (..., 3), the nearest class is doubtful, as bool.

        They are further than DOUBTFUL from the nearest known one, or less than twice as far from another class.
        """
        return self._nearest(found, colours)[1]

    def _nearest(self, found: np.ndarray, colours: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of the nearest known value or colour for each, and whether it is doubtful."""
        voids = np.array([], np.int64)
        if colours:
            numbers = numbers_of_colours(found)
            assert self.colours is not None
            known = np.array(list(self.colours), np.int64)
            labels = np.array(list(self.colours.values()))
        else:
            numbers = found
            known = np.array(list(self.numberings[0]), np.int64)[:, None]
            labels = np.array(list(self.numberings[0].values()))
            if self.numbers_objects:  # an id near a void value is an object, not void
                voids, known, labels = known[labels == IGNORE, 0], known[labels != IGNORE], labels[labels != IGNORE]
        kinds, place = np.unique(numbers, return_inverse=True)
        points = np.stack([kinds >> 16, kinds >> 8 & 255, kinds & 255], -1) if colours else kinds[:, None]
        chosen, doubts = np.empty(len(kinds), np.uint8), np.empty(len(kinds), bool)
        for start in range(0, len(kinds), 4096):  # in pieces: there may be millions of colours
            piece = points[start : start + 4096].astype(np.int64)
            away = ((piece[:, None] - known) ** 2).sum(-1)
            first = labels[away.argmin(1)]
            near = away.min(1)
            others = np.where(labels == first[:, None], np.iinfo(np.int64).max, away).min(1)
            chosen[start : start + 4096] = first
            doubts[start : start + 4096] = (near > DOUBTFUL**2) | (others < 4 * near)
        chosen[np.isin(kinds, voids)] = IGNORE
        return chosen[place].reshape(numbers.shape), doubts[place].reshape(numbers.shape)

    def describe(self) -> str:
        """Return the expected values and colours in words, for messages."""
        first, *others = (_expected(numbering) for numbering in self.numberings)
        voids = [str(value) for value, label in self.numberings[0].items() if label == IGNORE]
        words = first + "".join(f" (or {other} throughout a file)" for other in others)
        if voids:
            words += f", {' or '.join(voids)} for void"
        if self.values is None and others:
            words += "; if 255 is void, set `ignore_index: 255`"
        if self.colours is not None:
            words = f"one of {len(self.colours)} colours" if self.by_colour else f"{words}; or the palette's colours"
        return words

    def legend(self, names: Sequence[str]) -> list[str]:
        """Return what each value and colour means, as lines such as "0: void · 1: road · 2: tree"."""
        labels: dict[int, list[str]] = {}
        for numbering in self.numberings if not self.by_colour else ():
            for value, label in sorted(numbering.items()):
                known = labels.setdefault(label, [])
                known += [str(value)] if str(value) not in known else []
        by_value = sorted(labels.items(), key=lambda entry: int(entry[1][0]))
        colours: dict[int, list[str]] = {}
        for colour, label in (self.colours or {}).items():
            if colour != (colour[0],) * 3 or str(colour[0]) not in labels.get(label, []):  # greys that are values
                colours.setdefault(label, []).append(hex_of(colour))
        entries = ([_entry(known, label, names) for label, known in kind] for kind in (by_value, colours.items()))
        lines = [line for of_kind in entries for line in _lines(of_kind)]
        return [*lines, "any other takes the nearest of these"] if self.nearest else lines


def count_values(classes: int, voids: Mapping[int, int]) -> dict[int, int]:
    """Return the label of each value if values number the classes from 0, skipping void ones."""
    usable = (value for value in range(classes + len(voids)) if value not in voids)
    return dict(zip(usable, range(classes), strict=False)) | dict(voids)


def list_unknown(unknown: list[Unknown], limit: int = 5) -> str:
    """Return unknown values in words: "values 12 (340 pixels), 40 (2 pixels)"."""

    def name(value: int | Colour) -> str:
        return str(value) if isinstance(value, int) else hex_of(value)

    noun = "value" if isinstance(unknown[0][0], int) else "colour"
    words = [f"{name(what)} ({pixels:,} pixel{'s' * (pixels > 1)})" for what, pixels in unknown[:limit]]
    more = f" and {len(unknown) - limit} more" if len(unknown) > limit else ""
    return f"{noun}{'s' * (len(unknown) > 1)} {', '.join(words)}{more}"


def count_colours(numbers: np.ndarray) -> list[Unknown]:
    """Return the colours in an array of 0xRRGGBB numbers and their pixel counts, the most frequent first."""
    return [(colour_of(number), pixels) for number, pixels in _by_frequency(numbers)]


def _by_frequency(numbers: np.ndarray) -> list[tuple[int, int]]:
    """Return the numbers in an array and their counts, the most frequent first."""
    found, pixels = np.unique(numbers, return_counts=True)
    order = np.argsort(-pixels, kind="stable")
    return list(zip(found[order].tolist(), pixels[order].tolist(), strict=True))


def numbers_of_colours(rgb: np.ndarray) -> np.ndarray:
    """Return colours (..., 3) as numbers 0xRRGGBB, int32 (...)."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def colour_of(number: int) -> Colour:
    """Return the colour of a number 0xRRGGBB."""
    return number >> 16, number >> 8 & 255, number & 255


def hex_of(colour: Colour) -> str:
    """Return a colour in hexadecimal: "#ff8000"."""
    return "#" + "".join(f"{channel:02x}" for channel in colour)


def _look_up(values: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, list[Unknown]]:
    if values.dtype not in (np.uint8, np.uint16):
        outside = (values < LOWEST) | (values > HIGHEST)
        labels = np.where(outside, -1, table[np.where(outside, 0, values)])
    else:
        labels = table[values]
    strange = labels < 0
    if not strange.any():
        return labels.astype(np.uint8), []
    labels[strange] = IGNORE
    return labels.astype(np.uint8), [*_by_frequency(values[strange])]


def _expected(numbering: Mapping[int, int]) -> str:
    """Return the values of the classes in words: "0 to 4", "0 or 1", "0, 32, 64 or 96"."""
    values = sorted(value for value, label in numbering.items() if label != IGNORE)
    if len(values) > 3 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    shown = list(map(str, values if len(values) <= 12 else [*values[:10], "..."]))
    last = str(values[-1])
    return " or ".join(filter(None, [", ".join(shown[:-1] if len(values) <= 12 else shown), last]))


def _entry(known: Sequence[str], label: int, names: Sequence[str]) -> str:
    more = f" and {len(known) - 4} more" if len(known) > 5 else ""
    shown = known[:4] if more else known
    listed = ", ".join(shown) + more if more else " or ".join(shown)
    return f"{listed}: {'void' if label == IGNORE else names[label]}"


def _lines(entries: Sequence[str], width: int = 110) -> Iterator[str]:
    """Join the entries into as few lines as possible."""
    line = ""
    for entry in entries:
        joined = f"{line} · {entry}" if line else entry
        if line and len(joined) > width:
            yield line
            joined = entry
        line = joined
    if line:
        yield line
