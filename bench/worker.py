"""A process that trains a workload when told: for benchmarks of what surrounds a training.

``python -m bench.worker KEY THREADS`` (0: automatic) reads a line of Python first and executes it, imports
fastnn, executes a second line, and then, for each further line, trains so many epochs and prints the seconds.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """Such a process, from outside.

    Parameters
    ----------
    key : str
        Of a workload.
    threads : int
        0 for the automatic choice.
    before, after : str
        Python, run before and after fastnn is imported.
    """

    def __init__(self, key, threads, before="", after=""):
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.child = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", key, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )
        for code in (before, after):
            self.tell(repr(code))
        self.answer()  # it is ready

    def tell(self, line):
        """Send a line."""
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()

    def answer(self):
        """Return what it printed next, a number."""
        return float(self.child.stdout.readline())

    def train(self, epochs):
        """Return the seconds that so many epochs took."""
        self.tell(epochs)
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.wait(60)
        self.child.stdout.close()


def epochs_for(worker, seconds):
    """Return how many epochs it trains in about so many seconds."""
    epochs = 1
    while True:
        took = worker.train(epochs)
        if took > seconds / 4:
            return max(1, round(epochs * seconds / took))
        epochs *= 4


def main():
    """Serve until there are no more lines."""
    key, threads = sys.argv[1], int(sys.argv[2])
    before, after = (sys.stdin.readline() for _ in range(2))
    exec(eval(before), {})
    from fastnn._bench.trainer import Trainer
    from fastnn._bench.workloads import WORKLOADS

    workload = WORKLOADS[key]
    trainer = Trainer(workload, *workload.data(workload.quick_rows or workload.rows), threads or None)
    trainer.fit(1)
    exec(eval(after), {})
    print(0, flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        trainer.fit(int(line))
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
