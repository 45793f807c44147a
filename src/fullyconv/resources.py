"""What this process may take of the machine: cores, and memory of the machine, of its container and of the GPU."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    import torch

UNLIMITED = 1e6
"""More cores than a machine has."""
LIMITS = {
    1: {"memory.limit_in_bytes": "memory.usage_in_bytes"},
    2: {"memory.max": "memory.current", "memory.high": "memory.current"},
}
"""By version, the files of a control group that hold its limits, each with that of its use."""
CACHED = {1: ("total_active_file", "total_inactive_file"), 2: ("active_file", "inactive_file")}
"""By version, the entries of a group's use that are cached files, which the system frees when memory is needed."""


class ControlGroup(NamedTuple):
    """The folder of one control group, and the version, 1 or 2, of the files in it."""

    folder: Path
    version: int


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
    return min((_read_quota(group.folder) for group in _groups_around("cpu", system)), default=UNLIMITED)


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


def available_memory(device: "torch.device", system: Path = Path("/")) -> int:
    """Return the bytes that a computation on ``device`` can still take.

    On a CPU this is what the machine has left, or what its container (a Linux control group, or one around it) may
    still take. On a GPU it is the GPU's free memory and what torch holds of it without using it. Apple GPUs share the
    machine's memory. ``system`` is the folder that holds Linux's ``proc`` and ``sys``.
    """
    import torch  # cores are counted without it

    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    left = psutil.virtual_memory().available
    for group in _groups_around("memory", system):
        left = min([left, *_left_to_group(group)])
    if device.type == "mps":
        left = min(left, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(0, left)


def _left_to_group(group: ControlGroup) -> list[int]:
    """Return the bytes that one control group may still take under each of its limits."""
    left = []
    for limit, used in LIMITS[group.version].items():
        try:
            most, taken = (int((group.folder / name).read_text(encoding="utf-8")) for name in (limit, used))
            lines = (group.folder / "memory.stat").read_text(encoding="utf-8").splitlines()
            facts = dict(line.split() for line in lines)
        except (OSError, ValueError):  # not this group's file, or the word "max"
            continue
        left.append(most - taken + sum(int(facts.get(name, 0)) for name in CACHED[group.version]))
    return left


def _groups_around(controller: str, system: Path = Path("/")) -> Iterator[ControlGroup]:
    """Yield the groups whose limits hold for this process: its own and all above it; none if the system is not Linux.

    ``controller`` is what is limited, ``cpu`` or ``memory``. ``system`` is the folder that holds ``proc`` and ``sys``.
    """
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        mount = system / "sys/fs/cgroup" / (controller if version == 1 else "")
        folder = mount / path.lstrip("/")
        # every group above limits too; seen from inside a container, the mount itself may be the process's group
        for place in dict.fromkeys((folder, *folder.parents, mount)):
            if place == mount or mount in place.parents:
                yield ControlGroup(place, version)
