"""How many cores a process may use: pinned to some of them, or in a container that has a share of their time."""

import os

import pytest

from fullyconv.resources import usable_cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A pretended Linux machine of 64 cores: writes the files that limit a process, and counts its cores."""

    def count(files=(), cores=64):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        for name, text in dict(files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return usable_cores(tmp_path)

    return count


V2, V1 = "0::/\n", "5:devices:/\n4:cpu,cpuacct:/docker/abc\n"
ROOT, GROUP = "sys/fs/cgroup", "sys/fs/cgroup/a/b"
V1_ROOT = f"{ROOT}/cpu"


def test_a_process_may_use_the_cores_it_is_pinned_to(machine):
    assert machine(cores=3) == 3
    assert machine() == 64


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": V2, f"{ROOT}/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": V2, f"{ROOT}/cpu.max": "max 100000\n"}, 64),
        ({"proc/self/cgroup": V2, f"{ROOT}/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": V2, f"{ROOT}/cpu.max": "damaged"}, 64),
        ({"proc/self/cgroup": "0::/a/b\n", f"{GROUP}/cpu.max": "250000 100000\n"}, 3),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                f"{ROOT}/a/cpu.max": "400000 100000",
                f"{GROUP}/cpu.max": "max 1",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": V1,  # inside of a container, where its group is the mount
                f"{V1_ROOT}/cpu.cfs_quota_us": "500000",
                f"{V1_ROOT}/cpu.cfs_period_us": "100000",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": V1,
                f"{V1_ROOT}/docker/abc/cpu.cfs_quota_us": "600000\n",
                f"{V1_ROOT}/docker/abc/cpu.cfs_period_us": "100000\n",
                f"{V1_ROOT}/cpu.cfs_quota_us": "-1\n",
                f"{V1_ROOT}/cpu.cfs_period_us": "100000\n",
            },
            6,
        ),
    ],
)
def test_a_container_has_cores_by_its_share_of_their_time(machine, files, cores):
    assert machine(files) == cores


def test_systems_without_pinning_have_all_cores(tmp_path, monkeypatch):
    """As macOS and Windows."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert usable_cores(tmp_path) == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path) == 1


def test_this_machine_has_a_core():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
