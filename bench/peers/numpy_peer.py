"""The loop that one writes in NumPy. In float64 it is also the judge of everybody's losses."""

import numpy as np
from threadpoolctl import threadpool_limits

from bench.peers import Base

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


FORWARD = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softmax": softmax,
}
# By the activation's output; of the last layer only where it does not cancel against the loss.
SLOPE = {
    "linear": lambda a: 1,
    "relu": lambda a: a > 0,
    "tanh": lambda a: 1 - a * a,
    "sigmoid": lambda a: a * (1 - a),
}


class NumpyPeer(Base):
    name = "numpy"

    @classmethod
    def tolerance(cls, spec):
        return 1e-4

    @staticmethod
    def versions():
        return f"numpy {np.__version__}"

    def __init__(self, workload, x, y, threads=1, dtype=np.float32, seed=0):
        self.workload, self.threads = workload, threads
        self.x = x.astype(dtype)
        self.y = y if workload.sparse else y.astype(dtype)
        self.rng = np.random.default_rng(seed)
        self.weights = [w.astype(dtype) for w in workload.initial_weights()]
        self.slots = [(np.zeros_like(w), np.zeros_like(w)) for w in self.weights]
        self.iterations = 0

    def fit(self, epochs, shuffle=True):
        rows, batch = len(self.x), self.workload.batch
        losses = []
        with threadpool_limits(limits=self.threads):
            for _ in range(epochs):
                order = self.rng.permutation(rows) if shuffle else np.arange(rows)
                total = 0.0
                for start in range(0, rows, batch):
                    chosen = order[start : start + batch]
                    total += self.step(self.x[chosen], self.y[chosen]) * len(chosen)
                losses.append(total / rows)
        return losses

    def loss(self):
        return self.row_losses(self.forward(self.x)[-1], self.y).mean(dtype=np.float64)

    def predict(self, x):
        return self.forward(x)[-1]

    def step(self, x, y):
        outputs = self.forward(x)
        loss = self.row_losses(outputs[-1], y).mean()
        delta = self.last_delta(outputs[-1], y)
        gradients = [None] * len(self.weights)
        for i in reversed(range(len(self.workload.layers))):
            gradients[2 * i] = outputs[i].T @ delta
            gradients[2 * i + 1] = delta.sum(axis=0)
            if i:
                delta = delta @ self.weights[2 * i].T
                delta *= SLOPE[self.workload.layers[i - 1][1]](outputs[i])
        self.iterations += 1
        {"sgd": self.sgd, "adam": self.adam}[self.workload.optimizer](gradients)
        return float(loss)

    def forward(self, x):
        outputs = [x]
        for i, (_, activation) in enumerate(self.workload.layers):
            z = outputs[-1] @ self.weights[2 * i]
            z += self.weights[2 * i + 1]
            outputs.append(FORWARD[activation](z))
        return outputs

    def row_losses(self, a, y):
        match self.workload.loss:
            case "mean_squared_error":
                return ((a - y) ** 2).mean(axis=1)
            case "binary_crossentropy":
                a = np.clip(a, EPSILON, 1 - EPSILON)
                return -(y * np.log(a) + (1 - y) * np.log(1 - a)).mean(axis=1)
            case "sparse_categorical_crossentropy":
                return -np.log(np.clip(a[np.arange(len(y)), y], EPSILON, 1))

    def last_delta(self, a, y):
        """Gradient of the mean loss with respect to what goes into the last activation."""
        if self.workload.sparse:  # behind softmax
            delta = a / len(y)
            delta[np.arange(len(y)), y] -= 1 / len(y)
            return delta
        if self.workload.loss == "binary_crossentropy":  # behind sigmoid
            return (a - y) / a.size
        return 2 * (a - y) / a.size * SLOPE[self.workload.layers[-1][1]](a)

    def sgd(self, gradients):
        for w, g in zip(self.weights, gradients, strict=True):
            w -= self.workload.learning_rate * g

    def adam(self, gradients):
        t = self.iterations
        rate = self.workload.learning_rate * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        for w, g, (m, v) in zip(self.weights, gradients, self.slots, strict=True):
            m += (1 - BETA_1) * (g - m)
            v += (1 - BETA_2) * (g * g - v)
            w -= float(rate) * m / (np.sqrt(v) + EPSILON)


Peer = NumpyPeer
