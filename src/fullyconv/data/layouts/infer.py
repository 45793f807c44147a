"""Infer the classes of a data set without a descriptor from its masks."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from fullyconv.classes import FOREGROUND, IGNORE, numbered
from fullyconv.data.cache import Contents, contents_of
from fullyconv.data.checks.judge import judge_masks, judged, paste_values, trimmed
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.contents import MaskContent
from fullyconv.data.images.files import READ
from fullyconv.data.mask_codes import MaskCode, colour_of
from fullyconv.data.masks import open_mask
from fullyconv.data.parallel import in_parallel
from fullyconv.errors import DataError, visible
from fullyconv.palettes import Colour, default_palette

LIMIT = 64
"""More values or colours than this are taken for the shades of smoothed edges or JPEG, not for classes."""

_DESCRIBE = "write a dataset.yaml with `classes`, `splits` and, for colour masks, `palette`"


@dataclass(frozen=True)
class _Content:
    """What one mask holds: integer values, or colours, or neither, with the ``fault`` for which it is left out."""

    values: frozenset[int] = frozenset()
    colours: frozenset[Colour] = frozenset()
    palette: dict[int, Colour] = field(default_factory=dict)
    fault: str = ""
    held: MaskContent | None = None
    """All that the mask holds, where it is one of those that are judged."""


class Meaning(NamedTuple):
    """What masks mean: how they become labels, the classes' names and colours, and what was decided about them."""

    code: MaskCode
    classes: list[str]
    palette: list[Colour]
    notes: list[str]


def infer_classes(root: Path, masks: Sequence[Path]) -> Meaning:
    """Read all masks and return how they encode the classes, the classes' names and their colours.

    - Values 0 and 255 only, or 1-bit masks: background and foreground; so are files of 0 and 1 beside files of 0 and
      255, where no file has all three.
    - Other values: classes from 0 to the highest value; 255 is void, not a class. Palette masks give the colours.
    - Colour masks, or palette masks whose palettes contradict each other: each colour is a class, in
      ascending order.

    Masks that are broken, JPEG, or have more than 64 values are left out (``check`` reports each of them).
    Raises DataError if no mask is left, or all of them together have more than 64 classes.
    """
    if not masks:
        raise DataError(
            f"{root}: no masks were found; they are sought in masks/ at all depths (or SPLIT/masks/), as "
            f"{', '.join(sorted(READ))}"
        )
    files = contents_of(root)
    contents = list(in_parallel(partial(_content, files, judged(masks)), masks))
    files.save()
    _refuse_no_classes(root, dict(zip(masks, contents, strict=True)))
    trusted = [content for content in contents if not content.fault]
    if not trusted:
        raise DataError(
            f"{root}: its classes cannot be inferred from any of its {len(masks)} masks; correct the masks, "
            f"or {_DESCRIBE}",
            *(f"  {path}: {c.fault}" for path, c in list(zip(masks, contents, strict=True))[:10]),
        )
    palette = _common_palette(trusted)
    if palette is None or any(content.colours for content in trusted):
        return _by_colour(root, trusted)
    return _by_value(root, {path: c for path, c in zip(masks, contents, strict=True) if not c.fault}, palette)


def palette_of(mask: Path, count: int) -> list[Colour] | None:
    """Return the first ``count`` colours of a palette mask; None for other or broken masks, and for mere greys."""
    try:
        image = open_mask(mask, None)
    except DataError:
        return None
    colours = _palette(image) if isinstance(image, Image.Image) else {}
    return [colours[index] for index in range(count)] if len(colours) >= count else None


def _refuse_no_classes(root: Path, contents: Mapping[Path, _Content]) -> None:
    """Raise DataError where the masks' values are shades or greys, or so many numbers of objects as classes cannot be.

    Numbers of few objects may be classes as well, so ``check`` reports them.
    """
    problem = judge_masks({path: content.held for path, content in contents.items() if content.held is not None})
    if problem is None:
        return
    if problem.kind is Kind.OBJECT_IDS:
        highest = max(max(content.values - {IGNORE}, default=0) for content in contents.values())
        if highest < LIMIT and not all(content.fault for content in contents.values() if content.held):
            return
    more = f" and {len(problem.files) - 1} more" if len(problem.files) > 1 else ""
    raise DataError(
        f"{root}: {problem.kind.title} ({problem.files[0].name}{more}): {problem.found}; expected: {problem.expected}. "
        f"What to do: {problem.remedy or problem.kind.remedy}"
    )


def _content(files: Contents, judged: Container[Path], path: Path) -> _Content:
    try:
        found = files.mask(path, None)
    except DataError as error:
        return _Content(fault=str(error).removeprefix(visible(f"{path}: ")))
    if found.lossy:
        return _Content(fault="JPEG changes the values of a mask")
    held = trimmed(found) if path in judged else None
    if len(found.colours) > LIMIT:
        return _Content(fault=f"more than {LIMIT} colours, as in smoothed masks", held=held)
    if len(found.values) > LIMIT:
        return _Content(fault=f"more than {LIMIT} values, as with smoothed edges or numbers of objects", held=held)
    colours = frozenset(map(colour_of, found.colours))
    if colours and not all(red == green == blue for red, green, blue in colours):
        return _Content(colours=colours, held=held)
    values = frozenset(red for red, _, _ in colours) or frozenset(found.values)
    return _Content(
        frozenset(255 * value for value in values) if found.one_bit else values,
        palette={value: colour_of(number) for value, number in found.palette.items()},
        held=held,
    )


def _palette(image: Image.Image) -> dict[int, Colour]:
    flat = (image.getpalette() or []) if image.mode == "P" else []
    colours = {i: (flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]) for i in range(len(flat) // 3)}
    mere_greys = all(colour == (index,) * 3 for index, colour in colours.items())
    return {} if mere_greys else colours


def _common_palette(contents: Sequence[_Content]) -> dict[int, Colour] | None:
    """Return the colours of the values in palette masks; None if two masks give one value different colours."""
    common: dict[int, Colour] = {}
    for content in contents:
        if any(common.setdefault(value, colour) != colour for value, colour in content.palette.items()):
            return None
    return common


def _by_colour(root: Path, contents: Sequence[_Content]) -> Meaning:
    grey = {(value,) * 3 for content in contents for value in content.values - content.palette.keys()}
    colours = grey.union(*(content.colours | set(content.palette.values()) for content in contents))
    if len(colours) > LIMIT:
        raise DataError(
            f"{root}: its masks have {len(colours)} colours, more than {LIMIT}, which cannot all be classes; "
            f"draw without smoothed edges, or {_DESCRIBE}"
        )
    palette = sorted(colours)
    code = MaskCode(len(palette), None, {c: label for label, c in enumerate(palette)}, by_colour=True)
    return Meaning(code, numbered(len(palette)), palette, [])


def _by_value(root: Path, contents: Mapping[Path, _Content], palette: dict[int, Colour]) -> Meaning:
    values = frozenset().union(*(content.values for content in contents.values()))
    if values <= {0, 255} or (values <= {0, 1, 255} and (notes := _two_classes(root, contents)) is not None):
        colours = default_palette(2)
        shown = [palette.get(0, colours[0]), palette.get(255, palette.get(1, colours[1]))]
        return Meaning(MaskCode(2), list(FOREGROUND), shown, [] if values <= {0, 255} else notes or [])
    count = max(values - {IGNORE}) + 1
    if min(values) < 0 or count > LIMIT:
        raise DataError(
            f"{root}: its masks have values from {min(values)} to {max(values)}; classes are expected as 0, "
            f"1, 2, ... below {LIMIT} (255 for void), or as 0 and 255. Number them so, or say in a dataset.yaml which "
            f"class each is: `{paste_values(sorted(values)[:LIMIT])}`, with your own names"
        )
    code = MaskCode(count, IGNORE if IGNORE in values else None)
    colours = [palette.get(index, colour) for index, colour in enumerate(default_palette(count))]
    return Meaning(code, numbered(count), colours, [])


def _two_classes(root: Path, contents: Mapping[Path, _Content]) -> list[str] | None:
    """Notes on masks of 0, 1 and 255 where 255 is the foreground in some files; None where it is not in any.

    Raises DataError where it would have to be foreground in one file and void in another.
    """
    ones = [path for path, content in contents.items() if 1 in content.values]
    both = [path for path in ones if 255 in contents[path].values]
    alone = [path for path, content in contents.items() if 255 in content.values and 1 not in content.values]
    if not (ones and alone):
        return None
    if both:
        raise DataError(
            f"{both[0]}: holds 1 and 255, {alone[0]} 255 without 1: 255 can be void or the foreground. "
            f"Say which in a dataset.yaml in {root}: {_paste(1)} (255 is void), or {_paste(1, 255)}"
        )
    return [
        f"{len(ones)} masks hold 0 and 1, {len(alone)} hold 0 and 255 (as {ones[0].name} and {alone[0].name}): "
        "both 1 and 255 are taken for the foreground"
    ]


def _paste(*foreground: int) -> str:
    named = ", ".join(f"{value}: foreground" for value in foreground)
    return f"`values: {{0: background, {named}}}`" + (", `void: 255`" if foreground == (1,) else "")
