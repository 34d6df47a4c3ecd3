"""Weights. A `Variable` knows its value, or which network holds a fresher copy.

Training changes a network's packed weights, thousands of times a second; a Variable is only told that the
network is its home now, and fetches the value when somebody reads it. Several models may share Variables
(``Sequential(model.layers[:-1])``): whoever changes one marks the other networks that use it as stale, which
costs them a look at a flag before each use.
"""

import threading
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from fastnn.locks import shared_lock

# Guards which copy is the fresh one, never the copying itself.
STATE = shared_lock()


def values(variables: Iterable["Variable"]) -> list[np.ndarray]:
    """Return the values of several variables, read-only: those of one network all of one moment.

    Another thread may train the network meanwhile; it never changes only some of them.
    """
    variables = list(variables)
    for home in {id(v.home): v.home for v in variables}.values():
        if home is not None:
            home.pull()
    with STATE:
        return [v._value for v in variables]


def replace_all(variables: Iterable["Variable"], arrays: Iterable[np.ndarray]) -> None:
    """Take over arrays that `Variable.convert` returned, all of them or, on an error, none."""
    pairs = list(zip(variables, arrays, strict=True))
    with STATE:
        for v, _ in pairs:
            v.require_untrained()
        for v, array in pairs:
            v.replace(array)


class Variable(NDArrayOperatorsMixin):
    """An array of weights of a layer.

    Reads like a read-only NumPy array (``np.asarray(v)``, ``v[0]``, ``v + 1``); change it with `assign`.

    Attributes
    ----------
    name : str
        ``"kernel"``, ``"bias"``, ...
    path : str
        ``"model/layer/kernel"``.
    shape : tuple of int
    dtype : str
    trainable : bool
    regularizer, constraint : object or None
        What training asks of it besides, see ``fastnn.regularizers`` and ``fastnn.constraints``.
    """

    __slots__ = (
        "__weakref__",
        "_home",
        "_users",
        "_value",
        "constraint",
        "dtype",
        "name",
        "path",
        "regularizer",
        "shape",
        "trainable",
    )

    def __init__(
        self,
        value: np.ndarray,
        name: str,
        path: str,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
    ):
        self._value = _frozen(value)
        self._home: Any = None  # the engine with a fresher copy
        self._users: list[weakref.ref] = []  # engines that use this variable
        self.name = name
        self.path = path
        self.shape = value.shape
        self.dtype = value.dtype.name
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint

    @property
    def value(self) -> np.ndarray:
        """The current value, read-only."""
        home = self._home
        if home is not None:
            home.pull()
        return self._value

    def numpy(self) -> np.ndarray:
        """Return a copy of the current value."""
        return self.value.copy()

    def assign(self, value: Any) -> "Variable":
        """Replace the value, here and in every model that uses this variable."""
        self.replace(self.convert(value))
        return self

    def assign_add(self, value: Any) -> "Variable":
        """Add to the value; a number goes to every element."""
        added = np.asarray(value)
        return self.assign(self.value + (added if added.ndim == 0 else self.convert(added)))

    def assign_sub(self, value: Any) -> "Variable":
        """Subtract from the value; a number from every element."""
        return self.assign_add(np.negative(value))

    def convert(self, value: Any) -> np.ndarray:
        """Return ``value`` as an array that can replace this variable's, or raise what is wrong with it."""
        try:
            array = np.asarray(value)
            if array.dtype.kind not in "fiubO":
                raise TypeError(f"its dtype is {array.dtype}")
            array = np.array(array, dtype=self.dtype, order="C")
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.path}: the new value is not an array of numbers ({error}).") from None
        if array.shape != self.shape:
            raise ValueError(
                f"{self.path} has shape {self.shape}, but the new value has shape {array.shape}."
            )
        return array

    def replace(self, array: np.ndarray) -> None:
        """Take over an array that `convert` returned."""
        with STATE:
            self.require_untrained()
            self._value = _frozen(array)
            self._home = None
            for user in self.users():
                user.outdate()

    def require_untrained(self) -> None:
        """Raise where another thread trains this variable; called with STATE held."""
        for user in self.users():
            if user.owner is not None and user.trainer != threading.get_ident():
                raise RuntimeError(f"{self.path} is being trained by another thread; wait for that to end.")

    # Networks -----------------------------------------------------------------------------------------------

    def users(self) -> list[Any]:
        """Return the engines that use this variable."""
        found = [engine for engine in (ref() for ref in self._users) if engine is not None]
        if len(found) < len(self._users):
            self._users = [ref for ref in self._users if ref() is not None]
        return found

    def add_user(self, engine: Any) -> None:
        with STATE:
            self._users = [ref for ref in self._users if ref() is not None]
            for user in self.users():
                user.at_home = False  # shared from now on
            self._users.append(weakref.ref(engine))

    @property
    def home(self) -> Any:
        """The engine that has a fresher copy than ``value`` had when last read, or None."""
        return self._home

    def move(self, engine: Any) -> None:
        """Note that ``engine`` trains this variable; called with STATE held."""
        self._home = engine
        if len(self._users) > 1:
            for user in self.users():
                if user is not engine:
                    user.outdate()

    def fetch(self, array: np.ndarray) -> None:
        """Take over the copy that the home engine fetched; called with STATE held."""
        self._value = _frozen(array)

    # Reading like an array ----------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return self._value.size

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.value, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if any(isinstance(out, Variable) for out in kwargs.get("out", ())):
            raise TypeError(f"{self.path} cannot be changed in place; use assign().")
        return getattr(ufunc, method)(*(i.value if isinstance(i, Variable) else i for i in inputs), **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.value}>"

    def __getstate__(self) -> tuple:
        return self.value, self.name, self.path, self.trainable, self.regularizer, self.constraint

    def __setstate__(self, state: tuple) -> None:
        self.__init__(*state)  # type: ignore[misc]


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
