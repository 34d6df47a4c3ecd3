"""Sums and means of values: what most metrics are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.kernels.measures import Measure
from fastnn.losses import functions as losses
from fastnn.losses.classes import Loss
from fastnn.metrics import functions
from fastnn.metrics.metric import Metric
from fastnn.registry import deserialize_keras_object, serialize_keras_object


def samplewise(values: Any, sample_weight: Any, reduce: Callable[..., Any]) -> tuple[np.ndarray, Any]:
    """Return one value of each row, times its weight, and the weights of the rows (None without)."""
    values = np.asarray(values, np.float64)
    weight = None
    if sample_weight is not None:
        weight = np.asarray(sample_weight, np.float64)
        if weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
            weight = weight[..., 0]
        elif values.ndim == weight.ndim + 1 and values.shape[-1] == 1:
            values = values[..., 0]
        if values.ndim > weight.ndim:
            values = reduce(values, axis=tuple(range(weight.ndim, values.ndim)))
        try:
            weight = np.broadcast_to(weight, values.shape)
        except ValueError:
            raise ValueError(
                f"sample_weight has shape {np.shape(sample_weight)}, but the values have {values.shape}."
            ) from None
        values = values * weight
        if weight.ndim > 1:
            weight = reduce(weight, axis=tuple(range(1, weight.ndim)))
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, weight


class Sum(Metric):
    """Sum of values: ``update_state(values, sample_weight=None)``."""

    def __init__(self, name="sum", dtype=None):
        super().__init__(dtype, name)
        self.total = self.add_variable((), dtype="float64", name="total")

    def update_state(self, values, sample_weight=None):
        self.total.assign_add(samplewise(values, sample_weight, np.sum)[0].sum())

    def result(self):
        return float(self.total)


class Mean(Metric):
    """Mean of values, weighted where weights are given: ``update_state(values, sample_weight=None)``."""

    def __init__(self, name="mean", dtype=None):
        super().__init__(dtype, name)
        self.total = self.add_variable((), dtype="float64", name="total")
        self.count = self.add_variable((), dtype="float64", name="count")

    def update_state(self, values, sample_weight=None):
        rows, weight = samplewise(values, sample_weight, np.mean)
        self.total.assign_add(rows.sum())
        self.count.assign_add(rows.size if weight is None else weight.sum())

    def result(self):
        return float(self.total) / float(self.count) if float(self.count) else 0.0


class MeanMetricWrapper(Mean):
    """Mean of a function of targets and predictions.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred, **kwargs)``, one value a row or an element, in NumPy.
    name, dtype : str, optional
    **kwargs
        Passed on to it.
    """

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name, dtype)
        self._fn = fn
        self._fn_kwargs = kwargs
        declared = functions.TABLE.get(getattr(fn, "__name__", ""))
        if isinstance(fn, Loss):
            self._direction = "down"
        elif declared is not None and declared.function is fn:
            self._direction = declared.better

    def update_state(self, y_true, y_pred, sample_weight=None):  # type: ignore[override]
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def measure(self, units: int) -> Measure | None:
        return functions.measure(self._fn, self._fn_kwargs, units)

    def get_config(self):
        own = type(self) is MeanMetricWrapper
        fn = {"fn": serialize_keras_object(self._fn)} if own else {}
        return {**super().get_config(), **fn, **self._fn_kwargs}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config.get("fn"), dict):
            config["fn"] = deserialize_keras_object(config["fn"])
        return cls(**config)


def mean_of(
    name: str, function: Callable[..., np.ndarray], key: str | None = None
) -> type[MeanMetricWrapper]:
    """Make the class of the mean of a function without options."""
    key = key or function.__name__

    def __init__(self, name=key, dtype=None):
        MeanMetricWrapper.__init__(self, function, name, dtype)

    body = {
        "__init__": __init__,
        "__doc__": f"Mean over the rows of `{function.__name__}`, which see.",
        "__module__": "fastnn.metrics",
    }
    return type(name, (MeanMetricWrapper,), body)


class RootMeanSquaredError(Mean):
    """``sqrt(mean((y_true - y_pred)**2))``, the mean over all rows and units."""

    _direction = "down"

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):  # type: ignore[override]
        y, p = losses.align(y_true, y_pred)
        super().update_state(np.square(p - y), sample_weight)

    def result(self):
        return float(np.sqrt(super().result()))

    def measure(self, units):
        return Measure("mean_squared_error", finish="root_mean")
