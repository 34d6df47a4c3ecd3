"""How long Ctrl-C takes: from SIGINT at a random moment of a fit to its return. 0.1 s is promised."""

import math
import os
import random
import signal
import statistics
import threading
import time

import pytest

from bench.clocks import LatencyClock
from bench.peers.fastnn_peer import build
from fastnn._bench.workloads import WORKLOADS

PROMISE = 0.1
MOMENTS = (0.002, 0.15)  # seconds after the start of the fit
# Long enough for every moment to fall into the fit; steps of a tenth of a microsecond to ten milliseconds.
EPOCHS = {"W1": 5_000_000, "W2": 1_000_000, "W5": 100_000, "W7": 100_000, "W8": 100_000, "S1": 1_000_000}

clock = LatencyClock()


@pytest.mark.benchmark(group="Ctrl-C", timer=clock)
@pytest.mark.parametrize("key", EPOCHS)
def test_ctrl_c(benchmark, settings, report, key):
    workload = WORKLOADS[key]
    x, y = workload.data(settings.rows(workload))
    model = build(workload)
    moments = random.Random(0)

    def send(ready, delay):
        ready.wait()
        time.sleep(delay)
        clock.start()
        os.kill(os.getpid(), signal.SIGINT)

    def interrupted_fit():
        ready = threading.Event()
        sender = threading.Thread(target=send, args=(ready, moments.uniform(*MOMENTS)))
        sender.start()
        try:
            ready.set()
            model.fit(x, y, batch_size=workload.batch, epochs=EPOCHS[key], verbose=0)
        except KeyboardInterrupt:
            clock.stop()
        else:
            pytest.fail("the fit ended before the signal came")
        sender.join()
        assert math.isfinite(model.evaluate(x[:100], y[:100], verbose=0))

    benchmark.pedantic(interrupted_fit, rounds=settings.interrupts, warmup_rounds=1)
    if benchmark.stats is None:  # --benchmark-disable
        return
    latencies = benchmark.stats.stats.data
    figures = {
        "p50": statistics.median(latencies),
        "p99": statistics.quantiles(latencies, n=100, method="inclusive")[98],
        "max": max(latencies),
    }
    benchmark.extra_info.update(figures)
    row = {"Ctrl-C": key, "network": workload.network, "interrupts": len(latencies)}
    report("from SIGINT to the return of fit", row | {f"{k} ms": v * 1e3 for k, v in figures.items()})
    assert figures["max"] < PROMISE
