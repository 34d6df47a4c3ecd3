"""A plain NumPy float64 network: what the compiled one is held against.

Everything here is written from the formulas, a matrix at a time, with no care for speed, and shares no code
with fastnn.  ``test_oracle.py`` holds it against finite differences.

Losses follow Keras 3: one value a row, averaged over the outputs (cross-entropies over classes are summed); a
loss on probabilities clips them to [EPSILON, 1 - EPSILON], and no gradient passes where it clips.  A batch's
loss is ``sum(sample_weight * row loss) / rows``, an epoch's is the same over all its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

EPSILON = 1e-7


# ---- activations: z -> a, and (a, dL/da) -> dL/dz ------------------------------------------------


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ACTIVATIONS = {
    "linear": (lambda z: z, lambda a, da: da),
    "relu": (lambda z: np.maximum(z, 0.0), lambda a, da: da * (a > 0)),
    "sigmoid": (sigmoid, lambda a, da: da * a * (1 - a)),
    "tanh": (np.tanh, lambda a, da: da * (1 - a * a)),
    "softmax": (softmax, lambda a, da: a * (da - (a * da).sum(axis=-1, keepdims=True))),
}


# ---- losses: (y, a) -> one value a row, and its gradient with respect to a -----------------------


def one_hot(y, classes):
    return np.eye(classes)[np.asarray(y).reshape(-1).astype(int)]


def _clip(p):
    return np.clip(p, EPSILON, 1 - EPSILON), (p > EPSILON) & (p < 1 - EPSILON)


def mean_squared_error(y, a):
    return ((a - y) ** 2).mean(axis=-1), 2 * (a - y) / a.shape[-1]


def mean_absolute_error(y, a):
    return np.abs(a - y).mean(axis=-1), np.sign(a - y) / a.shape[-1]


def binary_crossentropy(y, a):
    p, inside = _clip(a)
    rows = -(y * np.log(p) + (1 - y) * np.log1p(-p)).mean(axis=-1)
    return rows, inside * ((1 - y) / (1 - p) - y / p) / a.shape[-1]


def binary_crossentropy_from_logits(y, z):
    rows = (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).mean(axis=-1)
    return rows, (sigmoid(z) - y) / z.shape[-1]


def categorical_crossentropy(y, a):
    total = a.sum(axis=-1, keepdims=True)
    share = a / total
    p, inside = _clip(share)
    d_share = -y / p * inside
    return -(y * np.log(p)).sum(axis=-1), (d_share - (d_share * share).sum(axis=-1, keepdims=True)) / total


def categorical_crossentropy_from_logits(y, z):
    shifted = z - z.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -(y * log_p).sum(axis=-1), softmax(z) * y.sum(axis=-1, keepdims=True) - y


def _sparse(dense_loss):
    return lambda y, a: dense_loss(one_hot(y, a.shape[-1]), a)


# keyed by (name, from_logits)
LOSSES = {
    ("mean_squared_error", False): mean_squared_error,
    ("mean_absolute_error", False): mean_absolute_error,
    ("binary_crossentropy", False): binary_crossentropy,
    ("binary_crossentropy", True): binary_crossentropy_from_logits,
    ("categorical_crossentropy", False): categorical_crossentropy,
    ("categorical_crossentropy", True): categorical_crossentropy_from_logits,
    ("sparse_categorical_crossentropy", False): _sparse(categorical_crossentropy),
    ("sparse_categorical_crossentropy", True): _sparse(categorical_crossentropy_from_logits),
}


# ---- metrics: (y, a) -> one value a row ----------------------------------------------------------

METRICS = {
    "binary_accuracy": lambda y, a: (y == (a > 0.5)).mean(axis=-1),
    "categorical_accuracy": lambda y, a: (y.argmax(axis=-1) == a.argmax(axis=-1)).astype(float),
    "sparse_categorical_accuracy": lambda y, a: (y.reshape(-1) == a.argmax(axis=-1)).astype(float),
    **{name: (lambda y, a, f=f: f(y, a)[0]) for (name, logits), f in LOSSES.items() if not logits},
}


# ---- optimizers: one object for all weights of a network -----------------------------------------


@dataclass
class SGD:
    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    slots: dict = field(default_factory=dict)
    steps: int = 0

    def step(self, weights, gradients):
        self.steps += 1
        for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            if self.momentum == 0:
                w -= self.learning_rate * g
                continue
            m = self.slots.setdefault(i, np.zeros_like(w))
            m[...] = self.momentum * m - self.learning_rate * g
            w += self.momentum * m - self.learning_rate * g if self.nesterov else m


@dataclass
class Adam:
    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    slots: dict = field(default_factory=dict)
    steps: int = 0

    def step(self, weights, gradients):
        self.steps += 1
        alpha = self.learning_rate * np.sqrt(1 - self.beta_2**self.steps) / (1 - self.beta_1**self.steps)
        for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            m, v = self.slots.setdefault(i, (np.zeros_like(w), np.zeros_like(w)))
            m += (g - m) * (1 - self.beta_1)
            v += (g * g - v) * (1 - self.beta_2)
            w -= alpha * m / (np.sqrt(v) + self.epsilon)


OPTIMIZERS = {"sgd": SGD, "adam": Adam}


# ---- the network ---------------------------------------------------------------------------------


class Net:
    """Dense layers: ``layers`` lists (units, activation, use_bias), ``weights`` kernel, bias, kernel, ..."""

    def __init__(self, layers: Sequence[tuple[int, str, bool]], weights: Iterable[np.ndarray]):
        self.layers = list(layers)
        self.weights = [np.array(w, dtype=np.float64) for w in weights]

    def _pieces(self):
        weights = iter(self.weights)
        for _, activation, use_bias in self.layers:
            yield activation, next(weights), next(weights) if use_bias else None

    def outputs(self, x):
        """The input and every layer's output."""
        found = [np.asarray(x, dtype=np.float64)]
        for activation, kernel, bias in self._pieces():
            z = found[-1] @ kernel + (0 if bias is None else bias)
            found.append(ACTIVATIONS[activation][0](z))
        return found

    def predict(self, x):
        return self.outputs(x)[-1]

    def loss(self, loss, from_logits, x, y, sample_weight=None):
        rows = LOSSES[loss, from_logits](np.asarray(y, dtype=np.float64), self.predict(x))[0]
        return float((rows if sample_weight is None else rows * sample_weight).mean())

    def gradients(self, loss, from_logits, x, y, sample_weight=None):
        """(row losses times their weights, output, gradient of the mean loss for every weight)."""
        found = self.outputs(x)
        share = (
            np.ones(len(found[0])) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        )
        rows, delta = LOSSES[loss, from_logits](np.asarray(y, dtype=np.float64), found[-1])
        delta = delta * (share / len(share))[:, None]
        gradients = []
        for (activation, kernel, bias), before, after in reversed(
            list(zip(self._pieces(), found[:-1], found[1:], strict=True))
        ):
            delta = ACTIVATIONS[activation][1](after, delta)
            gradients += [] if bias is None else [delta.sum(axis=0)]
            gradients.append(before.T @ delta)
            delta = delta @ kernel.T
        return rows * share, found[-1], gradients[::-1]

    def evaluate(self, loss, from_logits, metrics, x, y, sample_weight=None):
        """[loss, *metrics]; metrics do not see the weights, as in Keras's ``metrics=``."""
        y, a = np.asarray(y, dtype=np.float64), self.predict(x)
        return [
            self.loss(loss, from_logits, x, y, sample_weight),
            *(METRICS[m](y, a).mean() for m in metrics),
        ]

    def fit(
        self,
        loss,
        optimizer,
        x,
        y,
        *,
        batch_size,
        orders,
        from_logits=False,
        metrics=(),
        sample_weight=None,
        validation=None,
    ):
        """Train one epoch per row order in ``orders``; return the logs, one row an epoch."""
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        logs = []
        for order in orders:
            sums = np.zeros(1 + len(metrics))
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
                losses, a, gradients = self.gradients(loss, from_logits, x[rows], y[rows], weight)
                sums += [losses.sum(), *(METRICS[m](y[rows], a).sum() for m in metrics)]
                optimizer.step(self.weights, gradients)
            epoch = list(sums / len(order))
            if validation is not None:
                epoch += self.evaluate(loss, from_logits, metrics, *validation)
            logs.append(epoch)
        return np.array(logs)
