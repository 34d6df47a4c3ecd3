"""How many cores this process may use: its processor affinity, and the quotas of its control groups."""

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["usable_cores"]


def usable_cores(root: str = "/") -> int:
    """Return how many cores this process may use, at least 1.

    Parameters
    ----------
    root : str
        Where ``proc`` and ``sys`` lie.

    Notes
    -----
    A quota may be set for the process's own control group (a service, a job) or for any above it (a
    container), and is rounded up. Within a container the path that the kernel tells may lie outside of what
    is mounted; then the uppermost group that is there counts.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    for quota, period in _quotas(Path(root)):
        if quota > 0 and period > 0:
            cores = min(cores, max(1, -(-quota // period)))
    return cores


def _quotas(root: Path) -> Iterator[tuple[int, int]]:
    """Yield quota and period, in microseconds, of every group that this process belongs to."""
    mounted = root / "sys/fs/cgroup"
    for controllers, group in _groups(root):
        if controllers == "":  # version 2
            for folder in (mounted, mounted / "unified"):
                yield from _upward(folder, group, ("cpu.max",))
        elif "cpu" in controllers.split(","):
            for folder in {mounted / "cpu", mounted / controllers}:
                yield from _upward(folder, group, ("cpu.cfs_quota_us", "cpu.cfs_period_us"))


def _groups(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (controllers, path) of this process's groups."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = ["0::/", "1:cpu:/"]
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        yield controllers, group


def _upward(folder: Path, group: str, files: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Yield what the files say of a group and of each above it."""
    parts = [part for part in group.split("/") if part]
    for depth in range(len(parts), -1, -1):
        try:
            words = " ".join((folder.joinpath(*parts[:depth]) / name).read_text() for name in files).split()
            yield int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):
            continue  # no such group, or "max"
