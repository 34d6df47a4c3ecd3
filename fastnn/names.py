"""Automatic names of layers, models and optimizers: ``dense``, ``dense_1``, ... as in Keras."""

import itertools
from collections import defaultdict

from fastnn.locks import shared_lock

_counters: defaultdict[str, itertools.count] = defaultdict(itertools.count)
_LOCK = shared_lock()


def snake_case(name: str) -> str:
    """``BatchNormalization`` -> ``batch_normalization``."""
    out = ""
    for i, c in enumerate(name):
        if c.isupper() and i and (not name[i - 1].isupper() or name[i + 1 : i + 2].islower()):
            out += "_"
        out += c.lower()
    return out


def automatic(kind: str) -> str:
    """Return the next unused name for a class called ``kind``."""
    base = snake_case(kind)
    with _LOCK:
        number = next(_counters[base])
    return base if number == 0 else f"{base}_{number}"


def check(name: object, what: str) -> str:
    """Return ``name`` if it can serve as a name, in paths like ``model/layer/kernel`` too."""
    if not isinstance(name, str):
        raise TypeError(f"{what}: name must be a string, got {name!r} of type {type(name).__name__}.")
    if not name or "/" in name:
        raise ValueError(f"{what}: name must have at least one character and no '/', got {name!r}.")
    return name


def restart() -> None:
    """Start all counters again (``utils.clear_session``)."""
    _counters.clear()
