"""What a prediction costs, from Python, NumPy arrays in and out: a predictor, `predict`, and NumPy itself.

One row through a small network (nearly all of it is the call), 10,000 rows (arithmetic), and one row
through a network of 2.7 MB (reading the weights).
"""

import statistics
import time
from dataclasses import dataclass

import numpy as np
import pytest

import fastnn
from fastnn._bench import machine
from fastnn.kernels.threads import set_num_threads


@dataclass(frozen=True)
class Case:
    sizes: tuple[int, ...]
    rows: int

    @property
    def flops(self):
        return 2 * self.rows * sum(a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))


CASES = {
    "I1": Case((32, 64, 64, 1), 1),
    "I2": Case((32, 64, 64, 1), 10_000),
    "I3": Case((784, 512, 512, 10), 1),
}


def made(case):
    """The model, its rows, and a NumPy function of both."""
    fastnn.utils.set_random_seed(0)
    model = fastnn.Sequential([fastnn.Input(shape=(case.sizes[0],))])
    for i, units in enumerate(case.sizes[1:]):
        model.add(fastnn.layers.Dense(units, activation="linear" if i == len(case.sizes) - 2 else "relu"))
    weights = model.get_weights()

    def numpy_predict(x):
        for i in range(0, len(weights), 2):
            x = x @ weights[i] + weights[i + 1]
            if i < len(weights) - 2:
                np.maximum(x, 0, out=x)
        return x

    x = np.random.default_rng(0).standard_normal((case.rows, case.sizes[0]), dtype=np.float32)
    return model, x, numpy_predict


def ways(model, case, x, numpy_predict):
    """Name, function and number of threads (0: as many as fastnn chooses) of each way to predict."""
    out = np.empty((case.rows, case.sizes[-1]), np.float32)
    own, short = model.predictor(case.rows), model.predictor(case.rows, "bfloat16")
    return {
        "predictor": (lambda: own(x), 0),
        "predictor, out=": (lambda: own(x, out), 0),
        "predictor, out=, one thread": (lambda: own(x, out), 1),
        "predictor, bfloat16, out=": (lambda: short(x, out), 0),
        "predict": (lambda: model.predict(x), 0),
        "NumPy": (lambda: numpy_predict(x), 0),
    }


def round_of(call, seconds):
    """Seconds a call in one round of about so many seconds, after some calls that are not counted."""
    for _ in range(3):
        call()
    start = time.perf_counter()
    call()
    count = max(1, int(seconds / (time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


@pytest.mark.parametrize("name", CASES)
def test_predictions(name, report, settings):
    case = CASES[name]
    model, x, numpy_predict = made(case)
    expected = numpy_predict(x.astype(np.float64))
    found = ways(model, case, x, numpy_predict)
    times = {way: [] for way in found}
    for way, (call, _) in found.items():
        tolerance = 3e-2 if "bfloat16" in way else 1e-4
        np.testing.assert_allclose(call(), expected, rtol=tolerance, atol=tolerance)
    try:
        for _ in range(settings.rounds):  # in turns, so that all see the same machine
            for way, (call, threads) in found.items():
                set_num_threads(threads or None)
                times[way].append(round_of(call, settings.seconds / 10))
    finally:
        set_num_threads(None)
    medians = {way: statistics.median(seconds) for way, seconds in times.items()}
    sizes = "-".join(map(str, case.sizes))
    for way, (_, threads) in found.items():
        report(
            f"{name}: {case.rows:,} row{'s' * (case.rows > 1)} through {sizes}",
            {
                "way": way,
                "µs": medians[way] * 1e6,
                "best µs": min(times[way]) * 1e6,
                "× NumPy": medians["NumPy"] / medians[way],
                "GFLOP/s": case.flops / medians[way] / 1e9,
                "% of peak": 100 * case.flops / medians[way] / machine.peak(threads or machine.cores()),
            },
        )


@pytest.mark.parametrize("gap", [0, 1e-3, 20e-3], ids=["at once", "1 ms apart", "20 ms apart"])
@pytest.mark.parametrize("precision", [None, "bfloat16"])
def test_calls_apart(gap, precision, report, settings):
    """I3 as a service sees it: caches have cooled, threads have gone to sleep."""
    model, x, _ = made(CASES["I3"])
    predictor = model.predictor(precision=precision)
    out = np.empty((1, 10), np.float32)
    row = {"gap": f"{gap * 1e3:g} ms", "precision": predictor.precision}
    try:
        for threads in (1, 2, None):
            set_num_threads(threads)
            times = []
            for _ in range(20 * settings.rounds if gap < 0.01 else 4 * settings.rounds):
                start = time.perf_counter()
                predictor(x, out)
                times.append(time.perf_counter() - start)
                if gap:
                    time.sleep(gap)
            key = "automatic" if threads is None else f"{threads} thread{'s' * (threads > 1)}"
            row[f"{key}, µs"] = statistics.median(times) * 1e6
            row[f"{key}, 95 %"] = statistics.quantiles(times, n=20)[-1] * 1e6
    finally:
        set_num_threads(None)
    report("I3, calls apart", row)
