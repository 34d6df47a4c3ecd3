"""The base of all metrics, and the state that they keep between batches."""

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from fastnn.config import standard_dtype
from fastnn.kernels.measures import Measure
from fastnn.names import automatic
from fastnn.registry import Configured


class State(NDArrayOperatorsMixin):
    """A variable of a metric: reads like an array, changed by `assign` and its like.

    Parameters
    ----------
    value : ndarray
        What it holds first.
    name : str
    """

    def __init__(self, value: np.ndarray, name: str):
        self.value = value
        self.name = name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> str:
        return self.value.dtype.name

    def numpy(self) -> np.ndarray:
        """Return a copy of the value."""
        return self.value.copy()

    def assign(self, value: Any) -> "State":
        """Replace the value; a scalar goes to every element."""
        array = np.asarray(value)
        if array.shape not in (self.shape, ()):
            raise ValueError(f"{self.name} has shape {self.shape}, but the new value has {array.shape}.")
        self.value = np.array(np.broadcast_to(array, self.shape), self.value.dtype)
        return self

    def assign_add(self, value: Any) -> "State":
        """Add to the value."""
        return self.assign(self.value + np.asarray(value))

    def assign_sub(self, value: Any) -> "State":
        """Subtract from the value."""
        return self.assign(self.value - np.asarray(value))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.value, dtype=dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return getattr(ufunc, method)(*(i.value if isinstance(i, State) else i for i in inputs), **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __len__(self) -> int:
        return len(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"<State name={self.name}, shape={self.shape}, value={self.value}>"


class Metric(Configured):
    """Base class of the metrics, your own too.

    A metric of your own defines ``update_state(y_true, y_pred, sample_weight=None)`` and ``result()`` in
    NumPy, and keeps what it needs in variables that `add_variable` makes, or in attributes, which its
    ``reset_state()`` then has to clear.

    Parameters
    ----------
    dtype : str, optional
        Of variables, where they are not given another.
    name : str, optional
        The key in histories; by default made of the class's name.

    Attributes
    ----------
    name, dtype : str
    variables : list of State
        Also those of metrics that are attributes of this one.
    """

    _direction: str  # "up" or "down": which values are good; missing where neither is

    def __init__(self, dtype: Any = None, name: str | None = None):
        self.name = name or automatic(type(self).__name__)
        self.dtype = standard_dtype(dtype)
        self._variables: list[State] = []

    def add_variable(
        self,
        shape: Any,
        initializer: Any = None,
        dtype: Any = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> State:
        """Return a new variable.

        Parameters
        ----------
        shape : tuple of int
        initializer : str or Initializer, optional
            By default zeros.
        dtype : str, optional
            By default the metric's.
        aggregation : str
            Accepted for Keras's sake.
        name : str, optional
        """
        self._require_base()
        size = (shape,) if isinstance(shape, int) else tuple(shape)
        value = np.zeros(size)
        if initializer not in (None, "zeros"):
            from fastnn import initializers

            value = np.asarray(initializers.get(initializer)(size))
        made = State(value.astype(dtype or self.dtype), name or f"variable_{len(self._variables)}")
        self._variables.append(made)
        return made

    def add_weight(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> State:
        """Return a new variable; see `add_variable`."""
        return self.add_variable(shape=shape, initializer=initializer, dtype=dtype, name=name)

    @property
    def variables(self) -> list[State]:
        found = list(self._variables)
        for value in self.__dict__.values():
            if isinstance(value, Metric):
                found.extend(value.variables)
        return found

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a batch: of most metrics, ``(y_true, y_pred, sample_weight=None)``."""
        raise NotImplementedError(f"{type(self).__name__} has to define update_state().")

    def result(self) -> Any:
        """Return the value over all batches since the last `reset_state`, a number or an array of them."""
        raise NotImplementedError(f"{type(self).__name__} has to define result().")

    def reset_state(self) -> None:
        """Forget all batches: variables become 0."""
        for variable in self.variables:
            variable.assign(0)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a batch and return the value so far."""
        self._require_base()
        self.update_state(*args, **kwargs)
        return self.result()

    def _require_base(self) -> None:
        if "_variables" not in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}.__init__() has to call super().__init__() first.")

    def measure(self, units: int) -> Measure | None:
        """Return what the native epoch does for it with so many outputs; None where it cannot."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def number(value: Any) -> Any:
    """Return a result as a float where it is one number, else as an array."""
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array
