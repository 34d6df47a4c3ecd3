"""What all losses as objects share: options, and how rows become one number."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastnn.config import standard_dtype
from fastnn.names import automatic
from fastnn.registry import Configured

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss(Configured):
    """Base class of the losses, and of losses of your own.

    Parameters
    ----------
    name : str, optional
        By default the class's name in snake case.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None}
        How the rows' losses become one number, when called and in training. The first two: their weighted
        sum divided by the number of rows; "sum": not divided; "mean_with_sample_weight": divided by the sum
        of the weights. "none" or None: not at all, which training refuses.
    dtype : str, optional
        Of the result; by default the dtype of the predictions.

    Notes
    -----
    A loss of your own is a subclass with two methods on NumPy arrays::

        class Cubed(fastnn.losses.Loss):
            def loss(self, y_true, y_pred):      # one number a row
                return (np.abs(y_pred - y_true) ** 3).mean(axis=-1)

            def gradient(self, y_true, y_pred):  # of each row's loss, shaped as y_pred
                e = y_pred - y_true
                return 3 * e * np.abs(e) / e.shape[-1]

    ``y_pred`` is (rows, units); ``y_true`` too, or (rows, 2) where the class says ``targets = 2``, or (rows,)
    class numbers where it says ``targets = "class"``. Rows must not depend on one another. The first `fit`
    compares ``gradient`` with central differences of ``loss``, and warns where they differ.
    """

    function: ClassVar[Callable[..., np.ndarray]]
    # of a loss of one's own, what y_true holds: "units" (as y_pred), "class" (numbers), or so many columns
    targets: ClassVar[str | int] = "units"

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ):
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction={reduction!r}: must be one of {', '.join(map(repr, REDUCTIONS))}.")
        self.name = name or automatic(type(self).__name__)
        self.reduction = reduction
        self.dtype = None if dtype is None else standard_dtype(dtype)

    def options(self) -> dict[str, Any]:
        """Return what `call` passes on to the function."""
        return {}

    def call(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Return the loss of each row."""
        own = getattr(self, "loss", None)
        if own is not None:
            return np.asarray(own(np.asarray(y_true), np.asarray(y_pred)))
        function = getattr(type(self), "function", None)
        if function is None:
            raise NotImplementedError(f"{type(self).__name__} has no method loss(y_true, y_pred).")
        return function(y_true, y_pred, **self.options())

    def counted(self, y_true: Any, y_pred: Any) -> np.ndarray | None:
        """Return which rows count, None where all do."""
        return None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the reduced loss of predictions, as a float (an array where ``reduction`` is none).

        Parameters
        ----------
        y_true, y_pred : array-like
        sample_weight : array-like, (N,) or (N, 1), or float, optional
            Factors of the rows' losses.
        """
        rows = np.asarray(self.call(y_true, y_pred))
        if self.dtype is not None:
            rows = rows.astype(self.dtype)
        weight = self._weight(rows, sample_weight, self.counted(y_true, y_pred))
        if weight is not None:
            rows = rows * weight
        if self.reduction in ("none", None):
            return rows
        if rows.ndim == 0:  # a loss of all rows together
            return float(rows)
        total, divisor = float(rows.sum(dtype=np.float64)), 1.0
        if self.reduction == "mean_with_sample_weight" and weight is not None:
            divisor = float(np.broadcast_to(weight, rows.shape).sum(dtype=np.float64))
        elif self.reduction != "sum":
            divisor = rows.size
        return total / divisor if divisor else 0.0

    def _weight(self, rows: np.ndarray, given: Any, counted: np.ndarray | None) -> np.ndarray | None:
        """Return the factors of the rows; where some do not count, the others stand for all in a mean."""
        weight = None
        if given is not None:
            weight = np.asarray(given, rows.dtype)
            weight = weight[..., 0] if weight.ndim == rows.ndim + 1 and weight.shape[-1] == 1 else weight
            if weight.shape not in (rows.shape, ()) and rows.ndim:
                raise ValueError(
                    f"sample_weight has shape {weight.shape}, but there is one loss for each of {rows.shape}."
                )
        if counted is None:
            return weight
        mask = counted.astype(rows.dtype)
        if self.reduction in ("sum_over_batch_size", "mean"):
            mask *= mask.size / max(mask.sum(), 1)
        return mask if weight is None else weight * mask

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction, **self.options()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"
