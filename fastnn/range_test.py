"""The range test: which learning rate to begin with."""

import math
from typing import Any

import numpy as np

from fastnn.cloning import copy_of
from fastnn.kernels.training import Training
from fastnn.training_loop import Data, whole

SMOOTHING = 0.9  # what a step's smoothed loss keeps of the last one's
WARM_UP = 10  # steps of which no slope is taken
DIVERGED = 4.0  # times the best smoothed loss: no higher rate is tried


class RangeTest:
    """What ``model.find_learning_rate`` found.

    A copy of the model takes one step at each of ``rates``, which rise exponentially from the lowest to the
    highest (Smith, "Cyclical learning rates for training neural networks", 2017). Of the losses before each
    step an exponential mean is taken, ``m = 0.9 * m + 0.1 * loss``, divided by ``1 - 0.9**n`` as it starts
    from 0. The test ends early where that exceeds four times its least value. ``suggestion`` is the rate at
    which it falls fastest against the logarithm of the rate, before its minimum.

    Attributes
    ----------
    rates, losses, smoothed : ndarray, (steps,)
    suggestion : float or None
        None where the loss falls nowhere.
    """

    def __init__(self, rates: np.ndarray, losses: np.ndarray):
        self.rates = rates
        self.losses = losses
        weights = SMOOTHING ** np.arange(len(losses))
        # sum over the steps before of 0.9**age * loss, over the same sum of weights
        self.smoothed = np.array(
            [weights[n::-1] @ losses[: n + 1] / weights[: n + 1].sum() for n in range(len(losses))]
        )
        self.suggestion = self._steepest()

    def _steepest(self) -> float | None:
        # slopes of lines through windows of steps; at first, the mean is of too few losses to say anything
        best, half = int(np.argmin(self.smoothed)), max(1, len(self.rates) // 20)
        first = min(WARM_UP, best // 2)
        centred = np.arange(-half, half + 1)
        if best - first < 2 * half:
            return None
        slopes = np.correlate(self.smoothed[first : best + 1], centred, "valid")
        steepest = int(np.argmin(slopes))
        return float(self.rates[first + half + steepest]) if slopes[steepest] < 0 else None

    def plot(self) -> Any:
        """Draw the losses over the rates.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        from fastnn.plotting import plot_range_test

        return plot_range_test(self)

    def __repr__(self) -> str:
        found = "nothing" if self.suggestion is None else f"{self.suggestion:.2g}"
        return (
            f"<RangeTest of {len(self.rates)} rates from {self.rates[0]:.2g} to {self.rates[-1]:.2g}, "
            f"suggestion: {found}>"
        )


def find_learning_rate(
    model: Any, part: Data, lowest: float, highest: float, steps: int, batch_size: int
) -> RangeTest:
    """Run the test on a copy of ``model``; see ``Sequential.find_learning_rate``."""
    steps = whole(steps, "steps", 10, 0)
    rows = len(part.x)
    size = min(whole(batch_size, "batch_size", 1, 0), rows)
    for name, value in (("lowest", lowest), ("highest", highest)):
        if isinstance(value, str | bool) or not hasattr(value, "__float__"):
            raise TypeError(f"{name} must be a number, got {value!r}.")
    if not (0 < lowest < highest and math.isfinite(highest)):
        raise ValueError(
            f"lowest and highest must be positive and in this order, got {lowest!r} and {highest!r}."
        )
    rates = np.geomspace(lowest, highest, steps)
    twin = copy_of(model, rates[0])
    twin._native("find_learning_rate", part.y)  # a loss that is chosen by the targets
    engine = twin._ready(part.x.shape[1], True)
    engine.begin()
    order = np.random.Generator(np.random.PCG64(model.seed)).permutation(rows)
    losses: list[float] = []
    least, mean, training = math.inf, 0.0, None
    try:
        for step, rate in enumerate(rates):
            twin.optimizer.learning_rate = rate
            chosen = np.take(order, range(step * size, (step + 1) * size), mode="wrap")
            batch: Any = [a if a is None else np.ascontiguousarray(a[chosen]) for a in part]
            if training is None:
                training = Training(
                    engine.net,
                    batch[0],
                    batch[1],
                    batch_size=size,
                    shuffle=False,
                    seed=model.seed,
                    epochs=steps,
                    sample_weight=batch[2],
                    stream=True,
                )
            else:
                training.feed(*batch)
            try:
                training.run(1, math.inf)
                training.end_epoch()
            except FloatingPointError:
                break
            losses.append(float(training.logs[-1, 0]))
            mean = SMOOTHING * mean + (1 - SMOOTHING) * losses[-1]
            smoothed = mean / (1 - SMOOTHING ** (step + 1))
            least = min(least, smoothed)
            if least > 0 and smoothed > DIVERGED * least:
                break
    finally:
        if training is not None:
            training.close()
    if not losses:
        raise ValueError(
            f"The loss is not finite at the first step, with the rate {lowest:g}; look at the data's scale."
        )
    return RangeTest(rates[: len(losses)], np.array(losses))
