"""The one-thread path of tiny networks gives the bits of the path of all threads, whatever the shape."""

import numpy as np
import pytest
from support import compiled, default_activation, digest, random_weights, row_orders, targets, train

SGD = {"learning_rate": 0.05, "momentum": 0.9, "nesterov": 1.0}
# inputs, (units, activation) of hidden layers, outputs, loss, batch
SHAPES = {
    "one input, one unit": (1, [(1, "relu")], 1, "mean_squared_error", 3),
    "xor": (2, [(8, "tanh")], 1, "binary_crossentropy", 4),
    "one vector, full": (4, [(16, "relu")], 3, "sparse_categorical_crossentropy", 10),
    "two vectors": (8, [(17, "sigmoid")], 1, "mean_squared_error", 32),
    "two vectors, full": (12, [(32, "tanh")], 4, "categorical_crossentropy", 33),
    "inputs beyond a pass": (29, [(9, "linear")], 2, "mean_absolute_error", 20),
    "inputs at the limit": (64, [(32, "relu")], 3, "mean_squared_error", 16),
    "inputs beyond the limit": (65, [(32, "relu")], 3, "mean_squared_error", 16),
    "four outputs": (5, [(30, "relu")], 4, "mean_squared_error", 7),
    "five outputs": (5, [(30, "relu")], 5, "mean_squared_error", 7),
    "wide last layer": (6, [(10, "relu")], 12, "sparse_categorical_crossentropy", 25),
    "three layers": (7, [(13, "relu"), (40, "tanh"), (3, "relu")], 2, "mean_squared_error", 31),
    "softmax behind": (7, [(13, "relu"), (11, "softmax")], 2, "mean_squared_error", 31),
    "batch 1": (3, [(5, "relu")], 1, "mean_squared_error", 1),
    "batch 256": (3, [(14, "tanh")], 1, "binary_crossentropy", 256),
}


def trained(
    shape, dtype, threads, *, rows, weighted=False, bias=True, optimizer="adam", hyper=None, penalised=False
):
    inputs, hidden, outputs, loss, batch = shape
    rng = np.random.default_rng(5)
    layers = [(units, activation, bias) for units, activation in hidden]
    layers.append((outputs, default_activation(loss), bias))
    metrics = ["binary_accuracy"] if loss == "binary_crossentropy" else []
    metrics += ["mean_absolute_error"] if not loss.startswith("sparse") else []
    net = compiled(
        layers,
        inputs,
        dtype,
        random_weights(layers, inputs, rng, dtype),
        loss,
        optimizer=optimizer,
        metrics=metrics,
        **(hyper or {}),
    )
    if penalised:  # as scikit-learn's networks are
        kernel = {"penalty": (0.003, 0.02)}
        net.set_variables([kernel, {"penalty": (0.0, 0.1)}] * len(layers) if bias else [kernel] * len(layers))
        reduction = "mean_with_sample_weight" if weighted else "mean"
        net.compile(*net.compiled, reduction=reduction, factors=(1.5, 0.5), shared_penalties=True)
    x, y = rng.normal(size=(rows, inputs)).astype(dtype), targets(loss, rng, rows, outputs, dtype)
    weight = rng.uniform(0, 2, size=rows).astype(dtype) if weighted else None
    training = train(
        net,
        x,
        y,
        epochs=5,
        batch_size=batch,
        shuffle=True,
        seed=9,
        num_threads=threads,
        sample_weight=weight,
        validation=(x[: rows // 2 + 1], y[: rows // 2 + 1], None),
    )
    assert np.isfinite(training.logs).all()
    assert training.threads == threads
    state = [*net.weights(), *(w for slot in net.optimizer_slots() for w in slot), training.logs]
    return digest(state)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 30, 300])
def test_every_shape(shape, rows, dtype, isa):
    case = SHAPES[shape]
    assert trained(case, dtype, 1, rows=rows) == trained(case, dtype, 2, rows=rows)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("shape", ["two vectors", "one vector, full", "three layers"])
def test_weights_biases_and_optimizers(shape, optimizer, bias, weighted, isa):
    name, hyper = {
        "sgd": ("sgd", {"learning_rate": 0.1}),
        "momentum": ("sgd", SGD),
        "adam": ("adam", {"learning_rate": 0.01}),
    }[optimizer]
    options = {"rows": 61, "weighted": weighted, "bias": bias, "optimizer": name, "hyper": hyper}
    assert trained(SHAPES[shape], "float32", 1, **options) == trained(SHAPES[shape], "float32", 2, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_penalties_and_factors(shape, dtype, bias, weighted, isa):
    options = {"rows": 61, "weighted": weighted, "bias": bias, "penalised": True}
    case = SHAPES[shape]
    assert trained(case, dtype, 1, **options) == trained(case, dtype, 2, **options)


@pytest.mark.parametrize("rows", [2, 4, 7, 8, 9, 31, 32, 33])
def test_orders_of_few_rows_do_not_depend_on_where_a_training_starts(rows):
    # up to 32 rows, 16 epochs draw their orders at once
    whole = [tuple(order) for order in row_orders(rows, seed=4, epochs=40)]
    assert all(sorted(order) == list(range(rows)) for order in whole)
    assert len(set(whole)) > min(40, rows) / 2
    for first in (1, 15, 16, 17):
        later = row_orders(rows, seed=4, epochs=3, first=first)
        assert [tuple(order) for order in later] == whole[first : first + 3]
