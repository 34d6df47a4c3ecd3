"""Constraints, ``keras.constraints``: what is done to weights after each step of training.

Those of this module run inside the compiled step. For one of your own see `Constraint`.
"""

import math
from typing import Any

import numpy as np

from fastnn.names import snake_case
from fastnn.registry import Configured, Registry, serialize as _serialize

__all__ = [
    "ClipValue",
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "serialize",
]

EPSILON = 1e-7  # beside norms that are divided by


class Constraint(Configured):
    """Base class, and the way to a constraint of your own.

    A subclass defines ``__call__(w)``: it takes an array of weights and returns, in NumPy, those that take
    their place; a plain function will do as well. In training it is called after each step, which costs a
    call into Python: tens of microseconds, and the step's threads wait.
    """

    def __call__(self, w: Any) -> Any:
        """Return the weights as they may be."""
        return w

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class ClipValue(Constraint):
    """Each weight is kept between two numbers: ``clip(w, min_value, max_value)``. Not one of Keras's.

    Parameters
    ----------
    min_value, max_value : float
        May be infinite.
    """

    def __init__(self, min_value, max_value):
        self.min_value = _number(min_value, "ClipValue: min_value")
        self.max_value = _number(max_value, "ClipValue: max_value")
        _require_order(self.min_value, self.max_value, "ClipValue")

    def __call__(self, w):
        return np.clip(w, self.min_value, self.max_value)

    def get_config(self):
        return {"min_value": self.min_value, "max_value": self.max_value}


class NonNeg(Constraint):
    """No weight is negative: ``max(w, 0)``."""

    def __call__(self, w):
        return np.maximum(w, 0)


class MinMaxNorm(Constraint):
    """Norms of weights are moved between two numbers.

    ``w * (rate * clip(norm, min_value, max_value) + (1 - rate) * norm) / (1e-7 + norm)``.

    Parameters
    ----------
    min_value, max_value : float
    rate : float
        In [0, 1]: the share of the way that norms are moved in one step.
    axis : int, tuple of int, or None
        Along which norms are taken: 0 for each unit's weights of a kernel (inputs, units), 1 for each
        input's, None or (0, 1) for all together. Of a bias, 0.
    """

    def __init__(self, min_value=0.0, max_value=1.0, rate=1.0, axis=0):
        self.min_value = _number(min_value, "MinMaxNorm: min_value")
        self.max_value = _number(max_value, "MinMaxNorm: max_value")
        _require_order(self.min_value, self.max_value, "MinMaxNorm")
        self.rate = _number(rate, "MinMaxNorm: rate")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"MinMaxNorm: rate must be in [0, 1], got {rate!r}.")
        self.axis = axis

    def numbers(self) -> tuple[float, float, float]:
        """Return the least norm, the largest, and the rate."""
        return self.min_value, self.max_value, self.rate

    def __call__(self, w):
        w = np.asarray(w)
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        norms = np.sqrt(np.square(w).sum(axis=axis, keepdims=True))
        low, high, rate = self.numbers()
        wanted = rate * np.clip(norms, low, high) + (1 - rate) * norms
        return (w * (wanted / (EPSILON + norms))).astype(w.dtype)

    def get_config(self):
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


class MaxNorm(MinMaxNorm):
    """Norms of weights are at most ``max_value``: ``w * clip(norm, 0, max_value) / (1e-7 + norm)``.

    Parameters
    ----------
    max_value : float
    axis : int, tuple of int, or None
        See `MinMaxNorm`.

    References
    ----------
    Srivastava et al., "Dropout" (2014), section 5.1.
    """

    def __init__(self, max_value=2, axis=0):
        _number(max_value, "MaxNorm: max_value")
        _require_order(0, max_value, "MaxNorm")
        self.max_value, self.axis = max_value, axis

    def numbers(self):
        return 0.0, float(self.max_value), 1.0

    def get_config(self):
        return {"max_value": self.max_value, "axis": self.axis}


class UnitNorm(MinMaxNorm):
    """Norms of weights are 1: ``w / (1e-7 + norm)``.

    Parameters
    ----------
    axis : int, tuple of int, or None
        See `MinMaxNorm`.
    """

    def __init__(self, axis=0):
        self.axis = axis

    def numbers(self):
        return 1.0, 1.0, 1.0

    def get_config(self):
        return {"axis": self.axis}


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise TypeError(f"{what} must be a number, got {value!r} of type {type(value).__name__}.")
    if math.isnan(value):
        raise ValueError(f"{what} must be a number, got {value!r}.")
    return float(value)


def _require_order(low: float, high: float, kind: str) -> None:
    if low > high:
        raise ValueError(f"{kind}: the least value, {low!r}, must be at most the largest, {high!r}.")


_CLASSES = (ClipValue, Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm)
CONSTRAINTS = Registry(
    "constraint",
    "keras.constraints",
    {**{snake_case(c.__name__): c for c in _CLASSES}, **{c.__name__: c for c in _CLASSES}},
    bases="constraint Constraint",
)
# Keras has each class under a function's name too.
max_norm, min_max_norm, non_neg, unit_norm, clip_value = MaxNorm, MinMaxNorm, NonNeg, UnitNorm, ClipValue


def get(identifier: Any, argument: str = "constraint") -> Any:
    """Return the constraint that a name, class, config or callable stands for; None for None.

    Raises
    ------
    TypeError, ValueError
        For what is no constraint.
    """
    if identifier is None:
        return None
    found = CONSTRAINTS.make(identifier, argument) if isinstance(identifier, str | dict) else identifier
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise TypeError(f"{argument} must be a name or a constraint, got {identifier!r}.")
    return found


def require_axis(constraint: Any, dimensions: int, path: str) -> None:
    """Raise where norms of an array of so many dimensions cannot be taken along the constraint's axis."""
    if not isinstance(constraint, MinMaxNorm):
        return
    axis = constraint.axis
    given = [] if axis is None else list(axis) if isinstance(axis, list | tuple) else [axis]
    if any(isinstance(a, bool) or not hasattr(a, "__index__") for a in given):
        raise TypeError(f"{path}: the axis of {constraint!r} must be a whole number, a tuple or None.")
    if not all(-dimensions <= a < dimensions for a in given):
        raise ValueError(
            f"{path} has {dimensions} dimension{'s' if dimensions > 1 else ''}, but {constraint!r} takes "
            f"norms along axis {axis}."
        )


def asked(constraint: Any) -> dict[str, Any]:
    """Return what a constraint asks of the training of an array, as the compiled network takes it."""
    if constraint is None or type(constraint) is Constraint:
        return {}
    kind = type(constraint)
    if isinstance(constraint, MinMaxNorm) and kind.__call__ is MinMaxNorm.__call__:
        axis = tuple(constraint.axis) if isinstance(constraint.axis, list) else constraint.axis
        return {"norms": (*constraint.numbers(), axis)}
    if isinstance(constraint, ClipValue) and kind.__call__ is ClipValue.__call__:
        return {"limits": (constraint.min_value, constraint.max_value)}
    if isinstance(constraint, NonNeg) and kind.__call__ is NonNeg.__call__:
        return {"limits": (0.0, math.inf)}
    return {"own_constraint": constraint}


def serialize(constraint: Any) -> Any:
    """Return Keras's serialised form of a constraint."""
    return _serialize(constraint, CONSTRAINTS)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the constraint of a serialised form."""
    return config if config is None else CONSTRAINTS.make(config, "constraint", custom_objects)
