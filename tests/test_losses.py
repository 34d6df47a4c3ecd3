"""Losses as functions and objects on arrays, by name and config, and in training: beside Keras."""

import functools
import inspect

import numpy as np
import pytest
from support import mlp

import fastnn
from fastnn import losses

keras = pytest.importorskip("keras")

NAMES = sorted(name for name in losses.__all__ if name[0].islower() and hasattr(keras.losses, name))
FUNCTIONS = [n for n in NAMES if n not in ("get", "serialize", "deserialize")]
CLASSES = sorted(c.__name__ for c in losses.classes.CLASSES if hasattr(keras.losses, c.__name__))
CLASS_NUMBERS = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")
OPTIONS = {
    "huber": [{"delta": 0.4}],
    "binary_crossentropy": [{"from_logits": True}, {"label_smoothing": 0.2}, {"axis": 0}],
    "categorical_crossentropy": [{"from_logits": True, "label_smoothing": 0.3}, {"label_smoothing": 0.1}],
    "sparse_categorical_crossentropy": [{"from_logits": True}, {"ignore_class": 2}, {"ignore_class": 0}],
    "binary_focal_crossentropy": [
        {"gamma": 1.5, "alpha": 0.7, "apply_class_balancing": True},
        {"from_logits": True, "label_smoothing": 0.1},
    ],
    "categorical_focal_crossentropy": [
        {"alpha": [0.2, 0.5, 0.3], "gamma": 1.3},
        {"from_logits": True, "label_smoothing": 0.1},
    ],
    "cosine_similarity": [{"axis": 0}],
    "tversky": [{"alpha": 0.3, "beta": 0.8}, {"axis": -1}],
    "dice": [{"axis": -1}, {"axis": (1,)}],
    "categorical_generalized_cross_entropy": [{"q": 0.7}],
}
CASES = [
    (name, options)
    for name in FUNCTIONS
    for options in ([] if name == "categorical_generalized_cross_entropy" else [{}]) + OPTIONS.get(name, [])
]


def data_for(name, rng, rows=11, units=3):
    """Targets and predictions that a loss is meant for."""
    p = rng.dirichlet(np.ones(units), size=rows)
    if name in CLASS_NUMBERS:
        return rng.integers(0, units, size=rows), p.astype("f4")
    if name in ("kl_divergence", "poisson"):
        return rng.dirichlet(np.ones(units), size=rows).astype("f4"), p.astype("f4")
    if name in ("mean_squared_logarithmic_error",):
        return rng.gamma(1.0, size=(rows, units)).astype("f4"), rng.gamma(1.0, size=(rows, units)).astype(
            "f4"
        )
    if "hinge" in name or "crossentropy" in name or name in ("dice", "tversky"):
        return np.eye(units, dtype="f4")[rng.integers(0, units, size=rows)], p.astype("f4")
    return rng.normal(size=(rows, units)).astype("f4"), rng.normal(size=(rows, units)).astype("f4")


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_functions_give_what_keras_gives(name, options, rng):
    y, p = data_for(name, rng)
    got = getattr(losses, name)(y, p, **options)
    want = np.asarray(getattr(keras.losses, name)(y, p, **options))
    assert got.shape == want.shape
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_the_same_arguments(name):
    ours, theirs = (inspect.signature(getattr(k.losses, name)).parameters for k in (fastnn, keras))
    assert {n: p.default for n, p in ours.items()} == {n: p.default for n, p in theirs.items()}
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_take_the_same_arguments(name):
    ours, theirs = (
        [(n, p.default) for n, p in inspect.signature(getattr(k.losses, name)).parameters.items()]
        for k in (fastnn, keras)
    )
    assert ours == theirs


@pytest.mark.parametrize("name", CLASSES)
def test_configs_go_both_ways(name):
    ours, theirs = (getattr(k.losses, name)(reduction="sum") for k in (fastnn, keras))
    config = ours.get_config()
    forgotten = {"Huber": {"delta"}, "CosineSimilarity": {"axis"}}.get(name, set())
    assert set(config) - forgotten == set(theirs.get_config())
    assert losses.get({"class_name": name, "config": config}).get_config() == config
    if name != "CategoricalGeneralizedCrossEntropy":  # which Keras does not find
        assert keras.losses.deserialize(losses.serialize(ours)).reduction == "sum"
    assert type(losses.deserialize(keras.losses.serialize(theirs))) is type(ours)


@pytest.mark.parametrize("weights", ["none", "rows", "column", "zeros"])
@pytest.mark.parametrize("reduction", list(losses.loss.REDUCTIONS))
@pytest.mark.parametrize(
    ("name", "options"),
    [("Huber", {"delta": 0.5}), ("SparseCategoricalCrossentropy", {"ignore_class": 1}), ("Dice", {})],
    ids=str,
)
def test_reductions(name, options, reduction, weights, rng):
    y, p = data_for(type(losses.get(name)).function.__name__, rng)
    w = {
        "none": None,
        "rows": rng.uniform(0, 2, 11).astype("f4"),
        "column": rng.uniform(0, 2, (11, 1)).astype("f4"),
        "zeros": np.zeros(11, "f4"),
    }[weights]
    if name == "Dice" and weights == "column":
        pytest.skip("Keras multiplies one number with a column")
    got = getattr(losses, name)(reduction=reduction, **options)(y, p, w)
    want = np.asarray(getattr(keras.losses, name)(reduction=reduction, **options)(y, p, w))
    assert np.size(got) == want.size  # of a column, Keras makes a column
    np.testing.assert_allclose(np.ravel(got), want.ravel(), rtol=1e-5, atol=1e-6)


def test_aliases():
    for alias, name in {
        "mse": "mean_squared_error",
        "MSE": "mean_squared_error",
        "mae": "mean_absolute_error",
        "mape": "mean_absolute_percentage_error",
        "MSLE": "mean_squared_logarithmic_error",
        "bce": "binary_crossentropy",
        "KLD": "kl_divergence",
        "logcosh": "log_cosh",
        "pinball": "quantile",
    }.items():
        assert losses.get(alias) is getattr(losses, name)


def test_quantile_on_arrays(rng):
    y, p = rng.normal(size=(50, 2)), rng.normal(size=(50, 6))
    levels = (0.1, 0.5, 0.9)
    got = losses.quantile(y, p, levels)
    want = np.mean(
        [
            np.maximum(q * (y[:, t] - p[:, 3 * t + i]), (q - 1) * (y[:, t] - p[:, 3 * t + i]))
            for t in range(2)
            for i, q in enumerate(levels)
        ],
        axis=0,
    )
    np.testing.assert_allclose(got, want)
    np.testing.assert_allclose(losses.quantile(y[:, 0], p[:, :3], levels).shape, (50,))
    np.testing.assert_allclose(losses.quantile(y, p[:, :2]), losses.mean_absolute_error(y, p[:, :2]) / 2)
    config = losses.Quantile(levels).get_config()
    assert config["quantiles"] == [0.1, 0.5, 0.9]
    assert losses.Quantile.from_config(config).get_config() == config
    for wrong, error in (((0.1, 1.0), ValueError), ((), ValueError), ("half", TypeError), (0, ValueError)):
        with pytest.raises(error, match="quantiles"):
            losses.Quantile(wrong)
    with pytest.raises(ValueError, match="multiple of 3"):
        losses.quantile(y, p[:, :5], levels)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: losses.Huber(0), "delta"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=1.5), "label_smoothing"),
        (lambda: losses.BinaryFocalCrossentropy(gamma=-1), "gamma"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(1.0), "q must"),
        (lambda: losses.Poisson(reduction="median"), "median"),
    ],
)
def test_options_that_cannot_be(make, word):
    with pytest.raises(ValueError, match=word):
        make()


# ---- training --------------------------------------------------------------------------------------------

TRAINED = {
    "mean_absolute_percentage_error": (None, {}),
    "mean_squared_logarithmic_error": ("softplus", {}),
    "huber": (None, {"delta": 0.3}),
    "log_cosh": (None, {}),
    "cosine_similarity": (None, {}),
    "binary_crossentropy": ("sigmoid", {"label_smoothing": 0.2}),
    "binary_focal_crossentropy": (
        "sigmoid",
        {"gamma": 1.5, "alpha": 0.7, "apply_class_balancing": True, "label_smoothing": 0.1},
    ),
    "categorical_crossentropy": ("softmax", {"label_smoothing": 0.2}),
    "categorical_focal_crossentropy": ("softmax", {"alpha": [0.2, 0.5, 0.3], "gamma": 1.3}),
    "categorical_generalized_cross_entropy": ("softmax", {"q": 0.7}),
    "sparse_categorical_crossentropy": (None, {"from_logits": True}),
    "kl_divergence": ("softmax", {}),
    "poisson": ("exponential", {}),
    "hinge": ("tanh", {}),
    "squared_hinge": (None, {}),
    "categorical_hinge": (None, {}),
    "tversky": ("sigmoid", {"alpha": 0.3, "beta": 0.8, "axis": -1}),
    "dice": ("softmax", {"axis": -1}),
}
TRAINED_CASES = [
    *((name, activation, options) for name, (activation, options) in TRAINED.items()),
    ("binary_focal_crossentropy", None, {"from_logits": True, "gamma": 3.0}),
    ("categorical_focal_crossentropy", None, {"from_logits": True, "label_smoothing": 0.1}),
    ("binary_crossentropy", "tanh", {}),
    ("categorical_crossentropy", None, {"from_logits": True, "label_smoothing": 0.1}),
]


def class_of(name):
    return next(c.__name__ for c in losses.classes.CLASSES if c.function.__name__ == name)


def twins(name, activation, options, metrics=lambda k: [], units=3, **more):
    """The same network in fastnn and Keras, compiled with this loss."""
    ours = mlp(
        4,
        (7, "tanh"),
        (units, activation),
        optimizer=fastnn.optimizers.SGD(0.05),
        loss=getattr(losses, class_of(name))(**options, **more),
        metrics=metrics(fastnn),
    )
    theirs = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(7, "tanh"), keras.layers.Dense(units, activation)]
    )
    theirs.compile(
        keras.optimizers.SGD(0.05),
        getattr(keras.losses, class_of(name))(**options, **more),
        metrics=metrics(keras),
    )
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def agree(ours, theirs, x, y, rtol=2e-4, **more):
    both = [
        m.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0, **more).history for m in (ours, theirs)
    ]
    assert list(both[0]) == list(both[1])
    for key, values in both[1].items():
        np.testing.assert_allclose(both[0][key], values, rtol=rtol, atol=1e-5, err_msg=key)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def data_to_train(name, rng, rows=29):
    x = rng.normal(size=(rows, 4)).astype("f4")
    y = data_for(name, rng, rows)[0]
    if name == "mean_absolute_percentage_error":
        y = np.sign(y) * (np.abs(y) + 1)
    return x, y


@pytest.mark.parametrize(("name", "activation", "options"), TRAINED_CASES, ids=str)
def test_training_follows_keras(name, activation, options, rng):
    x, y = data_to_train(name, rng)
    agree(
        *twins(name, activation, options),
        x,
        y,
        sample_weight=rng.uniform(0, 2, len(x)).astype("f4"),
        validation_data=(x[:9], y[:9]),
        rtol=1e-3,
    )


def test_losses_as_metrics(rng):
    """By name, function and object, of losses with options too."""

    def metrics(k):
        return [
            "mape",
            "mean_squared_logarithmic_error",
            k.losses.huber,
            k.losses.log_cosh,
            k.losses.mean_squared_error,
            k.losses.Huber(2.0),
            k.losses.MeanAbsoluteError(name="mine"),
        ]

    # rows in whole batches: Keras takes the mean over batches of what an object says of each
    x, y = data_to_train("mean_absolute_percentage_error", rng, 32)
    agree(*twins("huber", None, {}, metrics), x, y, validation_data=(x[:16], y[:16]))


def test_losses_from_logits_as_metrics(rng):
    x, y = data_to_train("categorical_crossentropy", rng, 24)

    def metrics(k):
        return [
            k.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            k.losses.CategoricalFocalCrossentropy(from_logits=True, name="focal"),
            k.metrics.CategoricalCrossentropy(from_logits=True, name="plain"),
        ]

    agree(*twins("categorical_crossentropy", None, {"from_logits": True}, metrics), x, y)


@pytest.mark.parametrize("name", sorted(losses.TABLE))
def test_every_loss_is_a_metric_by_name(name, rng):
    if name in ("dice", "tversky", "categorical_generalized_cross_entropy"):
        pytest.skip("of all rows together, or without a default")
    x, y = data_to_train(name, rng)
    activation = TRAINED.get(name, (None,))[0]
    loss = "sparse_categorical_crossentropy" if name in CLASS_NUMBERS else "mse"
    model = mlp(4, (3, activation or "softmax"), loss=loss, metrics=[name], optimizer="sgd")
    found = model.evaluate(x, y, return_dict=True, verbose=0)
    want = getattr(losses, name)(y, model.predict(x)).mean()
    if name == "cosine_similarity":  # the metric of that name is 1 where the loss is -1, as in Keras
        want = -want
    np.testing.assert_allclose(found[name], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("quantiles", [0.8, [0.1, 0.5, 0.9]])
def test_quantiles_are_learned(quantiles, rng):
    """Of noise that does not depend on x, the model learns the quantiles of the noise."""
    noise = rng.exponential(size=4000).astype("f4")
    units = np.size(quantiles)
    model = mlp(1, (units, None), loss=losses.Quantile(quantiles), optimizer=fastnn.optimizers.Adam(0.02))
    x = np.zeros((4000, 1), "f4")
    model.fit(x, noise, epochs=60, batch_size=200, verbose=0)
    np.testing.assert_allclose(
        model.predict(x[:1])[0], np.quantile(noise, np.ravel(quantiles)), rtol=0.06, atol=0.02
    )
    found = model.evaluate(x, noise, verbose=0)
    want = losses.quantile(noise, model.predict(x), quantiles).mean()
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_quantiles_need_their_units(rng):
    with pytest.raises(
        ValueError, match="3 quantiles need 3 units for each target, but the last layer has 4"
    ):
        mlp(1, (4, None), loss=losses.Quantile([0.1, 0.5, 0.9]), optimizer="sgd")
    model = mlp(1, (6, None), loss=losses.Quantile([0.1, 0.5, 0.9]), optimizer="sgd")
    with pytest.raises(
        ValueError, match=r"shape \(rows, 2\), since layer .* has 6 units, and quantile takes 2"
    ):
        model.fit(np.zeros((5, 1)), np.zeros((5, 6)), verbose=0)
    with pytest.raises(ValueError, match="takes 6 targets a row, but the loss quantile takes 2 targets"):
        mlp(1, (6, None), loss=losses.Quantile([0.1, 0.5, 0.9]), metrics=["mae"], optimizer="sgd")
    mlp(1, (2, None), loss="quantile", metrics=["mae", losses.Quantile(0.9)], optimizer="sgd")


def test_functions_with_arguments_bound(rng):
    x, y = data_to_train("huber", rng)
    one = mlp(4, (3, None), loss=functools.partial(losses.huber, delta=0.3), optimizer="sgd")
    two = mlp(4, (3, None), loss=losses.Huber(0.3), optimizer="sgd")
    assert one.evaluate(x, y, verbose=0) == two.evaluate(x, y, verbose=0)
    with pytest.raises(TypeError, match="delte"):
        mlp(4, (3, None), loss=functools.partial(losses.huber, delte=0.3), optimizer="sgd")


@pytest.mark.parametrize("name", ["hinge", "squared_hinge"])
def test_labels_of_hinge_losses(name, rng):
    x = rng.normal(size=(20, 4)).astype("f4")
    y = rng.integers(0, 2, size=(20, 1))
    model = mlp(4, (1, None), loss=name, optimizer="sgd")
    assert model.evaluate(x, y, verbose=0) == model.evaluate(x, 2 * y - 1, verbose=0)
    y[3] = -1
    with pytest.raises(ValueError, match="y holds 0, and other values in row 3"):
        model.fit(x, y, verbose=0)


def test_models_keep_the_options_of_their_loss():
    model = mlp(4, (3, "softmax"), loss=losses.CategoricalFocalCrossentropy([0.1, 0.2, 0.7]), optimizer="sgd")
    again = fastnn.models.model_from_json(model.to_json())
    assert again.loss.get_config() == model.loss.get_config()


@pytest.mark.parametrize(
    ("loss", "error", "words"),
    [
        (lambda y, p: (p - y) ** 2, NotImplementedError, "cannot differentiate.*def gradient"),
        (losses.CosineSimilarity(axis=0), NotImplementedError, "axis=0.*along the last axis"),
        (losses.BinaryCrossentropy(axis=0), NotImplementedError, "axis=0"),
        (losses.Dice(axis=0), NotImplementedError, "axis=0"),
        (losses.MeanSquaredError(reduction="none"), ValueError, "one number a row"),
        (losses.MeanSquaredError(reduction=None), ValueError, "one number a row"),
        (losses.CategoricalFocalCrossentropy(alpha=[0.1, 0.2]), ValueError, "each of the 3 classes"),
        ("circle", NotImplementedError, "circle"),
        ("hubr", ValueError, "huber"),
    ],
    ids=str,
)
def test_refused(loss, error, words):
    with pytest.raises(error, match=words):
        mlp(4, (3, None), loss=loss, optimizer="sgd")


@pytest.mark.parametrize("name", ["crossentropy", "ce", "CE"])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("kind", ["binary", "one-hot", "numbers"])
def test_crossentropy_by_output_and_targets(kind, column, name, rng):
    """Chosen as Keras chooses, by the first targets; and for good, whatever comes first."""
    units = 1 if kind == "binary" else 3
    x, labels = rng.normal(size=(40, 4)).astype("f4"), rng.integers(0, 3, 40)
    y = {"binary": (labels > 0).astype("f4"), "one-hot": np.eye(3, dtype="f4")[labels], "numbers": labels}[
        kind
    ]
    y = y[:, None] if column and y.ndim == 1 else y
    activation = "sigmoid" if units == 1 else "softmax"
    ours = mlp(4, (units, activation), loss=name, optimizer="sgd", metrics=["accuracy"])
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation)])
    theirs.compile("sgd", name, metrics=["accuracy"])
    theirs.set_weights(ours.get_weights())
    assert ours.evaluate(x, y, verbose=0) == pytest.approx(theirs.evaluate(x, y, verbose=0), rel=1e-4)
    more = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0, "validation_split": 0.2}
    histories = [m.fit(x, y, **more).history for m in (ours, theirs)]
    assert list(histories[0]) == list(histories[1])
    for key, values in histories[1].items():
        np.testing.assert_allclose(histories[0][key], values, rtol=1e-3, atol=1e-5)
    again = fastnn.models.model_from_json(ours.to_json())
    again.set_weights(ours.get_weights())
    calls = (
        lambda m: m.evaluate(x, y, verbose=0),
        lambda m: m.test_on_batch(x, y),
        lambda m: [m.gradients(x, y)[0]],
        lambda m: list(m.find_learning_rate(x, y, steps=10).rates),
        lambda m: m.train_on_batch(x, y),
    )
    for call in calls:
        m = fastnn.models.model_from_json(ours.to_json())
        m.set_weights(ours.get_weights())
        assert m.forward(x).shape == (40, units)
        assert call(m) == pytest.approx(call(ours), rel=1e-5)
    if units > 1:
        with pytest.raises(ValueError, match="chosen by the first targets"):
            fastnn.models.model_from_json(ours.to_json()).fit(iter([(x, y)]), verbose=0)
