"""The machine's own limits, measured in the same run as everything that is held against them."""

import os
import time

import numpy as np

from fastnn.kernels import runtime

_best: dict[tuple[str, int], float] = {}


def cores():
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak(threads=1, dtype="float32", seconds=0.1):
    """FLOP/s of independent fused multiply-adds on the widest instruction set; ``nan`` if not measurable.

    Every call measures again and the best of the run counts: a busy moment must not flatter a fraction of it.
    """
    key = (dtype, threads)
    measure = getattr(runtime, "measure_peak", None)
    if measure is None:
        return float("nan")
    _best[key] = max(_best.get(key, 0.0), float(measure(dtype, seconds, num_threads=threads)))
    return _best[key]


def bandwidth(megabytes=256, repeats=5):
    """Bytes a second that one core copies in memory, both directions counted."""
    source = np.ones(megabytes << 17)
    target = np.empty_like(source)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


def describe():
    """What the figures were measured on, and its limits as far as this run has measured them."""
    lines = {
        "CPU": runtime.cpu_name(),
        "cores to use": str(cores()),
        "instruction set": f"{runtime.instruction_set()} of {', '.join(runtime.instruction_sets())}",
        "memory, one core copying": f"{bandwidth() / 1e9:.0f} GB/s",
    }
    for (dtype, threads), flops in sorted(_best.items()):
        lines[f"peak, {dtype}, {threads} thread{'s' * (threads > 1)}"] = f"{flops / 1e9:.0f} GFLOP/s"
    return lines
