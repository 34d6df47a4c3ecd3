"""What single options of layers and optimizers cost: a step with each, beside the same step without it."""

import statistics

import numpy as np
import pytest

import fastnn as keras
from fastnn._bench import timing

ROWS, BATCH = 4096, 64
R, C = keras.regularizers, keras.constraints


class OwnL2(R.L2):
    """An L2 that Python computes."""

    def __call__(self, x):
        return super().__call__(x)


# what the hidden layers are made with
OPTIONS = {
    "nothing": {},
    "L2": {"kernel_regularizer": "l2"},
    "L1L2, on biases too": {"kernel_regularizer": R.L1L2(1e-4, 1e-4), "bias_regularizer": "l2"},
    "OrthogonalRegularizer": {"kernel_regularizer": R.OrthogonalRegularizer()},
    "a regularizer of one's own": {"kernel_regularizer": OwnL2()},
    "activity_regularizer": {"activity_regularizer": "l2"},
    "NonNeg": {"kernel_constraint": "non_neg"},
    "MaxNorm": {"kernel_constraint": "max_norm"},
    "MaxNorm, axis 1": {"kernel_constraint": C.MaxNorm(2, axis=1)},
    "a constraint of one's own": {"kernel_constraint": lambda w: np.maximum(w, 0)},
    "trainable=False": {"trainable": False},
}
NETWORKS = {"tiny": (8, [16, 16]), "middle": (32, [64, 64]), "wide": (256, [512, 512])}


def trainer(network, options):
    """A call that trains for so many epochs, silently."""
    inputs, hidden = NETWORKS[network]
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(units, activation="relu", **options) for units in hidden]
    model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(ROWS, inputs)).astype("f4"), rng.normal(size=(ROWS, 1)).astype("f4")
    return lambda epochs: model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)


@pytest.mark.parametrize("network", NETWORKS)
def test_options_of_layers(settings, report, network):
    keras.set_num_threads(1)
    try:
        calls = [trainer(network, options) for options in OPTIONS.values()]
        brief = timing.Settings(
            quick=True, rounds=settings.rounds, seconds=settings.seconds / 10, limit_seconds=0
        )
        with timing.kept_threads():
            found = timing.interleaved(calls, brief)
    finally:
        keras.set_num_threads(None)
    medians = [statistics.median(seconds) / (ROWS // BATCH) * 1e6 for seconds in found]
    for option, median in zip(OPTIONS, medians, strict=True):
        report(
            "options of the hidden layers, one thread, Adam, batch 64",
            {"network": network, "option": option, "µs a step": median, "/ without": median / medians[0]},
        )
    assert min(medians) > 0
