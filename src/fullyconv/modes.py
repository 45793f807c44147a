"""A network in evaluation mode, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def evaluating(net: Any) -> Iterator[None]:
    """Afterwards each module is in the mode that it was in: some may be frozen. An exported network has no modes."""
    modes = {module: module.training for module in net.modules()} if isinstance(net, nn.Module) else {}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
