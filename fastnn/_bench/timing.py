"""Rounds of fastnn: medians with their spread."""

import math
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass

from fastnn._bench.trainer import REDUCED, Trainer
from fastnn._bench.workloads import INFERENCES, WORKLOADS
from fastnn.kernels.threads import set_num_threads

MOST = 200_000  # epochs or calls of a round
REST = 0.01  # OpenMP's idle workers spin for a while, and would count against one thread
WIDE = 3e7  # operations of a step from which bfloat16 can be worth its conversions


@dataclass(frozen=True)
class Settings:
    """How long to measure."""

    quick: bool
    rounds: int
    seconds: float  # of a round, about
    limit_seconds: float  # of each of the machine's limits

    def rows(self, workload):
        """Rows of a workload."""
        return (self.quick and workload.quick_rows) or workload.rows


FULL = Settings(quick=False, rounds=11, seconds=0.2, limit_seconds=0.1)
QUICK = Settings(quick=True, rounds=5, seconds=0.03, limit_seconds=0.02)


@contextmanager
def kept_threads():
    """Threads are chosen automatically again afterwards."""
    try:
        yield
    finally:
        set_num_threads(None)


def count_for(work, seconds):
    """How many at once ``work(count)`` does in about so many seconds."""
    count = 1
    while True:
        took = elapsed(work, count)
        if took > seconds / 5 or count >= MOST:
            return min(MOST, max(1, math.ceil(count * seconds / took)))
        count *= 4


def elapsed(work, count):
    """Seconds of ``work(count)``."""
    start = time.perf_counter()
    work(count)
    return time.perf_counter() - start


def interleaved(works, settings):
    """Seconds a unit of each of ``works``, in turns: lists of so many rounds.

    Parameters
    ----------
    works : list of callable
        Each takes how many units to do at once.
    settings : Settings
    """
    counts = [count_for(work, settings.seconds) for work in works]
    found: list[list[float]] = [[] for _ in works]
    for _ in range(settings.rounds):
        for work, count, seconds in zip(works, counts, found, strict=True):
            if len(works) > 1:
                time.sleep(REST)
            seconds.append(elapsed(work, count) / count)
    return found


def fits(key, teams, settings, notes):
    """Rows, as dictionaries, of a training workload with every number of threads (and precision).

    What is not to be had on this machine is said in ``notes`` (a list, appended to).
    """
    workload = WORKLOADS[key]
    rows = settings.rows(workload)
    x, y = workload.data(rows)
    precisions = [None, "bfloat16"] if REDUCED and workload.flops > WIDE else [None]
    entrants, trainers = [], []
    for precision in precisions:
        try:
            made = [Trainer(workload, x, y, team, precision) for team in teams]
            made[0].fit(1)
        except (NotImplementedError, RuntimeError, ValueError) as error:
            if precision is None:
                raise
            notes.append(f"{key} in {precision}: {error}")
            continue
        entrants += [(team, precision) for team in teams]
        trainers += made
    before = [trainer.loss() for trainer in trainers]
    found = interleaved([trainer.fit for trainer in trainers], settings)
    for trainer, loss in zip(trainers, before, strict=True):
        if not trainer.loss() < loss:
            raise FloatingPointError(
                f"{key}: the loss went from {loss:.4g} to {trainer.loss():.4g} while it was timed"
            )
    steps = workload.steps(rows)
    flops = workload.flops * rows / workload.batch / steps  # the last batch is not full
    return [
        row(key, workload.network, workload.batch, entrant, flops, [s / steps for s in seconds])
        for entrant, seconds in zip(entrants, found, strict=True)
    ]


def inference(key, teams, settings):
    """Rows, as dictionaries, of calls from Python with every number of threads."""
    chosen = INFERENCES[key]
    x, y = chosen.of.data(chosen.rows)
    trainers = [Trainer(chosen.of, x, y, team) for team in teams]
    found = interleaved([Calls(trainer) for trainer in trainers], settings)
    return [
        row(key, chosen.network, chosen.rows, (team, None), chosen.flops, seconds)
        for team, seconds in zip(teams, found, strict=True)
    ]


class Calls:
    """So many calls with all of a trainer's rows."""

    def __init__(self, trainer):
        self.trainer = trainer

    def __call__(self, count):
        call, x = self.trainer.caller(), self.trainer.x
        for _ in range(count):
            call(x)


def row(key, network, batch, entrant, flops, seconds):
    """What was measured, by name; times in seconds."""
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    threads, precision = entrant
    return {
        "key": key,
        "network": network,
        "batch": batch,
        "threads": threads,
        "precision": precision,
        "seconds": median,
        "low": low,
        "high": high,
        "best": min(seconds),
        "rounds": seconds,
        "flops": flops,
    }
