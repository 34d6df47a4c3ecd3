"""Small helpers (``keras.utils``)."""

from typing import Any

import numpy as np

from fastnn import names, seeds
from fastnn.batches import PyDataset, unpack
from fastnn.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
    standard_dtype,
)
from fastnn.registry import (
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "is_interactive_logging_enabled",
    "normalize",
    "pack_x_y_sample_weight",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

CustomObjectScope = custom_object_scope
Sequence = PyDataset
standardize_dtype = standard_dtype


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
    if given.size == 0 and num_classes is None:
        raise ValueError(f"x is empty, shape {given.shape}: give num_classes.")
    numbers = given.astype(np.int64)
    if (numbers != given).any() or (numbers < 0).any():
        raise ValueError("x must hold whole numbers from 0.")
    if numbers.ndim > 1 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    count = int(numbers.max(initial=-1)) + 1
    if num_classes is not None:
        if num_classes < count:
            raise ValueError(f"num_classes={num_classes}, but x holds class {count - 1}.")
        count = int(num_classes)
    return np.eye(count)[numbers]


def normalize(x: Any, axis: int = -1, order: Any = 2) -> np.ndarray:
    """Return ``x / norm``, the norm taken along ``axis``; what has a norm of 0 stays.

    Parameters
    ----------
    x : array-like
    axis : int
        Along which the norms are taken.
    order : int, float or inf
        Of the norm: 2 is the Euclidean one (``numpy.linalg.norm``).
    """
    given = np.asarray(x)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"x must hold numbers, got dtype {given.dtype}.")
    if not -given.ndim <= axis < given.ndim:
        raise ValueError(f"axis={axis}, but x has {given.ndim} dimensions.")
    norm = np.linalg.norm(given, order, axis, keepdims=True)
    return given / np.where(norm == 0, 1, norm)


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: None = None,
) -> tuple[Any, Any]:
    """Split an array, or several of equal length, into first and last rows.

    Parameters
    ----------
    dataset : array, or list or tuple of arrays
    left_size, right_size : float or int, optional
        Share of the rows, in (0, 1), or their number. One that is missing is the rest of the other.
    shuffle : bool
        Whether to draw which rows go left.
    seed : int, optional
        Of the shuffle.
    preferred_backend : None

    Returns
    -------
    (left, right)
        Each as ``dataset`` was: an array, or a tuple of arrays. Views where nothing was shuffled.
    """
    if preferred_backend is not None:
        raise NotImplementedError(f"split_dataset: preferred_backend={preferred_backend!r}: NumPy is used.")
    several = isinstance(dataset, list | tuple)
    arrays = [np.asarray(a) for a in dataset] if several else [np.asarray(dataset)]
    lengths = {len(a) if a.ndim else 0 for a in arrays}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            f"dataset must hold arrays with equal, positive numbers of rows, got shapes "
            f"{[a.shape for a in arrays]}."
        )
    (total,) = lengths
    left, right = _side("left_size", left_size, total), _side("right_size", right_size, total)
    if left is None and right is None:
        raise ValueError("split_dataset needs left_size or right_size, as in left_size=0.8.")
    left = total - right if left is None and right is not None else left
    right = total - left if right is None and left is not None else right
    assert left is not None and right is not None  # noqa: PT018
    if left < 1 or right < 1 or left + right > total:
        raise ValueError(
            f"left_size={left_size!r} and right_size={right_size!r} of {total} rows are {left} and {right} "
            f"rows; both sides need at least one, and together at most {total}."
        )
    if shuffle:
        order = np.random.Generator(np.random.PCG64(seeds.draw() if seed is None else seed)).permutation(
            total
        )
        arrays = [a[order] for a in arrays]
    sides = tuple(a[:left] for a in arrays), tuple(a[total - right :] for a in arrays)
    return sides if several else (sides[0][0], sides[1][0])


def _side(name: str, size: Any, total: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a whole number of rows, or a share of them, got {size!r}.")
    if isinstance(size, float | np.floating):
        if not 0 < size < 1:
            raise ValueError(f"{name}={size!r}: a share must be between 0 and 1.")
        return round(float(size) * total)
    return int(size)


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Return ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, without what is None at the end."""
    if y is None:
        return (x,) if isinstance(x, list | tuple) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight) of what `pack_x_y_sample_weight` returns, None for what is missing."""
    return unpack(data, "data")


def clear_session(free_memory: bool = True) -> None:
    """Let automatic names (``dense``, ``dense_1``, ...) start from the beginning again."""
    names.restart()
