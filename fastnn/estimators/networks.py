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

from fastnn.estimators.architecture import Weights, plan
from fastnn.estimators.objective import Objective
from fastnn.estimators.optimization import Optimization
from fastnn.kernels.loops import loss_gradients
from fastnn.kernels.network import Network
from fastnn.kernels.training import Training

CHUNK = 4096  # rows of a sparse matrix that predictions make dense together


def dense(X: Any, dtype: Any) -> np.ndarray:
    """Return rows as the kernels read them."""
    return np.require(X.toarray() if issparse(X) else X, dtype, ["C", "A"])


class Forward:
    """Networks that predict with an estimator's weights, made when first needed, and not pickled."""

    def __init__(self) -> None:
        self._nets: dict[Any, Network] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_nets": {}}

    def __call__(self, X: Any, weights: Weights, activation: Any, out_activation: str) -> np.ndarray:
        """Return outputs for rows ``X``, dense or sparse.

        The weights are those of the call, since users may have changed them.
        """
        coefs = weights.coefs
        dtype = np.result_type(X.dtype, *coefs)
        if dtype not in (np.float32, np.float64):
            dtype = np.dtype(np.float64)
        layers = plan(weights, activation, out_activation)
        key = (dtype.name, coefs[0].shape[0], *layers)
        net = self._nets.get(key)
        if net is None:
            self._nets.clear()
            net = self._nets[key] = Network(coefs[0].shape[0], layers, dtype.name)
        net.set_weights(weights.flat())
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
    weights : Weights
        Whose shapes and dtype count.
    layers : tuple
        As `plan` returns them.
    objective : Objective
    optimization : Optimization
    """

    def __init__(self, weights: Weights, layers: tuple, objective: Objective, optimization: Optimization):
        self.dtype = weights.coefs[0].dtype
        self.inputs, self.layers = weights.coefs[0].shape[0], layers
        self.objective, self.optimization = objective, optimization
        self.diverged = False
        self._places = weights.like(range(len(weights.flat())))  # type: ignore[arg-type]
        self._remembered: Any = None  # by an optimizer that was pickled
        self._net: Any = None
        self._training: Any = None

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_net": None, "_training": None}
        if self._net is not None:
            state["_remembered"] = self._net.optimizer_slots(), self._net.iterations
        return state

    def fits(self, weights: Weights, layers: tuple) -> bool:
        """Whether this can go on with other weights, for these layers."""
        return (self.inputs, self.layers, self.dtype) == (
            weights.coefs[0].shape[0],
            layers,
            weights.coefs[0].dtype,
        )

    def prepare(
        self, weights: Weights, l1: float, alpha: float, weighted: bool, metrics: Sequence[str] = ()
    ) -> Network:
        """Return the network with these weights and settings; the optimizer goes on with what it remembers.

        Parameters
        ----------
        weights : Weights
        l1, alpha : float
        weighted : bool
            Whether rows will have weights.
        metrics : list of str
            Of the kernels, recorded beside the loss.
        """
        fresh = self._net is None
        if fresh:
            self._net = Network(self.inputs, self.layers, self.dtype.name)
        net, chosen = self._net, self.optimization
        penalty = {"penalty": (float(l1), alpha / 2)}
        net.set_variables([penalty if kind == "kernel" else {} for kind in weights.kinds()])
        self.objective.compile(
            net,
            chosen.native,
            chosen.hyper,
            weighted,
            metrics,
            keep_optimizer=not fresh,
            rates=chosen.rates(),
            **chosen.choices(weights),
        )
        if fresh and self._remembered is not None:
            slots, iterations = self._remembered
            if len(slots) == len(net.optimizer_slots()):  # else of another optimizer than now
                net.set_optimizer_state(slots, iterations)
            self._remembered = None
        net.set_weights(weights.flat())
        return net

    def begin(
        self,
        x: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        batch_size: int,
        shuffle: bool,
        seed: int,
        epochs: int,
        stopping: dict[str, Any] | None,
        validation: Any = None,
    ) -> Training:
        """Begin training on rows. `prepare` comes before, `close` after.

        ``seed`` is that of the rows' order and of dropout; ``stopping``, the rule by which native calls
        return, and ``validation`` are as `Training` takes them.
        """
        self.diverged = False
        self._training = Training(
            self._net,
            x,
            y,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            epochs=epochs,
            sample_weight=sample_weight,
            stopping=stopping,
            validation=validation,
            validation_batch=0 if validation is None else len(validation[0]),
        )
        return self._training

    def close(self) -> None:
        """End the training."""
        if self._training is not None:
            self._training.close()
            self._training = None

    def average(self) -> None:
        """Where the optimizer averages the weights, put the averages in their place."""
        if self.optimization.averages:
            self._net.take_averages()

    @property
    def iterations(self) -> int:
        """Steps taken."""
        return 0 if self._net is None else self._net.iterations

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate follows a schedule."""
        return self.optimization.rates() is not None

    @property
    def rate(self) -> float:
        """The learning rate."""
        found = self.optimization.scheduled(self.iterations)
        return self.optimization.hyper["learning_rate"] if found is None else found

    @rate.setter
    def rate(self, value: float) -> None:
        self.optimization.hyper["learning_rate"] = value
        self._net.set_hyper("learning_rate", value)

    def arrays(self) -> list[np.ndarray]:
        """Return copies of all weights as they are now, in the order of ``Network.weights``."""
        return self._net.weights()

    def set_arrays(self, arrays: Sequence[np.ndarray]) -> None:
        """Go on with other weights."""
        self._net.set_weights(arrays)

    def weights(self) -> Weights:
        """Return copies of all weights as they are now."""
        return self._places.like(self._net.weights())


class LossAndGradient:
    """What SciPy minimizes: the loss of all rows and its gradient, of all weights in one vector.

    Parameters
    ----------
    net : Network
        As `Trainer.prepare` returned it.
    rows : tuple
        x, y and weights, as its training takes them.
    weights : Weights
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
        self._weights = weights
        self._shapes = [w.shape for w in weights.trained]
        self._ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1]

    @staticmethod
    def packed(weights: Weights) -> np.ndarray:
        """Return the vector of kernels, then biases, then what normalizations have."""
        return np.concatenate([a.ravel() for a in weights.trained])

    def unpacked(self, vector: np.ndarray) -> Weights:
        """Return copies of a vector's weights."""
        parts = np.split(vector, self._ends)
        return self._weights.with_trained(
            [part.reshape(shape).copy() for part, shape in zip(parts, self._shapes, strict=True)]
        )

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return loss and gradient."""
        self._net.set_weights(self.unpacked(vector).flat())
        try:
            loss, gradients = loss_gradients(self._net, *self._rows, False, 0)
        except FloatingPointError:
            return math.inf, np.full_like(vector, math.nan)
        return loss + self._constant, self.packed(self._weights.like(list(gradients)))
