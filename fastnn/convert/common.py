"""What all conversions need: the other framework, if it is there; names that differ; a built model."""

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from fastnn.activations import Activation, Custom
from fastnn.layers import Layer
from fastnn.layers.structure import Nest
from fastnn.models import Sequential


def require(package: str, install: str, what: str) -> Any:
    """Import a package, or raise ImportError with what it is for and how it is installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {package}, which cannot be imported ({error}): pip install {install}"
        ) from error


def require_built(model: Any, what: str) -> Any:
    """Return the model, or raise that it is none of fastnn's, or has no weights yet."""
    if not isinstance(model, Sequential):
        raise TypeError(
            f"{what} takes a fastnn.Sequential, got {type(model).__module__}.{type(model).__qualname__}."
        )
    if not model.layers or not model.built:
        raise ValueError(
            f"{what}: model {model.name!r} has no weights yet: give it Input(shape=(columns,)), build() it, "
            "or fit it first."
        )
    return model


def describe(layer: Any) -> str:
    """Return a layer's name and kind, for messages."""
    return f"layer {layer.name!r} ({type(layer).__name__})"


class Names:
    """Hands out names, each once: a taken one gets a number.

    Parameters
    ----------
    taken : iterable of str
        Names that are never handed out.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def unique(self, name: str) -> str:
        """Return ``name``, or ``name_1``, ``name_2``, ... where that was handed out before."""
        found, number = name, 0
        while found in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found)
        return found


@contextmanager
def blaming(what: str, advice: str = "") -> Iterator[None]:
    """Within, what cannot be converted is a ValueError that begins with ``what``."""
    try:
        yield
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(f"{what}: {error}{advice}") from error


def refuse_own(given: Activation, whose: str) -> None:
    """Raise for an activation of the user's own, which ``whose`` models cannot have."""
    if isinstance(given, Custom):
        raise ValueError(
            f"its activation {given.__name__!r} is of your own, NumPy in Python, which {whose} cannot train."
        )


def copy_trainable(layer: Layer, others: list[bool]) -> None:
    """Tell the weights of a layer that is trained which of them are, in the order of ``layer.weights``.

    Those that are never trained, the statistics of batch normalization, stay so.
    """
    assert not isinstance(layer, Nest)
    if layer.trainable:
        for variable, trained in zip(layer.weights, others, strict=True):
            variable.trainable = variable.trainable and trained


def rest(momentum: float) -> float:
    """Return ``1 - momentum``, which of 0.99 is 0.01 and not 0.010000000000000009."""
    return round(1 - momentum, 15)
