"""The losses as formulas: one value a row, and its gradient with respect to the predictions.

Adding one is a function and an entry of ``TABLE`` here, a line in ``csrc/losses.def``, and (for an object
with options) a class in ``classes.py``. The functions are part of the interface
(``keras.losses.mean_squared_error(y_true, y_pred)``) and what the tests hold the compiled losses against.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.activations import sigmoid, softmax
from fastnn.config import epsilon


class Declaration(NamedTuple):
    """What a loss is: see ``TABLE``."""

    function: Callable[..., np.ndarray]
    gradient: Callable[..., np.ndarray]
    targets: str  # "units": as many a row as the output has units; "class": one class number a row
    logits: bool  # whether it can take pre-activations, from_logits=True


def align(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float arrays of one shape; (N,) goes with (N, 1), nothing is ever broadcast."""
    p = np.asarray(y_pred)
    p = p if p.dtype.kind == "f" else p.astype(np.float64)
    y = np.asarray(y_true, p.dtype)
    if y.ndim == p.ndim - 1 and p.shape[-1] == 1:
        y = y[..., None]
    elif y.ndim == p.ndim + 1 and y.shape[-1] == 1:
        y = y[..., 0] if p.ndim > 1 else y
        p = p[..., None] if y.ndim == p.ndim + 1 else p
    if y.shape != p.shape:
        raise ValueError(
            f"y_true has shape {np.shape(y_true)} and y_pred {np.shape(y_pred)}; they must agree."
        )
    return y, p


def align_classes(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return class numbers of shape ``y_pred.shape[:-1]``, checked, and the predictions."""
    p = np.asarray(y_pred)
    p = p if p.dtype.kind == "f" else p.astype(np.float64)
    y = np.asarray(y_true)
    if y.ndim == p.ndim and y.shape[-1] == 1:
        y = y[..., 0]
    if y.shape != p.shape[:-1]:
        raise ValueError(
            f"y_true has shape {np.shape(y_true)}, but class numbers for y_pred {p.shape} are {p.shape[:-1]}."
        )
    classes = y.astype(np.int64)
    if (classes != y).any() or (classes < 0).any() or (classes >= p.shape[-1]).any():
        raise ValueError(f"y_true must hold whole numbers from 0 to {p.shape[-1] - 1}.")
    return classes, p


def _last_axis(axis: int) -> None:
    if axis != -1:
        raise NotImplementedError(f"axis={axis!r}: only the last axis, -1, is supported.")


def _clip(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities that have a finite logarithm, and where the gradient passes."""
    eps = epsilon()
    return np.clip(p, eps, 1 - eps), (p > eps) & (p < 1 - eps)


def mean_squared_error(y_true, y_pred):
    """``mean((y_true - y_pred)**2, axis=-1)``."""
    y, p = align(y_true, y_pred)
    return np.square(p - y).mean(axis=-1)


def _mean_squared_error_gradient(y_true, y_pred, from_logits=False):
    y, p = align(y_true, y_pred)
    return 2 * (p - y) / p.shape[-1]


def mean_absolute_error(y_true, y_pred):
    """``mean(abs(y_true - y_pred), axis=-1)``."""
    y, p = align(y_true, y_pred)
    return np.abs(p - y).mean(axis=-1)


def _mean_absolute_error_gradient(y_true, y_pred, from_logits=False):
    y, p = align(y_true, y_pred)
    return np.sign(p - y) / p.shape[-1]


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """``-mean(y log p + (1 - y) log(1 - p), axis=-1)``, each output a yes or no of its own.

    Parameters
    ----------
    y_true : array-like
        Targets in [0, 1], fractions included.
    y_pred : array-like
        Probabilities, clipped to [1e-7, 1 - 1e-7]; with ``from_logits`` the values before the sigmoid.
    from_logits : bool
    label_smoothing : float
        ``s`` in [0, 1]: targets become ``y * (1 - s) + s / 2``.
    axis : int
        -1.
    """
    _last_axis(axis)
    y, p = align(y_true, y_pred)
    y = y * (1 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        rows = np.maximum(p, 0) - p * y + np.log1p(np.exp(-np.abs(p)))
    else:
        p, _ = _clip(p)
        rows = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    return rows.mean(axis=-1)


def _binary_crossentropy_gradient(y_true, y_pred, from_logits=False):
    y, p = align(y_true, y_pred)
    if from_logits:
        return (sigmoid(p) - y) / p.shape[-1]
    p, inside = _clip(p)
    return inside * ((1 - y) / (1 - p) - y / p) / p.shape[-1]


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """``-sum(y log p, axis=-1)`` for targets that are one-hot or probabilities.

    Parameters
    ----------
    y_true, y_pred : array-like, (N, classes)
        Predictions are divided by their sum and clipped to [1e-7, 1 - 1e-7]; with ``from_logits`` they are
        the values before the softmax.
    from_logits : bool
    label_smoothing : float
        ``s`` in [0, 1]: targets become ``y * (1 - s) + s / classes``.
    axis : int
        -1.
    """
    _last_axis(axis)
    y, p = align(y_true, y_pred)
    y = y * (1 - label_smoothing) + label_smoothing / y.shape[-1]
    return -(y * _log_probabilities(p, from_logits)).sum(axis=-1)


def _log_probabilities(p: np.ndarray, from_logits: bool) -> np.ndarray:
    if from_logits:
        shifted = p - p.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.log(_clip(p / p.sum(axis=-1, keepdims=True))[0])


def _categorical_crossentropy_gradient(y_true, y_pred, from_logits=False):
    y, p = align(y_true, y_pred)
    if from_logits:
        return softmax(p) * y.sum(axis=-1, keepdims=True) - y
    total = p.sum(axis=-1, keepdims=True)
    share = p / total
    clipped, inside = _clip(share)
    slope = -y / clipped * inside
    return (slope - (slope * share).sum(axis=-1, keepdims=True)) / total


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """Categorical crossentropy for targets given as class numbers: ``-log p[y]``.

    Parameters
    ----------
    y_true : array-like of whole numbers, (N,) or (N, 1)
        From 0 to classes - 1.
    y_pred : array-like, (N, classes)
    from_logits : bool
        As in `categorical_crossentropy`.
    ignore_class : None
        Not supported yet.
    axis : int
        -1.
    """
    _last_axis(axis)
    if ignore_class is not None:
        raise NotImplementedError(f"ignore_class={ignore_class!r} is not supported yet; leave it at None.")
    y, p = align_classes(y_true, y_pred)
    return -np.take_along_axis(_log_probabilities(p, from_logits), y[..., None], axis=-1)[..., 0]


def _sparse_categorical_crossentropy_gradient(y_true, y_pred, from_logits=False):
    y, p = align_classes(y_true, y_pred)
    one_hot = np.zeros_like(p)
    np.put_along_axis(one_hot, y[..., None], 1, axis=-1)
    return _categorical_crossentropy_gradient(one_hot, p, from_logits)


_UNITS, _CLASS = "units", "class"
TABLE: dict[str, Declaration] = {
    d.function.__name__: d
    for d in (
        Declaration(mean_squared_error, _mean_squared_error_gradient, _UNITS, False),
        Declaration(mean_absolute_error, _mean_absolute_error_gradient, _UNITS, False),
        Declaration(binary_crossentropy, _binary_crossentropy_gradient, _UNITS, True),
        Declaration(categorical_crossentropy, _categorical_crossentropy_gradient, _UNITS, True),
        Declaration(sparse_categorical_crossentropy, _sparse_categorical_crossentropy_gradient, _CLASS, True),
    )
}
