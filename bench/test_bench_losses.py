"""What each loss costs: a step with it, beside the same step without.

``pytest bench/test_bench_losses.py`` prints a line for each; the two steps run in turns.
"""

import statistics
import time

import numpy as np
import pytest

import fastnn
from fastnn import losses

ROWS = 2048
REPEATS = 9


def network(units, activation, hidden=64):
    """Inputs 32, two hidden layers, and an output."""
    fastnn.utils.set_random_seed(1)
    layers = [fastnn.layers.Dense(hidden, activation="relu") for _ in range(2)]
    return fastnn.Sequential(
        [fastnn.Input((32,)), *layers, fastnn.layers.Dense(units, activation=activation)]
    )


def step_seconds(models, x, ys, batch):
    """Median seconds of a step of each model, taken in turns."""
    steps = -(-len(x) // batch)
    found = [[] for _ in models]
    for model, y in zip(models, ys, strict=True):
        model.fit(x, y, batch_size=batch, epochs=1, verbose=0)
    for _ in range(REPEATS):
        for model, y, seconds in zip(models, ys, found, strict=True):
            start = time.perf_counter()
            model.fit(x, y, batch_size=batch, epochs=4, verbose=0)
            seconds.append((time.perf_counter() - start) / (4 * steps))
    return [statistics.median(seconds) for seconds in found]


class OwnSquare(losses.Loss):
    """Mean squared error, written in NumPy."""

    def loss(self, y_true, y_pred):
        return np.square(y_pred - y_true).mean(axis=-1)

    def gradient(self, y_true, y_pred):
        return 2 * (y_pred - y_true) / y_pred.shape[-1]


MSE, BCE, CCE, SCE = "mse", "bce", "categorical_crossentropy", "sparse_categorical_crossentropy"
# name: units, activation, the loss beside which it stands, the loss
LOSSES = {
    "huber": (8, None, MSE, losses.Huber(0.5)),
    "log_cosh": (8, None, MSE, "log_cosh"),
    "mape": (8, None, MSE, "mape"),
    "msle": (8, "softplus", MSE, "msle"),
    "poisson": (8, "exponential", MSE, "poisson"),
    "cosine_similarity": (8, None, MSE, "cosine_similarity"),
    "3 quantiles": (9, None, MSE, losses.Quantile([0.1, 0.5, 0.9])),
    "hinge": (8, None, MSE, "hinge"),
    "label_smoothing, binary": (8, "sigmoid", BCE, losses.BinaryCrossentropy(label_smoothing=0.1)),
    "focal, binary": (8, "sigmoid", BCE, losses.BinaryFocalCrossentropy()),
    "label_smoothing": (8, "softmax", CCE, losses.CategoricalCrossentropy(label_smoothing=0.1)),
    "focal": (8, "softmax", CCE, losses.CategoricalFocalCrossentropy()),
    "kl_divergence": (8, "softmax", CCE, "kl_divergence"),
    "generalized crossentropy": (8, "softmax", SCE, "CategoricalGeneralizedCrossEntropy"),
    "ignore_class": (8, "softmax", SCE, losses.SparseCategoricalCrossentropy(ignore_class=3)),
    "reduction='sum'": (8, None, MSE, losses.MeanSquaredError(reduction="sum")),
    "dice, of rows": (8, "sigmoid", BCE, losses.Dice(axis=-1)),
    "dice, of batches": (8, "sigmoid", BCE, losses.Dice()),
    "a loss of one's own": (8, None, MSE, OwnSquare()),
}


def targets(loss, units, rng):
    """Targets that a loss takes."""
    name = str(getattr(type(loss), "function", loss))
    if "sparse" in name or "eneralized" in name:
        return rng.integers(0, units, ROWS)
    if "hinge" in name:
        return rng.integers(0, 2, (ROWS, units))
    columns = units // 3 if isinstance(loss, losses.Quantile) else units
    return rng.random((ROWS, columns)).astype("f4")


@pytest.mark.parametrize("batch", [32, 256])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, batch, capsys):
    units, activation, beside, loss = LOSSES[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 32)).astype("f4")
    models = [network(units, activation) for _ in range(2)]
    for model, which in zip(models, (beside, loss), strict=True):
        model.compile(optimizer=fastnn.optimizers.SGD(1e-4), loss=which)
    ys = [targets(which, units, rng) for which in (beside, loss)]
    without, with_it = step_seconds(models, x, ys, batch)
    with capsys.disabled():
        print(
            f"\n{name:28s} batch {batch:4d}: {1e6 * with_it:8.2f} us a step, "
            f"{beside} {1e6 * without:8.2f} us, "
            f"{100 * (with_it / without - 1):+6.1f} %"
        )
