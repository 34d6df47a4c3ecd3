"""Losses that ask for a margin, or for an overlap."""

from typing import Any

import numpy as np

from fastnn.config import epsilon
from fastnn.losses.align import align


def _sides(y: np.ndarray) -> np.ndarray:
    """Return labels 0 and 1 as -1 and 1, and others as they are."""
    return 2 * y - 1 if ((y == 0) | (y == 1)).all() else y


def hinge(y_true, y_pred):
    """``mean(max(1 - y p, 0), axis=-1)``, labels -1 and 1; or 0 and 1, where there are no others."""
    y, p = align(y_true, y_pred)
    return np.maximum(1 - _sides(y) * p, 0).mean(axis=-1)


def squared_hinge(y_true, y_pred):
    """``mean(max(1 - y p, 0)**2, axis=-1)``, labels as for `hinge`."""
    y, p = align(y_true, y_pred)
    return np.square(np.maximum(1 - _sides(y) * p, 0)).mean(axis=-1)


def categorical_hinge(y_true, y_pred):
    """``max(1 + max((1 - y) p) - sum(y p), 0)`` along the last axis, targets one-hot."""
    y, p = align(y_true, y_pred)
    return np.maximum(((1 - y) * p).max(axis=-1) - (y * p).sum(axis=-1) + 1, 0)


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> np.ndarray:
    """``1 - 2 sum(y p) / (sum(y) + sum(p) + 1e-7)``, the sums over ``axis``, None being everything.

    With None the loss is one number for all rows together; with -1 it is one a row.

    Notes
    -----
    Sudre et al., "Generalised dice overlap as a deep learning loss function" (2017).
    """
    y, p = align(y_true, y_pred)
    return 1 - 2 * (y * p).sum(axis=axis) / (y.sum(axis=axis) + p.sum(axis=axis) + p.dtype.type(epsilon()))


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> np.ndarray:
    """``1 - I / (I + alpha sum((1 - p) y) + beta sum((1 - y) p) + 1e-7)``, ``I = sum(y p)``, over ``axis``.

    ``alpha`` weighs what was missed, ``beta`` what was found and is not there; (0.5, 0.5) is `dice`.

    Notes
    -----
    Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks"
    (2017).
    """
    y, p = align(y_true, y_pred)
    both = (y * p).sum(axis=axis)
    missed, found = ((1 - p) * y).sum(axis=axis), (p * (1 - y)).sum(axis=axis)
    return 1 - both / (both + missed * alpha + found * beta + p.dtype.type(epsilon()))
