"""The native side of the estimators: networks that predict, train, or give SciPy a loss and its gradient.

scikit-learn's loss of a batch is ``(sum of w_i * loss_i + alpha / 2 * sum of kernels' squares) / S``, S the
sum of the batch's weights w_i, or its rows. The network divides both by S itself (``shared_penalties``), so
that an epoch is one native call, whatever rows its last batch has.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse

from fastnn.kernels.loops import loss_gradients
from fastnn.kernels.network import Network
from fastnn.kernels.training import Training

# scikit-learn's names of activations
ACTIVATIONS = {
    "identity": "linear",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exponential",
}
CHUNK = 4096  # rows of a sparse matrix that predictions make dense together

Weights = tuple[list[np.ndarray], list[np.ndarray]]  # kernels, biases


def dense(X: Any, dtype: Any) -> np.ndarray:
    """Return rows as the kernels read them."""
    return np.require(X.toarray() if issparse(X) else X, dtype, ["C", "A"])


def targets(y: np.ndarray, out_activation: str, dtype: Any) -> np.ndarray:
    """Return targets as the loss of `loss_of` takes them, from (rows, outputs); of softmax, class numbers."""
    if out_activation == "softmax":
        y = y.argmax(axis=1).reshape(-1, 1)
    return np.require(y, dtype, ["C", "A"])


def loss_of(out_activation: str, outputs: int, dtype: Any) -> tuple[Any, tuple[float, float]]:
    """Return the native loss that goes with the output, and what its gradient and it are multiplied by.

    scikit-learn sums over the outputs where the kernels take the mean; but for the squared error, that is
    only so of the gradient.
    """
    if out_activation == "softmax":
        return "sparse_categorical_crossentropy", (1.0, 1.0)
    if out_activation == "logistic":
        return "binary_crossentropy", (outputs, outputs)
    if out_activation == "exp":
        return ("poisson", (float(np.finfo(dtype).tiny),)), (outputs, outputs)
    return "mean_squared_error", (outputs / 2, 0.5)


def plan(coefs: Sequence[np.ndarray], activation: str, out_activation: str) -> list[tuple[int, str, bool]]:
    """Return the layers, as `Network` takes them."""
    names = [activation] * (len(coefs) - 1) + [out_activation]
    return [(w.shape[1], ACTIVATIONS[name], True) for w, name in zip(coefs, names, strict=True)]


def interleaved(weights: Weights) -> list[np.ndarray]:
    """Return kernels and biases in the order of ``Network.weights``."""
    return [array for pair in zip(*weights, strict=True) for array in pair]


class Forward:
    """Networks that predict with an estimator's weights, made when first needed, and not pickled."""

    def __init__(self) -> None:
        self._nets: dict[Any, Network] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_nets": {}}

    def __call__(self, X: Any, weights: Weights, activation: str, out_activation: str) -> np.ndarray:
        """Return outputs for rows ``X``, dense or sparse.

        The weights are those of the call, since users may have changed them.
        """
        coefs = weights[0]
        dtype = np.result_type(X.dtype, *coefs)
        if dtype not in (np.float32, np.float64):
            dtype = np.dtype(np.float64)
        layers = plan(coefs, activation, out_activation)
        key = (dtype.name, coefs[0].shape[0], *layers)
        net = self._nets.get(key)
        if net is None:
            self._nets.clear()
            net = self._nets[key] = Network(coefs[0].shape[0], layers, dtype.name)
        net.set_weights(interleaved(weights))
        if not issparse(X):
            return net.predict(dense(X, dtype))
        X = X.tocsr()
        out = np.empty((X.shape[0], layers[-1][0]), dtype)
        for start in range(0, len(out), CHUNK):
            net.predict(dense(X[start : start + CHUNK], dtype), out[start : start + CHUNK])
        return out


class Trainer:
    """A network in training, its optimizer and what that remembers, from one call to the next.

    Parameters
    ----------
    weights : tuple of lists
        Kernels and biases to begin with.
    activation, out_activation : str
        scikit-learn's names.
    solver : {"sgd", "adam"}
    hyper : dict
        Hyper-parameters of the optimizer; ``learning_rate`` is the present one.
    """

    def __init__(
        self,
        weights: Weights,
        activation: str,
        out_activation: str,
        solver: str,
        hyper: dict[str, float],
    ):
        coefs = weights[0]
        self.dtype = coefs[0].dtype
        self.out_activation = out_activation
        self.inputs, self.layers = coefs[0].shape[0], plan(coefs, activation, out_activation)
        self.solver = solver
        self.hyper = dict(hyper)
        self.diverged = False
        self._remembered: Any = None  # by an optimizer that was pickled
        self._net: Any = None
        self._training: Any = None

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_net": None, "_training": None}
        if self._net is not None:
            state["_remembered"] = self._net.optimizer_slots(), self._net.iterations
        return state

    def prepare(self, weights: Weights, alpha: float, weighted: bool) -> Network:
        """Return the network with these weights and settings; the optimizer goes on with what it remembers.

        Parameters
        ----------
        weights : tuple of lists
        alpha : float
        weighted : bool
            Whether rows will have weights.
        """
        fresh = self._net is None
        if fresh:
            self._net = Network(self.inputs, self.layers, self.dtype.name)
        net = self._net
        loss, factors = loss_of(self.out_activation, self.layers[-1][0], self.dtype)
        net.set_variables([{"penalty": (0.0, alpha / 2)}, {}] * len(self.layers))
        net.compile(
            loss,
            False,
            self.solver,
            self.hyper,
            [],
            keep_optimizer=not fresh,
            reduction="mean_with_sample_weight" if weighted else "mean",
            factors=factors,
            shared_penalties=True,
        )
        if fresh and self._remembered is not None:
            net.set_optimizer_state(*self._remembered)
            self._remembered = None
        net.set_weights(interleaved(weights))
        return net

    def begin(
        self,
        x: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        batch_size: int,
        seed: int | None,
        epochs: int,
        stopping: dict[str, Any] | None,
    ) -> Training:
        """Begin training on rows; without a seed, in their order. `prepare` comes before, `close` after.

        ``stopping`` is the rule by which native calls return, as `Training` takes it.
        """
        self.diverged = False
        self._training = Training(
            self._net,
            x,
            y,
            batch_size=batch_size,
            shuffle=seed is not None,
            seed=seed or 0,
            epochs=epochs,
            sample_weight=sample_weight,
            stopping=stopping,
        )
        return self._training

    def close(self) -> None:
        """End the training."""
        if self._training is not None:
            self._training.close()
            self._training = None

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.hyper["learning_rate"]

    @rate.setter
    def rate(self, value: float) -> None:
        self.hyper["learning_rate"] = value
        self._net.set_hyper("learning_rate", value)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs as they are now."""
        return self._net.predict(x)

    def weights(self) -> Weights:
        """Return copies of kernels and biases as they are now."""
        found = self._net.weights()
        return found[::2], found[1::2]


class LossAndGradient:
    """What SciPy minimizes: the loss of all rows and its gradient, of kernels and biases in one vector.

    Parameters
    ----------
    net : Network
        As `Trainer.prepare` returned it.
    rows : tuple
        x, y and weights, as its training takes them.
    weights : tuple of lists
        Whose shapes count.
    constant : float
        Added to the loss.
    """

    def __init__(
        self,
        net: Network,
        rows: tuple[np.ndarray, np.ndarray, np.ndarray | None],
        weights: Weights,
        constant: float,
    ):
        self._net, self._rows, self._constant = net, rows, constant
        self._shapes = [w.shape for w in [*weights[0], *weights[1]]]
        self._ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1]

    @staticmethod
    def packed(arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return the vector of kernels, then biases."""
        return np.concatenate([a.ravel() for a in arrays])

    def unpacked(self, vector: np.ndarray) -> Weights:
        """Return copies of kernels and biases."""
        parts = np.split(vector, self._ends)
        arrays = [part.reshape(shape).copy() for part, shape in zip(parts, self._shapes, strict=True)]
        half = len(arrays) // 2
        return arrays[:half], arrays[half:]

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return loss and gradient."""
        self._net.set_weights(interleaved(self.unpacked(vector)))
        try:
            loss, gradients = loss_gradients(self._net, *self._rows, False, 0)
        except FloatingPointError:
            return math.inf, np.full_like(vector, math.nan)
        found = list(gradients)
        return loss + self._constant, self.packed([*found[::2], *found[1::2]])
