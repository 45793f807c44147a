"""The Linux control groups (containers) that this process is in."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Group(NamedTuple):
    """The folder of one control group, and the version, 1 or 2, of the files in it."""

    folder: Path
    version: int


def groups_around(controller: str, system: Path = Path("/")) -> Iterator[Group]:
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
                yield Group(place, version)
