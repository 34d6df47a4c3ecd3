"""Regularizers and constraints in models: arguments, configurations, errors, ways of training."""

import pickle

import numpy as np
import pytest
from quartic import Quartic

import fastnn as keras
from fastnn import constraints, layers, regularizers


def halved(w):
    return w / 2


KINDS = {
    "dense": lambda: layers.Dense(
        4,
        activation="tanh",
        kernel_regularizer=regularizers.L1L2(0.01, 0.02),
        bias_regularizer="l2",
        activity_regularizer="l1",
        kernel_constraint=constraints.MinMaxNorm(0.1, 0.9, axis=1),
        bias_constraint=constraints.ClipValue(-0.5, 0.5),
    ),
    "orthogonal": lambda: layers.Dense(
        4, kernel_regularizer=regularizers.OrthogonalRegularizer(0.1, "columns")
    ),
    "own": lambda: layers.Dense(4, kernel_regularizer=Quartic(0.3), bias_constraint=constraints.NonNeg),
    "normalised": lambda: layers.BatchNormalization(
        gamma_regularizer="l1", beta_constraint="unit_norm", activity_regularizer=regularizers.L2(0.02)
    ),
    "rows": lambda: layers.LayerNormalization(beta_regularizer="l1", gamma_constraint="max_norm"),
    "slopes": lambda: layers.PReLU(alpha_regularizer="l1", alpha_constraint="non_neg"),
    "outputs": lambda: layers.ActivityRegularization(0.1, 0.2),
    "residual": lambda: layers.Residual(
        [layers.Dense(4, kernel_regularizer="l2", activity_regularizer="l2")], activity_regularizer="l1"
    ),
}


def data(rows=30):
    rng = np.random.default_rng(2)
    return rng.normal(size=(rows, 4)).astype("f4"), rng.normal(size=(rows, 2)).astype("f4")


def around(layer):
    """A compiled model with a layer, or what makes one, in its middle."""
    keras.utils.set_random_seed(1)
    middle = layer if isinstance(layer, layers.Layer) else layer()
    model = keras.Sequential([keras.Input((4,)), middle, layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_configurations_and_copies(kind):
    model = around(KINDS[kind])
    x, y = data()
    with keras.utils.custom_object_scope({"Quartic": Quartic}):
        again = keras.Sequential.from_config(model.get_config())
        read = keras.models.model_from_json(model.to_json())
        clone = keras.models.clone_model(model)
    assert again.get_config() == read.get_config() == model.get_config()
    for copy in (again, read, clone, pickle.loads(pickle.dumps(model))):
        copy.compile("sgd", "mse")
        copy.set_weights(model.get_weights())
        copy.seed = model.seed
        twin = around(KINDS[kind])
        twin.seed = model.seed
        found = [m.fit(x, y, epochs=2, verbose=0).history["loss"] for m in (copy, twin)]
        assert found[0] == found[1]
        for a, b in zip(copy.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_of_training_and_judging(kind):
    """One call, batches from Python, steps under a callback, train_on_batch: the same loss and weights."""
    x, y = data()

    class Looks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    def batches():
        for i in range(0, 30, 8):
            yield x[i : i + 8], y[i : i + 8]

    more = {"verbose": 0, "shuffle": False, "validation_data": (x[:11], y[:11])}
    found = []
    for way in ("call", "hooks", "generator", "batches"):
        model = around(KINDS[kind])
        if way == "batches":
            parts = [model.train_on_batch(*b) for b in batches()]
            sizes = [len(b[0]) for b in batches()]
            logs = {
                "loss": [np.average(parts, weights=sizes)],
                "val_loss": [model.evaluate(x[:11], y[:11], verbose=0)],
            }
        elif way == "generator":
            logs = model.fit(batches(), **more).history
        else:
            logs = model.fit(
                x, y, batch_size=8, callbacks=[Looks()] if way == "hooks" else [], **more
            ).history
        found.append((logs, model.get_weights()))
    for logs, weights in found[1:]:
        for key in ("loss", "val_loss"):
            np.testing.assert_allclose(logs[key], found[0][0][key], rtol=1e-5)
        for a, b in zip(weights, found[0][1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_losses_of_layers():
    model = keras.Sequential(
        [keras.Input((4,)), KINDS["dense"](), layers.Dense(2, trainable=False, bias_regularizer="l1")]
    )
    first = model.layers[0]
    kernel, bias = first.get_weights()
    want = [0.01 * np.abs(kernel).sum() + 0.02 * (kernel**2).sum(), 0.01 * (bias**2).sum()]
    np.testing.assert_allclose(first.losses, want, rtol=1e-5)
    np.testing.assert_allclose(model.losses, want, rtol=1e-5)
    assert model.layers[1].losses == []


def test_own_constraints_are_called_with_copies():
    seen = []

    def keeps(w):
        seen.append(w)
        w[:] = 0
        return w + 1

    model = around(layers.Dense(4, kernel_constraint=keeps, bias_constraint=halved))
    model.fit(*data(), epochs=2, batch_size=10, verbose=0)
    assert len(seen) == 6
    assert (model.layers[0].get_weights()[0] == 1).all()
    assert seen[0].shape == (4, 4)
    assert seen[0].dtype == np.float32


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: layers.Dense(2, kernel_regularizer="l3"), ValueError, "l1, l1_l2, l2"),
        (lambda: layers.Dense(2, kernel_regularizer=3), TypeError, "kernel_regularizer"),
        (lambda: layers.Dense(2, kernel_regularizer=lambda w: 0.0), NotImplementedError, "gradient"),
        (lambda: layers.Dense(2, kernel_constraint="maxnorm2"), ValueError, "max_norm"),
        (lambda: layers.Dense(2, bias_constraint=0.5), TypeError, "bias_constraint"),
        (lambda: layers.Dense(2, activity_regularizer=Quartic()), NotImplementedError, "row by row"),
        (lambda: layers.Dense(2, activity_regularizer="orthogonal_regularizer"), NotImplementedError, "L1L2"),
        (
            lambda: around(layers.Dense(2, bias_regularizer="orthogonal_regularizer")),
            ValueError,
            "two dimensions",
        ),
        (lambda: around(layers.Dense(2, bias_constraint=constraints.MaxNorm(axis=1))), ValueError, "axis 1"),
        (lambda: around(layers.Dense(2, kernel_constraint=constraints.MaxNorm(axis="a"))), TypeError, "axis"),
        (lambda: regularizers.L1(-1), ValueError, "l1"),
        (lambda: regularizers.L2(float("nan")), ValueError, "l2"),
        (lambda: regularizers.L1L2(l2="much"), ValueError, "l2"),
        (lambda: regularizers.OrthogonalRegularizer(mode="all"), ValueError, "mode"),
        (lambda: constraints.MinMaxNorm(2, 1), ValueError, "MinMaxNorm"),
        (lambda: constraints.MinMaxNorm(rate=1.5), ValueError, "rate"),
        (lambda: constraints.ClipValue(1, 0), ValueError, "ClipValue"),
        (lambda: constraints.MaxNorm("big"), TypeError, "max_value"),
        (lambda: regularizers.Regularizer().gradient(np.ones(3)), NotImplementedError, "define gradient"),
        (lambda: regularizers.Regularizer().get_config(), NotImplementedError, "get_config"),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    "regularizer",
    [
        regularizers.L1(0.3),
        regularizers.L2(0.2),
        regularizers.L1L2(0.1, 0.3),
        regularizers.OrthogonalRegularizer(0.5),
        regularizers.OrthogonalRegularizer(0.5, mode="columns"),
    ],
    ids=repr,
)
def test_declared_gradients(regularizer, rng):
    from support import central_differences

    w = rng.normal(size=(5, 4))
    (want,) = central_differences(lambda: regularizer(w), [w])
    np.testing.assert_allclose(regularizer.gradient(w), want, rtol=1e-6, atol=1e-8)


def test_constraints_on_arrays(rng):
    w = rng.normal(size=(6, 5)) * 2
    norms = np.linalg.norm
    assert (norms(constraints.MaxNorm(1.0)(w), axis=0) <= 1).all()
    np.testing.assert_allclose(norms(constraints.UnitNorm(axis=1)(w), axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(norms(constraints.MinMaxNorm(3, 4, axis=None)(w)), 4, rtol=1e-6)
    assert constraints.NonNeg()(w).min() == 0
    clipped = constraints.get({"class_name": "ClipValue", "config": {"min_value": -1, "max_value": 0.5}})(w)
    assert (clipped.min(), clipped.max()) == (-1, 0.5)
    assert constraints.get("unit_norm").get_config() == {"axis": 0}
    assert repr(constraints.MaxNorm(3)) == "MaxNorm(max_value=3, axis=0)"
    assert constraints.get(halved) is halved
    assert constraints.get(None) is constraints.deserialize(None) is regularizers.get(None) is None


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.MeanSquaredError(),
        keras.losses.MeanSquaredError(reduction="sum"),
        keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"),
        keras.losses.Tversky(alpha=0.3, beta=0.7),
    ],
    ids=["mean", "sum", "mean_with_sample_weight", "tversky"],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_penalties_stand_beside_any_reduction(loss, weighted):
    rng = np.random.default_rng(3)
    x, y, w = rng.normal(size=(21, 4)), rng.integers(0, 2, (21, 3)).astype(float), rng.uniform(0.2, 2, 21)
    w = w if weighted else None
    model = keras.Sequential(
        [
            keras.layers.Dense(
                6,
                activation="tanh",
                kernel_regularizer=keras.regularizers.L1(0.02),
                activity_regularizer=keras.regularizers.L2(0.03),
            ),
            keras.layers.Dense(3, activation="sigmoid"),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(1e-30), loss=loss)
    history = model.fit(
        x,
        y,
        sample_weight=w,
        batch_size=21,
        epochs=2,
        verbose=0,
        validation_data=(x, y) if w is None else (x, y, w),
    ).history
    kernel, bias = model.get_weights()[:2]
    hidden = np.tanh(x @ kernel + bias)
    want = float(loss(y, model.predict(x).astype(float), sample_weight=w))
    want += 0.02 * np.abs(kernel).sum() + 0.03 * np.square(hidden).sum() / len(x)
    np.testing.assert_allclose(history["loss"], want, rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], want, rtol=1e-5)
    found = model.evaluate(x, y, sample_weight=w, batch_size=21, verbose=0)
    np.testing.assert_allclose(found, want, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_gradients_of_penalties_of_outputs_beside_any_reduction(reduction):
    rng = np.random.default_rng(4)
    x, y, w = rng.normal(size=(9, 4)), rng.normal(size=(9, 2)), rng.uniform(0.2, 2, 9)
    model = keras.Sequential(
        [
            keras.layers.Dense(5, activation="tanh", activity_regularizer=regularizers.L2(0.3)),
            keras.layers.Dense(2),
        ]
    )
    model.build((None, 4))
    model.compile(loss=keras.losses.MeanSquaredError(reduction=reduction))
    _, gradients = model.gradients(x, y, w)
    weights = model.get_weights()

    def total(kernel):
        hidden = np.tanh(x @ kernel + weights[1])
        rows = w * np.square(hidden @ weights[2] + weights[3] - y).mean(axis=1)
        over = {"sum": 1.0, "sum_over_batch_size": len(x), "mean_with_sample_weight": w.sum()}[reduction]
        return rows.sum() / over + 0.3 * np.square(hidden).sum() / len(x)

    kernel = weights[0].astype(float)
    for place in np.ndindex(kernel.shape):
        step = np.zeros_like(kernel)
        step[place] = 1e-5
        slope = (total(kernel + step) - total(kernel - step)) / 2e-5
        assert gradients[0][place] == pytest.approx(slope, rel=2e-3, abs=2e-4)
