"""What all optimizers share: Keras's arguments, and the link to the networks that train with them."""

import math
import weakref
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastnn.names import automatic, check
from fastnn.registry import Configured


class Hyper(NamedTuple):
    """A number that the update reads, and the range it must be in (``low <= value < high``)."""

    default: float
    low: float = 0.0
    high: float = math.inf


class Scalar(float):
    """A float with the methods of Keras's scalar variables: ``.numpy()``, ``.value``, ``.assign()``."""

    _owner: "Optimizer"
    _name: str

    @property
    def value(self) -> float:
        return float(self)

    def numpy(self) -> np.floating:
        return np.float64(self)

    def assign(self, value: float) -> None:
        setattr(self._owner, self._name, value)

    def __reduce__(self) -> tuple:
        return float, (float(self),)


class Count(int):
    """An int with ``.numpy()`` and ``.value``, as Keras's ``optimizer.iterations``."""

    @property
    def value(self) -> int:
        return int(self)

    def numpy(self) -> np.integer:
        return np.int64(self)


# Keras's arguments that every optimizer takes, with the values that mean "off".
_LATER: dict[str, Any] = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class Optimizer(Configured):
    """Base class of the optimizers.

    Subclasses declare ``native`` (the name of the compiled update), ``hypers`` (what it reads), ``slots``
    (arrays it keeps for each weight) and `update`, the formula.

    Attributes
    ----------
    learning_rate : float
        Can be assigned at any time, also between the epochs of a running ``fit``.
    iterations : int
        Steps taken so far.
    """

    native: ClassVar[str]
    hypers: ClassVar[dict[str, Hyper]] = {}
    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(self, learning_rate: float, name: str | None = None, **arguments: Any):
        for key, off in _LATER.items():
            value = arguments.pop(key, off)
            setattr(self, key, off if value is None else value)
        if arguments:
            raise TypeError(
                f"{type(self).__name__} takes no argument "
                f"{', '.join(map(repr, arguments))}.{_old_names(arguments)}"
            )
        self.name = automatic(type(self).__name__) if name is None else check(name, type(self).__name__)
        self._hyper: dict[str, float] = {}
        self._engines: list[weakref.ref] = []
        self._set("learning_rate", learning_rate)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("lr", "decay"):
            raise AttributeError(f"{type(self).__name__} has no {name!r}.{_old_names({name: value})}")
        if name in _LATER and value != _LATER[name] and name != "ema_momentum":  # which alone has no effect
            raise NotImplementedError(
                f"{type(self).__name__}: {name}={value!r} is not in fastnn yet; leave it at {_LATER[name]!r}."
            )
        super().__setattr__(name, value)

    # What training reads ------------------------------------------------------------------------------------

    def native_hypers(self) -> dict[str, float]:
        """Return the numbers for the compiled update, by name."""
        return dict(self._hyper)

    def slots_used(self) -> tuple[str, ...]:
        """Return the slots that the update needs with the present numbers."""
        return self.slots

    @staticmethod
    def update(w, g, slots, step, hyper):
        """Return (new weights, new slots) after step ``step``, counted from 1, with gradient ``g``."""
        raise NotImplementedError

    def bind(self, engine: Any) -> None:
        """Remember a network that trains with this optimizer, so that assigned numbers reach it."""
        self._engines = [ref for ref in self._engines if ref() not in (None, engine)]
        self._engines.append(weakref.ref(engine))

    def _bound(self) -> list[Any]:
        engines = [ref() for ref in self._engines]
        return [e for e in engines if e is not None and e.optimizer is self]

    def _set(self, name: str, value: Any) -> None:
        value = _number(value, f"{type(self).__name__}: {name}")
        limits = self.hypers[name]
        if not limits.low <= value < limits.high:
            upper = "" if limits.high == math.inf else f" and below {limits.high:g}"
            raise ValueError(
                f"{type(self).__name__}: {name} must be at least {limits.low:g}{upper}, got {value!r}."
            )
        for engine in self._bound():
            engine.set_hyper(name, value)  # first, since it may refuse
        self._hyper[name] = value

    @property
    def iterations(self) -> Count:
        engines = self._bound()
        return Count(engines[-1].net.iterations if engines else 0)

    @property
    def learning_rate(self) -> Scalar:
        found = Scalar(self._hyper["learning_rate"])
        found._owner, found._name = self, "learning_rate"
        return found

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._set("learning_rate", value)

    # Configuration ------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        later = {key: getattr(self, key) for key in _LATER}
        return {"name": self.name, "learning_rate": self._hyper["learning_rate"], **later}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engines": []}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name} learning_rate={self._hyper['learning_rate']:g}>"


def hyper(name: str) -> Any:
    """Return a property for one of ``hypers``."""

    def read(self: Optimizer) -> float:
        return self._hyper[name]

    def write(self: Optimizer, value: Any) -> None:
        self._set(name, value)

    return property(read, write)


def _number(value: Any, what: str) -> float:
    if callable(value):
        raise NotImplementedError(
            f"{what}={value!r}: schedules are not in fastnn yet; use a number, or a callback that assigns it."
        )
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a number, got {value!r} of type {type(value).__name__}.") from None
    if isinstance(value, str | bool):
        raise TypeError(f"{what} must be a number, got {value!r} of type {type(value).__name__}.")
    if not math.isfinite(number):
        raise ValueError(f"{what} must be finite, got {value!r}.")
    return number


def _old_names(arguments: dict[str, Any]) -> str:
    if "lr" in arguments:
        return " Since Keras 3, 'lr' is 'learning_rate'."
    if "decay" in arguments:
        return " Since Keras 3, 'decay' is a learning-rate schedule."
    return ""
