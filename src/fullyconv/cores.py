"""How many of the machine's cores this process may use."""

import math
import os
from pathlib import Path

from fullyconv.control_groups import groups_around

UNLIMITED = 1e6
"""More cores than a machine has."""


def usable_cores(system: Path = Path("/")) -> int:
    """Return the number of CPU cores that this process may use, at least 1.

    The operating system may pin the process to some of the machine's cores, and a container may allow it less of
    their time than they have. ``system`` is the folder that holds Linux's ``proc`` and ``sys``.
    """
    return max(1, min(_count_cores(), math.ceil(_share(system))))


def _count_cores() -> int:
    """Return the cores that the process may run on: all of the machine, if the system does not pin processes."""
    if hasattr(os, "sched_getaffinity"):  # Linux; neither macOS nor Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _share(system: Path) -> float:
    """Return how many cores' time Linux's control groups (containers) allow the process."""
    return min((_read_quota(group.folder) for group in groups_around("cpu", system)), default=UNLIMITED)


def _read_quota(group: Path) -> float:
    """Return how many cores' time one control group, of version 1 or 2, allows."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else UNLIMITED
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return UNLIMITED
