"""Many models at once: `fit_many` beside training them one after the other, and two cores beside one.

All settings of a row take turns. Losses of a short training are held against each model's own `fit` first.
"""

import os
import statistics
import time
from dataclasses import replace

import numpy as np
import pytest

import fastnn
from fastnn._bench.trainer import build_many
from fastnn._bench.workloads import MANY_MODELS, Workload

CPUS = sorted(os.sched_getaffinity(0))
SMALL = Workload("", 10, ((16, "tanh"), (1, "linear")), "mean_squared_error", rows=200, batch=32, models=1000)
CASES = {
    "64 × 8-32-1": MANY_MODELS["W9"],
    "1000 × 10-16-1": SMALL,
    "1000 × 2-8-1, full batch": replace(SMALL, inputs=2, layers=((8, "tanh"), (1, "linear")), batch=200),
    "8 × 64-256-256-10": Workload(
        "",
        64,
        ((256, "relu"), (256, "relu"), (10, "softmax")),
        "sparse_categorical_crossentropy",
        rows=2560,
        batch=256,
        models=8,
    ),
}


def one_by_one(models, x, y, **arguments):
    return [model.fit(x, y, **arguments) for model in models]


def seconds_of(act):
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


# Epochs of a call: as many as such models are trained for, since a call costs some 0.2 ms a model by itself.
EPOCHS = dict(zip(CASES, (100, 500, 1000, 3), strict=True))


@pytest.mark.skipif(len(CPUS) < 2, reason="only one core to use")
@pytest.mark.parametrize("name", CASES)
def test_many(settings, report, name):
    workload = CASES[name]
    x, y = workload.data()
    arguments = {"batch_size": workload.batch, "verbose": 0}
    models, others = build_many(workload), build_many(workload)
    for model, other in zip(models, others, strict=True):
        other.seed = model.seed
    first = fastnn.fit_many(models, x, y, epochs=1, **arguments)
    for history, reference in zip(first, one_by_one(others, x, y, epochs=1, **arguments), strict=True):
        assert history.history == reference.history

    def timed(train, threads, models=models):
        fastnn.set_num_threads(threads)
        try:
            return train(models, x, y, epochs=epochs, **arguments)
        finally:
            fastnn.set_num_threads(None)

    epochs = EPOCHS[name]
    ways = {
        "1 thread": lambda: timed(fastnn.fit_many, 1),
        "all threads": lambda: timed(fastnn.fit_many, len(CPUS)),
        "one after the other": lambda: timed(one_by_one, None),
    }
    found = {way: [] for way in ways}
    for turn in range(1 + (3 if settings.quick else 9)):
        for way, act in ways.items():
            seconds = seconds_of(act)
            if turn:
                found[way].append(seconds)
    losses = timed(fastnn.fit_many, 2)
    assert all(np.isfinite(history.history["loss"]).all() for history in losses)
    median = {way: statistics.median(times) for way, times in found.items()}
    steps = epochs * workload.steps(len(x))
    report(
        "many models at once",
        {
            "": name,
            "epochs": epochs,
            "µs, a step of all": median["all threads"] / steps * 1e6,
            "± %": 50
            * float(np.subtract(*np.percentile(found["all threads"], [75, 25])))
            / median["all threads"],
            "× one core": median["1 thread"] / median["all threads"],
            "× one after the other": median["one after the other"] / median["all threads"],
        },
    )
