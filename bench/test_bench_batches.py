"""Every batch from 1 to 33: no step should cost a jump more, or more than a larger one."""

from dataclasses import replace

import pytest

from fastnn._bench import timing
from fastnn._bench.trainer import Trainer
from fastnn._bench.workloads import WORKLOADS

BATCHES = range(1, 34)
STEPS = 64  # of an epoch, all of full batches


def trainer(key, batch):
    workload = replace(WORKLOADS[key], batch=batch, rows=STEPS * batch)
    return Trainer(workload, *workload.data(), threads=1)


@pytest.mark.parametrize("key", ["W2", "O1"])
def test_batches(settings, report, key):
    trainers = [trainer(key, batch) for batch in BATCHES]
    brief = timing.Settings(
        quick=True, rounds=settings.rounds, seconds=settings.seconds / 10, limit_seconds=0
    )
    with timing.kept_threads():
        found = timing.interleaved([one.fit for one in trainers], brief)
    # The fastest round: whatever else ran, it ran while others were measured too.
    step = {batch: min(seconds) / STEPS * 1e6 for batch, seconds in zip(BATCHES, found, strict=True)}
    network = WORKLOADS[key].network
    for batch in BATCHES:
        before, after = step.get(batch - 1), step.get(batch + 1)
        report(
            f"every batch, {network}, one thread",
            {
                "batch": batch,
                "µs a step": step[batch],
                "ns a row": step[batch] / batch * 1e3,
                "/ the batch before": step[batch] / before if before else float("nan"),
                "/ the batch after": step[batch] / after if after else float("nan"),
            },
        )
    rise = max(BATCHES[1:], key=lambda b: step[b] / step[b - 1])
    fall = max(BATCHES[:-1], key=lambda b: step[b] / step[b + 1])
    report(
        "every batch from 1 to 33: the worst neighbours",
        {
            "network": network,
            "largest rise": step[rise] / step[rise - 1],
            "to batch": rise,
            "largest fall": step[fall] / step[fall + 1],
            "from batch": fall,
        },
    )
    assert min(step.values()) > 0
