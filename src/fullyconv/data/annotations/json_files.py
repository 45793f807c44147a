"""Read untrusted JSON files into typed values, within bounds."""

from pathlib import Path
from typing import Annotated, TypeVar

import torch
from pydantic import FailFast, TypeAdapter, ValidationError

from fullyconv.data.annotations.annotated import digest
from fullyconv.errors import DataError, first_line
from fullyconv.files import absence
from fullyconv.resources import available_memory
from fullyconv.validation import words

Value = TypeVar("Value")


class UpToFault(FailFast):
    """Read a list up to its first wrong value: each error takes a hundred times the memory of a value.

    Pydantic's own class has no hash, without which ``typing`` cannot keep it in aliases.
    """

    __hash__ = object.__hash__


Many = Annotated[list[Value], UpToFault()]
GROWTH = 12
"""At most about so many times the size of a JSON file is what its values take in memory."""
SMALL = 1 << 23
"""Files of at most so many bytes are read without asking how much memory is left, which takes a millisecond."""


def read_bytes(path: Path) -> bytes:
    """Return a file's content. Raises DataError where it cannot be read, or its values would not fit into memory."""
    check_size(path, GROWTH)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {first_line(error)}") from error


def check_size(path: Path, growth: int) -> None:
    """Raise DataError if a file cannot be read, or ``growth`` times its size do not fit into memory."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise DataError(f"{path}: {absence(path)}")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {first_line(error)}") from error
    if size > SMALL and size * growth > (left := available_memory(torch.device("cpu"))):
        raise DataError(
            f"{path}: its {size >> 20:,} MiB may take {size * growth >> 20:,} MiB in memory, of which "
            f"{left >> 20:,} MiB are left; divide it into several files"
        )


def read_json(path: Path, form: TypeAdapter[Value]) -> tuple[Value, str]:
    """Return the values in a JSON file, and a digest of it. Raises DataError, naming the place, for other values."""
    content = read_bytes(path)
    try:
        return form.validate_json(content.removeprefix(b"\xef\xbb\xbf")), digest(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        if problem["type"] == "json_invalid":
            raise DataError(f"{path}: is no JSON, or is cut: {words(problem)}") from None
        place = ".".join(str(part) for part in problem["loc"] if not _is_kind(str(part)))
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise DataError(f"{path}: {place[:200] or 'its content'}: {words(problem)}{more}") from None


def _is_kind(part: str) -> bool:
    """Whether a part of a place names one of the kinds of value that could stand there, not a key."""
    return "[" in part or part in ("int", "str", "float", "Rle")
