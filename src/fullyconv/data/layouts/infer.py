"""Infer the classes of a data set that has no descriptor from its masks."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from fullyconv.classes import FOREGROUND, IGNORE, numbered
from fullyconv.data.cache import Contents, contents_of
from fullyconv.data.checks.judge import judge_masks, keep_most_frequent, masks_to_judge, paste_values
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.contents import MaskContent
from fullyconv.data.images.files import READ
from fullyconv.data.mask_codes import MaskCode, colour_of
from fullyconv.data.masks import open_mask
from fullyconv.data.parallel import in_parallel
from fullyconv.errors import DataError, visible
from fullyconv.palettes import Colour, default_palette

LIMIT = 64
"""Masks with more values or colours are taken to have smoothed edges or JPEG artefacts, not that many classes."""

_DESCRIBE = "write a dataset.yaml with `classes`, `splits` and, for colour masks, `palette`"


@dataclass(frozen=True)
class _Content:
    """What one mask holds: integer values or colours, or neither and the ``fault`` because of which it is left out."""

    values: frozenset[int] = frozenset()
    colours: frozenset[Colour] = frozenset()
    palette: dict[int, Colour] = field(default_factory=dict)
    fault: str = ""
    held: MaskContent | None = None
    """The full content of the mask, if it is one of the sample that ``judge_masks`` examines."""


class Meaning(NamedTuple):
    """What masks mean: how they become labels, the names and colours of the classes, and notes on what was decided."""

    code: MaskCode
    classes: list[str]
    palette: list[Colour]
    notes: list[str]


def infer_classes(root: Path, masks: Sequence[Path]) -> Meaning:
    """Read all masks, and infer the classes, their names and colours, and how the masks encode them.

    - Values 0 and 255 only, or 1-bit masks: background and foreground. The same holds if some files contain 0 and 1 and
      others 0 and 255, as long as none contains 1 and 255.
    - Other values: classes from 0 to the highest value; 255 is void. Palette masks give the colours.
    - Colour masks, or palette masks whose palettes contradict each other: each colour is a class, in ascending order.

    Masks that are broken, lossy, or have more than 64 values are left out (``check`` reports each of them).
    Raises DataError if no mask is left, all masks together have more than 64 classes, or their values are ambiguous or
    cannot be classes.
    """
    if not masks:
        raise DataError(
            f"{root}: no masks were found; expected them in masks/ at any depth (or in SPLIT/masks/), with one of the "
            f"suffixes {', '.join(sorted(READ))}"
        )
    files = contents_of(root)
    contents = list(in_parallel(partial(_content, files, masks_to_judge(masks)), masks))
    files.save()
    _refuse_no_classes(root, dict(zip(masks, contents, strict=True)))
    trusted = [content for content in contents if not content.fault]
    if not trusted:
        raise DataError(
            f"{root}: the classes cannot be inferred from any of the {len(masks)} masks; correct the masks, "
            f"or {_DESCRIBE}",
            *(f"  {path}: {c.fault}" for path, c in list(zip(masks, contents, strict=True))[:10]),
        )
    palette = _common_palette(trusted)
    if palette is None or any(content.colours for content in trusted):
        return _by_colour(root, trusted)
    return _by_value(root, {path: c for path, c in zip(masks, contents, strict=True) if not c.fault}, palette)


def palette_of(mask: Path, count: int) -> list[Colour] | None:
    """Return the first ``count`` colours of a palette mask; None for other or broken masks and for grey palettes."""
    try:
        image = open_mask(mask, None)
    except DataError:
        return None
    colours = _palette(image) if isinstance(image, Image.Image) else {}
    return [colours[index] for index in range(count)] if len(colours) >= count else None


def _refuse_no_classes(root: Path, contents: Mapping[Path, _Content]) -> None:
    """Raise DataError if the mask values are smoothed edges, greys or object ids rather than classes.

    A few object ids could be classes as well, so those raise no error here; ``check`` reports them.
    """
    problem = judge_masks({path: content.held for path, content in contents.items() if content.held is not None})
    if problem is None:
        return
    if problem.kind is Kind.OBJECT_IDS:
        highest = max(max(content.values - {IGNORE}, default=0) for content in contents.values())
        if highest < LIMIT and not any(content.fault for content in contents.values() if content.held):
            return
    more = f" and {len(problem.files) - 1} more" if len(problem.files) > 1 else ""
    raise DataError(
        f"{root}: {problem.kind.title} ({problem.files[0].name}{more}): {problem.found}; expected: {problem.expected}. "
        f"What to do: {problem.remedy or problem.kind.remedy}"
    )


def _content(files: Contents, to_judge: Container[Path], path: Path) -> _Content:
    try:
        found = files.mask(path, None)
    except DataError as error:
        return _Content(fault=str(error).removeprefix(visible(f"{path}: ")))
    if found.lossy:
        return _Content(fault="it is compressed with loss (as JPEG is), which changes mask values")
    held = keep_most_frequent(found) if path in to_judge else None
    if len(found.colours) > LIMIT:
        return _Content(fault=f"it has more than {LIMIT} colours, as masks with smoothed edges do", held=held)
    if len(found.values) > LIMIT:
        return _Content(
            fault=f"it has more than {LIMIT} values, as masks with smoothed edges or object ids do", held=held
        )
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
    """Return the colour of each value in palette masks; None if two masks give a value different colours."""
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
            f"{root}: the masks have {len(colours)} colours; expected at most {LIMIT}, one for each class. Export the "
            f"masks without smoothed edges, or {_DESCRIBE}"
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
            f"{root}: the masks have values from {min(values)} to {max(values)}; expected classes 0, 1, 2, ... below "
            f"{LIMIT} (255 for void), or 0 and 255. Renumber the masks, or say in a dataset.yaml which class each is: "
            f"`{paste_values(sorted(values)[:LIMIT])}`, with your own names"
        )
    code = MaskCode(count, IGNORE if IGNORE in values else None)
    colours = [palette.get(index, colour) for index, colour in enumerate(default_palette(count))]
    return Meaning(code, numbered(count), colours, [])


def _two_classes(root: Path, contents: Mapping[Path, _Content]) -> list[str] | None:
    """Return a note if some masks hold 0 and 1 and others 0 and 255, so that 255 is foreground; None if it is void.

    Raises DataError if 255 would be void in one file and foreground in another.
    """
    ones = [path for path, content in contents.items() if 1 in content.values]
    both = [path for path in ones if 255 in contents[path].values]
    alone = [path for path, content in contents.items() if 255 in content.values and 1 not in content.values]
    if not (ones and alone):
        return None
    if both:
        raise DataError(
            f"{both[0]}: holds 1 and 255, but {alone[0]} holds 255 without 1, so 255 may be void or the foreground. "
            f"Say which in a dataset.yaml in {root}: {_paste(1)} (255 is void), or {_paste(1, 255)}"
        )
    return [
        f"{len(ones)} masks hold 0 and 1 (such as {ones[0].name}), {len(alone)} hold 0 and 255 (such as "
        f"{alone[0].name}); both 1 and 255 are read as the foreground"
    ]


def _paste(*foreground: int) -> str:
    named = ", ".join(f"{value}: foreground" for value in foreground)
    return f"`values: {{0: background, {named}}}`" + (", `void: 255`" if foreground == (1,) else "")
