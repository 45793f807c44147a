"""How many of the machine's cores this process may use."""

import math
import os
from pathlib import Path

UNLIMITED = 1e6
"""More cores than a machine has."""


def usable_cores(system: Path = Path("/")) -> int:
    """Return the number of CPU cores that this process may use, at least 1.

    The operating system may pin the process to some of the machine's cores, and a container may allow it less of
    their time than they have. ``system`` is the folder that holds Linux's ``proc`` and ``sys``.
    """
    return max(1, min(_count_cores(), math.ceil(_share(system))))


def _count_cores() -> int:
    """The cores that the process may run on; all of the machine where the system does not pin processes to cores."""
    if hasattr(os, "sched_getaffinity"):  # Linux; neither macOS nor Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _share(system: Path) -> float:
    """How many cores' time Linux's control groups (containers) allow the process."""
    try:
        groups = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return UNLIMITED
    allowed = UNLIMITED
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = system / "sys/fs/cgroup" / ("cpu" if controllers else "")
        folder = mount / path.lstrip("/")
        # every group above limits too; seen from inside a container, the mount itself may be the process's group
        for place in (folder, *(mount / above for above in folder.relative_to(mount).parents), mount):
            allowed = min(allowed, _read_quota(place))
    return allowed


def _read_quota(group: Path) -> float:
    """The cores' time that one control group allows, of version 2 or of version 1."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else UNLIMITED
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return UNLIMITED
