"""The errors a user can cause. Each message says what was found, what was expected and what to do."""

import unicodedata

JOINERS = "\u200c\u200d"
"""Invisible, but part of how words are written, as in Persian, and of emoji."""


def visible(text: str) -> str:
    """Return one line of text whose control characters, line breaks and marks of direction are written as escapes.

    Names come from files of strangers: in a terminal such characters would act (move, colour, hide, turn around)
    rather than be seen. What is visible already is left as it is.
    """
    return "".join(map(_seen, text)) if not (text.isascii() and text.isprintable()) else text


def _seen(character: str) -> str:
    acts = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in JOINERS
    return character.encode("unicode_escape").decode() if acts else character


class FullyConvError(Exception):
    """Base of all errors that the user can fix (exit code 2 on the command line).

    The message is one line; what it lists, as files at fault, are ``lines`` of their own. Whatever names stand in
    them, no other lines are shown, and no control characters.
    """

    def __init__(self, message: str, *lines: str) -> None:
        super().__init__(message, *lines)

    def __str__(self) -> str:
        return "\n".join(visible(str(line)) for line in self.args)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and notebooks show of the error: the message, without a traceback."""
        return [f"{type(self).__name__}: {self}"]


class DataError(FullyConvError):
    """Images, masks or a data set's description are at fault."""


class ConfigError(FullyConvError):
    """An option, a recipe or a combination of them is at fault."""


class WeightsError(FullyConvError):
    """Weights cannot be found, read, or do not fit the network."""


class LoaderError(FullyConvError):
    """A process that loads images was ended from outside, as by a system that is short of memory."""


class GeometryError(FullyConvError):
    """A network's layers cannot be aligned, traced or converted."""


def first_line(error: BaseException) -> str:
    """Return the first line of a third-party error message, with the error's type where the message has no words."""
    line, kind = (str(error).strip().splitlines() or [""])[0], type(error).__name__
    if any(character.isalpha() for character in line):
        return line
    return f"{kind}: {line}" if line else kind
