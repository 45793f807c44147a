"""How much memory is left for computing: the machine's, its container's, the GPU's."""

from pathlib import Path

import psutil
import torch

from fullyconv.control_groups import Group, groups_around

LIMITS = {
    1: {"memory.limit_in_bytes": "memory.usage_in_bytes"},
    2: {"memory.max": "memory.current", "memory.high": "memory.current"},
}
"""By version, the files of a control group that hold its limits, each with that of its use."""
CACHED = {1: ("total_active_file", "total_inactive_file"), 2: ("active_file", "inactive_file")}
"""By version, the entries of a group's use that are cached files, which the system frees when memory is needed."""


def available_memory(device: torch.device, system: Path = Path("/")) -> int:
    """Return the bytes that a computation on ``device`` can still take.

    On a CPU this is what the machine has left, or what its container (a Linux control group, or one around it) may
    still take. On a GPU it is the GPU's free memory and what torch holds of it without using it. Apple GPUs share the
    machine's memory. ``system`` is the folder that holds Linux's ``proc`` and ``sys``.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    left = psutil.virtual_memory().available
    for group in groups_around("memory", system):
        left = min([left, *_left_to_group(group)])
    if device.type == "mps":
        left = min(left, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(0, left)


def _left_to_group(group: Group) -> list[int]:
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
