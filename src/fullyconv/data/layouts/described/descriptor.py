"""Read and validate ``dataset.yaml``, the descriptor of a data set."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from fullyconv.classes import MAX_CLASSES, printable
from fullyconv.data.mask_codes import HIGHEST, LOWEST
from fullyconv.errors import DataError, visible
from fullyconv.palettes import Colour
from fullyconv.validation import words
from fullyconv.yaml_data import read_yaml

VOID_NAMES = frozenset(
    ("void", "ignore", "ignored", "unlabeled", "unlabelled", "none", "nodata", "no data", "other", "others", "unknown")
)
"""Names that people commonly give to pixels without a class."""

Byte = Annotated[int, Field(ge=0, le=255)]
Name = Annotated[str, Field(min_length=1), AfterValidator(printable)]
Value = Annotated[int, Field(strict=True, ge=LOWEST, le=HIGHEST)]
Place = Annotated[str, Field(min_length=1)]
"""A folder, or a pattern with ``*`` in names and ``**`` for folders at all depths."""


class Masks(BaseModel):
    """Where the masks are, and whether unknown values and colours take the nearest class."""

    model_config = ConfigDict(extra="forbid")

    path: Place
    nearest: bool = False


MaskPlace = Annotated[Masks, BeforeValidator(lambda given: {"path": given} if isinstance(given, str) else given)]


class Files(BaseModel):
    """Where one split's images and masks are, relative to the descriptor (or absolute)."""

    model_config = ConfigDict(extra="forbid")

    images: Place
    masks: MaskPlace
    valid: Place | None = None
    """Masks of the area that counts, such as a camera's field of view; 0 is outside."""
    names: Annotated[Place | None, Field(alias="list")] = None
    """A text file with the names of the split's images, one per line."""


class Division(BaseModel):
    """Which images stay together when one set is divided into splits."""

    model_config = ConfigDict(extra="forbid")

    by: Place
    """``folder``, or a regular expression that finds the source in an image's path."""

    @field_validator("by")
    @classmethod
    def _compiles(cls, by: str) -> str:
        try:
            re.compile(by)
        except re.error as error:
            raise ValueError(f"`split.by` is {by!r}, which is not a valid regular expression ({error})") from None
        return by


class AnnotationFiles(BaseModel):
    """Where the annotations of a tool are, and how their shapes are drawn (see ``annotated.Options``)."""

    model_config = ConfigDict(extra="forbid")

    path: Place
    rasterize: Literal["tool", "centre", "touched"] = "tool"
    order: Literal["tool", "file", "smaller-on-top"] = "tool"
    crowd: Literal["class", "void"] = "class"
    background: Literal["class", "void"] = "class"


class Descriptor(BaseModel):
    """The contents of ``dataset.yaml``.

    - ``splits``: the files of each split. Alternatively, ``images`` and ``masks`` (with ``valid`` and ``split``) give
      one set, which is divided into splits.
    - ``annotations``: the file or folder of an annotation tool, in place of masks; its classes are the tool's.
    - ``values``: the class of each mask value. By default, mask values number ``classes`` from 0, skipping the values
      in ``void`` and ``ignore_index``.
    - ``void``, ``ignore_index``: the values of pixels without a class. With 11 classes and ignore_index 11 or 255,
      values 0 to 10 are the classes; with ignore_index 0, values 1 to 11.
    - ``palette``: an RGB colour for each class, optionally followed by the colour of pixels without a class.
    - ``nearest``: pixels of unknown values or colours take the class of the nearest known one.
    """

    model_config = ConfigDict(extra="forbid")

    classes: Annotated[list[Name], Field(min_length=2, max_length=MAX_CLASSES)] = []
    splits: Annotated[dict[Name, Files] | None, Field(min_length=1)] = None
    images: Place | None = None
    masks: MaskPlace | None = None
    valid: Place | None = None
    annotations: Annotated[
        AnnotationFiles | None, BeforeValidator(lambda given: {"path": given} if isinstance(given, str) else given)
    ] = None
    split: Division | None = None
    values: Annotated[dict[Value, Name] | None, Field(min_length=1)] = None
    void: Annotated[list[Value], BeforeValidator(lambda given: given if isinstance(given, list) else [given])] = []
    ignore_index: Value | None = None
    palette: list[tuple[Byte, Byte, Byte]] | None = None
    nearest: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_place(cls, given: object) -> object:
        """Take ``masks: {nearest: true}`` without a place, for folders that are recognized, as ``nearest: true``."""
        masks = given.get("masks") if isinstance(given, dict) and "images" not in given else None
        if isinstance(given, dict) and isinstance(masks, dict) and masks.keys() == {"nearest"}:
            return {key: value for key, value in given.items() if key != "masks"} | masks
        return given

    @model_validator(mode="after")
    def _agree(self) -> "Descriptor":
        if self.annotations is not None:
            if more := self.model_fields_set - {"annotations", "split"}:
                raise ValueError(f"`annotations` says what `{min(more)}` says; remove one of the two")
            return self
        self._agree_on_files()
        if self.values is not None:
            self._agree_on_values(self.values)
        elif not self.classes:
            raise ValueError("`classes` is missing; add it, as `classes: [road, sky]` or `values: {0: road, 1: sky}`")
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise ValueError(f"the class {twice!r} is listed twice; remove one of them")
        if self.values is None:
            self._refuse_ambiguous_void()
        if self.palette is not None:
            self._agree_on_palette(self.palette)
        if self.takes_nearest and self.values is None and self.palette is None:
            raise ValueError(
                "`nearest` needs the values or the colours of the classes; add `values`, such as "
                f"{{0: {self.classes[0]}, 255: {self.classes[1]}}}, or `palette`"
            )
        return self

    def _agree_on_files(self) -> None:
        one_set = {"images": self.images, "masks": self.masks}
        given = [key for key, value in one_set.items() if value is not None]
        if self.splits is not None and (given or self.split is not None):
            raise ValueError(
                f"`{(given or ['split'])[0]}` and `splits` are both given; keep `splits` if the data have splits "
                "already, or `images`, `masks` and `split` if one set is to be divided"
            )
        if len(given) == 1:
            raise ValueError(f"`{given[0]}` is given without `{'masks' if given == ['images'] else 'images'}`; add it")
        if self.split is not None and not given:
            raise ValueError("`split` divides one set, but `images` and `masks` are missing; add them")

    def _agree_on_values(self, values: dict[int, str]) -> None:
        named = list(dict.fromkeys(values.values()))
        if not self.classes:
            self.classes = named
        if len(self.classes) < 2 or len(self.classes) > MAX_CLASSES:
            raise ValueError(f"`values` names {len(named)} class{'es' * (len(named) > 1)}; expected 2 to {MAX_CLASSES}")
        for name in named:
            if name not in self.classes:
                nearest = difflib.get_close_matches(name, self.classes, n=1)
                advice = f"did you mean {nearest[0]!r}?" if nearest else "add it to `classes`, or remove `classes`"
                raise ValueError(f"`values` names {name!r}, which is not in `classes`; {advice}")
        for name in self.classes:
            if name not in named:
                raise ValueError(f"the class {name!r} has no value in `values`; give it one, or remove the class")
        for value in self.voids:
            if value in values:
                raise ValueError(
                    f"the value {value} is both {values[value]!r} in `values` and void; remove one of the two"
                )

    def _refuse_ambiguous_void(self) -> None:
        """Raise ValueError if ``classes`` seems to list void and a void value lies among those of the classes."""
        inside = [value for value in self.voids if 0 <= value < len(self.classes)]
        nameless = [name for name in self.classes if name.lower().strip(" _-").replace("_", " ") in VOID_NAMES]
        if not (inside and nameless):
            return
        listed = {value: name for value, name in enumerate(self.classes) if value not in self.voids}
        usable = [value for value in range(len(self.classes) + len(inside)) if value not in self.voids]
        stepped = dict(zip(usable, self.classes, strict=False))
        raise ValueError(
            f"value {inside[0]} is void, but the class {nameless[0]!r} is listed too, so the numbering is ambiguous. "
            "Replace `classes` and `ignore_index` with the one of these that is right:\n"
            f"    {_paste(listed, self.voids)}\n  or\n    {_paste(stepped, self.voids)}"
        )

    def _agree_on_palette(self, palette: Sequence[Colour]) -> None:
        count = len(self.classes)
        if len(palette) not in (count, count + 1):
            raise ValueError(
                f"`palette` has {len(palette)} colours for {count} classes; give one colour for each class, "
                "optionally followed by the colour of pixels without a class"
            )
        if len(set(palette)) < len(palette):
            colour = next(colour for colour in palette if palette.count(colour) > 1)
            raise ValueError(f"`palette` lists the colour {list(colour)} twice; give each class its own colour")

    @property
    def voids(self) -> list[int]:
        """The values of pixels without a class."""
        return list(dict.fromkeys([*self.void, *([] if self.ignore_index is None else [self.ignore_index])]))

    @property
    def takes_nearest(self) -> bool:
        """Whether unknown values and colours take the nearest class in any of the masks."""
        places = [self.masks, *(files.masks for files in (self.splits or {}).values())]
        return self.nearest or any(place.nearest for place in places if place is not None)

    def colours(self) -> tuple[list[Colour], Colour | None]:
        """Return the colours of the classes (empty without a palette) and that of void (None if it has none)."""
        palette = self.palette or []
        return palette[: len(self.classes)], palette[-1] if len(palette) > len(self.classes) else None


def read_descriptor(path: Path) -> Descriptor:
    """Read ``dataset.yaml``. Raises DataError that lists each wrong key and what was expected."""
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: contains a {type(content).__name__}; expected a mapping with keys such as `classes` and `splits`"
        )
    try:
        return Descriptor.model_validate(content)
    except ValidationError as error:
        lines = [line for fault in error.errors() for line in f"  {_explain(fault)}".split("\n")]
        raise DataError(f"{path}: is not a valid data set descriptor:", *lines) from error


def _paste(values: dict[int, str], voids: Sequence[int]) -> str:
    named = ", ".join(f"{value}: {name}" for value, name in values.items())
    return f"values: {{{named}}}\n    void: {voids[0] if len(voids) == 1 else list(voids)}"


def _explain(fault: ErrorDetails) -> str:
    *above, key = fault["loc"] or ("",)
    where = visible(".".join(map(str, fault["loc"])))  # the keys come from the file unchecked
    if fault["type"] == "extra_forbidden":
        right = _keys(above)
        nearest = difflib.get_close_matches(str(key), right, n=1, cutoff=0.5)
        advice = f"did you mean `{nearest[0]}`?" if nearest else f"the keys are {', '.join(right)}"
        return f"`{where}` is not a known key; {advice}"
    if fault["type"] == "missing":
        return f"`{where}` is missing"
    if fault["type"] == "value_error":
        return words(fault)
    return f"`{where}`: {words(fault)}, found {fault['input']!r}"


def _keys(above: Sequence[int | str]) -> list[str]:
    """Return the known keys of a section of the descriptor."""
    sections: dict[str, type[BaseModel]] = {"masks": Masks, "split": Division, "annotations": AnnotationFiles}
    section = sections.get(str(above[-1]), Files) if above else Descriptor
    return [field.alias or name for name, field in section.model_fields.items()]
