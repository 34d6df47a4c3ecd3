"""The automatic number of threads against fixed ones: on an idle machine, on one CPU, and with another
process on a core.

A table, no verdict: on a machine that others use, "idle" is not in our hands.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastnn._bench.workloads import WORKLOADS

CPUS = sorted(os.sched_getaffinity(0))
SPIN = "import os, sys\nos.sched_setaffinity(0, [int(sys.argv[1])])\nwhile True: pass"
PLACES = ["idle", "one CPU", "a core busy"]


@contextmanager
def nobody():
    yield


@contextmanager
def spinning(cpu):
    """Another process that never leaves that CPU."""
    child = subprocess.Popen([sys.executable, "-c", SPIN, str(cpu)])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def choices(key, settings, cpus):
    """Seconds a step by number of threads, None being the automatic choice, in a process on those CPUs."""
    rounds = 5 if settings.quick else 11
    arguments = [key, str(settings.seconds), str(rounds), ",".join(map(str, cpus))]
    done = subprocess.run(
        [sys.executable, "-m", "bench.choices", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.skipif(len(CPUS) < 2, reason="only one core to use")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", WORKLOADS)
def test_choice(settings, report, key, place):
    with spinning(CPUS[-1]) if place == "a core busy" else nobody():
        found = choices(key, settings, CPUS[:1] if place == "one CPU" else CPUS)
    automatic, one = found.pop(None), found[1]
    best = min(found, key=found.get)
    assert automatic > 0
    report(
        "the automatic number of threads",
        {
            "": key,
            "network": WORKLOADS[key].network,
            "machine": place,
            "1 thread µs": one * 1e6,
            "best fixed": best,
            "its µs": found[best] * 1e6,
            "automatic µs": automatic * 1e6,
            "automatic / best": automatic / found[best],
            "automatic / 1": automatic / one,
        },
    )
