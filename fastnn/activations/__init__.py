"""Activations (``keras.activations``): what ``Dense(activation=...)`` takes, and functions on arrays.

A layer takes a name (``"elu"``), a function (``activations.elu``), or one with arguments of its own::

    Dense(10, activation=functools.partial(activations.relu, max_value=6))

Formulas and arguments are Keras 3's; each function's docstring has them.
"""

import functools
from typing import Any

from fastnn.activations.activation import Activation, Custom, restored
from fastnn.activations.functions import (
    FORMS as FORMS,
    FUNCTIONS as FUNCTIONS,
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)
from fastnn.registry import Registry

__all__ = [
    "Activation",
    "Custom",
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]


class _WithArguments:
    """Makes activations of the configs that `serialize` returns."""

    @staticmethod
    def from_config(config: dict) -> Activation:
        name, arguments = config.get("name"), config.get("arguments", {})
        if not isinstance(name, str) or name not in FUNCTIONS or not isinstance(arguments, dict):
            raise ValueError(
                f"an activation's config needs the 'name' of a function and its 'arguments', got {config!r}."
            )
        return restored(name, arguments)


ACTIVATIONS = Registry(
    "activation",
    "keras.activations",
    {**FUNCTIONS, "swish": swish, "hard_swish": hard_swish, "Activation": _WithArguments},
)


def get(identifier: object, argument: str = "activation") -> Activation:
    """Return the activation that a name, a function, a partial, a config or ``None`` (linear) stands for.

    Parameters
    ----------
    identifier : str, Activation, functools.partial of one, dict or None
        An object with a method ``as_activation`` is asked.
    argument : str
        For messages.

    Raises
    ------
    ValueError
        For an unknown name; the message lists those that exist.
    TypeError
        For something else, or arguments that the function does not have.
    NotImplementedError
        For a function that is none of these: its derivative is not known.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    if isinstance(identifier, str | dict):
        return get(ACTIVATIONS.make(identifier, argument), argument)
    if isinstance(identifier, functools.partial) and isinstance(identifier.func, Activation):
        if identifier.args:
            raise TypeError(
                f"{argument}: give the arguments of {identifier.func.__name__} by name; what comes first "
                f"is the array, but functools.partial has {identifier.args!r}."
            )
        return identifier.func.with_arguments(**identifier.keywords)
    if callable(getattr(identifier, "as_activation", None)):
        return identifier.as_activation()  # type: ignore[attr-defined]
    if callable(identifier):
        raise NotImplementedError(
            f"{argument}={identifier!r}: a function alone has no derivative; for one of your own write "
            "activations.Custom(f, df). For Keras's functions with other arguments write "
            "functools.partial(activations.relu, max_value=6), or a layer such as ReLU(max_value=6). "
            f"There are: {ACTIVATIONS.listed()}."
        )
    raise TypeError(
        f"{argument} must be a name or an activation, got {identifier!r} of type {type(identifier).__name__}."
    )


def for_layer(identifier: object, argument: str = "activation") -> Activation:
    """Return the same, but only what a layer can train with.

    Raises
    ------
    ValueError, TypeError
        As `get`; also where a function needs arguments.
    NotImplementedError
        For glu, and for an axis that is not the last.
    """
    found = get(identifier, argument)
    if not found.form.compiled:
        raise NotImplementedError(
            f"{argument}={found.__name__!r}: {found.__name__} halves the number of columns, which a layer "
            f"cannot. Apply it to arrays: activations.{found.__name__}(x)."
        )
    if found.arguments.get("axis", -1) not in (-1, 1):
        raise NotImplementedError(
            f"{argument}={found!r}: a layer works along its units, axis=-1, but axis is "
            f"{found.arguments['axis']}."
        )
    return found


def serialize(activation: object) -> str | dict[str, Any]:
    """Return the name of an activation; with its arguments, if they are not the defaults.

    That of a `Custom` one is found again in ``custom_objects`` under its name.
    """
    found = get(activation)
    if not found.given():
        return found.__name__
    return {
        "module": ACTIVATIONS.module,
        "class_name": "Activation",
        "config": {"name": found.__name__, "arguments": found.given()},
        "registered_name": None,
    }


def deserialize(config: object, custom_objects: dict | None = None) -> Activation:
    """Return the activation of what `serialize` returned."""
    return get(ACTIVATIONS.make(config, "activation", custom_objects))
