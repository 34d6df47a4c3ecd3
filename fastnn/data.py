"""The one door through which every array comes in.

What fits already (dtype, C order, alignment) is passed on as it is, never copied and, where it is a memory
map, never read here. Everything else becomes a fresh array, or an error that names the argument, what came,
and what was expected. NaN and infinities are found where rows are gathered, natively; ``require_finite`` then
says where.
"""

import math
from typing import Any

import numpy as np

from fastnn.errors import TrainingWarning, warn

# Rows looked at together, so that a memory map is never read at once.
_CHUNK = 65536

# In the place of targets where there are none.
NOTHING = np.empty((0, 0), np.float32)


def rows(x: Any, argument: str, dtype: np.dtype, columns: int | None = None, layer: Any = None) -> np.ndarray:
    """Return features as an (N, columns) array of ``dtype``, C-contiguous and aligned.

    Parameters
    ----------
    x : array-like
    argument : str
        Its name in messages.
    dtype : numpy.dtype
    columns : int or None
        How many columns it must have; None accepts any number.
    layer : Layer, optional
        Which takes them, for messages.
    """
    if type(x) is np.ndarray and x.ndim == 2 and x.dtype == dtype and x.shape[1] == columns and len(x):
        flags = x.flags
        if flags.c_contiguous and flags.aligned:
            return x
    a = array(x, argument)
    if a.ndim == 3 and isinstance(x, list | tuple) and len(x) == 1:  # Keras's list of one input
        a = a[0]
    if a.ndim == 1 and columns == 1:
        a = a.reshape(-1, 1)
    if a.ndim:
        _require_rows(a, argument)
    owner = "the model" if layer is None else f"layer {layer.name!r}"
    expected = "(rows, columns)" if columns is None else f"(rows, {columns})"
    if a.ndim == 1:
        one = f" For one row write {argument}[None, :]; for {len(a)} rows of one column, {argument}[:, None]."
        raise ValueError(f"{argument} has shape {a.shape}, but {owner} takes {expected}.{one}")
    if a.ndim != 2:
        raise ValueError(
            f"{argument} has {a.ndim} dimensions, shape {a.shape}, but {owner} takes {expected}."
        )
    if columns is not None and a.shape[1] != columns:
        raise ValueError(
            f"{argument} has {a.shape[1]} columns, shape {a.shape}, but {owner} takes {columns}."
        )
    if a.shape[1] == 0:
        raise ValueError(f"{argument} has no columns, shape {a.shape}.")
    return contiguous(a, dtype)


def flattened(x: Any, argument: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return rows of numbers from rows of ``shape``, such as images; a view where x allows it."""
    a = array(x, argument)
    if a.shape[1:] == shape:
        return a.reshape(len(a), -1)
    if a.ndim == 2 and a.shape[1] == math.prod(n or 0 for n in shape):
        return a
    raise ValueError(f"{argument} has shape {a.shape}, but the model takes rows of shape {shape}.")


def targets(
    y: Any,
    argument: str,
    dtype: np.dtype,
    units: int,
    kind: str,
    loss: str,
    layer: Any,
    columns: int | None = None,
    ignored: int | None = None,
) -> np.ndarray:
    """Return targets as an (N, columns) array; for ``kind="class"`` as (N, 1) checked class numbers.

    By default there are as many columns as units. ``ignored`` is a class number that need not be one of the
    classes. ``layer``, the last one, and ``loss`` are for messages.
    """
    columns = units if columns is None else columns
    if (
        kind != "class"
        and type(y) is np.ndarray
        and y.ndim == 2
        and y.dtype == dtype
        and y.shape[1] == columns
        and len(y)
    ):
        flags = y.flags
        if flags.c_contiguous and flags.aligned:
            return y
    a = array(y, argument)
    if kind == "class":
        return _classes(a, argument, dtype, units, loss, layer, ignored)
    owner = f"layer {layer.name!r}"
    if a.ndim == 1 and columns == 1:
        a = a.reshape(-1, 1)
    if a.ndim != 2 or a.shape[1] != columns:
        since = f"since {owner} has {units} unit{'' if units == 1 else 's'}"
        if columns != units:
            since += f", and {loss} takes {columns} target{'' if columns == 1 else 's'} for them"
        expected = f"(rows,) or (rows, 1), {since}" if columns == 1 else f"(rows, {columns}), {since}"
        hint = ""
        if units > 1 and (a.ndim == 1 or a.shape[1:] == (1,)) and loss == "categorical_crossentropy":
            hint = " Class numbers go with 'sparse_categorical_crossentropy', or utils.to_categorical(y)."
        raise ValueError(f"{argument} has shape {a.shape}, but must have shape {expected}.{hint}")
    _require_rows(a, argument)
    return contiguous(a, dtype)


def _classes(
    a: np.ndarray, argument: str, dtype: np.dtype, units: int, loss: str, layer: Any, ignored: int | None
) -> np.ndarray:
    owner = f"layer {layer.name!r}"
    if a.ndim == 2 and a.shape[1] == 1:
        a = a[:, 0]
    if a.ndim != 1:
        hint = ""
        if a.ndim == 2 and a.shape[1] == units:
            hint = f" For one-hot rows use the loss 'categorical_crossentropy', or {argument}.argmax(axis=1)."
        raise ValueError(
            f"{argument} has shape {a.shape}, but {loss} takes one class number a row, shape (rows,).{hint}"
        )
    _require_rows(a, argument)
    if a.dtype.kind == "f":
        wrong = np.flatnonzero(np.floor(a) != a)  # NaN included
        if wrong.size:
            i = int(wrong[0])
            raise ValueError(
                f"{argument}[{i}] is {a[i].item()!r}, but {loss} takes whole numbers from 0 to {units - 1}."
            )
    if a.dtype.kind != "b":
        counted = a if ignored is None else a[a != ignored]
        low, high = (counted.min(), counted.max()) if counted.size else (0, 0)
        if low < 0 or high >= units:
            i = int(np.flatnonzero(((a < 0) | (a >= units)) & (a != ignored))[0])
            raise ValueError(
                f"{argument}[{i}] is class {a[i].item()!r}, but {owner} has {units} units: classes are "
                f"numbered from 0 to {units - 1}."
            )
    return contiguous(a.reshape(-1, 1), dtype)


def weights(sample_weight: Any, argument: str, dtype: np.dtype, count: int) -> np.ndarray:
    """Return one weight a row, shape (count,)."""
    if isinstance(sample_weight, dict):
        raise TypeError(f"{argument} must hold one number a row, got a dict.")
    a = array(sample_weight, argument)
    if a.ndim == 2 and a.shape[1] == 1:
        a = a[:, 0]
    if a.shape != (count,):
        raise ValueError(
            f"{argument} has shape {a.shape}, but must have one number for each of the {count} rows, shape "
            f"({count},)."
        )
    return contiguous(a, dtype)


def same_rows(x: np.ndarray, y: np.ndarray, x_name: str, y_name: str) -> None:
    """Raise where ``x`` and ``y`` differ in their number of rows."""
    if len(x) != len(y):
        raise ValueError(
            f"{x_name} has {len(x)} rows, but {y_name} has {len(y)}; there must be one target for each row."
        )


def split(share: float, x: np.ndarray, *others: np.ndarray | None) -> tuple[list, list]:
    """Return everything's first rows, and the last ``share`` of them, as views."""
    at = math.floor(len(x) * (1 - share))
    if at in (0, len(x)):
        raise ValueError(
            f"validation_split={share!r} of {len(x)} rows leaves {at} for training and {len(x) - at} for "
            "validation; both need at least one."
        )
    arrays = (x, *others)
    return [a if a is None else a[:at] for a in arrays], [a if a is None else a[at:] for a in arrays]


def require_finite(a: np.ndarray | None, argument: str) -> None:
    """Raise ValueError with the place of the first NaN or infinity; reads in pieces."""
    if a is None:
        return
    for start in range(0, len(a), _CHUNK):
        piece = a[start : start + _CHUNK]
        if np.isfinite(piece).all():
            continue
        place = np.argwhere(~np.isfinite(piece))[0]
        value = piece[tuple(place)]
        what = "NaN" if np.isnan(value) else "an infinity, or too large for its dtype"
        column = f", column {place[1]}" if len(place) > 1 and a.shape[1] > 1 else ""
        raise ValueError(
            f"{argument} holds {what} in row {start + place[0]}{column}; only finite numbers can be learned "
            "from."
        )


def require_sides(y: np.ndarray, argument: str, loss: str) -> None:
    """Raise where labels of a hinge loss hold 0 beside other values than 1: 0 would be no side then."""
    zeros = y == 0
    if zeros.any() and not (zeros | (y == 1)).all():
        i = int(np.flatnonzero(~(zeros | (y == 1)).all(axis=1))[0])
        raise ValueError(
            f"{argument} holds 0, and other values in row {i}, but {loss} takes labels -1 and 1, or 0 and 1."
        )


def warn_outside_unit_interval(y: np.ndarray, argument: str, loss: str) -> None:
    """Warn about targets that a binary crossentropy cannot reach."""
    low, high = float(y.min()), float(y.max())
    if low < 0 or high > 1:
        i = int(np.flatnonzero(((y < 0) | (y > 1)).any(axis=1))[0])
        hint = f" For labels -1 and 1 pass ({argument} + 1) / 2." if low == -1 and high == 1 else ""
        warn(
            f"{argument} holds {low:g} to {high:g} (row {i} is outside [0, 1]), but {loss} "
            f"takes probabilities.{hint}",
            TrainingWarning,
        )


def contiguous(a: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return ``a`` itself where it is C-contiguous, aligned and of ``dtype``, else a copy that is."""
    if a.dtype == dtype and a.flags.c_contiguous and a.flags.aligned:
        return np.asarray(a)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is reported as an infinity later
        return np.array(a, dtype=dtype, order="C", subok=False)


# From anything to an array of numbers -----------------------------------------------------------------------


def array(value: Any, argument: str) -> np.ndarray:
    """Return ``value`` as an array of bools, ints or floats of any layout; an array is not copied."""
    names = None
    if not isinstance(value, np.ndarray):
        _refuse(value, argument)
        names = getattr(value, "columns", None)
        value = _convert(value, argument)
    mask = getattr(value, "mask", None)
    if mask is not None:
        if np.any(mask):
            place = tuple(int(i) for i in np.argwhere(np.broadcast_to(mask, value.shape))[0])
            raise ValueError(
                f"{argument} is a masked array with a masked entry at {place}; fill it or leave the row out."
            )
        value = value.data
    kind = value.dtype.kind
    if kind in "fiub":
        return value
    if kind == "O":
        return _numbers(value, argument, names)
    if kind in "US":
        some = "".join(f" ({v!r} ...)" for v in value.reshape(-1)[:1].tolist())
        raise TypeError(f"{argument} holds text{some}, but must hold numbers.{_encoding(argument)}")
    if kind == "V" and value.dtype.names is None:  # bfloat16 and its like
        try:
            return value.astype(np.float32)
        except (TypeError, ValueError):
            pass
    words = {"c": "complex numbers", "M": "dates", "m": "time differences", "V": "records"}
    raise TypeError(
        f"{argument} holds {words.get(kind, 'no numbers')} (dtype {value.dtype}), but must hold real numbers."
    )


def _encoding(argument: str) -> str:
    """Return what to do about text."""
    if argument.endswith("y"):
        return f" np.unique({argument[-1]}, return_inverse=True)[1] makes class numbers of labels."
    return " Encode text as numbers first."


def _refuse(value: Any, argument: str) -> None:
    kind = type(value).__name__
    if value is None:
        raise ValueError(f"{argument} is missing (None).")
    if isinstance(value, str | bytes):
        raise TypeError(f"{argument} must be an array of numbers, got a {kind}.")
    if isinstance(value, dict):
        raise TypeError(f"{argument} is a dict; models here have one input and one output, given as arrays.")
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{argument} is a sparse matrix; pass {argument}.toarray() if that fits in memory.")
    if hasattr(value, "__next__") or (
        hasattr(value, "__iter__")
        and not hasattr(value, "__len__")
        and not any(hasattr(value, name) for name in ("__array__", "__dlpack__", "to_numpy"))
    ):
        raise NotImplementedError(
            f"{argument} is a {kind}: generators and datasets are not supported yet; pass arrays."
        )


def _convert(value: Any, argument: str) -> np.ndarray:
    kind = type(value).__name__
    try:
        if hasattr(value, "to_numpy"):  # pandas, polars
            return np.asanyarray(value.to_numpy())
        if hasattr(value, "detach"):  # torch
            value = value.detach().cpu()
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        ragged = _ragged(value, argument) if isinstance(value, list | tuple) else ""
        raise ValueError(ragged or f"{argument}, a {kind}, cannot be read as an array: {error}") from None


def _ragged(value: list | tuple, argument: str) -> str:
    first = len(value[0]) if hasattr(value[0], "__len__") else None
    for i, row in enumerate(value):
        length = len(row) if hasattr(row, "__len__") else None
        if length != first:
            words = ["a single number" if n is None else f"{n} values" for n in (first, length)]
            return f"{argument} has rows of different lengths: row 0 has {words[0]}, row {i} has {words[1]}."
    return ""


def _numbers(a: np.ndarray, argument: str, names: Any) -> np.ndarray:
    """Return an object array that holds nothing but numbers as float64."""
    for place, v in np.ndenumerate(a):
        if hasattr(v, "__float__") and not isinstance(v, str):
            continue
        if not place:
            raise TypeError(f"{argument} must be an array of numbers, got {v!r} of type {type(v).__name__}.")
        where = f"row {place[0]}"
        if len(place) > 1:
            where += f", column {names[place[1]]!r}" if names is not None else f", column {place[1]}"
        if v is None or type(v).__name__ in ("NAType", "NaTType"):
            raise ValueError(f"{argument} has a missing value in {where}; fill it or leave the row out.")
        labels = _encoding(argument) if isinstance(v, str) else ""
        raise TypeError(
            f"{argument} holds {v!r} of type {type(v).__name__} in {where}, but must hold numbers.{labels}"
        )
    return a.astype(np.float64)


def _require_rows(a: np.ndarray, argument: str) -> None:
    if len(a) == 0:
        raise ValueError(f"{argument} has no rows, shape {a.shape}.")
