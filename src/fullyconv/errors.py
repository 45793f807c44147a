"""The errors a user can cause. Each message says what was found, what was expected and what to do."""


class FullyConvError(Exception):
    """Base of all errors that the user can fix (exit code 2 on the command line)."""


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
    """Return the first line of a third-party error message, or the error's type where the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
