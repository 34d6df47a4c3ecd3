"""The metrics that are means, as formulas. Every loss is one too.

Adding one is a function and an entry of ``TABLE`` here, one of ``rows.ROWS``, and a line in
``csrc/metrics.def``.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnn.config import epsilon
from fastnn.kernels.measures import Measure
from fastnn.losses import functions as losses
from fastnn.losses.functions import align
from fastnn.losses.loss import Loss
from fastnn.losses.resolving import resolve


class Declaration(NamedTuple):
    """What a metric is: see ``TABLE``."""

    function: Callable[..., np.ndarray]
    better: str  # "up" or "down"
    options: tuple[
        str, ...
    ] = ()  # those of its arguments that are the row values' parameters, in their order


def accuracy(y_true, y_pred):
    """1 where a prediction equals its target, else 0; elementwise."""
    y, p = align(y_true, y_pred)
    return (y == p).astype(p.dtype)


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where ``y_true == (y_pred > threshold)``, else 0; elementwise."""
    y, p = align(y_true, y_pred)
    return (y == (p > p.dtype.type(threshold))).astype(p.dtype)


def categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is the largest target, else 0."""
    y, p = align(y_true, y_pred)
    return (y.argmax(axis=-1) == p.argmax(axis=-1)).astype(p.dtype)


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is that of class number ``y_true``, else 0."""
    y, p = _classes(y_true, y_pred)
    return (y == p.argmax(axis=-1)).astype(p.dtype)


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the largest target is among the ``k`` largest predictions, else 0; ties count as among them."""
    y, p = align(y_true, y_pred)
    return _in_top_k(y.argmax(axis=-1), p, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where class number ``y_true`` is among the ``k`` largest predictions, else 0.

    Parameters
    ----------
    y_true : array-like of whole numbers, (N,) or (N, 1)
    y_pred : array-like, (N, classes)
    k : int
    from_sorted_ids : bool
        The predictions are class numbers, the likeliest first.
    """
    y, p = _classes(y_true, y_pred)
    if from_sorted_ids:
        return (y[..., None] == p[..., :k]).any(axis=-1).astype(p.dtype)
    return _in_top_k(y, p, k)


def _classes(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    p = np.asarray(y_pred)
    p = p if p.dtype.kind == "f" else p.astype(np.float64)
    y = np.asarray(y_true)
    y = y[..., 0] if y.ndim == p.ndim and y.shape[-1] == 1 else y
    if y.shape != p.shape[:-1]:
        raise ValueError(
            f"y_true has shape {np.shape(y_true)}, but class numbers for y_pred {p.shape} are {p.shape[:-1]}."
        )
    return y, p


def _in_top_k(classes: np.ndarray, p: np.ndarray, k: int) -> np.ndarray:
    own = np.take_along_axis(p, classes[..., None].astype(np.int64), axis=-1)
    return ((p > own).sum(axis=-1) < k).astype(p.dtype)


def _last_axis(axis: int) -> None:
    if axis != -1:
        raise NotImplementedError(f"axis={axis!r}: only the last axis, -1, is supported.")


def cosine_similarity(y_true, y_pred, axis=-1):
    """``sum(y_true * y_pred, axis=-1)`` of rows divided by their lengths: 1 is the same direction."""
    _last_axis(axis)
    y, p = align(y_true, y_pred)
    return (_unit(y) * _unit(p)).sum(axis=-1)


def _unit(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        inverse = 1 / np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
    return x * np.minimum(inverse, 1 / epsilon())


def pearson_correlation(y_true, y_pred, axis=-1):
    """Correlation of each row's predictions with its targets, from -1 to 1; NaN where either is constant."""
    _last_axis(axis)
    y, p = align(y_true, y_pred)
    y = y - y.mean(axis=-1, keepdims=True)
    p = p - p.mean(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (y * p).mean(axis=-1) / (y.std(axis=-1) * p.std(axis=-1))


def concordance_correlation(y_true, y_pred, axis=-1):
    """Agreement of each row's predictions with its targets, as Keras computes it.

    ``mean(2 (y - mean(p)) (p - mean(p)) / (var(y) + var(p) + (mean(y) - mean(p))**2 + epsilon))``; Lin ("A
    concordance correlation coefficient to evaluate reproducibility", 1989) subtracts mean(y) from y.
    """
    _last_axis(axis)
    y, p = align(y_true, y_pred)
    mean_y, mean_p = y.mean(axis=-1), p.mean(axis=-1)
    both = ((y - mean_p[..., None]) * (p - mean_p[..., None])).mean(axis=-1)
    return 2 * both / (y.var(axis=-1) + p.var(axis=-1) + np.square(mean_y - mean_p) + epsilon())


TABLE: dict[str, Declaration] = {
    d.function.__name__: d
    for d in (
        Declaration(accuracy, "up"),
        Declaration(binary_accuracy, "up", ("threshold",)),
        Declaration(categorical_accuracy, "up"),
        Declaration(sparse_categorical_accuracy, "up"),
        Declaration(top_k_categorical_accuracy, "up", ("k",)),
        Declaration(sparse_top_k_categorical_accuracy, "up", ("k", "from_sorted_ids")),
        Declaration(cosine_similarity, "up"),
        Declaration(pearson_correlation, "up"),
        Declaration(concordance_correlation, "up"),
        *(
            Declaration(loss.function, "down")
            for loss in losses.TABLE.values()
            if loss.function.__name__ != "cosine_similarity"
        ),
    )
}


def measure(function: Any, options: Mapping[str, Any], units: int) -> Measure | None:
    """Return what a native epoch does for the mean of a function; None where it cannot."""
    name = getattr(function, "__name__", "")
    if isinstance(function, Loss) or (name in losses.TABLE and losses.TABLE[name].function is function):
        return _of_loss(
            function if isinstance(function, Loss) else functools.partial(function, **options), units
        )
    if name not in TABLE or TABLE[name].function is not function:
        return None
    order = TABLE[name].options
    if any(key not in order and not (key == "axis" and value == -1) for key, value in options.items()):
        return None
    rows = "cosine" if name == "cosine_similarity" else name
    given = [options[key] for key in order if key in options]
    return Measure(rows, tuple(float(v) for v in given)) if len(given) == len(order) else Measure(rows)


def _of_loss(loss: Any, units: int) -> Measure | None:
    finish = "mean"
    if isinstance(loss, Loss):  # called with a batch, for one number or for the rows'
        if loss.reduction in ("none", None):
            loss = copy.copy(loss)
            loss.reduction = "mean"
        else:
            finish = "batches"
    try:
        found = resolve(loss)
    except NotImplementedError:
        return None
    if found is None or found.own is not None or found.together or found.ignored is not None:
        return None
    if found.reduction not in ("sum_over_batch_size", "mean"):
        return None
    given = found.specification(units)
    name, parameters = (given, None) if isinstance(given, str) else given
    return Measure(name, parameters, finish=finish, from_logits=found.from_logits)
