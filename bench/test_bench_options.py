"""What each option costs: a step of ``fit`` with it beside the same step without, in turns, on one thread.

An option is a line of ``OPTIONS``; what is not asked for must cost nothing, so the first is the step itself.
"""

import statistics
from functools import partial

import numpy as np
import pytest

import fastnn
from fastnn import constraints, optimizers, regularizers
from fastnn._bench import timing

STEPS = 32  # of an epoch

# key: inputs, units of two hidden layers, outputs, batch
NETWORKS = {"tiny": (8, 16, 1, 64), "small": (32, 64, 1, 64), "wide": (256, 512, 10, 256)}


def plain():
    return {"optimizer": optimizers.Adam(1e-4)}


def alone(name):
    return {"optimizer": getattr(optimizers, name)(1e-4)}


class OwnL2(regularizers.L2):
    """An L2 that Python computes."""

    def __call__(self, x):
        return super().__call__(x)


def own_non_negative(w):
    return np.maximum(w, 0)


def hidden(**options):
    """What the hidden layers are made with."""
    return {**plain(), "hidden": options}


def sparing(optimizer):
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


# group, option: what compile and the hidden layers are told; all beside Adam's plain step
OPTIONS = {
    ("step", "nothing"): plain,
    ("optimizer", "clipvalue"): lambda: {"optimizer": optimizers.Adam(1e-4, clipvalue=1.0)},
    ("optimizer", "clipnorm"): lambda: {"optimizer": optimizers.Adam(1e-4, clipnorm=1.0)},
    ("optimizer", "global_clipnorm"): lambda: {"optimizer": optimizers.Adam(1e-4, global_clipnorm=1.0)},
    ("optimizer", "weight_decay"): lambda: {"optimizer": optimizers.Adam(1e-4, weight_decay=0.01)},
    ("optimizer", "weight_decay, biases spared"): lambda: {
        "optimizer": sparing(optimizers.Adam(1e-4, weight_decay=0.01))
    },
    ("optimizer", "use_ema"): lambda: {"optimizer": optimizers.Adam(1e-4, use_ema=True)},
    ("optimizer", "gradient_accumulation_steps=4"): lambda: {
        "optimizer": optimizers.Adam(1e-4, gradient_accumulation_steps=4)
    },
    ("optimizer", "amsgrad"): lambda: {"optimizer": optimizers.Adam(1e-4, amsgrad=True)},
    **{
        ("optimizer", name): partial(alone, name)
        for name in ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax")
    },
    **{
        ("optimizer", name): partial(alone, name)
        for name in ("Nadam", "Lion", "Ftrl", "Lamb", "Adafactor", "Muon")
    },
    ("layers", "L2"): lambda: hidden(kernel_regularizer="l2"),
    ("layers", "L1L2, on biases too"): lambda: hidden(
        kernel_regularizer=regularizers.L1L2(1e-4, 1e-4), bias_regularizer="l2"
    ),
    ("layers", "OrthogonalRegularizer"): lambda: hidden(
        kernel_regularizer=regularizers.OrthogonalRegularizer()
    ),
    ("layers", "a regularizer of one's own"): lambda: hidden(kernel_regularizer=OwnL2()),
    ("layers", "activity_regularizer"): lambda: hidden(activity_regularizer="l2"),
    ("layers", "NonNeg"): lambda: hidden(kernel_constraint="non_neg"),
    ("layers", "MaxNorm"): lambda: hidden(kernel_constraint="max_norm"),
    ("layers", "MaxNorm, axis 1"): lambda: hidden(kernel_constraint=constraints.MaxNorm(2, axis=1)),
    ("layers", "a constraint of one's own"): lambda: hidden(kernel_constraint=own_non_negative),
    ("layers", "trainable=False"): lambda: hidden(trainable=False),
}


class Trainer:
    """A model and data of so many steps an epoch."""

    def __init__(self, network, arguments):
        inputs, units, outputs, batch = NETWORKS[network]
        options = arguments.pop("hidden", {})
        fastnn.utils.set_random_seed(0)
        dense = fastnn.layers.Dense
        layers = [dense(units, activation="relu", **options) for _ in range(2)] + [dense(outputs)]
        self.model = fastnn.Sequential([fastnn.Input((inputs,)), *layers])
        self.model.compile(**{"loss": "mse", **arguments})
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(STEPS * batch, inputs)).astype("f4")
        self.y = rng.normal(size=(STEPS * batch, outputs)).astype("f4")
        self.batch = batch

    def fit(self, epochs):
        self.model.fit(self.x, self.y, epochs=epochs, batch_size=self.batch, shuffle=False, verbose=0)


@pytest.mark.parametrize("network", sorted(NETWORKS))
@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda name: name.replace(" ", "-"))
def test_option(settings, report, network, group, option):
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(1)
    try:
        pair = [Trainer(network, plain()), Trainer(network, OPTIONS[group, option]())]
        brief = timing.Settings(
            quick=True, rounds=settings.rounds, seconds=settings.seconds / 4, limit_seconds=0
        )
        with timing.kept_threads():
            without, with_it = timing.interleaved([one.fit for one in pair], brief)
    finally:
        fastnn.set_num_threads(before)
    steps = [min(seconds) / STEPS * 1e6 for seconds in (without, with_it)]
    ratios = [b / a for a, b in zip(without, with_it, strict=True)]
    inputs, units, outputs, batch = NETWORKS[network]
    report(
        f"options of a step, {inputs}-{units}-{units}-{outputs}, batch {batch}, float32, one thread",
        {
            "of": group,
            "option": option,
            "µs a step": steps[1],
            "without": steps[0],
            "costs µs": steps[1] - steps[0],
            "× (median)": statistics.median(ratios),
        },
    )
    assert min(steps) > 0
