"""What each of many models is trained on: data shared, one set each, or rows of them."""

from typing import Any

import numpy as np

from fastnn import data


class Parts:
    """The data of each model; what several of them use is converted once."""

    def __init__(
        self,
        models: list[Any],
        x: Any,
        y: Any,
        sample_weight: Any,
        rows: Any,
        validation_data: Any,
        validation_rows: Any,
    ):
        self._xs = one_each(x, models, "x", 2)
        self._ys = one_each(y, models, "y", 1)
        self._weights = one_each(sample_weight, models, "sample_weight", 1)
        if self._xs and not self._ys:
            raise ValueError(
                f"x is a list of one array for each of {len(models)} models, so y must be one too, got "
                f"{type(y).__name__}."
            )
        self._shared = x, y, sample_weight
        self._rows = _indices(rows, models, "rows")
        self._held_rows = _indices(validation_rows, models, "validation_rows")
        if validation_data is not None and self._held_rows is not None:
            raise ValueError("Give one of validation_data and validation_rows, not both.")
        each = isinstance(validation_data, list) and all(isinstance(part, tuple) for part in validation_data)
        if each and len(validation_data) != len(models):
            raise ValueError(
                f"validation_data is a list of {len(validation_data)} tuples for {len(models)} models."
            )
        self._held = validation_data if each else [validation_data] * len(models)
        self._converted: dict[Any, Any] = {}

    def y(self, i: int) -> Any:
        """Return the targets of a model as they were given."""
        return self._ys[i] if self._ys else self._shared[1]

    def training(self, i: int, dtype: str) -> tuple[Any, Any, Any]:
        """Return x, y and sample_weight of a model."""
        return self._taken(i, dtype, self._rows, "rows")

    def validation(self, i: int, dtype: str) -> Any:
        """Return what a model's ``validation_data`` is."""
        if self._held_rows is not None:
            x, y, weight = self._taken(i, dtype, self._held_rows, "validation_rows")
            return (x, y) if weight is None else (x, y, weight)
        held = self._held[i]
        if not isinstance(held, tuple):
            return held
        return tuple(self._get(array, dtype, None, "") for array in held)

    def _taken(self, i: int, dtype: str, rows: Any, name: str) -> tuple[Any, Any, Any]:
        x, _, weight = self._shared
        given = (
            self._xs[i] if self._xs else x,
            self.y(i),
            self._weights[i] if self._weights else weight,
        )
        index = None if rows is None else rows[i]
        return tuple(self._get(array, dtype, index, f"{name}[{i}]") for array in given)

    def _get(self, given: Any, dtype: str, index: Any, name: str) -> Any:
        if given is None:
            return None
        key = id(given), dtype, id(index) if index is not None else None
        if key not in self._converted:
            if index is None:
                found = converted(given, dtype)
            else:
                whole = self._get(given, dtype, None, "")
                found = _selected(whole, index, name)
            self._converted[key] = found, given, index  # whose identities must stay theirs
        return self._converted[key][0]


def _selected(array: Any, index: np.ndarray, name: str) -> Any:
    count = len(array)
    if len(index) and not (-count <= index.min() and index.max() < count):
        raise ValueError(
            f"{name} has numbers from {index.min()} to {index.max()}, but there are {count} rows."
        )
    return array.iloc[index] if hasattr(array, "iloc") else np.asarray(array)[index]


def converted(given: Any, dtype: str) -> Any:
    """Return numbers as an array of ``dtype``; frames, which have names of columns, as they are."""
    if hasattr(given, "columns") or hasattr(given, "iloc"):
        return given
    a = data.array(given, "x")
    return data.contiguous(a, np.dtype(dtype)) if a.dtype.kind == "f" and a.ndim == 2 else a


def one_each(given: Any, models: list[Any], name: str, ndim: int) -> list[Any] | None:
    """Return a list with one array for each model, if that is what was given, else None."""
    if not isinstance(given, list | tuple) or not given:
        return None
    if not all(getattr(item, "ndim", 0) >= ndim for item in given):
        return None
    if len(given) != len(models):
        raise ValueError(f"{name} is a list of {len(given)} arrays for {len(models)} models.")
    return list(given)


def _indices(given: Any, models: list[Any], name: str) -> list[np.ndarray | None] | None:
    if given is None:
        return None
    if isinstance(given, np.ndarray) or not hasattr(given, "__len__"):
        raise TypeError(
            f"{name} must be a list with an array of row numbers for each model, got {type(given).__name__}."
        )
    if len(given) != len(models):
        raise ValueError(f"{name} has {len(given)} items for {len(models)} models.")
    known: dict[int, np.ndarray] = {}
    found: list[np.ndarray | None] = []
    for i, item in enumerate(given):
        if item is None:
            found.append(None)
            continue
        if id(item) not in known:
            index = np.asarray(item)
            if index.dtype == bool and index.ndim == 1:
                index = np.flatnonzero(index)
            if index.ndim != 1 or index.dtype.kind not in "iu" or not len(index):
                raise ValueError(
                    f"{name}[{i}] must be row numbers, one or more, got an array of shape {index.shape} and "
                    f"dtype {index.dtype}."
                )
            known[id(item)] = index
        found.append(known[id(item)])
    return found
