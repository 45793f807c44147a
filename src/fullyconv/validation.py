"""Pydantic's validation errors in words for people who write YAML."""

from collections.abc import Mapping
from typing import Any

EXPECTED = {
    "string_type": "text is expected (in quotes where YAML reads a number, yes or no)",
    "list_type": "a list is expected, as [a, b]",
    "tuple_type": "a list of numbers is expected, as [a, b]",
    "dict_type": "settings are expected, as {key: value}",
    "model_type": "settings are expected, as {key: value}",
}


def words(problem: Mapping[str, Any]) -> str:
    """Return what was expected, from one of ``ValidationError.errors()``."""
    message = problem["msg"].removeprefix("Value error, ")
    return EXPECTED.get(problem["type"], message[:1].lower() + message[1:])
