"""Settings as people write them, in YAML, in an option or in Python, read as what each setting expects."""

from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Fraction01 = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Pair = tuple[Number, Number]

NOTHING = ("", "null", "none", "~")
OFF = ("no", "off", "false")
YES = ("yes", "on", "true")


class TextLoader(yaml.SafeLoader):
    """YAML whose scalars are text or null: what is a number, yes or no is for the setting to say.

    So a folder named ``2024-01-05`` or ``no`` keeps its name, and 1e-3, which YAML 1.1 takes for text, is a number.
    """


TextLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Section(BaseModel):
    """Settings that belong together; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        """Numbers, choices and none are read however they are written."""
        return as_expected(value, cls.model_fields[info.field_name or ""].annotation)


def as_expected(value: object, expected: object) -> object:
    """Return ``value`` in the form that the type ``expected`` asks for, where it is clear what is meant.

    So 32 is the choice "32", "1e5" a whole number, "none" is None, one name a list of names, "off" is 0 for a number,
    and a section without settings has its defaults. What is not clear is returned as it is, for pydantic to judge.
    Raises ValueError for "yes" where a number is expected, which Python would take for 1.
    """
    origin, arguments = get_origin(expected), get_args(expected)
    if origin is Annotated:
        return as_expected(value, arguments[0])
    if origin in (Union, UnionType):
        return _one_of(value, arguments)
    if origin is Literal:
        return _choice(value, arguments)
    if origin in (list, tuple) and isinstance(value, list | tuple):
        kinds = arguments if origin is tuple and len(arguments) == len(value) else arguments[:1] * len(value)
        return [as_expected(item, kind) for item, kind in zip(value, kinds, strict=True)]
    if origin is dict and isinstance(value, dict):
        return {key: as_expected(item, arguments[1]) for key, item in value.items()}
    if origin is list and arguments == (str,) and isinstance(value, str | NoneType):
        return [] if _says(value, NOTHING) else [value]
    if expected in (int, float):
        return _number(value)
    if value is None and isinstance(expected, type) and issubclass(expected, BaseModel):
        return {}
    return value


def _says(value: object, words: tuple[str, ...]) -> bool:
    return isinstance(value, bool | str | NoneType) and str(value).strip().lower() in words


def _one_of(value: object, kinds: tuple[object, ...]) -> object:
    names = str in kinds or Path in kinds  # a folder may be named "no"
    if NoneType in kinds and _says(value, NOTHING if names else NOTHING + OFF):
        return None
    for kind in kinds:
        if (read := as_expected(value, kind)) is not value:
            return read
    return value


def _choice(value: object, choices: tuple[object, ...]) -> object:
    if "none" in choices and _says(value, NOTHING + OFF):
        return "none"
    return next((choice for choice in choices if str(choice) == str(value).strip().lower()), value)


def _number(value: object) -> object:
    if _says(value, YES):
        raise ValueError("a number is expected")
    if _says(value, OFF):
        return 0
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return value
