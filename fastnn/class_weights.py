"""``class_weight``: weights of rows from the classes of their targets."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Rows looked at together, so that a memory map is never read at once.
_CHUNK = 65536


def check(class_weight: Any) -> Any:
    """Return ``class_weight`` as a dict of floats, or "balanced", or None; raise what is wrong with it."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return class_weight
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "class_weight must be a dict from class numbers to weights, as in {0: 1.0, 1: 5.0}, or "
            f"'balanced', got {class_weight!r} of type {type(class_weight).__name__}."
        )
    found = {}
    for number, weight in class_weight.items():
        if isinstance(number, bool | np.bool_) or not hasattr(number, "__index__"):
            raise TypeError(
                f"class_weight: the key {number!r} of type {type(number).__name__} is no class number."
            )
        if isinstance(weight, str | bool) or not hasattr(weight, "__float__"):
            raise TypeError(f"class_weight[{number}] must be a number, got {weight!r}.")
        if not np.isfinite(weight):
            raise ValueError(f"class_weight[{number}] must be finite, got {weight!r}.")
        found[number.__index__()] = float(weight)
    return found


def sample_weight(class_weight: Any, y: np.ndarray, given: np.ndarray | None) -> np.ndarray:
    """Return the weight of each row: of its class, 1 where none is given for that, times ``given``.

    The class is the place of the largest target where there are several columns, else the target rounded to
    the nearest whole number (Keras's ``class_weight_to_sample_weights``). "balanced" gives a class of n_c
    rows the weight ``n / (classes * n_c)``, as scikit-learn's ``compute_class_weight``.

    Parameters
    ----------
    class_weight : dict or "balanced"
        As `check` returned it.
    y : ndarray, (rows, columns)
        Checked targets.
    given : ndarray, (rows,), optional
        Sample weights to be multiplied.
    """
    out = np.empty(len(y), y.dtype)
    weights = _balanced(y) if isinstance(class_weight, str) else class_weight
    for start in range(0, len(y), _CHUNK):
        numbers, places = np.unique(_classes(y[start : start + _CHUNK]), return_inverse=True)
        table = np.array([weights.get(int(n), 1.0) for n in numbers])
        out[start : start + _CHUNK] = table[places]
    return out if given is None else out * given


def _classes(y: np.ndarray) -> np.ndarray:
    if y.shape[1] > 1:
        return y.argmax(axis=1)
    rounded = np.round(y[:, 0])
    # NaN and infinities are reported when the rows are trained on.
    return np.where(np.isfinite(rounded), rounded, 0).astype(np.int64)


def _balanced(y: np.ndarray) -> dict[int, float]:
    counts: dict[int, int] = {}
    for start in range(0, len(y), _CHUNK):
        piece = y[start : start + _CHUNK]
        if piece.shape[1] == 1 and (np.floor(piece) != piece).any():
            i = start + int(np.flatnonzero(np.floor(piece[:, 0]) != piece[:, 0])[0])
            raise ValueError(
                f"class_weight='balanced' needs targets that are classes, but y[{i}] is {y[i, 0].item()!r}."
            )
        for number, count in zip(*np.unique(_classes(piece), return_counts=True), strict=True):
            counts[int(number)] = counts.get(int(number), 0) + int(count)
    return {number: len(y) / (len(counts) * count) for number, count in counts.items()}
