"""The errors a user can cause. Each message says what was found, what was expected and what to do."""


class FullyConvError(Exception):
    """Base of every error that is the user's to mend (exit code 2 on the command line)."""


class DataError(FullyConvError):
    """Images, masks or a data set's description are at fault."""


class ConfigError(FullyConvError):
    """An option, a recipe or a combination of them is at fault."""


class WeightsError(FullyConvError):
    """Weights cannot be found, read, or do not fit the network."""


class GeometryError(FullyConvError):
    """A network's layers cannot be aligned, traced or converted."""
