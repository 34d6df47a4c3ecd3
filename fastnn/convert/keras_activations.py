"""Activations of Keras as ours, and ours as Keras's."""

import functools
from typing import Any

from fastnn import activations
from fastnn.activations import Activation
from fastnn.convert.common import refuse_own
from fastnn.convert.keras_graphs import is_kerass
from fastnn.layers import LAYERS

# Those with arguments that Keras has as layers too, which it can save; it has no partial functions in files.
_LAYERS = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU"}


def as_ours(given: Any) -> Any:
    """Return the activation of what Keras takes for ``activation=``: a function, a partial, or a layer.

    Raises
    ------
    ValueError
        For a function of the user's own, or a layer with weights.
    """
    import keras

    if given is None:
        return None
    if isinstance(given, keras.Layer):
        return _of_layer(given)
    if isinstance(given, functools.partial):
        if given.args:
            raise ValueError(f"activation={given!r}: give the function's arguments by name.")
        return as_ours(given.func).with_arguments(**given.keywords)
    name = getattr(given, "__name__", None)
    if name is None or getattr(keras.activations, name, None) is not given:
        raise ValueError(
            f"activation={given!r} is none of keras.activations, and a function alone has no derivative "
            "here. Take one of those, or convert the model without it, and give the layer that comes out "
            "fastnn.activations.Custom(f, df)."
        )
    return activations.get(name, "activation")


def _of_layer(given: Any) -> Any:
    kind = type(given).__name__
    if is_kerass(given) and kind == "Activation":
        return as_ours(given.activation)
    if is_kerass(given) and kind == "Softmax":
        return activations.softmax.with_arguments(axis=given.axis)
    if is_kerass(given) and kind in LAYERS and hasattr(LAYERS[kind], "as_activation"):
        made = LAYERS[kind].from_config({**given.get_config(), "dtype": None, "name": None})
        return made.as_activation()
    raise ValueError(f"activation={given!r} is a layer; put it behind this one, as a layer of its own.")


def as_kerass(given: Activation, keras: Any, dtype: str) -> Any:
    """Return what Keras takes for ``activation=`` in the place of ours, in a layer of this dtype.

    Raises
    ------
    ValueError
        For one of the user's own.
    """
    refuse_own(given, "Keras")
    function = getattr(keras.activations, given.__name__)
    arguments = given.given()
    if not arguments:
        return function
    if given.__name__ in _LAYERS and all(v is None or v >= 0 for v in arguments.values()):
        return getattr(keras.layers, _LAYERS[given.__name__])(**given.arguments, dtype=dtype)
    return functools.partial(function, **arguments)
