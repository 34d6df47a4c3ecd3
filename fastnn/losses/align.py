"""Targets and predictions as arrays that fit one another."""

from typing import Any

import numpy as np

from fastnn.config import epsilon


def floats(y_pred: Any) -> np.ndarray:
    """Return predictions as an array of floating-point numbers; whole ones become float64."""
    p = np.asarray(y_pred)
    return p if p.dtype.kind == "f" else p.astype(np.float64)


def align(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float arrays of one shape; (N,) goes with (N, 1), nothing is ever broadcast."""
    p = floats(y_pred)
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


def align_along(y_true: Any, y_pred: Any, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same, the axis along which a loss is taken moved to the end."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise ValueError(f"axis must be a whole number, got {axis!r}.")
    y, p = align(y_true, y_pred)
    return (y, p) if axis == -1 else (np.moveaxis(y, axis, -1), np.moveaxis(p, axis, -1))


def align_classes(y_true: Any, y_pred: Any, ignored: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return class numbers of shape ``y_pred.shape[:-1]``, checked, and the predictions."""
    p = floats(y_pred)
    y = np.asarray(y_true)
    if y.ndim == p.ndim and y.shape[-1] == 1:
        y = y[..., 0]
    if y.shape != p.shape[:-1]:
        raise ValueError(
            f"y_true has shape {np.shape(y_true)}, but class numbers for y_pred {p.shape} are {p.shape[:-1]}."
        )
    classes = y.astype(np.int64)
    inside = (classes == y) & (classes >= 0) & (classes < p.shape[-1])
    if not (inside if ignored is None else inside | (y == ignored)).all():
        but = "" if ignored is None else f", or {ignored}, which is ignored"
        raise ValueError(f"y_true must hold whole numbers from 0 to {p.shape[-1] - 1}{but}.")
    return classes, p


def last_axis(axis: int) -> None:
    """Raise unless the classes are along the last axis."""
    if axis != -1:
        raise NotImplementedError(f"axis={axis!r}: only the last axis, -1, is supported.")


def clip(p: np.ndarray) -> np.ndarray:
    """Return probabilities that have a finite logarithm."""
    return np.clip(p, epsilon(), 1 - epsilon())
