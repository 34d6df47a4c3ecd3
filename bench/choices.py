"""fastnn with one thread, with every fixed count, and with the automatic choice, in turns: a process for
test_bench_threads.py.

``python -m bench.choices KEY SECONDS ROUNDS CPUS`` prints a JSON object of the median seconds a step, by
count (``null``: automatic).
"""

import json
import os
import statistics
import sys


def measure(key, seconds, rounds):
    """Medians by number of threads, with the lower quartile: what the machine does when left alone."""
    from fastnn._bench import machine, timing
    from fastnn._bench.trainer import Trainer
    from fastnn._bench.workloads import WORKLOADS

    workload = WORKLOADS[key]
    x, y = workload.data(workload.quick_rows or workload.rows)
    counts = [*range(1, machine.cores() + 1), None]
    settings = timing.Settings(quick=True, rounds=rounds, seconds=seconds, limit_seconds=0)
    trainers = [Trainer(workload, x, y, count) for count in counts]
    found = timing.interleaved([trainer.fit for trainer in trainers], settings)
    steps = workload.steps(len(x))
    return [[count, statistics.median(s) / steps] for count, s in zip(counts, found, strict=True)]


if __name__ == "__main__":
    os.sched_setaffinity(0, [int(cpu) for cpu in sys.argv[4].split(",")])
    print(json.dumps(measure(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))))
