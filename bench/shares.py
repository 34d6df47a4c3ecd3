"""Where the time of a workload's steps goes: ``python -m bench.shares [W2 W5 ...] [--threads 2]``.

Samples a training with Linux's ``perf`` (which must be installed and allowed), and adds the samples up by
what the routine that was found running does.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastnn._bench.workloads import WORKLOADS

SECONDS = 3.0
# The first that matches a routine's name, or its library's, says where it belongs.
KINDS = {
    "products": r"tile_|dot_rows|dot_units|input_forward|input_gradient|few_backward|row_\d|words_|amx_",
    "activations": r"(tanh|sigmoid|relu|softmax)_(forward|backward)",
    "loss and metrics": r"_rows$|_metric$|sum_lanes",
    "optimizer": r"_step$(?<!tiny_step)|accumulate",
    "rows": r"gather|permutation|philox|bf16_gather",
    "copies": r"transpose|pairs|to_bf16|convert|memcpy|memmove|memset",
    "barriers": r"omp_fn|libgomp|sched_yield",
    "loops": r"fastnn/kernels|tiny_step|__pyx",
}


def train(key, threads, seconds):
    """What is sampled: epochs of a workload for some seconds. Prints the microseconds of a step."""
    from fastnn._bench.timing import count_for
    from fastnn._bench.trainer import Trainer

    workload = WORKLOADS[key]
    x, y = workload.data(workload.quick_rows)
    trainer = Trainer(workload, x, y, threads)
    epochs, fits = count_for(trainer.fit, seconds / 5), 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        trainer.fit(epochs)
        fits += 1
    print(1e6 * (time.perf_counter() - began) / (fits * epochs * workload.steps(len(x))))


def shares(key, threads, seconds=SECONDS):
    """Microseconds of a step, and the share of each kind in the samples, 0 to 1."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "perf.data")
        work = [sys.executable, "-m", "bench.shares", "--work", key, str(threads), str(seconds)]
        ran = subprocess.run(
            ["perf", "record", "-q", "-F", "2000", "-o", data, *work],
            capture_output=True,
            text=True,
            check=True,
        )
        report = ["perf", "report", "-i", data, "--stdio", "--sort", "dso,sym", "-F", "overhead,dso,sym"]
        text = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    found = dict.fromkeys(KINDS, 0.0)
    for line in text.splitlines():
        match = re.match(r"\s*([\d.]+)%\s+(\S+)\s+\[\S\]\s+(.*\S)", line)
        if not match or match[2].startswith(("python", "libpython")) or "blas" in match[2]:
            continue  # making the data, and what the interpreter does
        name = f"{match[2]} {match[3]}"
        if "cpython" in match[2] and "omp_fn" not in name and "runtime" not in match[2]:
            name = f"fastnn/kernels {match[3]}"
        kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), None)
        if kind:
            found[kind] += float(match[1])
    total = sum(found.values())
    return float(ran.stdout.split()[-1]), {kind: share / total for kind, share in found.items()}


def main(argv=None):
    """Print a table."""
    made = argparse.ArgumentParser(prog="python -m bench.shares", description=__doc__.splitlines()[0])
    made.add_argument("keys", nargs="*", metavar="W2", help="workloads (all)")
    made.add_argument("--threads", type=int, default=1)
    args = made.parse_args(argv)
    if wrong := [key for key in args.keys if key not in WORKLOADS]:
        made.error(f"no workload {wrong[0]!r}; there are {', '.join(WORKLOADS)}")
    if shutil.which("perf") is None:
        made.error("perf is not installed (Debian: linux-perf)")
    print("| | network, batch | µs a step | " + " | ".join(KINDS) + " |")
    print("|---" * (len(KINDS) + 3) + "|")
    for key in args.keys or [key for key in WORKLOADS if key != "W9"]:
        micros, found = shares(key, args.threads)
        cells = [f"{100 * share:.0f} %" if share >= 0.005 else "" for share in found.values()]
        workload = WORKLOADS[key]
        print(f"| {key} | {workload.network}, {workload.batch} | {micros:,.3g} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        train(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        main()
