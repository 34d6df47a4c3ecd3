"""Networks drawn at random: against the oracle, and the same bits on every instruction set."""

import numpy as np
import oracle
import pytest
from oracle import LOSSES, SPECIFICATIONS, Net
from support import (
    compiled,
    default_activation,
    digest,
    instruction_set,
    random_weights,
    row_orders,
    targets,
    train,
)

from fastnn.kernels import runtime

# Few, so that they meet in many combinations: one, around a vector and two, beyond a tile and a panel.
SIZES = (1, 2, 3, 7, 8, 13, 15, 16, 17, 31, 33, 48, 64, 65, 100, 129, 200, 257)
BATCHES = (1, 2, 5, 13, 16, 31, 64, 100, 255, 256, 257, 400, 513)
OPTIMIZERS = (
    ("sgd", {"learning_rate": 0.02}),
    ("sgd", {"learning_rate": 0.01, "momentum": 0.9}),
    ("sgd", {"learning_rate": 0.01, "momentum": 0.8, "nesterov": 1.0}),
    ("adam", {"learning_rate": 0.005}),
)


def draw(seed):
    """A network, its data and its way of training."""
    rng = np.random.default_rng([2024, seed])
    steady = [
        key for key in LOSSES if key[0] != "mean_absolute_percentage_error"
    ]  # 100 / y: steps without end
    loss, from_logits = steady[rng.integers(len(steady))]
    inputs, outputs = int(rng.choice(SIZES)), int(rng.choice(SIZES[:-3]))
    if default_activation(loss, from_logits) == "softmax":
        outputs = max(outputs, 2)  # of one unit it is one, and of the loss only the clipping is left
    unbounded = ("exponential", "log_softmax")  # which training soon leads beyond all numbers
    bounded = [s for s in SPECIFICATIONS if s not in unbounded]
    activations = ["relu", "tanh", "sigmoid", "linear", "softmax", *bounded]
    hidden = [
        (
            int(rng.choice(SIZES)),
            activations[rng.integers(len(activations))],
            bool(rng.random() < 0.8),
        )
        for _ in range(rng.integers(0, 4))
    ]
    layers = [*hidden, (outputs, default_activation(loss, from_logits), bool(rng.random() < 0.8))]
    batch = int(rng.choice(BATCHES))
    rows = int(rng.integers(1, 2 * batch + 20)) if batch > 16 else int(rng.integers(1, 12 * batch))
    optimizer, hyper = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]
    return rng, layers, inputs, outputs, rows, batch, loss, from_logits, optimizer, hyper


@pytest.mark.parametrize(
    "seed", [*range(40), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(40, 600))]
)
def test_random_network(seed):
    rng, layers, inputs, outputs, rows, batch, loss, from_logits, optimizer, hyper = draw(seed)
    shuffle, weighted, epochs = bool(rng.random() < 0.5), rng.random() < 0.5, 2
    for dtype in (np.float64, np.float32):
        weights = random_weights(layers, inputs, rng, dtype)
        x, y = rng.normal(size=(rows, inputs)).astype(dtype), targets(loss, rng, rows, outputs, dtype)
        weight = rng.uniform(0, 2, size=rows).astype(dtype) if weighted else None
        found = {}
        for isa in runtime.instruction_sets():
            with instruction_set(isa):
                net = compiled(
                    layers,
                    inputs,
                    dtype,
                    weights,
                    loss,
                    from_logits=from_logits,
                    optimizer=optimizer,
                    **hyper,
                )
                threads = int(rng.integers(1, 5))
                training = train(net, x, y, epochs=epochs, batch_size=batch, shuffle=shuffle, seed=seed,
                                 sample_weight=weight, num_threads=threads)  # fmt: skip
                found[isa, threads] = digest([*net.weights(), training.logs, net.predict(x[:9])])
        assert len(set(found.values())) == 1, found
        if dtype == np.float32:
            continue
        orders = row_orders(rows, seed, epochs) if shuffle else [np.arange(rows)] * epochs
        twin, logits = Net(layers, weights), from_logits
        if (loss, True) in LOSSES:
            # behind its own activation a crossentropy takes the logits, as Keras's does, and clips nothing
            twin, logits = Net([*layers[:-1], (outputs, "linear", layers[-1][2])], weights), True
        theirs = oracle.OPTIMIZERS[optimizer](
            **{**hyper, **({"nesterov": True} if "nesterov" in hyper else {})}
        )
        logs = twin.fit(
            loss, theirs, x, y, batch_size=batch, orders=orders, from_logits=logits, sample_weight=weight
        )
        np.testing.assert_allclose(training.logs, logs, rtol=1e-7, atol=1e-9)
        for got, want in zip(net.weights(), twin.weights, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)
