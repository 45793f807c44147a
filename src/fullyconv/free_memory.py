"""How much memory is left for computing: the machine's, its container's, the GPU's."""

from pathlib import Path

import psutil
import torch

LIMITS = (
    {"memory.max": "memory.current", "memory.high": "memory.current"},
    {"memory.limit_in_bytes": "memory.usage_in_bytes"},
)
"""The files of a control group that hold its limits, each with that of its use: version 2, then version 1."""
CACHED = ("active_file", "inactive_file"), ("total_active_file", "total_inactive_file")
"""What of a group's use is files' content, which the system gives up when memory is asked for."""


def available_memory(device: torch.device, system: Path = Path("/")) -> int:
    """Return the bytes that a computation on ``device`` can still take.

    On a CPU this is what the machine has left, or what its container (a Linux control group, or one around it) may
    still take. On a GPU it is the GPU's free memory and what torch holds of it without using it. Apple GPUs share the
    machine's memory. ``system`` is the folder that holds Linux's ``proc`` and ``sys``.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    left = min([psutil.virtual_memory().available, *_left_to_groups(system)])
    if device.type == "mps":
        left = min(left, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(0, left)


def _left_to_groups(system: Path) -> list[int]:
    """The bytes that this process's control groups may still take, for each that has a limit."""
    try:
        groups = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return []
    left = []
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = system / "sys/fs/cgroup" / ("memory" if controllers else "")
        folder = mount / path.lstrip("/")
        # every group above limits too; seen from inside a container, the mount itself may be the process's group
        for place in {folder, *folder.parents, mount}:
            if place == mount or mount in place.parents:
                left += _left_to_group(place, 1 if controllers else 0)
    return left


def _left_to_group(group: Path, version: int) -> list[int]:
    """The bytes that one control group may still take under each of its limits."""
    left = []
    for limit, used in LIMITS[version].items():
        try:
            most, taken = (int((group / name).read_text(encoding="utf-8")) for name in (limit, used))
            facts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):  # not this group's file, or the word "max"
            continue
        left.append(most - taken + sum(int(facts.get(name, 0)) for name in CACHED[version]))
    return left
