"""Models from models: copies, and the way through JSON (``clone_model``, ``model_from_json``)."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastnn.layers.core import InputLayer
from fastnn.layers.layer import Layer
from fastnn.registry import Registry, custom_object_scope, serialize

__all__ = ["clone_model", "model_from_json"]

MODELS = Registry("model", "keras", {}, later="model functional")


def register(kind: type) -> None:
    """Let a class of models be found by its name."""
    MODELS.entries[kind.__name__] = kind


def clone_model(
    model: Any,
    input_tensors: None = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    call_function: None = None,
    recursive: bool = False,
) -> Any:
    """Return a model with the same layers and new weights; it is not compiled.

    Parameters
    ----------
    model : Sequential
    clone_function : callable, optional
        ``clone_function(layer)`` returns the layer to take instead of ``layer``; by default one of the same
        configuration. Not called for ``Input``.
    input_tensors, call_function : None
        For functional models, which there are not.
    recursive : bool
        Accepted for Keras's sake.
    """
    kinds: Any = tuple(MODELS.entries.values())
    if not isinstance(model, kinds):
        raise TypeError(f"clone_model takes a model, got {model!r} of type {type(model).__name__}.")
    for name, value in (("input_tensors", input_tensors), ("call_function", call_function)):
        if value is not None:
            raise NotImplementedError(f"clone_model: {name} is for functional models; leave it at None.")
    if clone_function is not None and not callable(clone_function):
        raise TypeError(f"clone_model: clone_function must be a function of a layer, got {clone_function!r}.")
    copies: list[Layer] = []
    if model._input is not None:
        copies.append(InputLayer.from_config(model._input.get_config()))
    for layer in model.layers:
        copy = clone_function(layer) if clone_function else type(layer).from_config(layer.get_config())
        if not isinstance(copy, Layer):
            raise TypeError(
                f"clone_model: clone_function returned {copy!r} of type {type(copy).__name__} for layer "
                f"{layer.name!r}; it must return a layer."
            )
        copies.append(copy)
    return type(model)(copies, trainable=model.trainable, name=model.name)


def copy_of(model: Any, learning_rate: float) -> Any:
    """Return a copy with the same weights, compiled with a fresh optimizer of this (constant) rate."""
    twin = clone_model(model)
    twin.set_weights(model.get_weights())
    config = {**model.optimizer.get_config(), "learning_rate": float(learning_rate)}
    optimizer = type(model.optimizer).from_config(config)
    twin.compile(optimizer, model.loss, precision=model._compiled.precision)
    return twin


def to_config(model: Any) -> dict[str, Any]:
    """Return a model's architecture and the arguments of ``compile``, in Keras's serialised form."""
    config = serialize(model, MODELS)
    if model._input is not None:
        config["build_config"] = {"input_shape": model._input.batch_shape}
    compiled = model.get_compile_config()
    if compiled is not None:
        if compiled["precision"] is None:
            del compiled["precision"]  # Keras has no such argument
        config["compile_config"] = compiled
    return config


def from_config(config: Any, argument: str = "config", compile: bool = True) -> Any:
    """Return a new model of what `to_config` returned, compiled if that one was."""
    model = MODELS.make(config, argument)
    if compile and config.get("compile_config"):
        model.compile_from_config(config["compile_config"])
    return model


def to_json(model: Any, **kwargs: Any) -> str:
    """Return the same as JSON."""
    return json.dumps(to_config(model), **kwargs)


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return a new model, with new weights, of what ``model.to_json()`` wrote (Keras's, too).

    It is compiled where the model was.

    Parameters
    ----------
    json_string : str
    custom_objects : dict, optional
        Name -> class or function, for what is not of this package.

    Raises
    ------
    ValueError
        Where the text is no model, or names something that there is not.
    """
    if not isinstance(json_string, str | bytes):
        raise TypeError(f"json_string must be text, got {type(json_string).__name__}.")
    try:
        config = json.loads(json_string)
    except ValueError as error:
        raise ValueError(f"json_string is not JSON: {error}") from None
    with custom_object_scope(custom_objects):
        return from_config(config, "json_string")
