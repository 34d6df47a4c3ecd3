"""From an estimator's arguments to the layers of its network, and from its weights to the network's.

Behind each hidden layer come, where asked for, in this order: normalization, activation, dropout.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastnn import activations
from fastnn.activations import Custom
from fastnn.estimators.options import ACTIVATIONS

# scikit-learn's names, of hidden layers and of the last one, and what the kernels call them
_NAMES = {
    "identity": "linear",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exponential",
}
# vectors of a normalization, in the order of ``Network.weights``, and what they are at first
VECTORS = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
_LAYER_NORM, _BATCH_NORM = ("gamma", "beta"), tuple(VECTORS)
_EPSILON, _MOMENTUM = 1e-3, 0.99  # Keras's


class Weights(NamedTuple):
    """All that an estimator has learned; of each hidden layer's normalization, the vectors."""

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    norms: list[dict[str, np.ndarray]]

    def flat(self) -> list[np.ndarray]:
        """Return them in the order of ``Network.weights``."""
        found: list[np.ndarray] = []
        for i, pair in enumerate(zip(self.coefs, self.intercepts, strict=True)):
            found.extend(pair)
            if i < len(self.norms):
                found.extend(self.norms[i][name] for name in VECTORS if name in self.norms[i])
        return found

    def like(self, arrays: Sequence[np.ndarray]) -> "Weights":
        """Return the same with other values, given in the order of ``Network.weights``."""
        rest = iter(arrays)
        found = Weights([], [], [])
        for i in range(len(self.coefs)):
            found.coefs.append(next(rest))
            found.intercepts.append(next(rest))
            if i < len(self.norms):
                found.norms.append({name: next(rest) for name in VECTORS if name in self.norms[i]})
        return found

    def kinds(self) -> list[str]:
        """Return what each of `flat` is: "kernel", "bias", or a name of `VECTORS`."""
        found = []
        for i in range(len(self.coefs)):
            found += ["kernel", "bias"]
            if i < len(self.norms):
                found += [name for name in VECTORS if name in self.norms[i]]
        return found

    @property
    def trained(self) -> list[np.ndarray]:
        """All that an optimizer moves: kernels, biases, then the vectors of normalizations."""
        vectors = [norm[name] for norm in self.norms for name in _LAYER_NORM if name in norm]
        return [*self.coefs, *self.intercepts, *vectors]

    def with_trained(self, arrays: Sequence[np.ndarray]) -> "Weights":
        """Return the same with other values of what `trained` gives, in that order."""
        rest, count = iter(arrays), len(self.coefs)
        coefs = [next(rest) for _ in range(count)]
        intercepts = [next(rest) for _ in range(count)]
        norms = [
            {name: next(rest) if name in _LAYER_NORM else norm[name] for name in norm} for norm in self.norms
        ]
        return Weights(coefs, intercepts, norms)

    def copy(self) -> "Weights":
        """Return copies of all."""
        return self.like([w.copy() for w in self.flat()])


def each(value: Any, count: int, name: str) -> list[Any]:
    """Return an argument's value for each hidden layer: a list's items, or the same for all."""
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{name} has {len(value)} items for {count} hidden layers: give one for each, or one for all."
        )
    return list(value)


def require_layers(activation: Any, dropout: Any, count: int) -> None:
    """Raise for an item of a list that cannot be, or too many or too few of them."""
    for i, one in enumerate(each(activation, count, "activation")):
        if isinstance(one, str) and one not in ACTIVATIONS:
            known = ", ".join(sorted(map(repr, ACTIVATIONS)))
            raise ValueError(f"activation[{i}] must be one of {known}, got {one!r}.")
        _specification(one, f"activation[{i}]" if isinstance(activation, list | tuple) else "activation")
    for i, one in enumerate(each(dropout, count, "dropout")):
        if isinstance(one, bool | str) or not hasattr(one, "__float__") or not 0 <= one < 1:
            raise ValueError(f"dropout[{i}] must be a number in [0, 1), got {one!r}.")


def _specification(activation: Any, argument: str = "activation") -> Any:
    # what `Network` takes; of one of the user's own, an operation
    if isinstance(activation, str) and activation in _NAMES:
        return _NAMES[activation]
    found = activations.for_layer(activation, argument)
    return found.operation if isinstance(found, Custom) else found.specification


def _hidden(units: int, activation: Any, norm: tuple[tuple, ...]) -> list[tuple]:
    specification = _specification(activation)
    own = isinstance(specification, tuple) and specification[0] == "own"
    if not norm and not own:
        return [(units, specification, True)]
    behind = [specification] if own else [] if specification == "linear" else [("activation", specification)]
    return [(units, "linear", True), *norm, *behind]


def plan(weights: Weights, activation: Any, out_activation: str, dropout: Any = 0.0) -> tuple[tuple, ...]:
    """Return the layers, as `Network` takes them.

    Parameters
    ----------
    weights : Weights
        Whose shapes, and kinds of normalizations, count.
    activation : str, Activation, or list of them
    out_activation : str
        scikit-learn's name.
    dropout : float or list of float
    """
    *hidden, last = weights.coefs
    found: list[tuple] = []
    names, rates = each(activation, len(hidden), "activation"), each(dropout, len(hidden), "dropout")
    for i, kernel in enumerate(hidden):
        found += _hidden(kernel.shape[1], names[i], _norm(weights.norms[i]) if weights.norms else ())
        if rates[i]:
            found.append(("drop", (float(rates[i]), 1 / (1 - float(rates[i])), 0.0, 0.0)))
    return (*found, (last.shape[1], _NAMES[out_activation], True))


def _norm(vectors: dict[str, np.ndarray]) -> tuple[tuple, ...]:
    if "moving_mean" in vectors:
        return (("batch_norm", (_EPSILON, _MOMENTUM), (True, True)),)
    return (("layer_norm", (_EPSILON, 1.0), (True, True)),)


def calls_python(layers: Sequence[tuple]) -> bool:
    """Whether an activation is a Python function."""
    return any(layer[0] == "own" for layer in layers)


def first_weights(e: Any, sizes: Sequence[int], dtype: Any, generator: Any) -> Weights:
    """Return weights as scikit-learn draws them (Glorot and Bengio, 2010), for an estimator's arguments.

    Parameters
    ----------
    e : BaseMLP
    sizes : list of int
        Columns, units of each hidden layer, outputs.
    dtype : dtype
    generator : RandomState
    """
    hidden = len(sizes) - 2
    names = each(e.activation, hidden, "activation")
    # there, the last layer is drawn for the hidden layers' activation
    names.append(names[-1] if names else e.activation)
    found = Weights([], [], [])
    for (inputs, units), name in zip(pairwise(sizes), names, strict=True):
        logistic = isinstance(name, str) and name in ("logistic", "sigmoid")
        bound = np.sqrt((2.0 if logistic else 6.0) / (inputs + units))
        found.coefs.append(generator.uniform(-bound, bound, (inputs, units)).astype(dtype, copy=False))
        found.intercepts.append(generator.uniform(-bound, bound, units).astype(dtype, copy=False))
    vectors = _BATCH_NORM if e.batch_norm else _LAYER_NORM if e.layer_norm else ()
    if vectors:
        for units in sizes[1:-1]:
            found.norms.append({name: np.full(units, VECTORS[name], dtype) for name in vectors})
    return found
