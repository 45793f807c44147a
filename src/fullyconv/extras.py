"""Packages that come with an extra of the installation."""

import importlib
from typing import Any

from fullyconv.errors import ConfigError


def require(package: str, extra: str, use: str = "") -> Any:
    """A package of an extra; ``use`` says what for. Raises ConfigError where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        wanted = f", which {use}" if use else ""
        raise ConfigError(f"{package} is not installed{wanted}: pip install 'fullyconv[{extra}]'") from error
