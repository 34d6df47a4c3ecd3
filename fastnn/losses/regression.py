"""Losses for targets that are numbers, one value a row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.config import epsilon
from fastnn.losses.align import align, align_along, floats


def mean_squared_error(y_true, y_pred):
    """``mean((y_pred - y_true)**2, axis=-1)``."""
    y, p = align(y_true, y_pred)
    return np.square(p - y).mean(axis=-1)


def mean_absolute_error(y_true, y_pred):
    """``mean(abs(y_pred - y_true), axis=-1)``."""
    y, p = align(y_true, y_pred)
    return np.abs(p - y).mean(axis=-1)


def mean_absolute_percentage_error(y_true, y_pred):
    """``100 * mean(abs(y_pred - y_true) / max(abs(y_true), 1e-7), axis=-1)``."""
    y, p = align(y_true, y_pred)
    return 100 * (np.abs(p - y) / np.maximum(np.abs(y), p.dtype.type(epsilon()))).mean(axis=-1)


def mean_squared_logarithmic_error(y_true, y_pred):
    """``mean((log(y_pred + 1) - log(y_true + 1))**2, axis=-1)``; what is below 1e-7 counts as 1e-7."""
    y, p = align(y_true, y_pred)
    least = p.dtype.type(epsilon())
    return np.square(np.log1p(np.maximum(p, least)) - np.log1p(np.maximum(y, least))).mean(axis=-1)


def huber(y_true, y_pred, delta=1.0):
    """Mean of ``e**2 / 2`` where ``abs(e) <= delta``, else ``delta * abs(e) - delta**2 / 2``.

    ``e = y_pred - y_true``: squared near the target, and so many outliers far from it cannot pull.

    Parameters
    ----------
    y_true, y_pred : array-like
    delta : float
        Where the straight line begins.

    Notes
    -----
    Huber, "Robust estimation of a location parameter" (1964).
    """
    y, p = align(y_true, y_pred)
    e = np.abs(p - y)
    near = np.minimum(e, p.dtype.type(delta))
    return (near * (e - near / 2)).mean(axis=-1)


def log_cosh(y_true, y_pred):
    """``mean(log(cosh(y_pred - y_true)), axis=-1)``: near 0 ``e**2 / 2``, far off ``abs(e) - log 2``."""
    y, p = align(y_true, y_pred)
    e = np.abs(p - y)
    near = np.log1p(2 * np.square(np.sinh(np.minimum(e, 1) / 2)))
    far = e + np.log1p(np.exp(-2 * e)) - p.dtype.type(np.log(2))
    return np.where(e < 1, near, far).mean(axis=-1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """``-sum(y_true * y_pred, axis)`` of vectors brought to length 1: from -1, the same direction, to 1.

    Lengths below 1e-7 count as 1e-7, so that vectors of zeros give 0.
    """
    y, p = align_along(y_true, y_pred, axis)

    def length(v):
        return np.maximum(np.sqrt(np.square(v).sum(axis=-1, keepdims=True)), p.dtype.type(epsilon()))

    return -(y / length(y) * (p / length(p))).sum(axis=-1)


def quantile(y_true: Any, y_pred: Any, quantiles: float | Sequence[float] = 0.5) -> np.ndarray:
    """Pinball loss: mean over the outputs of ``max(q * e, (q - 1) * e)``, ``e = y_true - y_pred``.

    A model trained with it predicts the quantile ``q`` of the targets: too low costs ``q``, too high
    ``1 - q`` for each unit. With 0.5 it is half the mean absolute error, and gives the median.

    Parameters
    ----------
    y_true : array-like, (N,) or (N, targets)
    y_pred : array-like, (N, targets * k)
        Of k quantiles: first the k of the first target, then those of the second, ...; so for one target and
        quantiles (0.1, 0.5, 0.9), column 0 is the 10 % quantile, column 2 the 90 % quantile.
    quantiles : float, or sequence of k floats
        Each between 0 and 1.

    Returns
    -------
    ndarray, (N,)
        Where y_pred has one dimension, shape () of all its entries for one target each.

    Notes
    -----
    Koenker and Bassett, "Regression quantiles" (1978). Not in Keras.
    """
    q = check_quantiles(quantiles)
    p = floats(y_pred)
    if len(q) > 1:
        if p.ndim < 2 or p.shape[-1] % len(q):
            raise ValueError(
                f"y_pred has shape {p.shape}; for {len(q)} quantiles its last dimension must be a multiple "
                f"of {len(q)}."
            )
        p = p.reshape(*p.shape[:-1], -1, len(q))
        y = np.asarray(y_true, p.dtype)
        y = y[..., None] if y.ndim == p.ndim - 2 else y
        if y.shape != p.shape[:-1]:
            raise ValueError(
                f"y_true has shape {np.shape(y_true)}, but y_pred, of shape {np.shape(y_pred)}, has "
                f"{len(q)} quantiles for each of {p.shape[:-1]} targets."
            )
        y = y[..., None]
    else:
        y, p = align(y_true, p)
    e = y - p
    each = np.asarray(q, p.dtype)
    rows = np.maximum(each * e, (each - 1) * e)
    return rows.mean(axis=(-2, -1) if len(q) > 1 else -1)


def check_quantiles(quantiles: Any) -> tuple[float, ...]:
    """Return quantiles as a tuple, or raise what is wrong with them."""
    given = (quantiles,) if np.ndim(quantiles) == 0 else tuple(quantiles)
    try:
        found = tuple(float(q) for q in given)
    except (TypeError, ValueError):
        raise TypeError(f"quantiles must be a number or a sequence of them, got {quantiles!r}.") from None
    if not found or not all(0 < q < 1 for q in found):
        raise ValueError(f"quantiles must be between 0 and 1, got {quantiles!r}.")
    return found
