"""The metrics as formulas, one value a row. Every loss is a metric too.

Adding one is a function and an entry of ``TABLE`` here, a line in ``csrc/metrics.def``, and a class in
``classes.py``.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastnn.losses import functions as losses
from fastnn.losses.functions import align


class Declaration(NamedTuple):
    """What a metric is: see ``TABLE``."""

    function: Callable[..., np.ndarray]
    targets: str  # "units" or "class", as for losses
    better: str  # "up" or "down"


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """Share of a row's outputs on the right side: ``mean(y_true == (y_pred > threshold), axis=-1)``."""
    y, p = align(y_true, y_pred)
    return (y == (p > threshold)).mean(axis=-1)


def categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is the largest target, else 0."""
    y, p = align(y_true, y_pred)
    return (y.argmax(axis=-1) == p.argmax(axis=-1)).astype(p.dtype)


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is that of class number ``y_true``, else 0."""
    p = np.asarray(y_pred)
    y = np.asarray(y_true)
    y = y[..., 0] if y.ndim == p.ndim and y.shape[-1] == 1 else y
    if y.shape != p.shape[:-1]:
        raise ValueError(
            f"y_true has shape {np.shape(y_true)}, but class numbers for y_pred {p.shape} are {p.shape[:-1]}."
        )
    return (y == p.argmax(axis=-1)).astype(p.dtype if p.dtype.kind == "f" else np.float64)


TABLE: dict[str, Declaration] = {
    d.function.__name__: d
    for d in (
        Declaration(binary_accuracy, "units", "up"),
        Declaration(categorical_accuracy, "units", "up"),
        Declaration(sparse_categorical_accuracy, "class", "up"),
        *(Declaration(loss.function, loss.targets, "down") for loss in losses.TABLE.values()),
    )
}
