"""Losses as objects: a function, its options, and how rows become one number."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastnn.config import standard_dtype
from fastnn.losses import functions
from fastnn.registry import Configured

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss(Configured):
    """Base class of the losses.

    Parameters
    ----------
    name : str, optional
    reduction : {"sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None}
        How the rows' losses become one number. Training uses the first: their weighted sum divided by the
        number of rows.
    dtype : str, optional
        Of the result; by default the dtype of the predictions.
    """

    function: ClassVar[Callable[..., np.ndarray]]

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ):
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction={reduction!r}: must be one of {', '.join(map(repr, REDUCTIONS))}.")
        self.name = name or type(self).__name__.lower()
        self.reduction = reduction
        self.dtype = None if dtype is None else standard_dtype(dtype)

    def options(self) -> dict[str, Any]:
        """Return what `call` passes on to the function."""
        return {}

    def call(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Return the loss of each row."""
        return type(self).function(y_true, y_pred, **self.options())

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the reduced loss of predictions, as a float (an array where ``reduction`` is none)."""
        rows = self.call(y_true, y_pred)
        if self.dtype is not None:
            rows = rows.astype(self.dtype)
        weight = None
        if sample_weight is not None:
            weight = np.asarray(sample_weight, rows.dtype)
            weight = weight[..., 0] if weight.ndim == rows.ndim + 1 and weight.shape[-1] == 1 else weight
            if weight.shape not in (rows.shape, ()):
                raise ValueError(
                    f"sample_weight has shape {weight.shape}, but there is one loss for each of {rows.shape}."
                )
            rows = rows * weight
        if self.reduction in ("none", None):
            return rows
        total = float(rows.sum(dtype=np.float64))
        if self.reduction == "sum":
            return total
        if self.reduction == "mean_with_sample_weight" and weight is not None:
            return total / float(np.broadcast_to(weight, rows.shape).sum(dtype=np.float64))
        return total / rows.size

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction, **self.options()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class MeanSquaredError(Loss):
    """Mean of squared differences; see `mean_squared_error`."""

    function = staticmethod(functions.mean_squared_error)

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(name, reduction, dtype)


class MeanAbsoluteError(Loss):
    """Mean of absolute differences; see `mean_absolute_error`."""

    function = staticmethod(functions.mean_absolute_error)

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(name, reduction, dtype)


class _Crossentropy(Loss):
    def __init__(self, from_logits, label_smoothing, axis, reduction, name, dtype):
        super().__init__(name, reduction, dtype)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing!r}.")
        self.from_logits = bool(from_logits)
        self.label_smoothing = label_smoothing
        self.axis = axis

    def options(self):
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing, "axis": self.axis}


class BinaryCrossentropy(_Crossentropy):
    """Crossentropy of independent yes-or-no outputs; see `binary_crossentropy`."""

    function = staticmethod(functions.binary_crossentropy)

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)


class CategoricalCrossentropy(_Crossentropy):
    """Crossentropy of one class out of several, targets one-hot; see `categorical_crossentropy`."""

    function = staticmethod(functions.categorical_crossentropy)

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)


class SparseCategoricalCrossentropy(Loss):
    """Crossentropy of one class out of several, given by number; see `sparse_categorical_crossentropy`."""

    function = staticmethod(functions.sparse_categorical_crossentropy)

    def __init__(
        self,
        from_logits=False,
        ignore_class=None,
        reduction="sum_over_batch_size",
        axis=-1,
        name="sparse_categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(name, reduction, dtype)
        self.from_logits = bool(from_logits)
        self.ignore_class = ignore_class
        self.axis = axis

    def options(self):
        return {"from_logits": self.from_logits, "ignore_class": self.ignore_class, "axis": self.axis}

    def get_config(self):
        config = super().get_config()
        del config["axis"]  # Keras leaves it out
        return config
