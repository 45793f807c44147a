"""Read the class lists that annotation tools write beside VOC's folders."""

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
    """Read CVAT's labelmap.txt or labelme's class_names.txt in a folder; None if there is neither.

    Raises DataError for a file that is neither.
    """
    if (root / LABELMAP).is_file():
        return _read_labelmap(root / LABELMAP)
    return _read_class_names(root / CLASS_NAMES) if (root / CLASS_NAMES).is_file() else None


def _read_labelmap(path: Path) -> ClassFile:
    """Read lines as ``name:r,g,b:parts:actions``; a label without a colour has VOC's of its place."""
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
                f"{path}: the line {line!r} has the {twice} of another line; masks could not tell them apart"
            )
        entries[name] = colour
    colours = {colour: label for label, colour in enumerate(entries.values())}
    return _class_file(path, list(entries), list(entries.values()), void | colours)


def _colour(path: Path, line: str, text: str, place: int) -> Colour:
    if not text:
        return voc_palette(place + 1)[-1]
    channels = [int(part) if part.strip().isdecimal() else 256 for part in text.split(",")]
    if len(channels) != 3 or max(channels) > 255:
        raise DataError(f"{path}: holds the line {line!r}; lines as `road:128,64,128::` are expected")
    return channels[0], channels[1], channels[2]


def _read_class_names(path: Path) -> ClassFile:
    """Read one name per line; ``__ignore__`` is void and has no number, ``_background_`` is background."""
    names = [name.strip("_") if name.startswith("_") else name for name in read_list(path) if name != "__ignore__"]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: names the class {twice!r} twice")
    palette = voc_palette(len(names))
    return _class_file(path, names, palette, {VOC_VOID: IGNORE} | {c: label for label, c in enumerate(palette)})


def _class_file(path: Path, names: list[str], palette: list[Colour], colours: dict[Colour, int]) -> ClassFile:
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(f"{path}: names {len(names)} classes; 2 to {MAX_CLASSES} are expected")
    try:
        classes = [printable(name) for name in names]
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    return ClassFile(classes, palette, MaskCode(len(classes), IGNORE, colours))
