"""What is measured: one table of workloads, and what each costs at least.

Every suite and every peer that fastnn is compared with takes networks, data and first weights from here.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

BYTES = 4  # of a float32


@dataclass(frozen=True)
class Workload:
    """One network and the fit that is timed."""

    key: str
    inputs: int
    layers: tuple[tuple[int, str], ...]  # (units, activation)
    loss: str
    rows: int
    batch: int
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    quick_rows: int | None = None  # rows in --quick runs, where fewer
    xor: bool = False  # the four rows of XOR instead of random ones
    models: int = 1  # independent ones, each with data and first weights of its own; a step is one of all

    @property
    def widths(self):
        """Columns of a row, then the units of each layer."""
        return (self.inputs, *(units for units, _ in self.layers))

    @property
    def network(self):
        """The widths as in ``8-10-1``."""
        many = f"{self.models} × " if self.models > 1 else ""
        return many + "-".join(map(str, self.widths))

    @property
    def products(self):
        """Shapes (inputs, units) of the kernels."""
        return list(zip(self.widths, self.widths[1:], strict=False))

    @property
    def parameters(self):
        """Numbers that a model learns."""
        return sum((k + 1) * m for k, m in self.products)

    @property
    def flops(self):
        """Floating-point operations of a step's matrix products.

        A kernel of shape (k, m) meets a batch of b rows three times: forward, for its gradient, and for that
        of the layer's input; 2 b k m each, a multiplication and an addition being two. The first layer needs
        no gradient of its input. Biases, activations, loss and optimizer are work too, left out as usual.
        """
        forward = sum(2 * self.batch * k * m for k, m in self.products)
        first = 2 * self.batch * prod(self.products[0])
        return self.models * (3 * forward - first)

    @property
    def bytes(self):
        """Bytes that a step must move where nothing outlives it in a cache, each stream touched once.

        The batch's rows and targets are read; kernels are read forward, and again (but the first) for the
        gradients of the inputs; the optimizer reads and writes the parameters and each of its slots.
        Activations stay in cache.
        """
        slots = {"sgd": 0, "adam": 2}[self.optimizer]
        targets = 1 if self.sparse else self.widths[-1]
        rows = self.batch * (self.inputs + targets)
        kernels = sum(k * m for k, m in self.products)
        backward = kernels - prod(self.products[0])
        return self.models * BYTES * (rows + kernels + backward + 2 * (1 + slots) * self.parameters)

    @property
    def sparse(self):
        """Whether targets are class ids."""
        return self.loss == "sparse_categorical_crossentropy"

    def steps(self, rows):
        """Steps of an epoch of so many rows."""
        return -(-rows // self.batch)

    def data(self, rows=None, seed=0):
        """``x`` (rows, inputs) and ``y``, float32 (class ids: int64), that a network can learn from."""
        rows = rows or self.rows
        if self.xor:
            x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
            return x, np.array([[0], [1], [1], [0]], dtype=np.float32)
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((rows, self.inputs), dtype=np.float32)
        outputs = self.widths[-1]
        teacher = rng.standard_normal((self.inputs, outputs), dtype=np.float32) / np.sqrt(self.inputs)
        signal = (x @ teacher).astype(np.float32)
        if self.sparse:
            return x, signal.argmax(axis=1)
        if self.loss == "binary_crossentropy":
            return x, (signal > 0).astype(np.float32)
        return x, np.tanh(signal)

    def initial_weights(self, seed=0):
        """Glorot-uniform kernels and zero biases, float32, layer after layer."""
        rng = np.random.default_rng(seed)
        weights = []
        for k, m in self.products:
            limit = np.sqrt(6 / (k + m))
            weights += [rng.uniform(-limit, limit, (k, m)).astype(np.float32), np.zeros(m, np.float32)]
        return weights


@dataclass(frozen=True)
class Inference:
    """So many rows through a workload's network, NumPy arrays in and out, called from Python."""

    key: str
    of: Workload
    rows: int

    @property
    def network(self):
        """The widths as in ``8-10-1``."""
        return self.of.network

    @property
    def flops(self):
        """Floating-point operations of a call's matrix products."""
        return 2 * self.rows * sum(k * m for k, m in self.of.products)


def classifier(key, inputs, hidden, outputs, rows, batch, **rest):
    layers = (*((units, "relu") for units in hidden), (outputs, "softmax"))
    return Workload(key, inputs, layers, "sparse_categorical_crossentropy", rows, batch, **rest)


WORKLOADS = {
    w.key: w
    for w in [
        Workload(
            "W1",
            2,
            ((8, "tanh"), (1, "sigmoid")),
            "mean_squared_error",
            rows=4,
            batch=4,
            optimizer="sgd",
            learning_rate=0.5,
            xor=True,
        ),
        Workload("W2", 8, ((10, "relu"), (1, "sigmoid")), "binary_crossentropy", rows=1000, batch=32),
        classifier("W3", 4, (16,), 3, rows=120, batch=10),
        Workload(
            "W4",
            32,
            ((64, "relu"), (64, "relu"), (1, "linear")),
            "mean_squared_error",
            rows=20_000,
            batch=64,
        ),
        classifier("W5", 64, (256, 256), 10, rows=50_000, batch=256, quick_rows=10_240),
        classifier("W6", 784, (128,), 10, rows=20_000, batch=128, quick_rows=5_120),
        classifier("W7", 784, (512, 512), 10, rows=20_000, batch=256, quick_rows=5_120),
        classifier("W8", 1024, (1024, 1024), 10, rows=8_192, batch=512, quick_rows=2_048),
        Workload(
            "S1",
            4,
            ((32, "tanh"), (16, "tanh"), (4, "linear")),
            "mean_squared_error",
            rows=10_000,
            batch=10_000,
        ),
        classifier("O1", 100, (37, 19), 5, rows=5_000, batch=50),  # odd: widths that divide nothing
    ]
}

# Of many models at once: measured with those who can do that in one call.
MANY_MODELS = {
    "W9": Workload(
        "W9",
        8,
        ((32, "tanh"), (1, "linear")),
        "mean_squared_error",
        rows=1000,
        batch=32,
        models=64,
    )
}

INFERENCES = {
    i.key: i
    for i in [
        Inference("I1", WORKLOADS["W4"], rows=1),
        Inference("I2", WORKLOADS["W4"], rows=10_000),
        Inference("I3", WORKLOADS["W7"], rows=1),
    ]
}
