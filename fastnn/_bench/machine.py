"""The machine's own limits, measured in the same run as everything that is held against them."""

import os

from fastnn.kernels import machine, runtime

_best: dict[tuple[str, int], float] = {}
# Where the system does not say: what most processors have at least.
CACHES = {1: 32 << 10, 2: 512 << 10, 3: 8 << 20}
MEMORY = (64 << 20, 512 << 20)  # bytes read of memory, of all threads: at least and at most


def cores():
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak(threads=1, dtype="float32", seconds=0.1):
    """FLOP/s of independent fused multiply-adds on the instruction set in use.

    Every call measures again and the best of the run counts: a busy moment must not flatter a fraction of it.
    """
    key = (dtype, threads)
    _best[key] = max(_best.get(key, 0.0), machine.measure_peak(dtype, seconds, num_threads=threads))
    return _best[key]


def cache_bytes(level):
    """Bytes of a core's data cache of that level, or of the shared one that it belongs to."""
    try:
        found = os.sysconf(f"SC_LEVEL{level}_{'DCACHE' if level == 1 else 'CACHE'}_SIZE")
    except (AttributeError, OSError, ValueError):
        found = 0
    return found if found > 0 else CACHES[level]


def buffer_bytes(level, threads):
    """Bytes for each thread that lie in the cache of that level and in none below; level 4 is memory."""
    if level < 3:
        return cache_bytes(level) // 2
    if level == 3:
        return max(min(cache_bytes(3) // 2 // threads, 8 * cache_bytes(2)), 2 * cache_bytes(2))
    return min(max(4 * cache_bytes(3), MEMORY[0]), MEMORY[1]) // threads


def limits(seconds=0.1):
    """Measure everything.

    Parameters
    ----------
    seconds : float
        About as long for each figure.

    Returns
    -------
    dict of str to float
        FLOP/s, bytes a second and seconds, by name.
    """
    teams = sorted({1, cores()})
    found = {f"peak, {count(n)}": peak(n, seconds=seconds) for n in teams}
    for level in (1, 2, 3, 4):
        for n in teams:
            rate = machine.read_bandwidth(buffer_bytes(level, n), seconds, num_threads=n)
            found[f"{'memory' if level == 4 else f'L{level}'}, {count(n)}"] = rate
    if cores() > 1:
        found[f"barrier, {count(cores())}"] = machine.barrier_seconds(cores(), seconds)
    kind = runtime.bfloat16_kind()
    found |= {f"peak, bfloat16 ({kind}), {count(n)}": peak(n, "bfloat16", seconds) for n in teams}
    return found


def better(one, other):
    """Of two measurements, each limit's best: what an undisturbed machine would show."""
    return {
        name: (min if name.startswith("barrier") else max)(value, other[name]) for name, value in one.items()
    }


def describe(measured=None):
    """What the figures were measured on, in words; ``measured`` is what `limits` returned."""
    lines = {
        "CPU": runtime.cpu_name(),
        "cores to use": str(cores()),
        "instruction set": f"{runtime.instruction_set()} of {', '.join(runtime.instruction_sets())}",
    }
    for (dtype, threads), flops in sorted(_best.items()):
        if dtype == "bfloat16":
            continue
        lines[f"peak, {dtype}, {count(threads)}"] = f"{flops / 1e9:.0f} GFLOP/s of multiply-adds"
    measured = measured or {}
    for name, value in measured.items():
        if name.startswith("barrier"):
            lines[name] = f"{value * 1e9:.0f} ns"
        elif name.startswith("peak, bfloat16"):
            lines[name] = f"{value / 1e9:.0f} GFLOP/s"
        elif not name.startswith("peak"):
            lines[f"reading {name}"] = f"{value / 1e9:.0f} GB/s"
    lines["AMX"] = "used for bfloat16" if "amx" in runtime.bfloat16_kinds() else why_no_amx()
    return lines


def count(threads):
    """``1 core``, ``2 cores``."""
    return f"{threads} core{'s' * (threads > 1)}"


def why_no_amx():
    """Whether it is the processor that has no AMX tiles."""
    return "refused by the system" if has_amx() else "not in this processor"


def has_amx():
    """Whether the processor says that it has AMX tiles."""
    try:
        with open("/proc/cpuinfo") as file:
            return any(line.startswith("flags") and "amx_tile" in line.split() for line in file)
    except OSError:
        return False
