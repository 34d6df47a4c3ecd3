"""Activations: the table of what ``Dense(activation=...)`` takes, each with its formula in NumPy.

Adding one is one entry here and one line in ``csrc/activations.def``. The formulas are what the documentation
shows and what the tests hold the compiled routines against; calling one (``activations.relu(x)``) evaluates
them.
"""

from collections.abc import Callable

import numpy as np

from fastnn.registry import Registry

__all__ = ["Activation", "deserialize", "get", "linear", "relu", "serialize", "sigmoid", "softmax", "tanh"]

ArrayFunction = Callable[[np.ndarray], np.ndarray]


class Activation:
    """A function from pre-activations ``z`` to outputs ``a``, with its derivative.

    Parameters
    ----------
    name : str
        As in ``Dense(activation=name)``.
    function : callable
        ``z -> a`` on arrays. Row-wise ones work along the last axis.
    derivative : callable or None
        For elementwise activations ``f'``, as a function of what ``reads`` says.
    reads : {"output", "input"}
        Whether ``derivative`` takes ``a`` or ``z``; the latter where ``f`` cannot be inverted.
    rowwise : callable or None
        For row-wise activations, ``(a, da) -> dz``: the gradient of a loss passed through.
    """

    def __init__(
        self,
        name: str,
        function: ArrayFunction,
        derivative: ArrayFunction | None = None,
        reads: str = "output",
        rowwise: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        doc: str = "",
    ):
        self.__name__ = self.__qualname__ = name
        self.__doc__ = doc
        self.function = function
        self.derivative = derivative
        self.reads = reads
        self.rowwise = rowwise

    @property
    def name(self) -> str:
        return self.__name__

    def __call__(self, x: object) -> np.ndarray:
        return self.function(_as_float(x))

    def backward(self, z: object, da: object) -> np.ndarray:
        """Return dL/dz for pre-activations ``z`` and ``da`` = dL/da."""
        z, da = _as_float(z), _as_float(da)
        if self.rowwise is not None:
            return self.rowwise(self.function(z), da)
        assert self.derivative is not None
        return da * self.derivative(z if self.reads == "input" else self.function(z))

    def __repr__(self) -> str:
        return f"<activation {self.__name__}>"

    def __reduce__(self) -> tuple:
        return get, (self.__name__,)


def _as_float(x: object) -> np.ndarray:
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


linear = Activation("linear", lambda z: z, np.ones_like, doc="Identity: ``f(z) = z``.")
relu = Activation(
    "relu",
    lambda z: np.maximum(z, 0),
    lambda a: (a > 0).astype(a.dtype),
    doc="Rectified linear unit: ``f(z) = max(z, 0)``, with ``f'(0) = 0``.",
)
sigmoid = Activation(
    "sigmoid",
    _sigmoid,
    lambda a: a * (1 - a),
    doc="Logistic function: ``f(z) = 1 / (1 + exp(-z))``, between 0 and 1.",
)
tanh = Activation("tanh", np.tanh, lambda a: 1 - a * a, doc="Hyperbolic tangent, between -1 and 1.")
softmax = Activation(
    "softmax",
    _softmax,
    rowwise=lambda a, da: a * (da - (a * da).sum(axis=-1, keepdims=True)),
    doc="``exp(z_j) / sum_k exp(z_k)`` along the last axis: each row becomes probabilities that sum to 1.",
)

ACTIVATIONS = Registry(
    "activation",
    "keras.activations",
    {a.__name__: a for a in (linear, relu, sigmoid, softmax, tanh)},
    later="""celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    log_sigmoid log_softmax mish relu6 selu silu soft_shrink softplus softsign sparse_plus sparse_sigmoid
    sparsemax squareplus swish
    tanh_shrink threshold""",
)


def get(identifier: object, argument: str = "activation") -> Activation:
    """Return the activation that a string, ``None`` (linear) or an activation stands for.

    Raises
    ------
    ValueError
        For an unknown name; the message lists those that exist.
    NotImplementedError
        For a function of one's own, and for names of Keras's that fastnn does not have yet.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    if isinstance(identifier, str | dict):
        return ACTIVATIONS.make(identifier, argument)
    if callable(identifier):
        raise NotImplementedError(
            f"{argument}={identifier!r}: functions of your own are not supported yet; use one of "
            f"{ACTIVATIONS.listed()}."
        )
    raise TypeError(
        f"{argument} must be a name or an activation, got {identifier!r} of type {type(identifier).__name__}."
    )


def serialize(activation: Activation) -> str:
    """Return the name of an activation."""
    return get(activation).__name__


def deserialize(config: object, custom_objects: dict | None = None) -> Activation:
    """Return the activation with this name."""
    return get(ACTIVATIONS.make(config, "activation", custom_objects))
