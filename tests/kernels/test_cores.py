"""Cores that a process may use, from what the kernel says of its control groups."""

import os

import pytest

from fastnn.kernels.cores import usable_cores

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture
def many(monkeypatch):
    """A machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def root(folder, groups, files):
    """Lay out what is read, and return where."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


V1 = "12:memory:/a\n4:cpu,cpuacct:/docker/17\n0::/docker/17\n"
CASES = {
    "nothing said": ("", {}, 64),
    "no quota": ("0::/user.slice\n", {"sys/fs/cgroup/user.slice/cpu.max": "max 100000\n"}, 64),
    "a container's own": ("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
    "rounded up": ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
    "at least one": ("0::/\n", {"sys/fs/cgroup/cpu.max": "5000 100000\n"}, 1),
    "a service's": (
        "0::/system.slice/a.service\n",
        {"sys/fs/cgroup/system.slice/a.service/cpu.max": "300000 100000"},
        3,
    ),
    "a group above": (
        "0::/system.slice/a.service\n",
        {
            "sys/fs/cgroup/system.slice/cpu.max": "300000 100000",
            "sys/fs/cgroup/system.slice/a.service/cpu.max": "900000 100000",
        },
        3,
    ),
    "a path outside of the container": ("0::/../../host/17\n", {"sys/fs/cgroup/cpu.max": "400000 100000"}, 4),
    "beside version 1": ("0::/a\n", {"sys/fs/cgroup/unified/a/cpu.max": "500000 100000"}, 5),
    "version 1": (
        V1,
        {
            "sys/fs/cgroup/cpu,cpuacct/docker/17/cpu.cfs_quota_us": "600000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/17/cpu.cfs_period_us": "100000\n",
        },
        6,
    ),
    "version 1 in a container": (
        V1,
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "700000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
        7,
    ),
    "version 1 without quota": (
        V1,
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
        64,
    ),
    "nonsense": ("\x00\n0:\n::::\n", {"sys/fs/cgroup/cpu.max": "a b c\n"}, 64),
    "more than there are": ("0::/\n", {"sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 64),
}


@pytest.mark.parametrize("name", CASES)
def test_quotas(name, many, tmp_path):
    groups, files, cores = CASES[name]
    assert usable_cores(root(tmp_path, groups, files)) == cores


def test_without_anything_to_read(many, tmp_path):
    assert usable_cores(str(tmp_path)) == 64
    assert usable_cores(root(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"})) == 2


def test_here():
    assert 1 <= usable_cores() <= HERE
