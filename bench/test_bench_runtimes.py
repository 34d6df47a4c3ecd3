"""A step beside other libraries that have threads of their own in the process, against one without.

At most 1.1 times the time is promised, whichever comes first. Rounds of both take turns; each pair is
measured up to three times, and the best ratio counts.
"""

import statistics

import pytest

from bench.tries import best_ratio
from bench.worker import Worker, epochs_for
from tests.runtimes import USE, installed

PROMISE = 1.1
KEYS = ["W2", "W4", "W5", "W7"]


def measure(key, threads, before, after, settings):
    """Median seconds of an epoch: (beside the library, without)."""
    with Worker(key, threads, before, after) as beside, Worker(key, threads) as alone:
        epochs = epochs_for(alone, settings.seconds)
        rounds = [(beside.train(epochs), alone.train(epochs)) for _ in range(settings.rounds)]
    return [statistics.median(seconds) / epochs for seconds in zip(*rounds, strict=True)]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("threads", [1, 0], ids=["one thread", "automatic"])
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("name", [*USE, "all"])
def test_step_beside(settings, report, name, first, threads, key):
    missing = set(USE if name == "all" else [name]) - set(installed())
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    use = "".join(USE.values()) if name == "all" else USE[name]
    before, after = (use, "") if first else ("", use)
    ratio, tries = best_ratio(lambda: measure(key, threads, before, after, settings), PROMISE)
    report(
        "steps beside other libraries",
        {
            "": key,
            "library": name,
            "imported": "before" if first else "after",
            "threads": threads or "automatic",
            "beside / alone": ratio,
            "measured": tries,
        },
    )
    assert ratio <= PROMISE
