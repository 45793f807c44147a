"""The memory that is left, on machines and in containers that answer as the tests say."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from fullyconv.resources import available_memory

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
MACHINE = 1000


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=MACHINE))


def system(root: Path, cgroup: str, groups: dict[str, dict[str, str]]) -> Path:
    """A Linux system's files: ``proc/self/cgroup`` and those of control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, files in groups.items():
        folder = root / "sys/fs/cgroup" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (folder / file).write_text(content)
    return root


def second(limit: str, used: int, cached: int = 0, high: str = "max") -> dict[str, str]:
    """The files of a group of version 2."""
    stat = f"anon 1\nactive_file {cached}\ninactive_file 0\n"
    return {"memory.max": limit, "memory.high": high, "memory.current": str(used), "memory.stat": stat}


def first(limit: int, used: int, cached: int = 0) -> dict[str, str]:
    """The files of a group of version 1."""
    stat = f"cache 1\ntotal_active_file 0\ntotal_inactive_file {cached}\n"
    return {"memory.limit_in_bytes": str(limit), "memory.usage_in_bytes": str(used), "memory.stat": stat}


@pytest.mark.parametrize(
    ("cgroup", "groups", "expected"),
    [
        ("0::/\n", {"": second("max", 5)}, MACHINE),
        ("0::/\n", {"": second("900", 300, cached=50)}, 650),
        ("0::/\n", {"": second("5000", 300)}, MACHINE),
        ("0::/\n", {"": second("max", 300, high="700")}, 400),
        ("0::/a/b\n", {"a": second("400", 100), "a/b": second("max", 50)}, 300),
        ("0::/a/b\n", {"a": second("max", 100), "a/b": second("90", 50)}, 40),
        ("0::/of/the/host\n", {"": second("800", 100)}, 700),
        ("0::/\n", {"": second("100", 300)}, 0),
        ("5:cpu:/x\n4:memory:/x\n0::/\n", {"memory/x": first(500, 100, cached=20)}, 420),
        ("4:memory:/host\n", {"memory": first(600, 100)}, 500),
        ("4:memory:/x\n", {"memory/x": first(2**63 - 4096, 100)}, MACHINE),
        ("4:cpu,cpuacct:/x\n", {"cpu,cpuacct/x": second("10", 1), "memory/x": first(10, 1)}, MACHINE),
    ],
    ids=[
        *("no limit", "limit", "limit beyond the machine", "throttled from", "group above", "nested", "namespace"),
        *("over its limit", "version 1", "version 1, namespace", "version 1, no limit", "other controllers"),
    ],
)
def test_a_container_has_what_its_groups_leave(tmp_path, cgroup, groups, expected):
    assert available_memory(CPU, system(tmp_path, cgroup, groups)) == expected


def test_off_linux_the_machine_says_what_is_left(tmp_path):
    assert available_memory(CPU, tmp_path) == MACHINE


def test_this_machine_has_memory_left(monkeypatch):
    monkeypatch.undo()
    assert 0 < available_memory(CPU) <= psutil.virtual_memory().total


def test_a_gpu_has_what_is_free_and_what_torch_holds_unused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert available_memory(CUDA) == 5500


@pytest.mark.parametrize(("most", "expected"), [(900, 600), (5000, MACHINE)])
def test_an_apple_gpu_shares_the_machines_memory(monkeypatch, tmp_path, most, expected):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: most)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 300)
    assert available_memory(MPS, tmp_path) == expected
