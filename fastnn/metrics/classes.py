"""Metrics as objects: a function, its options, and a running mean over rows."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastnn.config import standard_dtype
from fastnn.losses import functions as losses
from fastnn.metrics import functions
from fastnn.names import automatic
from fastnn.registry import Configured


class Metric(Configured):
    """Base class of the metrics.

    Parameters
    ----------
    dtype : str, optional
    name : str, optional
        The key in histories.
    """

    def __init__(self, dtype: Any = None, name: str | None = None):
        self.name = name or automatic(type(self).__name__)
        self.dtype = standard_dtype(dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch."""
        raise NotImplementedError

    def result(self) -> float:
        """Return the value over all batches since the last `reset_state`."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Forget all batches."""
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Take in a batch and return the value so far."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class MeanMetric(Metric):
    """Mean over rows of a function of targets and predictions: what all metrics here are."""

    function: ClassVar[Callable[..., np.ndarray]]

    def __init__(self, name: str | None = None, dtype: Any = None):
        super().__init__(dtype, name)
        self.reset_state()

    def options(self) -> dict[str, Any]:
        return {}

    def update_state(self, y_true, y_pred, sample_weight=None):
        rows = type(self).function(y_true, y_pred, **self.options())
        if sample_weight is None:
            self.total += float(rows.sum(dtype=np.float64))
            self.count += rows.size
            return
        weight = np.asarray(sample_weight, np.float64)
        weight = weight[..., 0] if weight.ndim == rows.ndim + 1 and weight.shape[-1] == 1 else weight
        weight = np.broadcast_to(weight, rows.shape)
        self.total += float((rows * weight).sum())
        self.count += float(weight.sum())

    def result(self):
        return self.total / self.count if self.count else 0.0

    def reset_state(self):
        self.total = 0.0
        self.count = 0.0

    def get_config(self):
        return {**super().get_config(), **self.options()}


def _of(name: str, function: Callable[..., np.ndarray]) -> type[MeanMetric]:
    """Make the class of a metric without options."""
    key = function.__name__

    def __init__(self, name=key, dtype=None):
        MeanMetric.__init__(self, name, dtype)

    body = {
        "__init__": __init__,
        "__doc__": f"See `{key}`.",
        "function": staticmethod(function),
        "__module__": __name__,
    }
    return type(name, (MeanMetric,), body)


MeanSquaredError = _of("MeanSquaredError", losses.mean_squared_error)
MeanAbsoluteError = _of("MeanAbsoluteError", losses.mean_absolute_error)
CategoricalAccuracy = _of("CategoricalAccuracy", functions.categorical_accuracy)
SparseCategoricalAccuracy = _of("SparseCategoricalAccuracy", functions.sparse_categorical_accuracy)


class BinaryAccuracy(MeanMetric):
    """See `binary_accuracy`."""

    function = staticmethod(functions.binary_accuracy)

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold!r}.")
        super().__init__(name, dtype)
        self.threshold = threshold

    def options(self):
        return {"threshold": self.threshold}


class BinaryCrossentropy(MeanMetric):
    """See `keras.losses.binary_crossentropy`."""

    function = staticmethod(losses.binary_crossentropy)

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0):
        super().__init__(name, dtype)
        self.from_logits = bool(from_logits)
        self.label_smoothing = label_smoothing

    def options(self):
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class CategoricalCrossentropy(MeanMetric):
    """See `keras.losses.categorical_crossentropy`."""

    function = staticmethod(losses.categorical_crossentropy)

    def __init__(
        self, name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0, axis=-1
    ):
        super().__init__(name, dtype)
        self.from_logits = bool(from_logits)
        self.label_smoothing = label_smoothing
        self.axis = axis

    def options(self):
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing, "axis": self.axis}


class SparseCategoricalCrossentropy(MeanMetric):
    """See `keras.losses.sparse_categorical_crossentropy`."""

    function = staticmethod(losses.sparse_categorical_crossentropy)

    def __init__(
        self,
        name="sparse_categorical_crossentropy",
        dtype=None,
        from_logits=False,
        ignore_class=None,
        axis=-1,
    ):
        super().__init__(name, dtype)
        self.from_logits = bool(from_logits)
        self.ignore_class = ignore_class
        self.axis = axis

    def options(self):
        return {"from_logits": self.from_logits, "ignore_class": self.ignore_class, "axis": self.axis}
