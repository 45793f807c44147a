"""Other machines than the one at hand, simulated: what they answer, what they lack, how they start processes.

``pytest --machine NAME`` runs any test on one of them (``make test-machines``).
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
import torch

try:
    import fcntl
except ImportError:  # Windows itself
    fcntl = None

HALF = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""torch's names of the CPU features that multiply bf16."""


def with_bf16(patch: pytest.MonkeyPatch) -> None:
    """The CPU says that it multiplies bf16; whether it does so fast is measured."""
    features = dict(torch.cpu.get_capabilities()) | dict.fromkeys(HALF, True)
    patch.setattr(torch.cpu, "get_capabilities", lambda: features)


def without_bf16(patch: pytest.MonkeyPatch) -> None:
    features = dict(torch.cpu.get_capabilities()) | dict.fromkeys(HALF, False)
    patch.setattr(torch.cpu, "get_capabilities", lambda: features)


def with_one_core(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    patch.setattr(os, "cpu_count", lambda: 1)
    torch.set_num_threads(1)


def like_macos(patch: pytest.MonkeyPatch) -> None:
    """Processes start anew instead of as copies, and are not pinned to cores."""
    torch.multiprocessing.set_start_method("spawn", force=True)
    patch.delattr(os, "sched_getaffinity", raising=False)


def windows_locks() -> ModuleType:
    """Windows' ``msvcrt``, as far as it locks bytes of files: another lock on the same byte ends in PermissionError."""
    if fcntl is None:
        return importlib.import_module("msvcrt")

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (module.LK_NBLCK, 1)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 2**31 - 2
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(error.errno, "Permission denied") from error

    module = ModuleType("msvcrt")
    module.LK_NBLCK, module.locking = 2, locking  # type: ignore[attr-defined]
    return module


def like_windows(patch: pytest.MonkeyPatch) -> None:
    """As on macOS; and what POSIX alone has is missing, as far as other libraries can do without it."""
    like_macos(patch)
    for name in ("sysconf", "killpg"):
        patch.delattr(os, name, raising=False)
    locks = windows_locks()
    patch.setitem(sys.modules, "fcntl", None)
    patch.setitem(sys.modules, "msvcrt", locks)
    for name, module in list(sys.modules.items()):
        if name.startswith("fullyconv") and hasattr(module, "fcntl"):
            patch.setattr(module, "fcntl", None)
            patch.setattr(module, "msvcrt", locks, raising=False)


MACHINES = {
    "bf16": with_bf16,
    "no-bf16": without_bf16,
    "one-core": with_one_core,
    "macos": like_macos,
    "windows": like_windows,
}


@contextmanager
def simulated(name: str) -> Iterator[None]:
    """Be on the machine of this name within the block."""
    threads, method = torch.get_num_threads(), torch.multiprocessing.get_start_method()
    with pytest.MonkeyPatch.context() as patch:
        MACHINES[name](patch)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.multiprocessing.set_start_method(method, force=True)
