"""Small helpers (``keras.utils``)."""

from typing import Any

import numpy as np

from fastnn import names, seeds
from fastnn.registry import custom_object_scope

__all__ = ["clear_session", "custom_object_scope", "set_random_seed", "to_categorical"]


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and fastnn's random numbers.

    Models made afterwards start from the same weights and shuffle in the same way as after any other call
    with this seed.

    Parameters
    ----------
    seed : int
        At least 0, below 2**32.
    """
    import random

    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed must be a whole number, got {seed!r} of type {type(seed).__name__}.")
    seed = seed.__index__()
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be at least 0 and below 2**32, got {seed}.")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - whoever still uses NumPy's global generator expects this
    seeds.restart(seed)


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Return class numbers as one-hot rows, in float64.

    Parameters
    ----------
    x : array-like of whole numbers from 0
        Of any shape; a last dimension of 1 is dropped.
    num_classes : int, optional
        Length of the rows; by default the largest number plus one.
    """
    given = np.asarray(x)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"x must hold class numbers, got dtype {given.dtype}.")
    if given.size == 0:
        raise ValueError(f"x is empty, shape {given.shape}.")
    numbers = given.astype(np.int64)
    if (numbers != given).any() or (numbers < 0).any():
        raise ValueError("x must hold whole numbers from 0.")
    if numbers.ndim > 1 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    count = int(numbers.max()) + 1
    if num_classes is not None:
        if num_classes < count:
            raise ValueError(f"num_classes={num_classes}, but x holds class {count - 1}.")
        count = int(num_classes)
    return np.eye(count)[numbers]


def clear_session(free_memory: bool = True) -> None:
    """Let automatic names (``dense``, ``dense_1``, ...) start from the beginning again."""
    names.restart()
