"""The descriptor of a data set: ``dataset.yaml``."""

import difflib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from fullyconv.classes import MAX_CLASSES, printable
from fullyconv.errors import DataError
from fullyconv.palettes import Colour
from fullyconv.validation import words
from fullyconv.yaml_data import read_yaml

Byte = Annotated[int, Field(ge=0, le=255)]
Name = Annotated[str, Field(min_length=1), AfterValidator(printable)]


class Folders(BaseModel):
    """Where one split's images and masks are, relative to the descriptor."""

    model_config = ConfigDict(extra="forbid")

    images: Path
    masks: Path


class Descriptor(BaseModel):
    """What ``dataset.yaml`` holds.

    - ``classes``: the classes' names. Values in the masks number them from 0, skipping ``ignore_index``.
    - ``ignore_index``: the value of pixels without a class. With 11 classes and ignore_index 11 or 255, values 0 to 10
      are the classes; with ignore_index 0, values 1 to 11.
    - ``palette``: a colour for each class, and possibly one more, that of pixels without a class.
    - ``splits``: the folders of each split.
    """

    model_config = ConfigDict(extra="forbid")

    classes: Annotated[list[Name], Field(min_length=2, max_length=MAX_CLASSES)]
    splits: Annotated[dict[Name, Folders], Field(min_length=1)]
    ignore_index: Annotated[int, Field(ge=0, le=65535)] | None = None
    palette: list[tuple[Byte, Byte, Byte]] | None = None

    @model_validator(mode="after")
    def _agree(self) -> "Descriptor":
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise ValueError(f"the class {twice!r} is listed twice")
        if self.palette is not None:
            count = len(self.classes)
            if len(self.palette) not in (count, count + 1):
                raise ValueError(
                    f"palette has {len(self.palette)} colours for {count} classes; give one each, "
                    "and one more for pixels without a class if they have a colour"
                )
            if len(set(self.palette)) < len(self.palette):
                colour = next(colour for colour in self.palette if self.palette.count(colour) > 1)
                raise ValueError(f"palette has the colour {list(colour)} twice")
        return self

    def colours(self) -> tuple[list[Colour], Colour | None]:
        """Return the classes' colours (empty without a palette), and that of pixels without a class."""
        palette = self.palette or []
        return palette[: len(self.classes)], palette[-1] if len(palette) > len(self.classes) else None


def read_descriptor(path: Path) -> Descriptor:
    """Read ``dataset.yaml``. Raises DataError that names each wrong key and what was expected."""
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: a mapping with `classes` and `splits` is expected, found {type(content).__name__}")
    try:
        return Descriptor.model_validate(content)
    except ValidationError as error:
        faults = "".join(f"\n  {_explain(fault)}" for fault in error.errors())
        raise DataError(f"{path}: is not a data set's description:{faults}") from error


def _explain(fault: ErrorDetails) -> str:
    *above, key = fault["loc"] or ("",)
    where = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        right = list((Folders if above else Descriptor).model_fields)
        nearest = difflib.get_close_matches(str(key), right, n=1, cutoff=0.5)
        advice = f"did you mean `{nearest[0]}`?" if nearest else f"the keys are {', '.join(right)}"
        return f"`{where}` is not a known key; {advice}"
    if fault["type"] == "missing":
        return f"`{where}` is missing"
    if fault["type"] == "value_error":
        return words(fault)
    return f"`{where}`: {words(fault)}, found {fault['input']!r}"
