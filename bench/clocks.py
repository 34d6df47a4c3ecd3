"""Clocks for pytest-benchmark, so that its own columns read what is meant."""

import time


class StepClock:
    """Seconds divided by ``steps``: a round of a thousand steps is reported as the time of one."""

    __name__ = "seconds a step"

    def __init__(self):
        self.steps = 1

    def __call__(self):
        return time.perf_counter() / self.steps


class LatencyClock:
    """Runs only between ``start()`` and ``stop()``: from a signal to the return, whatever a round did."""

    __name__ = "seconds from signal to return"

    def __init__(self):
        self.total = 0.0
        self.started = None

    def __call__(self):
        return self.total

    def start(self):
        self.started = time.perf_counter()

    def stop(self):
        latency = time.perf_counter() - self.started
        self.total += latency
        self.started = None
        return latency
