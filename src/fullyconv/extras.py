"""Optional packages, which come with an extra of the installation."""

import importlib
from types import ModuleType

from fullyconv.errors import ConfigError


def require(package: str, extra: str, use: str = "") -> ModuleType:
    """Import a package that an extra installs; ``use`` says what it is needed for.

    Raises ConfigError where it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        wanted = f", which {use}" if use else ""
        raise ConfigError(f"{package} is not installed{wanted}. {how_to_install(extra)}.") from error


def how_to_install(extra: str) -> str:
    """Say how the packages of an extra are installed."""
    return f"In the folder that fullyconv was installed from: pip install -e '.[{extra}]'"
