"""Model: fit, evaluate, predict, the batch methods, against the oracle and Keras 3's documented behaviour."""

import numpy as np
import oracle
import pytest
from oracle import Net
from support import digest, iterations, mlp, random_weights, same_bits, state, targets

import fastnn as keras
from fastnn.layers import Dense


def data(rng, rows=50, inputs=4, outputs=1, kind="mse", dtype=np.float32):
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    return x, targets({"mse": "mean_squared_error"}.get(kind, kind), rng, rows, outputs, dtype)


def twin_of(model):
    activations = [layer.activation.__name__ for layer in model.layers]
    layers = [
        (layer.units, name, layer.use_bias) for layer, name in zip(model.layers, activations, strict=True)
    ]
    return Net(layers, model.get_weights())


# ---- history -------------------------------------------------------------------------------------


def test_history(rng):
    x, y = data(rng)
    model = mlp(
        4,
        (5, "relu"),
        (1, "sigmoid"),
        optimizer="adam",
        loss="binary_crossentropy",
        metrics=["accuracy", "mse"],
    )
    y = (y > 0).astype(np.float32)
    history = model.fit(x, y, epochs=3, batch_size=16, validation_split=0.2, verbose=0)
    assert isinstance(history, keras.callbacks.History)
    assert sorted(history.history) == ["accuracy", "loss", "mse", "val_accuracy", "val_loss", "val_mse"]
    assert all(len(values) == 3 for values in history.history.values())
    assert all(isinstance(value, float) for values in history.history.values() for value in values)
    assert history.epoch == [0, 1, 2]
    assert history.params["epochs"] == 3
    assert history.params["steps"] == 3
    assert history.model is model
    assert model.history is history


def test_history_without_validation_or_metrics(rng):
    x, y = data(rng)
    history = mlp(4, (1, None), optimizer="sgd", loss="mse").fit(x, y, epochs=2, verbose=0)
    assert list(history.history) == ["loss"]


def test_history_starts_anew_at_every_fit(rng):
    x, y = data(rng)
    model = mlp(4, (1, None), optimizer="sgd", loss="mse")
    assert len(model.fit(x, y, epochs=2, verbose=0).history["loss"]) == 2
    assert len(model.fit(x, y, epochs=3, verbose=0).history["loss"]) == 3


def test_initial_epoch(rng):
    x, y = data(rng)
    model = mlp(4, (1, None), optimizer="sgd", loss="mse")
    history = model.fit(x, y, epochs=5, initial_epoch=3, batch_size=10, verbose=0)
    assert history.epoch == [3, 4]
    assert iterations(model) == 10


def test_no_epochs(rng):
    x, y = data(rng)
    model = mlp(4, (1, None), optimizer="sgd", loss="mse")
    before = state(model)
    assert model.fit(x, y, epochs=0, verbose=0).history == {}
    assert state(model) == before


# ---- training ------------------------------------------------------------------------------------

FITS = {
    "regression": (
        "mse",
        "linear",
        {"loss": "mse", "metrics": ["mae"]},
        "mean_squared_error",
        ["mean_absolute_error"],
    ),
    "probability": (
        "binary_crossentropy",
        "sigmoid",
        {"loss": "binary_crossentropy", "metrics": ["mae"]},
        "binary_crossentropy",
        ["mean_absolute_error"],
    ),
    "classes": (
        "sparse_categorical_crossentropy",
        "softmax",
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        "sparse_categorical_crossentropy",
        ["sparse_categorical_accuracy"],
    ),
    "shares": (
        "categorical_crossentropy",
        "softmax",
        {"loss": keras.losses.CategoricalCrossentropy(), "metrics": ["accuracy"]},
        "categorical_crossentropy",
        ["categorical_accuracy"],
    ),
}
OPTIMIZERS = {
    "sgd": (lambda: keras.optimizers.SGD(0.05), lambda: oracle.SGD(0.05)),
    "nesterov": (
        lambda: keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True),
        lambda: oracle.SGD(0.02, momentum=0.9, nesterov=True),
    ),
    "adam": (lambda: keras.optimizers.Adam(learning_rate=0.01), lambda: oracle.Adam(0.01)),
}


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("fit", sorted(FITS))
def test_fit_matches_the_oracle(fit, optimizer, isa, rng):
    kind, activation, compile_arguments, loss, metrics = FITS[fit]
    x, y = data(rng, rows=53, inputs=5, outputs=3, kind=kind, dtype=np.float64)
    sample_weight = rng.uniform(0, 2, size=len(x))
    model = mlp(
        5,
        (9, "tanh"),
        (6, "relu"),
        (3, activation),
        dtype="float64",
        optimizer=OPTIMIZERS[optimizer][0](),
        **compile_arguments,
    )
    twin, theirs = twin_of(model), OPTIMIZERS[optimizer][1]()
    history = model.fit(
        x[:40],
        y[:40],
        epochs=5,
        batch_size=7,
        shuffle=False,
        sample_weight=sample_weight[:40],
        validation_data=(x[40:], y[40:], sample_weight[40:]),
        verbose=0,
    )
    logs = twin.fit(
        loss,
        theirs,
        x[:40],
        y[:40],
        batch_size=7,
        orders=[np.arange(40)] * 5,
        metrics=metrics,
        sample_weight=sample_weight[:40],
        validation=(x[40:], y[40:], sample_weight[40:]),
    )
    for got, want in zip(model.get_weights(), twin.weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)
    name = "accuracy" if "accuracy" in history.history else "mae"
    for key, column in (("loss", 0), (name, 1), ("val_loss", 2), (f"val_{name}", 3)):
        np.testing.assert_allclose(history.history[key], logs[:, column], rtol=1e-8)
    results = model.evaluate(x, y, sample_weight=sample_weight, verbose=0)
    np.testing.assert_allclose(results, twin.evaluate(loss, False, metrics, x, y, sample_weight), rtol=1e-8)
    np.testing.assert_allclose(model.predict(x, verbose=0), twin.predict(x), rtol=1e-8)


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [("BinaryCrossentropy", 1), ("CategoricalCrossentropy", 3), ("SparseCategoricalCrossentropy", 3)],
)
def test_from_logits(loss, outputs, rng):
    name = {"B": "binary", "C": "categorical", "S": "sparse_categorical"}[loss[0]] + "_crossentropy"
    x, y = data(rng, inputs=5, outputs=outputs, kind=name, dtype=np.float64)
    model = mlp(
        5,
        (6, "relu"),
        (outputs, None),
        dtype="float64",
        optimizer="sgd",
        loss=getattr(keras.losses, loss)(from_logits=True),
    )
    twin = twin_of(model)
    history = model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
    logs = twin.fit(
        name, oracle.SGD(0.01), x, y, batch_size=8, orders=[np.arange(len(x))] * 3, from_logits=True
    )
    np.testing.assert_allclose(history.history["loss"], logs[:, 0], rtol=1e-9)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(twin.loss(name, True, x, y), rel=1e-9)


def test_validation_split_takes_the_last_rows_unshuffled(rng):
    x, y = data(rng, rows=50)
    weight = rng.uniform(0, 2, size=50).astype(np.float32)
    arguments = {"optimizer": "adam", "loss": "mse"}
    split, apart = (mlp(4, (5, "tanh"), (1, None), **arguments) for _ in range(2))
    one = split.fit(x, y, sample_weight=weight, epochs=3, validation_split=0.3, verbose=0)
    two = apart.fit(
        x[:35],
        y[:35],
        sample_weight=weight[:35],
        epochs=3,
        validation_data=(x[35:], y[35:], weight[35:]),
        verbose=0,
    )
    assert state(split) == state(apart)
    assert one.history == two.history


def test_validation_data_wins_over_the_split(rng):
    x, y = data(rng, rows=50)
    models = [mlp(4, (1, None), optimizer="sgd", loss="mse") for _ in range(2)]
    one = models[0].fit(x, y, epochs=1, validation_data=(x, y), validation_split=0.5, verbose=0)
    two = models[1].fit(x, y, epochs=1, validation_data=(x, y), verbose=0)
    assert one.history == two.history


def test_validation_does_not_change_training(rng):
    x, y = data(rng)
    models = [mlp(4, (5, "relu"), (1, None), optimizer="adam", loss="mse") for _ in range(2)]
    models[0].fit(x, y, epochs=3, verbose=0)
    models[1].fit(x, y, epochs=3, validation_data=(x[:9], y[:9]), validation_batch_size=2, verbose=0)
    assert state(models[0]) == state(models[1])


def test_default_batch_is_32(rng):
    x, y = data(rng, rows=65)
    model = mlp(4, (1, None), optimizer="sgd", loss="mse")
    assert model.fit(x, y, epochs=1, verbose=0).params["steps"] == 3
    assert iterations(model) == 3


def test_targets_of_rank_one_never_broadcast(rng):
    x, _ = data(rng, rows=20)
    y = rng.normal(size=20).astype(np.float32)
    models = [mlp(4, (1, None), optimizer="sgd", loss="mse", metrics=["mae"]) for _ in range(2)]
    one, two = models[0].fit(x, y, epochs=2, verbose=0), models[1].fit(x, y[:, None], epochs=2, verbose=0)
    assert one.history == two.history
    assert state(models[0]) == state(models[1])
    assert models[0].evaluate(x, y, verbose=0) == models[1].evaluate(x, y[:, None], verbose=0)
    want = float(np.mean((models[0].predict(x, verbose=0)[:, 0].astype(float) - y) ** 2))
    assert models[0].evaluate(x, y, verbose=0)[0] == pytest.approx(want, rel=1e-5)


def test_class_ids_of_either_rank_and_any_dtype(rng):
    x, _ = data(rng, rows=20)
    y = rng.integers(0, 3, size=20)
    digests = set()
    for form in (
        y,
        y[:, None],
        y.astype(np.uint8),
        y.astype(np.int8),
        y.astype(np.float64),
        y.astype(">i4"),
        list(y),
    ):
        model = mlp(
            4, (3, "softmax"), optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        model.fit(x, form, epochs=2, verbose=0)
        digests.add(state(model))
    assert len(digests) == 1


def test_one_feature_may_come_as_a_vector(rng):
    x, y = rng.normal(size=20), rng.normal(size=20)
    models = [mlp(1, (1, None), optimizer="sgd", loss="mse") for _ in range(2)]
    models[0].fit(x, y, epochs=2, verbose=0)
    models[1].fit(x[:, None], y[:, None], epochs=2, verbose=0)
    assert state(models[0]) == state(models[1])
    assert same_bits(models[0].predict(x, verbose=0), models[1].predict(x[:, None], verbose=0))


def test_objects_and_strings_mean_the_same(rng):
    x, y = data(rng, outputs=3, kind="categorical_crossentropy")
    spellings = [
        ("adam", "categorical_crossentropy", ["accuracy"], "relu", "softmax"),
        (
            keras.optimizers.Adam(),
            keras.losses.CategoricalCrossentropy(),
            [keras.metrics.CategoricalAccuracy()],
            keras.activations.relu,
            keras.activations.softmax,
        ),
        ("Adam", keras.losses.categorical_crossentropy, ["categorical_accuracy"], "relu", "softmax"),
        (
            keras.optimizers.Adam,
            "CategoricalCrossentropy",
            [keras.metrics.CategoricalAccuracy],
            "relu",
            "softmax",
        ),
    ]
    results = set()
    for optimizer, loss, metrics, relu, softmax in spellings[:3]:
        model = mlp(4, (5, relu), (3, softmax), optimizer=optimizer, loss=loss, metrics=metrics)
        history = model.fit(x, y, epochs=2, verbose=0).history
        values = [v for name, column in sorted(history.items()) for v in column]
        results.add((state(model), *sorted(values)))
    assert len(results) == 1


# ---- metrics -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "activation", "loss", "y", "want"),
    [
        (1, "sigmoid", "binary_crossentropy", lambda r: r.integers(0, 2, 20), "binary_accuracy"),
        (1, "sigmoid", "mse", lambda r: r.integers(0, 2, (20, 1)), "binary_accuracy"),
        (
            3,
            "softmax",
            "sparse_categorical_crossentropy",
            lambda r: r.integers(0, 3, 20),
            "sparse_categorical_accuracy",
        ),
        (
            3,
            "softmax",
            "sparse_categorical_crossentropy",
            lambda r: r.integers(0, 3, (20, 1)),
            "sparse_categorical_accuracy",
        ),
        (
            3,
            "softmax",
            "categorical_crossentropy",
            lambda r: np.eye(3)[r.integers(0, 3, 20)],
            "categorical_accuracy",
        ),
        (3, "softmax", "mse", lambda r: np.eye(3)[r.integers(0, 3, 20)], "categorical_accuracy"),
        (
            3,
            "sigmoid",
            "binary_crossentropy",
            lambda r: np.eye(3)[r.integers(0, 3, 20)],
            "categorical_accuracy",
        ),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_is_resolved_as_keras_does(outputs, activation, loss, y, want, name, rng):
    x, y = data(rng, rows=20)[0], y(rng)
    model = mlp(4, (outputs, activation), optimizer="sgd", loss=loss, metrics=[name])
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert list(results) == [name, "loss"] or list(results) == ["loss", name]
    a = model.predict(x, verbose=0)
    target = y if y.ndim == 2 else y[:, None]
    assert results[name] == pytest.approx(oracle.METRICS[want](target.astype(float), a.astype(float)).mean())


def test_metric_names(rng):
    x, y = data(rng)
    metrics = [
        "mse",
        "mae",
        "mean_absolute_error",
        keras.metrics.MeanSquaredError(),
        keras.metrics.MeanAbsoluteError(name="mine"),
    ]
    model = mlp(4, (1, None), optimizer="sgd", loss="mse", metrics=metrics)
    names = ["mse", "mae", "mean_absolute_error", "mean_squared_error", "mine"]
    assert sorted(model.fit(x, y, epochs=1, verbose=0).history) == sorted(["loss", *names])
    results = model.evaluate(x, y, verbose=0)
    assert len(results) == 6
    assert results[0] == pytest.approx(results[1])
    assert results[1] == results[4]
    assert results[2] == results[3] == results[5]


def test_metrics_do_not_see_sample_weights(rng):
    x, y = data(rng, rows=20)
    model = mlp(4, (1, None), optimizer="sgd", loss="mse", metrics=["mae"])
    plain = model.evaluate(x, y, verbose=0)
    weighted = model.evaluate(x, y, sample_weight=np.full(20, 0.5), verbose=0)
    assert weighted[0] == pytest.approx(plain[0] / 2)
    assert weighted[1] == pytest.approx(plain[1])


# ---- evaluate and predict ------------------------------------------------------------------------


def test_evaluate_returns(rng):
    x, y = data(rng)
    model = mlp(4, (1, None), optimizer="sgd", loss="mse")
    assert isinstance(model.evaluate(x, y, verbose=0), float)
    assert list(model.evaluate(x, y, verbose=0, return_dict=True)) == ["loss"]
    model.compile("sgd", "mse", metrics=["mae"])
    results = model.evaluate(x, y, verbose=0)
    assert [type(value) for value in results] == [float, float]
    assert model.evaluate(x, y, verbose=0, return_dict=True) == dict(
        zip(["loss", "mae"], results, strict=True)
    )


def test_evaluate_and_predict_leave_the_model_alone(rng):
    x, y = data(rng)
    model = mlp(4, (5, "relu"), (1, None), optimizer="adam", loss="mse")
    model.fit(x, y, epochs=1, verbose=0)
    before = state(model)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    model.test_on_batch(x, y)
    model.predict_on_batch(x)
    assert state(model) == before


@pytest.mark.parametrize("batch_size", [None, 1, 7, 32, 1000])
def test_the_batch_size_changes_no_prediction(batch_size, dtype, rng):
    x, _ = data(rng, rows=75, dtype=dtype)
    model = mlp(
        4, (33, "tanh"), (3, "softmax"), dtype=dtype.name, optimizer="sgd", loss="mse", metrics=["mae"]
    )
    whole = model.predict(x, verbose=0)
    assert whole.dtype == dtype
    assert same_bits(model.predict(x, batch_size=batch_size, verbose=0), whole)
    assert same_bits(model.predict_on_batch(x), whole)
    assert same_bits(np.asarray(model(x)), whole)
    assert all(same_bits(model.predict(x[i : i + 1], verbose=0)[0], whole[i]) for i in (0, 3, 74))
    target = np.zeros((75, 3), dtype)
    assert model.evaluate(x, target, batch_size=batch_size, verbose=0) == model.evaluate(x, target, verbose=0)


def test_predict_before_compile(rng):
    x, _ = data(rng)
    assert mlp(4, (3, "softmax")).predict(x, verbose=0).shape == (50, 3)


def test_batch_methods(rng):
    x, y = data(rng, rows=20, dtype=np.float64)
    model = mlp(4, (5, "tanh"), (1, None), dtype="float64", optimizer="adam", loss="mse", metrics=["mae"])
    twin, theirs = twin_of(model), oracle.Adam()
    for _ in range(3):
        want = twin.evaluate("mean_squared_error", False, ["mean_absolute_error"], x, y)
        np.testing.assert_allclose(model.test_on_batch(x, y), want, rtol=1e-9)
        model.reset_metrics() if hasattr(model, "reset_metrics") else None
        twin.fit("mean_squared_error", theirs, x, y, batch_size=20, orders=[np.arange(20)])
        np.testing.assert_allclose(model.train_on_batch(x, y), want, rtol=1e-9)
    for got, expected in zip(model.get_weights(), twin.weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9)
    assert iterations(model) == 3
    assert sorted(model.train_on_batch(x, y, return_dict=True)) == ["loss", "mae"]
    assert sorted(model.test_on_batch(x, y, return_dict=True)) == ["loss", "mae"]
    np.testing.assert_allclose(model.predict_on_batch(x), model.predict(x, verbose=0))
    model.compile("sgd", "mse")
    assert np.ndim(model.train_on_batch(x, y)) == 0
    assert np.ndim(model.test_on_batch(x, y)) == 0


def test_train_on_batch_equals_a_fit_of_one_step(rng):
    x, y = data(rng, rows=33)
    weight = rng.uniform(0, 2, size=33).astype(np.float32)
    models = [mlp(4, (5, "relu"), (1, None), optimizer="adam", loss="mse") for _ in range(2)]
    for _ in range(4):
        models[0].train_on_batch(x, y, sample_weight=weight)
        models[1].fit(x, y, sample_weight=weight, batch_size=33, epochs=1, shuffle=False, verbose=0)
    assert state(models[0]) == state(models[1])


# ---- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_two_fits_then_three_equal_five(optimizer, shuffle, dtype, rng):
    x, y = data(rng, rows=45, dtype=dtype)
    once, twice, callback = (
        mlp(4, (17, "relu"), (1, None), dtype=dtype.name, optimizer=optimizer, loss="mse") for _ in range(3)
    )
    one = once.fit(x, y, epochs=5, batch_size=7, shuffle=shuffle, verbose=0).history["loss"]
    two = [
        *(twice.fit(x, y, epochs=n, batch_size=7, shuffle=shuffle, verbose=0).history["loss"] for n in (2, 3))
    ]
    assert state(once) == state(twice)
    assert one == two[0] + two[1]
    # Python between the epochs changes nothing either.
    three = callback.fit(x, y, epochs=5, batch_size=7, shuffle=shuffle, verbose=0, callbacks=[Nosy()])
    assert three.history["loss"] == one
    assert state(callback) == state(once)


class Nosy(keras.callbacks.Callback):
    """Looks at the weights after every epoch."""

    def on_epoch_end(self, epoch, logs=None):
        assert all(np.isfinite(w).all() for w in self.model.get_weights())


class EveryBatch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        assert np.isfinite(logs["loss"])


def test_the_path_taken_changes_no_bits(rng, capsys):
    x, y = data(rng, rows=45)
    results = set()
    for arguments in (
        {"verbose": 0},
        {"verbose": 1},
        {"verbose": 2},
        {"verbose": "auto"},
        {"verbose": 0, "callbacks": [EveryBatch()]},
        {"verbose": 0, "callbacks": [Nosy(), EveryBatch()]},
        {"verbose": 0, "callbacks": [keras.callbacks.EarlyStopping(monitor="loss", patience=100)]},
        {"verbose": 0, "validation_data": (x, y)},
    ):
        model = mlp(4, (17, "relu"), (1, None), optimizer="adam", loss="mse", metrics=["mae"])
        history = model.fit(x, y, epochs=4, batch_size=7, **arguments).history
        results.add((state(model), tuple(history["loss"]), tuple(history["mae"])))
    assert len(results) == 1


@pytest.mark.parametrize("threads", [2, 3, 5, 8])
def test_threads_change_no_bits(threads, rng):
    x, y = data(rng, rows=300)
    results = []
    for count in (1, threads):
        keras.set_num_threads(count)
        assert keras.get_num_threads() == count
        model = mlp(4, (64, "relu"), (33, "tanh"), (1, None), optimizer="adam", loss="mse")
        history = model.fit(x, y, epochs=3, batch_size=100, verbose=0).history
        results.append(
            (state(model), history, digest([model.predict(x, verbose=0)]), model.evaluate(x, y, verbose=0))
        )
    assert results[0] == results[1]


def test_seeds(rng):
    x, y = data(rng)

    def run(seed):
        model = mlp(4, (9, "relu"), (1, None), seed=seed, optimizer="adam", loss="mse")
        start = digest(model.get_weights())
        model.fit(x, y, epochs=2, batch_size=5, verbose=0)
        return start, state(model)

    assert run(1) == run(1)
    assert run(1)[0] != run(2)[0]


def test_set_random_seed_also_seeds_python_and_numpy():
    import random

    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        drawn.append((random.random(), np.random.rand()))  # noqa: NPY002
    assert drawn[0] == drawn[1]


def test_a_model_does_not_depend_on_what_others_do(rng):
    """The seed is drawn when the model is made: training another one between changes nothing."""
    x, y = data(rng)
    results = []
    for disturb in (False, True):
        model = mlp(4, (9, "relu"), (1, None), seed=5, optimizer="adam", loss="mse")
        if disturb:
            np.random.rand(10)  # noqa: NPY002
            other = keras.Sequential([Dense(3)])
            other.compile("sgd", "mse")
            other.fit(x, y.repeat(3, axis=1), epochs=2, verbose=0)
        model.fit(x, y, epochs=2, batch_size=5, verbose=0)
        results.append(state(model))
    assert results[0] == results[1]


def test_unseeded_models_differ():
    models = [keras.Sequential([Dense(5, input_dim=3)]) for _ in range(2)]
    assert digest(models[0].get_weights()) != digest(models[1].get_weights())


def test_a_second_fit_does_not_replay_the_first_order(rng):
    x, y = data(rng)

    class First(keras.callbacks.Callback):
        losses = []  # noqa: RUF012

        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                self.losses.append(logs["loss"])

    model = mlp(4, (1, None), optimizer=keras.optimizers.SGD(learning_rate=0.0), loss="mse")
    for _ in range(2):
        model.fit(x, y, epochs=2, batch_size=5, verbose=0, callbacks=[First()])
    assert len(set(First.losses)) == 4


# ---- compile and the optimizer -------------------------------------------------------------------


def test_learning_rate(rng):
    x, y = data(rng, dtype=np.float64)
    model = mlp(4, (1, None), dtype="float64", optimizer="sgd", loss="mse")
    assert float(np.asarray(model.optimizer.learning_rate)) == pytest.approx(0.01)
    moved = []
    start = model.get_weights()
    for rate in (0.01, 0.04):
        model.optimizer.learning_rate = rate
        assert float(np.asarray(model.optimizer.learning_rate)) == pytest.approx(rate)
        model.set_weights(start)
        model.train_on_batch(x, y)
        moved.append(model.get_weights()[0] - start[0])
    np.testing.assert_allclose(moved[1], 4 * moved[0], rtol=1e-6)
    model.optimizer.learning_rate.assign(0.5) if hasattr(model.optimizer.learning_rate, "assign") else None


def test_learning_rate_can_change_between_epochs(rng):
    x, y = data(rng)

    class Halve(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.1 * 0.5**epoch

    models = [mlp(4, (1, None), optimizer=keras.optimizers.SGD(0.1), loss="mse") for _ in range(2)]
    models[0].fit(x, y, epochs=3, verbose=0, callbacks=[Halve()])
    for epoch in range(3):
        models[1].optimizer.learning_rate = 0.1 * 0.5**epoch
        models[1].fit(x, y, epochs=1, verbose=0)
    assert digest(models[0].get_weights()) == digest(models[1].get_weights())


def test_compiling_again_restarts_the_optimizer_and_keeps_the_weights(rng):
    x, y = data(rng)
    model = mlp(4, (1, None), optimizer="adam", loss="mse")
    model.fit(x, y, epochs=2, verbose=0)
    weights = digest(model.get_weights())
    model.compile(optimizer="adam", loss="mae")
    assert digest(model.get_weights()) == weights
    assert iterations(model) == 0
    fresh = mlp(4, (1, None), optimizer="adam", loss="mae")
    fresh.set_weights(model.get_weights())
    for m in (model, fresh):
        m.fit(x, y, epochs=1, shuffle=False, verbose=0)
    assert state(model) == state(fresh)


def test_weights_may_be_set_between_fits_and_the_optimizer_stays(rng):
    x, y = data(rng)
    model = mlp(4, (5, "relu"), (1, None), optimizer="adam", loss="mse")
    start = model.get_weights()
    model.fit(x, y, epochs=2, verbose=0)
    count = iterations(model)
    model.set_weights(start)
    assert digest(model.get_weights()) == digest(start)
    assert iterations(model) == count


def test_get_weights_are_copies(rng):
    x, _ = data(rng)
    model = mlp(4, (3, None))
    before = model.predict(x, verbose=0)
    model.get_weights()[0][...] = 0
    assert same_bits(model.predict(x, verbose=0), before)


def test_variables(rng):
    x, y = data(rng)
    model = mlp(4, (5, "relu"), (1, None), optimizer="sgd", loss="mse")
    kernel = model.layers[0].kernel
    assert kernel.shape == (4, 5)
    assert kernel.name == "kernel"
    assert kernel.trainable
    assert [v.name for v in model.weights] == ["kernel", "bias"] * 2
    assert [v.name for v in model.trainable_variables] == ["kernel", "bias"] * 2
    assert same_bits(np.asarray(kernel), model.get_weights()[0])
    model.fit(x, y, epochs=1, verbose=0)
    assert same_bits(kernel.numpy(), model.get_weights()[0])
    kernel.assign(np.zeros((4, 5)))
    assert not model.get_weights()[0].any()
    bias = model.get_weights()[1]
    want = np.maximum(bias, 0) @ model.get_weights()[2] + model.get_weights()[3]
    np.testing.assert_allclose(model.predict(x, verbose=0)[0], want, rtol=1e-5)


def test_models_that_share_layers_share_weights(rng):
    x, y = data(rng)
    model = mlp(4, (5, "relu"), (3, "tanh"), (1, None), optimizer="adam", loss="mse")
    head = keras.Sequential(model.layers[:-1])
    for _ in range(2):
        model.fit(x, y, epochs=2, verbose=0)
        inner = np.tanh(
            np.maximum(x @ model.get_weights()[0] + model.get_weights()[1], 0) @ model.get_weights()[2]
            + model.get_weights()[3]
        )
        np.testing.assert_allclose(head.predict(x, verbose=0), inner, rtol=1e-4, atol=1e-5)
    head.compile("sgd", "mse")
    before = model.predict(x, verbose=0)
    head.fit(x, rng.normal(size=(50, 3)), epochs=2, verbose=0)
    assert digest(model.get_weights()[:4]) == digest(head.get_weights())
    after = model.predict(x, verbose=0)
    assert not np.array_equal(before, after)
    wanted = Net([(5, "relu", True), (3, "tanh", True), (1, "linear", True)], model.get_weights()).predict(x)
    np.testing.assert_allclose(after, wanted, rtol=1e-4, atol=1e-5)


def test_floatx(rng):
    x, y = data(rng, dtype=np.float64)
    assert keras.config.floatx() == "float32"
    keras.config.set_floatx("float64")
    model = keras.Sequential([Dense(5, input_dim=4), Dense(1)])
    keras.config.set_floatx("float32")
    assert {w.dtype for w in model.get_weights()} == {np.dtype(np.float64)}
    model.compile("sgd", "mse")
    model.fit(x, y, epochs=1, verbose=0)
    assert model.predict(x, verbose=0).dtype == np.float64
    assert Dense(3, input_dim=4).dtype == "float32" or "float32" in str(Dense(3).dtype)
    with pytest.raises(ValueError, match="float16"):
        keras.config.set_floatx("float16")


def test_input_is_cast_to_the_dtype_of_the_model(rng):
    x, y = data(rng, dtype=np.float64)
    results = []
    for convert in (np.float32, np.float64):
        model = mlp(4, (5, "relu"), (1, None), optimizer="sgd", loss="mse")
        x32 = x.astype(np.float32)
        model.fit(x32.astype(convert), y.astype(np.float32).astype(convert), epochs=2, verbose=0)
        results.append((state(model), digest([model.predict(x32.astype(convert), verbose=0)])))
    assert results[0] == results[1]


def test_set_weights_takes_any_array_likes(rng):
    """set_weights takes any array-likes of the right shapes, whatever their dtype and memory."""
    model = mlp(4, (5, "relu"), (1, None))
    weights = random_weights([(5, "relu", True), (1, "linear", True)], 4, rng)
    model.set_weights([w.tolist() for w in weights])
    listed = model.get_weights()
    model.set_weights([np.asfortranarray(w) for w in weights])
    assert digest(model.get_weights()) == digest(listed)
    for got, want in zip(listed, weights, strict=True):
        assert same_bits(got, want.astype(np.float32))


def test_predicting_from_another_thread_while_training(rng):
    """Readers get finite predictions of some published state; training comes out as if nobody had read."""
    import threading

    x, y = data(rng, rows=200)
    model = mlp(4, (40, "relu"), (1, None), optimizer="adam", loss="mse")
    over, errors, reads = threading.Event(), [], []

    def read():
        try:
            while not over.is_set():
                reads.append(np.isfinite(model.predict(x[:20], verbose=0)).all())
                reads.append(all(np.isfinite(w).all() for w in model.get_weights()))
        except Exception as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    model.fit(x, y, epochs=400, batch_size=20, verbose=0)
    over.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert reads
    assert all(reads)
    twin = mlp(4, (40, "relu"), (1, None), optimizer="adam", loss="mse")
    twin.fit(x, y, epochs=400, batch_size=20, verbose=0)
    assert state(model) == state(twin)
