"""What a network is, apart from its weights: the one description in run folders, weights files and exported files.

A description may come from a stranger's file. So it is checked before anything is built from it: every field has one
type, numbers and lists have bounds, unknown fields are refused, and nothing in it can start a download.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from fullyconv.channels import COUNTS, MAX_CHANNELS, Inputs
from fullyconv.classes import MAX_CLASSES, printable
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model.backbones import Padding, release
from fullyconv.model.upsample import Method
from fullyconv.validation import words

KEY = "fullyconv"
"""Under which weights files and exported files keep their description, as JSON."""
MAX_TEXT = 1 << 20
"""Characters of a description; the largest data sets' class names take a hundredth of it."""
MAX_WIDTH = 16384

Name = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(printable)]
Byte = Annotated[int, Field(ge=0, le=255)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=MAX_CLASSES)]


class Labels(BaseModel):
    """What every form of a network says of its input and its labels.

    ``classes`` and ``palette`` (RGB, 0..255) name and colour the outputs. ``heads`` maps the name of each labelling to
    its number of classes, in the order of ``classes``; None: there is one labelling.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Name
    classes: Annotated[list[Name], Field(min_length=1, max_length=MAX_CLASSES * MAX_CLASSES)]
    palette: list[tuple[Byte, Byte, Byte]]
    in_channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)] = 3
    inputs: Inputs = "image"
    heads: Annotated[dict[Name, Count], Field(min_length=1, max_length=MAX_CLASSES)] | None = None
    value_range: list[tuple[Number, Number]] | None = None
    """For each channel of an image file the value that becomes 0, and the one that becomes 255; None: bytes."""

    @model_validator(mode="after")
    def _agree(self) -> "Labels":
        count = len(self.classes)
        if (channels := COUNTS.get(self.inputs, self.in_channels)) != self.in_channels:
            raise ValueError(f"Inputs {self.inputs} have {channels} channels, but in_channels is {self.in_channels}")
        if self.value_range is not None:
            if len(self.value_range) != self.in_channels:
                raise ValueError(
                    f"The value_range has {len(self.value_range)} pairs for {self.in_channels} channels: one for each "
                    "is expected"
                )
            if any(low >= high for low, high in self.value_range):
                raise ValueError("Each pair of the value_range is a lower and a higher value")
        if self.heads is None and count > MAX_CLASSES:
            raise ValueError(f"There are {count} classes; labels are bytes, so that {MAX_CLASSES} is the most")
        if len(self.palette) != count:
            raise ValueError(f"The palette has {len(self.palette)} colours for {count} classes: give one for each")
        if self.heads is not None and (total := sum(self.heads.values())) != count:
            raise ValueError(f"The heads {self.heads} have {total} classes in all, found {count} names")
        return self

    def inputs_if_unsaid(self) -> Inputs:
        """What the channels are where an older file, which has no such field, does not say."""
        return "image"


class ModelSpec(Labels):
    """The architecture: ``fcn.from_spec`` makes the same network, untrained. See ``FCN`` for the fields."""

    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)] | None = None
    upsample: Method = "bilinear"
    dropout: Annotated[float, Field(ge=0, le=1)] | None = None
    padding: Padding | None = None
    mean: list[Number] | None = None
    std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None

    @model_validator(mode="after")
    def _fit_the_network(self) -> "ModelSpec":
        if self.mean is not None and len(self.mean) != self.in_channels:
            raise ValueError(
                f"The mean has {len(self.mean)} values for {self.in_channels} channels: give one for each, in 0..255"
            )
        if self.std is not None and len(self.std) != self.in_channels:
            raise ValueError(
                f"The std has {len(self.std)} values for {self.in_channels} channels: give one for each, in 0..255"
            )
        if self.heads and self.upsample == "transposed" and not self.width:
            raise ValueError("Learnt upsampling of scores would mix the heads' classes: use bilinear, or give a width")
        return self

    def inputs_if_unsaid(self) -> Inputs:
        """What they are where an older file does not say: four of the paper's networks had depth, six had HHA.

        Three with the mean of HHA were that.
        """
        guesses: dict[int, Inputs] = {4: "rgb+depth", 6: "rgb+hha"}
        if self.mean == list(release.MEAN_HHA):
            guesses[3] = "hha"
        return guesses.get(self.in_channels, "image") if release.trunk_of(self.name) else "image"


class ExportSpec(Labels):
    """What an exported file says of itself.

    ``source``: what it was exported from. ``dtype``: that of the images its graph takes. ``probabilities``: it also
    gives these. ``int8``: its weights are 8-bit integers. ``version``: fullyconv's, which wrote it.
    """

    source: Annotated[str, Field(max_length=1000)] = ""
    dtype: Literal["uint8", "float32"]
    probabilities: bool
    int8: bool = False
    version: Annotated[str, Field(max_length=100)] = ""

    def inputs_if_unsaid(self) -> Inputs:
        """What the channels are where an older file does not say: four that are no bytes are colour and depth."""
        return "rgb+depth" if self.in_channels == 4 and self.dtype == "float32" else "image"


Spec = TypeVar("Spec", bound=Labels)


def checked(kind: type[Spec], values: Mapping[str, object]) -> Spec:
    """The description with these values. Raises ConfigError naming each field at fault."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(" ".join(_explain(kind, problem) for problem in error.errors()[:SHOWN])) from None


def parsed(kind: type[Spec], text: str, source: str) -> Spec:
    """The description in ``text``, JSON from the file ``source``. Raises WeightsError naming the file and the field."""
    if len(text) > MAX_TEXT:
        raise WeightsError(
            f"{source}: its description of the network has more than the {MAX_TEXT:,} characters that are read."
        )
    try:
        spec = kind.model_validate_json(text)
    except ValidationError as error:
        reasons = " ".join(_explain(kind, problem) for problem in error.errors(include_url=False)[:SHOWN])
        raise WeightsError(f"{source}: its description of the network cannot be used. {reasons}") from None
    return spec if "inputs" in spec.model_fields_set else spec.model_copy(update={"inputs": spec.inputs_if_unsaid()})


SHOWN = 5
"""Faults that a message lists."""


def _explain(kind: type[Labels], problem: ErrorDetails) -> str:
    field = ".".join(str(part)[:80] for part in problem["loc"])
    if problem["type"] == "value_error":
        message = words(problem)
        return f"{field}: {message}." if field else f"{message[:1].upper()}{message[1:]}."
    if problem["type"] == "json_invalid":
        return f"It is not whole {problem['msg'].removeprefix('Invalid ')[:200]}."
    if problem["type"] == "extra_forbidden":
        known = ", ".join(kind.model_fields)
        return f"{field} is an unknown field: expected {known}. A newer version of fullyconv may have written it."
    if problem["type"] == "missing":
        return f"{field} is missing."
    found = "" if isinstance(problem["input"], dict) else f" (found {str(problem['input'])[:80]!r})"
    return f"{field or 'It'}: {words(problem).replace('input should be', 'expected')}{found}."
