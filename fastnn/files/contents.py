"""What a file says of a model's weights, its training and its history, and the way back, checked."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn.errors import FormatError
from fastnn.history import History
from fastnn.resuming import Progress

Tensors = dict[str, np.ndarray]


def weight_names(model: Any) -> list[str]:
    """Return a name for each of the model's weights, in order: the layer's and the weight's own.

    Weights of one name in one layer (a `Residual` holds several kernels) are numbered.
    """
    names: list[str] = []
    for layer in model.layers:
        taken: dict[str, int] = {}
        for v in layer.weights:
            count = taken[v.name] = taken.get(v.name, -1) + 1
            names.append(f"{layer.name}/{v.name}{f'_{count}' if count else ''}")
    return names


def weight_tensors(names: Sequence[str], weights: Sequence[np.ndarray]) -> Tensors:
    """Return the weights under their names in a file."""
    return {f"weights/{name}": w for name, w in zip(names, weights, strict=True)}


def training(progress: Progress, names: Sequence[str]) -> tuple[dict[str, Any], Tensors]:
    """Return what stands in the text about a training's progress, and the tensors of it."""
    tensors = {
        f"optimizer/{slot}/{name}": a
        for slot, arrays in progress.slots.items()
        for name, a in zip(names, arrays, strict=True)
    }
    return {**progress._asdict(), "slots": list(progress.slots)}, tensors


def progress_of(content: Mapping[str, Any], names: Sequence[str], tensors: Tensors) -> Progress:
    """Return the progress, taking its tensors out of the dict; sizes are for `resume` to check."""
    given = content["training"]
    counts = {key: whole(given[key], f"training: {key}") for key in ("epochs", "iterations")}
    counts["seed"] = whole(given["seed"], "training: seed", 2**64)
    loss = given["loss"]
    if loss is not None and not isinstance(loss, str):
        raise FormatError(f"training: loss is {loss!r}, not the name of one.")
    slots = {slot: [take(tensors, f"optimizer/{slot}/{name}") for name in names] for slot in given["slots"]}
    return Progress(**counts, slots=slots, loss=loss)


def history_tensors(history: History | None) -> Tensors:
    """Return the epochs of a history and its values; those that are not numbers stay behind."""
    if history is None:
        return {}
    found = {"epochs": np.asarray(history.epoch, np.int64)}
    for key, values in history.history.items():
        try:
            found[f"history/{key}"] = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            continue
    return found


def history_of(tensors: Tensors) -> History | None:
    """Return the history, taking its tensors out of the dict."""
    if "epochs" not in tensors:
        return None
    history = History()
    history.epoch = take(tensors, "epochs", np.int64).tolist()
    for key in [name for name in tensors if name.startswith("history/")]:
        values = take(tensors, key, np.float64)
        history.history[key.removeprefix("history/")] = values.tolist() if values.ndim == 1 else [*values]
    return history


def take(tensors: Tensors, name: str, dtype: Any = None) -> np.ndarray:
    """Return a tensor and take it out of the dict."""
    if name not in tensors:
        raise FormatError(f"it has no tensor {name!r}.")
    found = tensors.pop(name)
    if dtype is not None and found.dtype != dtype:
        raise FormatError(f"tensor {name!r} has dtype {found.dtype}, not {np.dtype(dtype)}.")
    return found


def require_none_left(tensors: Tensors) -> None:
    """Raise where there are tensors that nothing has asked for."""
    if tensors:
        raise FormatError(f"it has tensors that the model does not: {', '.join(sorted(tensors)[:5])}.")


class Source:
    """Weights of a file, for the layers that are built meanwhile; see `fastnn.layers.layer.weights_from`.

    Parameters
    ----------
    names : list of str
        As `weight_names` gave them.
    tensors : dict
        Of which the weights are taken out.
    """

    def __init__(self, names: Any, tensors: Tensors):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise FormatError("its list of weights is no list of names.")
        self.names = names
        self._rest = iter(names)
        self._tensors = tensors

    def __call__(self, shape: tuple[int, ...], dtype: str, name: str) -> np.ndarray:
        """Return the next weight, which a layer wants to have this shape and dtype."""
        key = next(self._rest, None)
        if key is None:
            raise FormatError(f"it has fewer weights than its layers: {name!r} of shape {shape} is missing.")
        if re.sub(r"_\d+$", "", key.rpartition("/")[2]) != name:
            raise FormatError(f"weight {key!r} stands where its layers have a {name!r}.")
        found = take(self._tensors, f"weights/{key}", dtype)
        if found.shape != tuple(shape):
            raise FormatError(f"weight {key!r} has shape {found.shape}, but its layer needs {tuple(shape)}.")
        return np.require(found, dtype, ["C", "A"])

    def require_end(self) -> None:
        """Raise where weights are left."""
        rest = next(self._rest, None)
        if rest is not None:
            raise FormatError(f"it has more weights than its layers: {rest!r}.")


@contextmanager
def damage(path: Any, hint: str = "") -> Iterator[None]:
    """Turn whatever goes wrong with what a file says into a `FormatError` that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        said = str(error) if isinstance(error, FormatError) else f"{error} ({type(error).__name__}){hint}"
        raise FormatError(f"{path}: {said}") from error


def whole(value: Any, what: str, most: int = 2**62) -> int:
    """Return a whole number from 0 on, or raise what came instead."""
    if type(value) is not int or not 0 <= value < most:
        raise FormatError(f"{what} is {value!r}, not a whole number from 0 on.")
    return value


def words(value: Any, what: str) -> list[str] | None:
    """Return a list of text, or None for None."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise FormatError(f"{what} is {value!r}, not a list of names.")
    return value
