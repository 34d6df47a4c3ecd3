"""Weights alone in files, for a model that is there already."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.errors import warn
from fastnn.files import container
from fastnn.files.contents import damage, take, weight_names, weight_tensors, words
from fastnn.resuming import state


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write the weights of a model; see `Model.save_weights`."""
    _require_built(model, "save_weights")
    weights, _ = state(model)
    names = weight_names(model)
    content = {"kind": "weights", "weights": names}
    container.write(filepath, weight_tensors(names, weights), content, overwrite)


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Replace the weights of a model by those of a file; see `Model.load_weights`."""
    _require_built(model, "load_weights")
    tensors, content = container.read(filepath)
    with damage(filepath):
        names = words(content["weights"], "weights") or []
        found = {name: take(tensors, f"weights/{name}") for name in names}
    own = weight_names(model)
    if skip_mismatch:
        _replace_some(model, own, found)
        return
    require_fit(model, [*found.values()], f"{filepath} has")
    model.set_weights([*found.values()])


def require_fit(model: Any, arrays: Sequence[np.ndarray], what: str) -> None:
    """Raise where arrays are not those of the model's weights."""
    weights = model.weights
    if len(arrays) != len(weights):
        raise ValueError(f"{what} {len(arrays)} weights, but model {model.name!r} has {len(weights)}.")
    for v, a in zip(weights, arrays, strict=True):
        if v.shape != a.shape:
            raise ValueError(
                f"{what} shape {a.shape} where model {model.name!r} has {v.path} of shape {v.shape}. Weights "
                "are matched in order; skip_mismatch=True takes those whose layer's name and shape agree."
            )


def _replace_some(model: Any, own: list[str], found: dict[str, np.ndarray]) -> None:
    """Replace the weights that the file has by the same name, in the same shape; warn of the others."""
    left = []
    for name, v in zip(own, model.weights, strict=True):
        if name in found and found[name].shape == v.shape:
            v.assign(found[name])
        else:
            left.append(name)
    if left:
        warn(
            f"load_weights: {len(left)} of {len(own)} weights of model {model.name!r} are not in the file in "
            f"that shape, and stay as they are: {', '.join(left[:5])}.",
            UserWarning,
        )


def _require_built(model: Any, what: str) -> None:
    if not model.built:
        raise ValueError(
            f"{what}: model {model.name!r} has no weights yet; give it Input(shape=(columns,)), build() it, "
            "or fit it first."
        )
