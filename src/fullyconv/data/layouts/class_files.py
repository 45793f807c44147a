"""Read the class lists that annotation tools write next to PASCAL VOC folders."""

from pathlib import Path
from typing import NamedTuple

from fullyconv.classes import IGNORE, MAX_CLASSES, printable
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.published.archive import read_list
from fullyconv.errors import DataError
from fullyconv.palettes import VOC_VOID, Colour, voc_palette

LABELMAP = "labelmap.txt"
CLASS_NAMES = "class_names.txt"


class ClassFile(NamedTuple):
    """The classes that a file names, their colours, and how masks become labels."""

    classes: list[str]
    palette: list[Colour]
    code: MaskCode


def read_class_file(root: Path) -> ClassFile | None:
    """Read CVAT's labelmap.txt or labelme's class_names.txt in ``root``; return None if neither exists.

    Raises DataError if the file does not have the format that its name implies.
    """
    if (root / LABELMAP).is_file():
        return _read_labelmap(root / LABELMAP)
    return _read_class_names(root / CLASS_NAMES) if (root / CLASS_NAMES).is_file() else None


def _read_labelmap(path: Path) -> ClassFile:
    """Read lines such as ``name:r,g,b:parts:actions``; a line without a colour gets the VOC colour of its position."""
    entries: dict[str, Colour] = {}
    void = {VOC_VOID: IGNORE}
    for line in read_list(path):
        if line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        colour = _colour(path, line, rest.partition(":")[0].strip(), len(entries))
        if name.lower() in ("ignored", "ignore", "void") and colour == VOC_VOID:
            continue
        if name in entries or colour in entries.values():
            twice = "name" if name in entries else "colour"
            raise DataError(
                f"{path}: the line {line!r} has the same {twice} as another line; give each class its own {twice}"
            )
        entries[name] = colour
    colours = {colour: label for label, colour in enumerate(entries.values())}
    return _class_file(path, list(entries), list(entries.values()), void | colours)


def _colour(path: Path, line: str, text: str, place: int) -> Colour:
    if not text:
        return voc_palette(place + 1)[-1]
    parts = [part.strip() for part in text.split(",")]
    channels = [int(part) if part.isdecimal() and len(part) <= 3 else 256 for part in parts]
    if len(channels) != 3 or max(channels) > 255:
        raise DataError(f"{path}: has the line {line[:80]!r}; expected a line such as `road:128,64,128::`")
    return channels[0], channels[1], channels[2]


def _read_class_names(path: Path) -> ClassFile:
    """Read one class name per line; ``__ignore__`` marks void and gets no label, ``_background_`` is the background."""
    names = [name.strip("_") if name.startswith("_") else name for name in read_list(path) if name != "__ignore__"]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: lists the class {twice!r} twice; remove one of the two lines")
    palette = voc_palette(len(names))
    return _class_file(path, names, palette, {VOC_VOID: IGNORE} | {c: label for label, c in enumerate(palette)})


def _class_file(path: Path, names: list[str], palette: list[Colour], colours: dict[Colour, int]) -> ClassFile:
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(f"{path}: lists {len(names)} classes; expected 2 to {MAX_CLASSES}")
    try:
        classes = [printable(name) for name in names]
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    return ClassFile(classes, palette, MaskCode(len(classes), IGNORE, colours))
