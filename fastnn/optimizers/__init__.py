"""Optimizers, by name or object (``keras.optimizers``)."""

from typing import Any

from fastnn.optimizers import schedules
from fastnn.optimizers.adafactor import Adafactor
from fastnn.optimizers.adagrad import Adadelta, Adagrad
from fastnn.optimizers.adam import Adam, Adamax, AdamW, Nadam
from fastnn.optimizers.ftrl import Ftrl
from fastnn.optimizers.lamb import Lamb
from fastnn.optimizers.lion import Lion
from fastnn.optimizers.muon import Muon
from fastnn.optimizers.optimizer import Optimizer
from fastnn.optimizers.rmsprop import RMSprop
from fastnn.optimizers.sgd import SGD
from fastnn.registry import Registry, parse, serialize as _serialize

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

_CLASSES: tuple[type[Optimizer], ...] = (
    *(Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Muon, Nadam, RMSprop, SGD),
)
# By Keras's names in lower case, which are listed in messages; a config states the class name.
TABLE: dict[str, type[Optimizer]] = {c.__name__.lower(): c for c in _CLASSES}
OPTIMIZERS = Registry(
    "optimizer",
    "keras.optimizers",
    {**TABLE, **{c.__name__: c for c in _CLASSES}},
    later="lossscaleoptimizer multioptimizer schedulefreeadamw",
)


def get(identifier: Any, argument: str = "optimizer") -> Any:
    """Return the optimizer that a name (in any case), config or object stands for; None for None."""
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        known = identifier if identifier in OPTIMIZERS else identifier.lower()
        if known not in OPTIMIZERS and known not in OPTIMIZERS.later:
            known = identifier  # the message shows what was written
        return OPTIMIZERS.make(known, argument)
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        raise TypeError(
            f"{argument} is the class {identifier.__name__}; make an object of it: {identifier.__name__}()."
        )
    raise TypeError(
        f"{argument} must be a name or an Optimizer, got {identifier!r} of type {type(identifier).__name__}."
    )


def serialize(optimizer: Any) -> Any:
    """Return Keras's serialised form of an optimizer."""
    return _serialize(optimizer, OPTIMIZERS)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the optimizer of a serialised form."""
    name, inner = parse(config, "optimizer")
    if name not in OPTIMIZERS and name not in (custom_objects or ()):
        name = name.lower()  # Keras reads built-in names in any case
    return OPTIMIZERS.make({"class_name": name, "config": inner}, "optimizer", custom_objects)
