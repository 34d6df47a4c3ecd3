"""Networks that have learned all there is, against fresh ones: denormal numbers must cost nothing.

At most 1.1 times the time of a fresh one's step is allowed, beside noise. Rounds take turns; each pair is
measured up to three times, and the best ratio counts.
"""

import statistics

import numpy as np
import pytest

from bench.tries import best_ratio
from fastnn._bench import timing
from fastnn._bench.trainer import Trainer
from fastnn._bench.workloads import WORKLOADS

PROMISE = 1.1
SECONDS = 2.0  # for which a network is trained until it counts as converged
TINY = {"float32": 1e-40, "float64": 1e-310}  # below the normal numbers


def converged(fresh, old):
    """Train one for long on what it can learn to the last bit, its own outputs; the other learns noise."""
    noise = np.random.default_rng(0)
    for trainer in (fresh, old):
        outputs = trainer.model.predict(trainer.x)
        trainer.y = outputs if trainer is old else noise.random(outputs.shape, outputs.dtype)
        trainer.model.compile(type(trainer.model.optimizer)(1e-3), "mse")
    timing.elapsed(old.fit, timing.count_for(old.fit, SECONDS))


def decayed(fresh, old):
    """Everything that one's optimizer remembers, and a part of its weights, are denormal numbers."""
    net = old.model._engine.net
    tiny = TINY[net.dtype]
    old.model.set_weights([np.where(w > 0, w, tiny).astype(w.dtype) for w in old.model.get_weights()])
    old.fit(1)
    slots = [[np.full_like(w, tiny) for w in slot] for slot in net.optimizer_slots()]
    net.set_optimizer_state(slots, 10**6)


@pytest.mark.parametrize("key", ["W1", "W2", "W4", "W5", "W7", "S1"])
@pytest.mark.parametrize("state", [converged, decayed], ids=lambda state: state.__name__)
@pytest.mark.parametrize("threads", [1, None], ids=["one thread", "automatic"])
def test_step(settings, report, key, state, threads):
    workload = WORKLOADS[key]
    x, y = workload.data(workload.quick_rows or workload.rows)
    brief = timing.Settings(quick=True, rounds=settings.rounds, seconds=settings.seconds, limit_seconds=0)

    def measure():
        fresh, old = (Trainer(workload, x, y, threads) for _ in range(2))
        for trainer in (fresh, old):
            trainer.fit(1)
        state(fresh, old)
        found = timing.interleaved([old.fit, fresh.fit], brief)
        return [statistics.median(seconds) for seconds in found]

    with timing.kept_threads():
        ratio, tries = best_ratio(measure, PROMISE)
    report(
        "steps of networks that have converged",
        {
            "": key,
            "state": state.__name__,
            "threads": threads or "automatic",
            "old / fresh": ratio,
            "measured": tries,
        },
    )
    assert ratio <= PROMISE
