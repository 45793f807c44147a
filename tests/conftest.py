"""Property tests try the same examples in every run, so that a change is judged by what it changes.

Without a GPU, Triton's kernels run in its interpreter; Triton decides which when it is first imported.
"""

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tests.machines import MACHINES, simulated

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--machine", choices=sorted(MACHINES), help="Simulate another machine than this one.")


@pytest.fixture(autouse=True)
def machine_of_the_option(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test on the machine that ``--machine`` names."""
    if name := request.config.getoption("--machine"):
        with simulated(name):
            yield
    else:
        yield
