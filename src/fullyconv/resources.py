"""Find how many CPU cores and how much memory this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    import torch

UNLIMITED = 1e6
"""Stands for no limit: more cores than any machine has."""
LIMITS = {
    1: {"memory.limit_in_bytes": "memory.usage_in_bytes"},
    2: {"memory.max": "memory.current", "memory.high": "memory.current"},
}
"""The files of a control group with its limits, and the file with the use of each, by version."""
CACHED = {1: ("total_active_file", "total_inactive_file"), 2: ("active_file", "inactive_file")}
"""The entries of a group's memory use that are cached files, which the system can free, by version."""


class ControlGroup(NamedTuple):
    """The folder of a control group, and the version of its files, 1 or 2."""

    folder: Path
    version: int


def usable_cores(system: Path = Path("/")) -> int:
    """Return the number of CPU cores that this process may use, at least 1.

    The operating system may pin the process to some cores, and a container may limit its share of their time.
    ``system`` is the folder that holds Linux's ``proc`` and ``sys``.
    """
    return max(1, min(_count_cores(), math.ceil(_share(system))))


def _count_cores() -> int:
    """Return the number of cores that the process may run on: all, if the system does not pin processes."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _share(system: Path) -> float:
    """Return how many cores' worth of time Linux control groups (containers) allow this process."""
    return min((_read_quota(group.folder) for group in _groups_around("cpu", system)), default=UNLIMITED)


def _read_quota(group: Path) -> float:
    """Return how many cores' worth of time one control group, of version 1 or 2, allows."""
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

    On a CPU, this is the free memory of the machine, or less if a container (a Linux control group) limits it. On a
    GPU, it is the free memory of the GPU plus what torch has reserved without using it. Apple GPUs share the machine's
    memory. ``system`` is the folder that holds Linux's ``proc`` and ``sys``.
    """
    import torch  # counting cores needs no torch

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
    """Yield the control groups that limit this process: its own and all above it; none outside of Linux.

    ``controller`` is the limited resource, ``cpu`` or ``memory``. ``system`` is the folder of ``proc`` and ``sys``.
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
