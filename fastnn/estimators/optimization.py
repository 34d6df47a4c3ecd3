"""From an estimator's ``solver`` and what goes with it to the native optimizer."""

from typing import Any, NamedTuple

from fastnn import optimizers
from fastnn.estimators.architecture import Weights
from fastnn.estimators.options import CLIPS
from fastnn.kernels.rates import Rates
from fastnn.optimizers import Optimizer
from fastnn.optimizers.schedules import LearningRateSchedule


class _Variable(NamedTuple):
    """What optimizers ask of a variable."""

    name: str
    path: str
    shape: tuple[int, ...]


class Optimization:
    """A native optimizer and its numbers.

    Parameters
    ----------
    native : str
        Its name among the kernels.
    hyper : dict
        Its hyper-parameters; ``learning_rate`` is the present one.
    schedule : LearningRateSchedule, optional
        Of the learning rate.
    optimizer : Optimizer, optional
        Whose choices of variables count, and whose schedule where none is given.
    """

    def __init__(self, native: str, hyper: dict[str, float], schedule: Any = None, optimizer: Any = None):
        self.native, self.hyper = native, hyper
        self.schedule, self.optimizer = schedule, optimizer

    @property
    def averages(self) -> bool:
        """Whether averages take the place of the weights in the end."""
        return self.optimizer is not None and self.optimizer.use_ema

    def rates(self) -> Rates | None:
        """Return the schedule for one network."""
        if self.schedule is not None:
            return self.schedule.native_rates()
        return None if self.optimizer is None else self.optimizer.native_rates()

    def scheduled(self, step: int) -> float | None:
        """Return the schedule's learning rate at a step, None without one."""
        rates = self.rates()
        return None if rates is None else float(rates(step))

    def choices(self, weights: Weights) -> dict[str, Any]:
        """Return which arrays decay and which are made orthogonal, as ``Network.compile`` takes them."""
        if self.optimizer is None:
            return {}
        variables = [
            _Variable(kind, kind, array.shape)
            for kind, array in zip(weights.kinds(), weights.flat(), strict=True)
        ]
        return {
            "decay": [self.optimizer.uses_weight_decay(v) for v in variables],
            "orthogonal": [self.optimizer.orthogonalises(v) for v in variables],
        }


def optimization(e: Any) -> Optimization:
    """Return what an estimator's arguments ask for."""
    schedule = e.learning_rate if isinstance(e.learning_rate, LearningRateSchedule) else None
    if isinstance(e.solver, Optimizer):
        return Optimization(e.solver.native, e.solver.native_hypers(), schedule, e.solver)
    clips = {name: float(getattr(e, name)) for name in CLIPS if getattr(e, name) is not None}
    rate = float(e.learning_rate_init)
    if e.solver == "lbfgs":
        return Optimization("sgd", {})
    if e.solver == "sgd":
        own = {"momentum": e.momentum, "nesterov": float(e.nesterovs_momentum)}
        return Optimization("sgd", {"learning_rate": rate, **own, **clips}, schedule)
    if e.solver == "adam":
        own = {"beta_1": e.beta_1, "beta_2": e.beta_2, "epsilon": e.epsilon}
        return Optimization("adam", {"learning_rate": rate, **own, **clips}, schedule)
    kind: Any = optimizers.TABLE[e.solver]
    made = kind(learning_rate=rate, **clips)
    return Optimization(made.native, made.native_hypers(), schedule, made)
