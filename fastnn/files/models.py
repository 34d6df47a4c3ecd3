"""Whole models in files: architecture, weights, settings, optimizer and history, to go on from bit by bit."""

from collections.abc import Mapping
from typing import Any

from fastnn import cloning
from fastnn.errors import FormatError
from fastnn.files import container
from fastnn.files.contents import (
    Source,
    Tensors,
    damage,
    history_of,
    history_tensors,
    progress_of,
    require_none_left,
    training,
    weight_names,
    weight_tensors,
    whole,
    words,
)
from fastnn.layers.layer import weights_from
from fastnn.registry import custom_object_scope
from fastnn.resuming import resume, state


def save_model(model: Any, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any) -> None:
    """Write a model to a file, from which `load_model` makes it again; see `Sequential.save`."""
    if kwargs:
        raise TypeError(f"save takes no argument {', '.join(map(repr, kwargs))}.")
    tensors, content = written(model)
    container.write(filepath, tensors, content, overwrite)


def written(model: Any) -> tuple[Tensors, dict[str, Any]]:
    """Return all that is written of a model."""
    weights, progress = state(model)
    names = weight_names(model) if model.built else []
    told, slots = training(progress, names)
    tensors = {**weight_tensors(names, weights), **slots, **history_tensors(model.history)}
    content = {
        "kind": "model",
        "model": cloning.to_config(model),
        "weights": names,
        "trainable": [v.trainable for v in model.weights],
        "undecayed": _undecayed(model),
        "training": told,
        "column_names": model.column_names,
        "metadata": model.metadata,
    }
    return tensors, content


def load_model(
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Return the model of a file that ``model.save`` wrote.

    It predicts the same bits, and where it was compiled it trains on as the saved one would have: the same
    bits again, from where that stood.

    Parameters
    ----------
    filepath : str or path-like
    custom_objects : dict, optional
        Name -> class or function, for what is not of fastnn: losses, metrics, initializers, ... of your own.
        Nothing is ever imported by its name, and nothing in a file is executed.
    compile : bool
        False: without the settings of ``compile``, and so without the optimizer's state.
    safe_mode : bool
        Accepted for Keras's sake.

    Raises
    ------
    FormatError
        For a file that is damaged, cut off, hostile, of another kind, or written by a newer fastnn; or that
        names something that is neither fastnn's nor in ``custom_objects``. Nothing beyond the file's size
        is allocated before all of it is checked.
    OSError
        Where there is no such file, or it cannot be read.
    """
    tensors, content = container.read(filepath)
    hint = ". Things of your own must be in custom_objects" if not custom_objects else ""
    with damage(filepath, hint), custom_object_scope(custom_objects):
        if content.get("kind") != "model":
            raise FormatError(
                f"it holds {content.get('kind')!r}, not a whole model: make the model, and call its "
                "load_weights()."
            )
        return _made(tensors, content, compile)


def _made(tensors: Tensors, content: dict[str, Any], compile: bool) -> Any:
    size = sum(a.size for a in tensors.values())
    source = Source(content["weights"], tensors)
    with weights_from(source):
        model = cloning.from_config(content["model"], compile=False)
    source.require_end()
    _require_backed(model, size)
    progress = progress_of(content, source.names, tensors)
    model.history = history_of(tensors)
    require_none_left(tensors)
    model.seed = progress.seed
    model.column_names = words(content["column_names"], "column_names")
    model.metadata = content["metadata"]
    _mark(model, content["trainable"])
    if compile and content["model"].get("compile_config"):
        model.compile_from_config(content["model"]["compile_config"])
        if content["undecayed"]:
            weights = model.weights
            spared = [weights[whole(i, "undecayed", len(weights))] for i in content["undecayed"]]
            model.optimizer.exclude_from_weight_decay(spared)
        resume(model, progress)
    return model


def _require_backed(model: Any, size: int) -> None:
    """Raise where rows are wider than all weights together: no product stands behind such a width."""
    if not model.built:
        return
    shape = (None, model._columns() or 0)
    for layer in model.layers:
        shape = layer.compute_output_shape(shape)
        if max(shape[-1] or 0, model._columns() or 0) > size:
            raise FormatError(
                f"layer {layer.name!r} has rows of {shape[-1]} columns, but there are no weights for them."
            )


def _undecayed(model: Any) -> list[int]:
    """Return the places of the weights that the optimizer was told to spare the decay of weights."""
    optimizer = model.optimizer
    if optimizer is None:
        return []
    return [i for i, v in enumerate(model.weights) if not optimizer.uses_weight_decay(v)]


def _mark(model: Any, trainable: Any) -> None:
    """Bring the flags of single weights back, which layers do not know of."""
    weights = model.weights
    if not isinstance(trainable, list) or len(trainable) != len(weights):
        raise FormatError("its list of trainable weights is not as long as that of the weights.")
    for v, flag in zip(weights, trainable, strict=True):
        v.trainable = bool(flag)
