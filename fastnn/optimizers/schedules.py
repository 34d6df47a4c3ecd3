"""Learning rates that change with the number of steps (``keras.optimizers.schedules``).

Give one to an optimizer as its ``learning_rate``. Those below are evaluated in double precision inside the
native epochs, once a step; called with a number of steps, or an array of them, they do the same in NumPy.
"""

import math
from typing import Any, ClassVar

import numpy as np

from fastnn.kernels.rates import Rates
from fastnn.registry import Configured, Registry, serialize as _serialize

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule(Configured):
    """Base class of schedules, and of your own.

    A schedule of your own overrides ``__call__(self, step)``, where ``step`` is the number of steps done (a
    Python int), to return the rate of the next one, and `get_config` to be serialisable. It is called from
    Python for about a thousand steps ahead, in order and so before those are taken; it must depend on nothing
    but ``step``.
    """

    native: ClassVar[str] = ""  # the compiled formula
    numbers: ClassVar[tuple[str, ...]] = ()  # attributes, in the order of its parameters

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, step).")

    def get_config(self) -> dict[str, Any]:
        if not self.numbers:
            raise NotImplementedError(f"{type(self).__name__} must define get_config() to be serialised.")
        return {**{key: getattr(self, key) for key in self.numbers}, "name": getattr(self, "name", None)}

    def native_rates(self) -> Rates:
        """Return what a network reads: the compiled formula, or a table filled by calls of this object."""
        owner = next(c for c in type(self).__mro__ if "__call__" in vars(c))
        if not vars(owner).get("native"):
            return Rates("table", function=self)
        return self._compiled()

    def _compiled(self) -> Rates:
        return Rates(self.native, [float(getattr(self, key)) for key in self.numbers])

    def _check(self, **limits: tuple[float, bool]) -> None:
        """Raise unless attributes are finite numbers of at least (or, where True, above) a limit."""
        for name, (least, above) in limits.items():
            value = getattr(self, name)
            what = f"{type(self).__name__}: {name}"
            if isinstance(value, str | bool) or not hasattr(value, "__float__"):
                raise TypeError(f"{what} must be a number, got {value!r} of type {type(value).__name__}.")
            if not math.isfinite(value) or value < least or (above and value == least):
                raise ValueError(
                    f"{what} must be {'above' if above else 'at least'} {least:g}, got {value!r}."
                )

    def __repr__(self) -> str:
        inner = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items() if key != "name")
        return f"{type(self).__name__}({inner})"


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Above 0.
    decay_rate : float
        At least 0.
    staircase : bool
        Whether ``step / decay_steps`` is rounded down, so that the rate falls in steps.
    name : str
    """

    native = "exponential"
    numbers = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase")

    def __init__(
        self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="ExponentialDecay"
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        self._check(initial_learning_rate=(0, False), decay_steps=(0, True), decay_rate=(0, False))

    def __call__(self, step):
        return self.initial_learning_rate * np.power(float(self.decay_rate), _periods(self, step))


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Above 0.
    decay_rate : float
        At least 0.
    staircase : bool
        Whether ``step / decay_steps`` is rounded down, so that the rate falls in steps.
    name : str
    """

    native = "inverse_time"
    numbers = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase")

    def __init__(
        self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="InverseTimeDecay"
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        self._check(initial_learning_rate=(0, False), decay_steps=(0, True), decay_rate=(0, False))

    def __call__(self, step):
        return self.initial_learning_rate / (1.0 + self.decay_rate * _periods(self, step))


class PolynomialDecay(LearningRateSchedule):
    """From one rate to another: ``(initial - end) * (1 - step / decay_steps) ** power + end``, then ``end``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Above 0.
    end_learning_rate : float
    power : float
        1 is a straight line.
    cycle : bool
        Whether ``decay_steps`` is replaced by its smallest multiple that is not below ``step``, so that the
        rate rises again each time it has reached the end.
    name : str
    """

    native = "polynomial"
    numbers = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle")

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        end_learning_rate=0.0001,
        power=1.0,
        cycle=False,
        name="PolynomialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name
        self._check(initial_learning_rate=(0, False), decay_steps=(0, True), end_learning_rate=(0, False))
        self._check(power=(0, False))

    def __call__(self, step):
        step, steps = np.asarray(step, dtype=np.float64), np.float64(self.decay_steps)
        if self.cycle:
            steps = steps * np.where(step == 0, 1.0, np.ceil(step / steps))
        left = 1.0 - np.minimum(step, steps) / steps
        span = self.initial_learning_rate - self.end_learning_rate
        return span * np.power(left, self.power) + self.end_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` up to and including step ``boundaries[i]``, and the last value from there on.

    Parameters
    ----------
    boundaries : list of numbers
        Each larger than the one before.
    values : list of float
        One more than boundaries.
    name : str
    """

    native = "piecewise"

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        self.boundaries = boundaries
        self.values = values
        self.name = name
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "PiecewiseConstantDecay: values must be one more than boundaries, got "
                f"{len(values)} values and {len(boundaries)} boundaries."
            )
        edges, rates = (np.asarray(a, dtype=np.float64) for a in (boundaries, values))
        if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise ValueError(f"PiecewiseConstantDecay: boundaries must increase, got {boundaries!r}.")
        if not np.isfinite(rates).all() or (rates < 0).any():
            raise ValueError(f"PiecewiseConstantDecay: values must be at least 0, got {values!r}.")

    def __call__(self, step):
        rates = np.asarray(self.values, dtype=np.float64)
        return rates[np.searchsorted(np.asarray(self.boundaries, dtype=np.float64), step, side="left")]

    def get_config(self):
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}

    def _compiled(self):
        return Rates(self.native, (), self.boundaries, self.values)


class CosineDecay(LearningRateSchedule):
    """Half a period of a cosine, from a rate down to ``alpha`` of it, after a straight rise if asked for.

    Without ``warmup_target``: ``initial * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)``,
    and ``initial * alpha`` after ``decay_steps``. With it, the rate first rises from ``initial`` to
    ``warmup_target`` over ``warmup_steps`` steps, and then falls from there in the same way (Loshchilov and
    Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2016).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Above 0; the rise comes on top.
    alpha : float
        At least 0.
    name : str
    warmup_target : float, optional
    warmup_steps : int
    """

    native = "cosine"

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        alpha=0.0,
        name="CosineDecay",
        warmup_target=None,
        warmup_steps=0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps
        self._check(initial_learning_rate=(0, False), decay_steps=(0, True), alpha=(0, False))
        self._check(warmup_steps=(0, False))
        if warmup_target is not None:
            self._check(warmup_target=(0, False))

    def __call__(self, step):
        step = np.asarray(step, dtype=np.float64)
        if self.warmup_target is None:
            return self._fall(self.initial_learning_rate, step)
        rise = (self.warmup_target - self.initial_learning_rate) * step / max(self.warmup_steps, 1)
        fall = self._fall(self.warmup_target, np.maximum(step - self.warmup_steps, 0.0))
        return np.where(step < self.warmup_steps, self.initial_learning_rate + rise, fall)[()]

    def _fall(self, top, step):
        done = np.minimum(step, self.decay_steps) / self.decay_steps
        return top * ((1 - self.alpha) * (0.5 * (1.0 + np.cos(np.pi * done))) + self.alpha)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }

    def _compiled(self):
        rises = self.warmup_target is not None
        numbers = [self.initial_learning_rate, self.decay_steps, self.alpha, rises, self.warmup_target or 0.0]
        return Rates(self.native, [*map(float, numbers), float(self.warmup_steps)])


class CosineDecayRestarts(LearningRateSchedule):
    """Cosines one after another, each ``t_mul`` times as long and ``m_mul`` times as high as the one before.

    In period i, which begins at step b and has ``n = first_decay_steps * t_mul**i`` steps,
    ``initial * ((1 - alpha) * m_mul**i * (1 + cos(pi * (step - b) / n)) / 2 + alpha)`` (Loshchilov and
    Hutter, 2016). With ``t_mul`` below 1 all periods end at step ``first_decay_steps / (1 - t_mul)``, and
    ``initial * alpha`` stays.

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Above 0.
    t_mul, m_mul : float
        Above 0, and at least 0.
    alpha : float
        At least 0.
    name : str
    """

    native = "cosine_restarts"
    numbers = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha")

    def __init__(
        self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name="SGDRDecay"
    ):
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name
        self._check(initial_learning_rate=(0, False), first_decay_steps=(0, True), alpha=(0, False))
        self._check(t_mul=(0, True), m_mul=(0, False))

    def __call__(self, step):
        steps = np.asarray(step, dtype=np.float64)
        rates = [self._one(s / self.first_decay_steps) for s in steps.ravel().tolist()]
        return np.reshape(rates, steps.shape)[()]

    def _one(self, fraction):
        begin, length, height = 0.0, 1.0, 1.0
        if self.t_mul == 1:
            begin = math.floor(fraction)
            height = float(self.m_mul) ** begin
        while fraction >= begin + length:
            if begin + length == begin:
                return self.initial_learning_rate * self.alpha
            begin, length, height = begin + length, length * self.t_mul, height * self.m_mul
        wave = 0.5 * height * (1.0 + math.cos(math.pi * (fraction - begin) / length))
        return self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)


class OneCycle(LearningRateSchedule):
    """Up to a high rate and down to nearly nothing, once, along two halves of a cosine; not in Keras.

    With ``up = warmup_fraction * total_steps``, ``begin = max_learning_rate / initial_divisor`` and
    ``end = begin / final_divisor``: ``begin + (max - begin) * (1 - cos(pi * step / up)) / 2`` before step
    ``up``, then ``end + (max - end) * (1 + cos(pi * (step - up) / (total_steps - up))) / 2``, and ``end``
    from ``total_steps`` on. From Smith and Topin, "Super-convergence: very fast training of neural networks
    using large learning rates" (2017), with cosines in the place of lines, and momentum left alone.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        Above 0: steps of an epoch times epochs.
    warmup_fraction : float
        Of the steps, those on the way up; in [0, 1].
    initial_divisor, final_divisor : float
        Above 0.
    name : str
    """

    native = "one_cycle"
    numbers = ("max_learning_rate", "total_steps", "warmup_fraction", "initial_divisor", "final_divisor")

    def __init__(
        self,
        max_learning_rate,
        total_steps,
        warmup_fraction=0.3,
        initial_divisor=25.0,
        final_divisor=1e4,
        name="OneCycle",
    ):
        self.max_learning_rate = max_learning_rate
        self.total_steps = total_steps
        self.warmup_fraction = warmup_fraction
        self.initial_divisor = initial_divisor
        self.final_divisor = final_divisor
        self.name = name
        self._check(max_learning_rate=(0, False), total_steps=(0, True), warmup_fraction=(0, False))
        self._check(initial_divisor=(0, True), final_divisor=(0, True))
        if warmup_fraction > 1:
            raise ValueError(f"OneCycle: warmup_fraction must be at most 1, got {warmup_fraction!r}.")

    def __call__(self, step):
        step, top = np.asarray(step, dtype=np.float64), self.max_learning_rate
        begin = top / self.initial_divisor
        end = begin / self.final_divisor
        up = self.warmup_fraction * self.total_steps
        risen = np.minimum(step / (up or 1.0), 1.0)
        fallen = np.clip((step - up) / ((self.total_steps - up) or 1.0), 0.0, 1.0)
        rise = begin + (top - begin) * (0.5 * (1.0 - np.cos(np.pi * risen)))
        fall = end + (top - end) * (0.5 * (1.0 + np.cos(np.pi * fallen)))
        return np.where(step < up, rise, np.where(step >= self.total_steps, end, fall))[()]


def _periods(schedule: Any, step: Any) -> Any:
    """Return the number of periods of ``decay_steps`` done, whole ones if ``staircase``."""
    done = np.asarray(step, dtype=np.float64) / schedule.decay_steps
    return np.floor(done) if schedule.staircase else done


_CLASSES = (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
SCHEDULES = Registry(
    "learning-rate schedule", "keras.optimizers.schedules", {c.__name__: c for c in _CLASSES}
)


def serialize(learning_rate_schedule: Any) -> Any:
    """Return Keras's serialised form of a schedule."""
    return _serialize(learning_rate_schedule, SCHEDULES)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the schedule of a serialised form."""
    return SCHEDULES.make(config, "learning_rate", custom_objects)
