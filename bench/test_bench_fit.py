"""Whole epochs of ``fit``, a step's share of them, beside the same network in a NumPy loop.

NumPy runs between the rounds, so that both see the same machine.
"""

import math
import statistics
import time

import pytest

from bench.clocks import StepClock
from bench.peers.fastnn_peer import FastnnPeer
from bench.peers.numpy_peer import NumpyPeer
from bench.verify import verify
from fastnn._bench import machine
from fastnn._bench.workloads import WORKLOADS

NUMPY_SECONDS = 0.05  # of NumPy between two rounds
REST_SECONDS = 0.1  # after many-threaded NumPy: its idle threads spin for a while
MOST_EPOCHS = 200_000  # of one call; their losses are a list in Python

clock = StepClock()


def rounds_of(peer, seconds):
    """How many epochs take about so many seconds."""
    epochs = 1
    while True:
        start = time.perf_counter()
        peer.fit(epochs)
        took = time.perf_counter() - start
        if took > seconds / 5 or epochs >= MOST_EPOCHS:
            return min(MOST_EPOCHS, max(1, math.ceil(epochs * seconds / took)))
        epochs *= 4


class Interleaved:
    """The NumPy loop, timed once before each round, on rows enough for ``NUMPY_SECONDS``."""

    def __init__(self, workload, x, y, threads):
        self.threads = threads
        probe = NumpyPeer(workload, x[: workload.batch], y[: workload.batch], threads)
        start = time.perf_counter()
        probe.fit(3)
        steps = max(1, int(NUMPY_SECONDS / ((time.perf_counter() - start) / 3)))
        rows = min(len(x), steps * workload.batch)
        self.peer = NumpyPeer(workload, x[:rows], y[:rows], threads)
        self.epochs = max(1, steps // workload.steps(rows))
        self.steps = self.epochs * workload.steps(rows)
        self.seconds = []

    def __call__(self):
        start = time.perf_counter()
        self.peer.fit(self.epochs)
        self.seconds.append((time.perf_counter() - start) / self.steps)
        if self.threads != 1:
            time.sleep(REST_SECONDS)


@pytest.mark.benchmark(group="fit: a step", timer=clock, disable_gc=True)
@pytest.mark.parametrize("threads", [1, None], ids=["one-thread", "automatic"])
@pytest.mark.parametrize("key", WORKLOADS)
def test_fit(benchmark, settings, report, key, threads):
    team = 1 if threads == 1 else machine.cores()
    if threads is None and team == 1:
        pytest.skip("only one core to use")
    workload = WORKLOADS[key]
    error = verify(FastnnPeer, key, threads)

    rows = settings.rows(workload)
    x, y = workload.data(rows)
    peer, numpy = FastnnPeer(workload, x, y, threads), Interleaved(workload, x, y, threads)
    epochs = rounds_of(peer, settings.seconds)
    clock.steps = epochs * workload.steps(rows)
    iterations = int(peer.model.optimizer.iterations)
    losses = benchmark.pedantic(
        peer.fit, args=(epochs,), setup=numpy, rounds=settings.rounds, warmup_rounds=1
    )

    assert len(losses) == epochs
    assert all(map(math.isfinite, losses))
    if benchmark.stats is None:  # --benchmark-disable
        return
    done = int(peer.model.optimizer.iterations) - iterations
    assert done == clock.steps * (settings.rounds + 1)

    step, best = statistics.median(benchmark.stats.stats.data), min(benchmark.stats.stats.data)
    numpy_step = statistics.median(numpy.seconds[1:])
    peak = machine.peak(team)
    flops = workload.flops * rows / workload.batch / workload.steps(rows) / step  # the last batch is not full
    benchmark.extra_info.update(
        workload=key,
        network=workload.network,
        batch=workload.batch,
        rows=rows,
        threads="1" if threads == 1 else f"auto of {team}",
        numpy_us_a_step=numpy_step * 1e6,
        times_faster_than_numpy=numpy_step / step,
        flops_a_step=workload.flops,
        bytes_a_step=workload.bytes,
        gflops=flops / 1e9,
        fraction_of_peak=flops / peak,
        best_fraction_of_peak=flops / peak * step / best,
        relative_loss_error=error,
    )
    report(
        "fit: whole epochs with shuffling, float32",
        {
            "": key,
            "network": workload.network,
            "batch": workload.batch,
            "threads": benchmark.extra_info["threads"],
            "µs a step": step * 1e6,
            "± (IQR/2)": benchmark.stats.stats.iqr / 2 * 1e6,
            "best µs": best * 1e6,
            "NumPy µs": numpy_step * 1e6,
            "× NumPy": numpy_step / step,
            "kFLOP a step": workload.flops / 1e3,
            "KB a step": workload.bytes / 1e3,
            "GFLOP/s": flops / 1e9,
            "% of peak": 100 * flops / peak,
            "best %": 100 * flops / peak * step / best,
            "loss error": error,
        },
    )


@pytest.mark.benchmark(group="fit: a call")
def test_fit_call(benchmark):
    """What a call costs beside its steps: one epoch of the smallest workload is one step."""
    workload = WORKLOADS["W1"]
    peer = FastnnPeer(workload, *workload.data())
    benchmark(peer.fit, 1)
