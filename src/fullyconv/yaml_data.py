"""Read YAML from untrusted files as data: within bounds, and without Python objects."""

from pathlib import Path

import yaml

from fullyconv.files import absence

MAX_BYTES = 1 << 20
"""Most bytes of a file; a description of 255 classes takes a fiftieth of it."""
MAX_DEPTH = 32
MAX_VALUES = 20_000
"""Most values, each use of an alias counted: a few lines of nested aliases can stand for more than any memory holds."""
MAX_SCALAR = 10_000
"""Most characters of one value: reading a number takes time that grows with the square of its length."""


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> object:
    """Read a YAML file in UTF-8. Raises OSError, and ValueError with the reason why it cannot be read."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError(absence(path))
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than the {MAX_BYTES:,} bytes that are read")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text ({error.reason} at byte {error.start})") from error
    return parse_yaml(text, loader)


def parse_yaml(text: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> object:
    """Read the one document in ``text``. Raises ValueError with the reason why it cannot be read."""
    try:
        _refuse_bombs(text, loader)
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(_words(error)) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # PyYAML's of wrong dates, !!bool x, …
        raise ValueError(f"a value in it is not what its form says ({type(error).__name__}: {error})") from error


def _words(error: yaml.YAMLError) -> str:
    """Return PyYAML's message in one line, without its quotation of the text."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    mark = error.problem_mark or error.context_mark
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return ", ".join(filter(None, [error.context, error.problem])) + place


class _Open:
    """A list or mapping whose end has not been read: its anchor, and how many values it holds."""

    def __init__(self, anchor: str | None):
        self.anchor, self.values = anchor, 1


def _refuse_bombs(text: str, loader: type[yaml.SafeLoader]) -> None:
    """Raise ValueError where a document is too deep, or too large with each use of an alias counted.

    Only its events are read, from which no values are built yet.
    """
    sizes: dict[str, int] = {}
    above: list[_Open] = []
    for event in yaml.parse(text, loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            if len(above) == MAX_DEPTH:
                raise ValueError(f"line {line} is nested more than {MAX_DEPTH} deep")
            above.append(_Open(event.anchor))
            continue
        if isinstance(event, yaml.ScalarEvent):
            if len(event.value) > MAX_SCALAR:
                raise ValueError(f"line {line} has a value of more than {MAX_SCALAR:,} characters")
            anchor, values = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            if any(part.anchor == event.anchor for part in above):
                raise ValueError(f"line {line}: *{event.anchor} stands within what it names")
            anchor, values = None, sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = above.pop()
            anchor, values = ended.anchor, ended.values
        else:
            continue
        if anchor is not None:
            sizes[anchor] = values
        if above:
            above[-1].values += values
            values = above[-1].values
        if values > MAX_VALUES:
            raise ValueError(f"line {line}: more than {MAX_VALUES:,} values, aliases counted each time")
