"""What ThreadSanitizer watches (see races.py): every loop and barrier that several threads go through.

    python race_work.py                     # each kind of phase on teams, and eight Python threads at once
    python race_work.py control-threads     # two threads write the same array: this must be reported
    python race_work.py control-team        # a team reads what it writes: this too
    python race_work.py control-barriers    # a short training, for builds where barriers order nothing

Only that it runs is asserted here; what comes out, other tests hold to the bit.
"""

import faulthandler
import itertools
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import fastnn
import fastnn.kernels as k
from fastnn import activations, constraints, layers, losses, optimizers, regularizers
from fastnn.kernels import machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support import at_once

TEAMS = (2, 3)
INPUTS, ROWS = 32, 600


class OwnLoss(losses.Loss):
    """A loss that Python computes."""

    def call(self, y_true, y_pred):
        return np.square(y_pred - y_true).mean(axis=1)

    def gradient(self, y_true, y_pred):
        """The derivative by the predictions."""
        return 2 * (y_pred - y_true) / y_pred.shape[1]


class OwnL2(regularizers.L2):
    """A regularizer that Python computes."""

    def __call__(self, x):
        return super().__call__(x)


def own_constraint(w):
    """A constraint that Python computes."""
    return np.clip(w, -1, 1)


def network(hidden=(40, 48), outputs=1, between=(), dtype="float32", **dense):
    """A model that is not compiled: dense layers, with others behind each hidden one."""
    model = fastnn.Sequential([fastnn.Input((INPUTS,), dtype=dtype)])
    for units in hidden:
        model.add(layers.Dense(units, activation="tanh", dtype=dtype, **dense))
        for make in between:
            model.add(make())
    model.add(layers.Dense(outputs, dtype=dtype))
    return model


# What is compiled and trained: (model's arguments, compile's arguments, fit's arguments)
TRAININGS = {
    "rows and tiles": ({}, {}, {}),
    "a narrow layer": ({"hidden": (40, 3, 33)}, {}, {}),
    "tiny": ({"hidden": (8,)}, {}, {"batch_size": 32}),
    "double": ({"dtype": "float64"}, {}, {}),
    "sums of blocks": ({}, {}, {"batch_size": 600}),
    "validation": ({}, {"metrics": ["mae"]}, {"validation_split": 0.3}),
    "early stopping": (
        {},
        {},
        {
            "validation_split": 0.3,
            "callbacks": lambda: [fastnn.callbacks.EarlyStopping(patience=1, restore_best_weights=True)],
        },
    ),
    "batch normalization": ({"between": (layers.BatchNormalization,)}, {}, {}),
    "other normalizations": ({"between": (layers.LayerNormalization, layers.RMSNormalization)}, {}, {}),
    "chance": (
        {"between": (lambda: layers.Dropout(0.3), lambda: layers.GaussianNoise(0.1), layers.PReLU)},
        {},
        {},
    ),
    "a residual": (
        {
            "hidden": (40,),
            "between": (lambda: layers.Residual([layers.Dense(40, "relu"), layers.BatchNormalization()]),),
        },
        {},
        {},
    ),
    "a loss of one's own": ({}, {"loss": lambda: OwnLoss()}, {}),
    "an activation of one's own": (
        {"between": (lambda: layers.Activation(activations.Custom(np.tanh, lambda z: 1 - np.tanh(z) ** 2)),)},
        {},
        {},
    ),
    "a loss of batches": ({"outputs": 3}, {"loss": lambda: losses.Tversky()}, {}),
    "penalties": ({"kernel_regularizer": "l1_l2", "activity_regularizer": "l2"}, {}, {}),
    "orthogonal": ({"kernel_regularizer": regularizers.OrthogonalRegularizer()}, {}, {}),
    "a penalty of one's own": ({"kernel_regularizer": OwnL2()}, {}, {}),
    "limits": ({"kernel_constraint": "non_neg"}, {}, {}),
    "norms": ({"kernel_constraint": "max_norm", "bias_constraint": constraints.MaxNorm(1)}, {}, {}),
    "norms of rows": ({"kernel_constraint": constraints.UnitNorm(axis=1)}, {}, {}),
    "a constraint of one's own": ({"kernel_constraint": own_constraint}, {}, {}),
    "clipped norms": ({}, {"optimizer": lambda: optimizers.Adam(clipnorm=0.5)}, {}),
    "a clipped norm of all": ({}, {"optimizer": lambda: optimizers.Adam(global_clipnorm=0.5)}, {}),
    "accumulation": ({}, {"optimizer": lambda: optimizers.SGD(gradient_accumulation_steps=3)}, {}),
    "averages": ({}, {"optimizer": lambda: optimizers.Adam(use_ema=True)}, {}),
    "a schedule": (
        {},
        {
            "optimizer": lambda: optimizers.SGD(
                optimizers.schedules.ExponentialDecay(0.01, 2, 0.9), momentum=0.9
            )
        },
        {},
    ),
    **{name: ({}, {"optimizer": name.lower()}, {}) for name in ("Lamb", "Adafactor", "Muon", "Ftrl")},
    "sums of blocks, norms": ({}, {"optimizer": lambda: optimizers.Lamb(clipnorm=1.0)}, {"batch_size": 600}),
    "bfloat16": ({"hidden": (128, 160)}, {"precision": "bfloat16"}, {"batch_size": 600}),
    "batches of one's own": ({}, {}, {"callbacks": lambda: [Batches()]}),
}


class Batches(fastnn.callbacks.Callback):
    """Looks between steps."""

    def on_train_batch_end(self, batch, logs=None):
        """Read what was published."""
        self.model.predict(np.ones((3, INPUTS), "f4"), verbose=0)


def rows(outputs=1, count=ROWS, seed=0):
    """Rows and targets between 0 and 1."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, INPUTS)).astype("f4"), rng.random((count, outputs)).astype("f4")


def made(name, seed=0):
    """A compiled model of `TRAININGS`, and what `fit` is told."""
    model_arguments, compile_arguments, fit_arguments = TRAININGS[name]
    fastnn.utils.set_random_seed(seed)
    model = network(**model_arguments)
    asked = {"optimizer": "adam", "loss": "mse", **compile_arguments}
    model.compile(**{key: value() if callable(value) else value for key, value in asked.items()})
    fit = {"batch_size": 100, "epochs": 3, "verbose": 0, **fit_arguments}
    return model, {key: value() if callable(value) else value for key, value in fit.items()}


def train(name):
    """Train, evaluate and predict on each team."""
    for team in TEAMS:
        fastnn.set_num_threads(team)
        model, fit = made(name)
        x, y = rows(model.output_shape[1])
        model.fit(x, y, **fit)
        model.evaluate(x, y, verbose=0)
        model.predict(x, verbose=0)
        model.train_on_batch(x[:70], y[:70])


def loops():
    """Training loops of Python's own."""
    for team in TEAMS:
        fastnn.set_num_threads(team)
        model, _ = made("batch normalization")
        x, y = rows()
        model.optimizer.apply(model.gradients(x, y)[1])
        model.forward(x)
        model.backward(np.ones_like(y))
        model.input_gradients(x)


def raising():
    """A function of one's own that raises, behind a normalization, while other threads go on."""
    fastnn.set_num_threads(8)
    x, y = rows()
    for count in range(60):
        calls = itertools.count()

        def fail(z, calls=calls, count=count):
            if next(calls) >= count % 7:
                raise ZeroDivisionError
            return np.tanh(z)

        own = activations.Custom(fail, lambda z: 1 - np.tanh(z) ** 2)
        model = network((40,), between=(layers.BatchNormalization, lambda own=own: layers.Activation(own)))
        model.compile("sgd", "mse")
        try:
            model.fit(x, y, batch_size=ROWS, epochs=3, verbose=0)
        except ZeroDivisionError:
            continue
        raise AssertionError("nothing was raised")


def predictors():
    """Snapshots: threads that share rows, and the weights of one row."""
    fastnn.set_num_threads(2)
    fastnn.utils.set_random_seed(0)
    for units in ((40,), (1500, 1500)):
        model = network(hidden=units)
        for precision in (None, "bfloat16"):
            predictor = model.predictor(precision=precision)
            for count in (1, 7, 600):
                predictor(rows(count=count)[0])


def routines():
    """The functions of ``fastnn.kernels`` on arrays."""
    x, w = rows()[0], np.ones((INPUTS, 40), "f4")
    for team in TEAMS:
        out = k.dense_forward(x, w, activation="softmax", num_threads=team)
        k.dense_backward(x, w, out, num_threads=team)
        k.activation_forward("tanh", x, num_threads=team)
        k.activation_backward("tanh", x, x, num_threads=team)
        machine.barrier_seconds(team)


def many():
    """Several models in one call."""
    fastnn.set_num_threads(3)
    names = ["tiny"] * 20 + ["rows and tiles", "Lamb", "batch normalization"]
    models = [made(name, seed)[0] for seed, name in enumerate(names)]
    data = [rows(seed=seed) for seed in range(len(names))]
    xs, ys = [x for x, _ in data], [y for _, y in data]
    fastnn.fit_many(models, xs, ys, batch_size=100, epochs=3, verbose=0)
    fastnn.predict_many(models, xs)


def eight_threads():
    """A fit that others predict, evaluate, save and copy from; and fits of their own beside it."""
    fastnn.set_num_threads(2)
    (model, fit), (own, _), (third, _) = (made(name) for name in ("rows and tiles", "Lamb", "tiny"))
    x, y = rows()
    predictor = model.predictor()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        errors = at_once(
            [
                lambda: model.fit(x, y, **{**fit, "epochs": 60}),
                lambda: own.fit(x, y, epochs=10, verbose=0),
                lambda: third.fit(x, y, epochs=10, verbose=0),
                lambda: [model.predict(x, verbose=0) for _ in range(20)],
                lambda: [model.evaluate(x, y, verbose=0) for _ in range(20)],
                lambda: [model.save(path) for _ in range(5)],
                lambda: [model.get_weights() for _ in range(20)],
                lambda: [predictor(x[i : i + 1 + 40 * (i % 2)]) for i in range(40)],
            ]
        )
        assert not errors, errors
        fastnn.models.load_model(path).predict(x)


def racing_threads():
    """Two threads write the same array: no fault of ours, but one that must be seen."""
    x, w, out = rows()[0], np.ones((INPUTS, 40), "f4"), np.empty((ROWS, 40), "f4")
    errors = at_once([lambda: [k.dense_forward(x, w, out=out, num_threads=1) for _ in range(50)]] * 2)
    assert not errors, errors


def racing_team():
    """Threads of a team read rows that others write: the result overlaps the argument."""
    both = np.zeros((2 * ROWS + 1, INPUTS), "f4")
    k.dense_forward(both[:-1], np.eye(INPUTS, dtype="f4"), out=both[1:], num_threads=2)


# What must be reported, the last one where barriers have been spoilt.
CONTROLS = {
    "control-threads": racing_threads,
    "control-team": racing_team,
    "control-barriers": lambda: train("rows and tiles"),
}


def main():
    """Run all that is asked for, saying what."""
    faulthandler.dump_traceback_later(int(os.environ.get("RACE_WORK_SECONDS", "600")), exit=True)
    if sys.argv[1:]:
        CONTROLS[sys.argv[1]]()
        return
    for name in TRAININGS:
        print(name, flush=True)
        train(name)
    for work in (loops, raising, predictors, routines, many, eight_threads):
        print(work.__name__, flush=True)
        work()
    print(f"{len(TRAININGS)} trainings and the rest: done", flush=True)


if __name__ == "__main__":
    main()
