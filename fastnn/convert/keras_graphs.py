"""The layers of a Keras model in the order in which rows pass them, models within it taken apart.

Keras's functional models are graphs. Those that are a chain are taken, also with branches that leave it and
are added to it again: ``x + f(x)``, which is fastnn's `Residual`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn.convert.common import describe


class Link(NamedTuple):
    """A layer on the way.

    Attributes
    ----------
    layer : keras.Layer or keras.Operation
    trained : bool
        Whether the models around it, but for the outermost, are trained.
    inside : list of Link or None
        Of an addition, the layers f of ``x + f(x)``; else None.
    """

    layer: Any
    trained: bool = True
    inside: list[Link] | None = None


def chain(model: Any) -> list[Link]:
    """Return the links of a Keras model that is built.

    Raises
    ------
    ValueError
        For a graph that is no chain, or with layers that are used twice; it names the first one.
    """
    found = _of_model(model, True)
    _require_once(found, set())
    return found


def is_kerass(thing: Any) -> bool:
    """Whether the class is one of Keras's, not the user's own."""
    return type(thing).__module__.partition(".")[0] == "keras"


def _of_model(model: Any, trained: bool) -> list[Link]:
    import keras

    owner = next(kind for kind in type(model).__mro__ if "call" in vars(kind))
    if owner.__module__.partition(".")[0] != "keras":
        raise ValueError(
            f"model {model.name!r} is a {type(model).__name__}, whose own call() nobody can read: take a "
            "Sequential or functional model."
        )
    if isinstance(model, keras.Sequential):
        return [link for layer in model.layers for link in _of_layer(layer, trained)]
    inputs, outputs = list(model.inputs), list(model.outputs)
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            f"model {model.name!r} has {len(inputs)} inputs and {len(outputs)} outputs; fastnn's models have "
            "one each."
        )
    return _between(inputs[0], outputs[0], trained)


def _of_layer(layer: Any, trained: bool) -> list[Link]:
    if type(layer).__name__ in ("InputLayer", "Identity") and is_kerass(layer):
        return []
    if hasattr(layer, "compile_from_config"):  # a model
        return _of_model(layer, trained and layer.trainable)
    return [Link(layer, trained)]


def _between(source: Any, tensor: Any, trained: bool) -> list[Link]:
    """Return what lies between two symbolic tensors, going back from the second."""
    found: list[Link] = []
    while tensor is not source:
        layer, before = _made_by(tensor)
        if len(before) == 1:
            found = [*_of_layer(layer, trained), *found]
            tensor = before[0]
            continue
        if len(before) != 2 or type(layer).__name__ != "Add" or not is_kerass(layer):
            raise ValueError(
                f"{describe(layer)} takes {len(before)} tensors: the model is not a chain of layers, or one "
                "with x + f(x) in it."
            )
        start, end = before if _leads(before[0], before[1]) else before[::-1]
        if start is end or not _leads(start, end) or tuple(start.shape) != tuple(end.shape):
            raise ValueError(
                f"{describe(layer)} adds tensors of shapes {tuple(start.shape)} and {tuple(end.shape)}, "
                "neither of which is made of the other by layers that keep its shape: only x + f(x) is taken."
            )
        found = [Link(layer, trained, _between(start, end, trained)), *found]
        tensor = start
    return found


def _made_by(tensor: Any) -> tuple[Any, list[Any]]:
    """Return the layer that a symbolic tensor comes out of, and the tensors that went in."""
    history = tensor._keras_history
    layer = history.operation
    arguments = layer._inbound_nodes[history.node_index].arguments
    if arguments.kwargs.get("training"):
        raise ValueError(
            f"{describe(layer)} was called with training=True: it acts in predictions too, which fastnn's "
            "layers do not."
        )
    before = list(arguments.keras_tensors)
    if not before:
        raise ValueError(f"{describe(layer)} is where a branch begins that is not the model's input.")
    return layer, before


def _leads(source: Any, tensor: Any) -> bool:
    """Whether ``tensor`` is made of ``source``."""
    rest, seen = [tensor], set()
    while rest:
        one = rest.pop()
        if one is source:
            return True
        if id(one) in seen:
            continue
        seen.add(id(one))
        history = one._keras_history
        rest += history.operation._inbound_nodes[history.node_index].arguments.keras_tensors
    return False


def _require_once(links: list[Link], seen: set[int]) -> None:
    for link in links:
        if id(link.layer) in seen:
            raise ValueError(
                f"{describe(link.layer)} is used more than once; here, a layer stands in one place."
            )
        seen.add(id(link.layer))
        _require_once(link.inside or [], seen)
