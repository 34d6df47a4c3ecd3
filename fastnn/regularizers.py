"""Regularizers, ``keras.regularizers``: penalties on weights or outputs that are added to the loss.

In ``fit`` the penalty of a batch is that of the weights before its step; of weights that are not trained
there is none. Those of this module run inside the compiled step. For one of your own see `Regularizer`.
"""

import math
from typing import Any

import numpy as np

from fastnn.names import snake_case
from fastnn.registry import Configured, Registry, serialize as _serialize

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "serialize",
]


class Regularizer(Configured):
    """Base class, and the way to a penalty of your own.

    A subclass defines, in NumPy, ``__call__(x)``, the penalty of an array of weights as a number, and
    ``gradient(x)``, its derivative with respect to each weight, of the shape of ``x``; and ``get_config``
    where it is to be copied or written as JSON. In training both are called once a step, which costs a call
    into Python: tens of microseconds, and the step's threads wait.

    Examples
    --------
    >>> class Quartic(Regularizer):
    ...     def __call__(self, x):
    ...         return 0.01 * np.sum(x**4)
    ...
    ...     def gradient(self, x):
    ...         return 0.04 * x**3
    """

    def __call__(self, x: Any) -> float:
        """Return the penalty of an array."""
        return 0.0

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Return the derivative of the penalty, an array like ``x``."""
        raise NotImplementedError(
            f"{type(self).__name__} has no gradient: define gradient(self, x), the derivative of the penalty "
            "with respect to each weight, as a NumPy array of the shape of x."
        )

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} does not define get_config().")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class L1L2(Regularizer):
    """``l1 * sum(abs(x)) + l2 * sum(x**2)``.

    Parameters
    ----------
    l1, l2 : float
        At least 0.
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = _factor(0.0 if l1 is None else l1, "l1")
        self.l2 = _factor(0.0 if l2 is None else l2, "l2")

    def __call__(self, x):
        x = np.asarray(x)
        return float(self.l1 * np.abs(x).sum() + self.l2 * np.square(x).sum())

    def gradient(self, x):
        return (self.l1 * np.sign(x) + 2 * self.l2 * x).astype(x.dtype)

    def get_config(self):
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """``l1 * sum(abs(x))``: pulls weights to zero.

    Parameters
    ----------
    l1 : float
        At least 0.
    """

    def __init__(self, l1=0.01):
        super().__init__(l1=0.01 if l1 is None else l1)

    def get_config(self):
        return {"l1": self.l1}


class L2(L1L2):
    """``l2 * sum(x**2)``: keeps weights small.

    Parameters
    ----------
    l2 : float
        At least 0.
    """

    def __init__(self, l2=0.01):
        super().__init__(l2=0.01 if l2 is None else l2)

    def get_config(self):
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean of ``abs(cos)`` over all pairs of a kernel's rows, or columns.

    ``factor * sum(abs(p[i, j]) for i < j) / (n * (n - 1) / 2)`` with ``p`` the products of the n rows, each
    divided by its norm. A kernel with one row has no pairs, and no penalty.

    Parameters
    ----------
    factor : float
        At least 0.
    mode : {"rows", "columns"}
        What is to be orthogonal.
    """

    def __init__(self, factor=0.01, mode="rows"):
        self.factor = _factor(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ValueError(f"OrthogonalRegularizer: mode must be 'rows' or 'columns', got {mode!r}.")
        self.mode = mode

    def _products(self, x: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Return the rows divided by their norms, one over those, the products, and the factor of a pair."""
        x = np.asarray(x)
        if x.ndim != 2:
            raise ValueError(
                f"OrthogonalRegularizer is for kernels, arrays of two dimensions; got shape {x.shape}."
            )
        rows = x if self.mode == "rows" else x.T
        with np.errstate(divide="ignore"):
            inverse = np.minimum(1 / np.sqrt(np.square(rows).sum(axis=1, keepdims=True)), 1e7)
        normal = rows * inverse
        products = normal @ normal.T
        np.fill_diagonal(products, 0)
        n = len(rows)
        return normal, inverse, products, self.factor / (n * (n - 1) / 2) if n > 1 else 0.0

    def __call__(self, x):
        _, _, products, scale = self._products(x)
        return float(scale * 0.5 * np.abs(products).sum())

    def gradient(self, x):
        normal, inverse, products, scale = self._products(x)
        slope = scale * (np.sign(products) @ normal)
        found = inverse * (slope - normal * (slope * normal).sum(axis=1, keepdims=True))
        return (found if self.mode == "rows" else found.T).astype(x.dtype)

    def get_config(self):
        return {"factor": self.factor, "mode": self.mode}


def _factor(value: Any, name: str) -> float:
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}.")
    if not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {value!r}.")
    return float(value)


_CLASSES = (L1, L1L2, L2, OrthogonalRegularizer)
REGULARIZERS = Registry(
    "regularizer",
    "keras.regularizers",
    {
        "l1": L1,
        "l1_l2": L1L2,
        "l2": L2,
        **{snake_case(c.__name__): c for c in _CLASSES},
        **{c.__name__: c for c in _CLASSES},
        "l1l2": L1L2,
        "regularizer": Regularizer,
        "Regularizer": Regularizer,
    },
    bases="regularizer Regularizer",
)
# Keras has each class under a function's name too.
l1, l1_l2, l2, orthogonal_regularizer = L1, L1L2, L2, OrthogonalRegularizer


def get(identifier: Any, argument: str = "regularizer") -> Any:
    """Return the regularizer that a name, class, config or object stands for; None for None.

    Raises
    ------
    NotImplementedError
        For a function: training needs its gradient.
    TypeError, ValueError
        For what is no regularizer.
    """
    if identifier is None:
        return None
    found = REGULARIZERS.make(identifier, argument) if isinstance(identifier, str | dict) else identifier
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise TypeError(f"{argument} must be a name or a regularizer, got {identifier!r}.")
    if not hasattr(found, "gradient"):
        raise NotImplementedError(
            f"{argument}={identifier!r}: training needs the gradient of the penalty. Make it a subclass of "
            "regularizers.Regularizer with __call__(self, x) and gradient(self, x), both in NumPy."
        )
    return found


def require_kernel(regularizer: Any, shape: tuple[int, ...], path: str) -> None:
    """Raise for a regularizer that is only for kernels, where the array is none."""
    if isinstance(regularizer, OrthogonalRegularizer) and len(shape) != 2:
        raise ValueError(
            f"{path} has shape {shape}; OrthogonalRegularizer is for kernels, arrays of two dimensions."
        )


def of_outputs(regularizer: Any, argument: str) -> tuple[float, float] | None:
    """Return the two factors, of absolute values and of squares, of a penalty on a layer's outputs."""
    if regularizer is None:
        return None
    found = asked(regularizer).get("penalty", (0.0, 0.0) if type(regularizer) is Regularizer else None)
    if found is None:
        raise NotImplementedError(
            f"{argument}={regularizer!r}: of outputs only L1, L2 and L1L2 are supported, which go row by row."
        )
    return found if any(found) else None


def asked(regularizer: Any) -> dict[str, Any]:
    """Return what a regularizer asks of the training of an array, as the compiled network takes it."""
    if regularizer is None or type(regularizer) is Regularizer:
        return {}
    kind = type(regularizer)
    if isinstance(regularizer, L1L2) and kind.__call__ is L1L2.__call__:
        return {"penalty": (regularizer.l1, regularizer.l2)}
    if isinstance(regularizer, OrthogonalRegularizer) and kind.__call__ is OrthogonalRegularizer.__call__:
        return {"orthogonal": (regularizer.factor, regularizer.mode)}
    return {"own_penalty": regularizer}


def serialize(regularizer: Any) -> Any:
    """Return Keras's serialised form of a regularizer."""
    return _serialize(regularizer, REGULARIZERS)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the regularizer of a serialised form."""
    return config if config is None else REGULARIZERS.make(config, "regularizer", custom_objects)
