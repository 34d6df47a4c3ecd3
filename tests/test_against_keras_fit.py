"""fit's arguments, callbacks and helpers beside Keras itself, where it is installed."""

import csv
import json

import numpy as np
import pytest
from support import mlp

import fastnn

keras = pytest.importorskip("keras")

ROWS = 50


def twins(kind="regression", optimizer=lambda k: k.optimizers.Adam(0.01), metrics=("accuracy",)):
    units, activation, loss = {
        "regression": (2, None, "mse"),
        "binary": (1, "sigmoid", "binary_crossentropy"),
        "one-hot": (3, "softmax", "categorical_crossentropy"),
        "numbers": (3, "softmax", "sparse_categorical_crossentropy"),
    }[kind]
    ours = mlp(
        4, (7, "tanh"), (units, activation), optimizer=optimizer(fastnn), loss=loss, metrics=list(metrics)
    )
    theirs = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(7, "tanh"), keras.layers.Dense(units, activation)]
    )
    theirs.compile(optimizer=optimizer(keras), loss=loss, metrics=list(metrics))
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def data_of(kind, rng, rows=ROWS):
    x = rng.normal(size=(rows, 4)).astype("f4")
    labels = rng.integers(0, 3, rows)
    return x, {
        "regression": rng.normal(size=(rows, 2)).astype("f4"),
        "binary": (labels > 0).astype("f4")[:, None],
        "one-hot": np.eye(3, dtype="f4")[labels],
        "numbers": labels,
    }[kind]


def agree(ours, theirs, models, rtol=1e-4):
    assert list(ours.history) == list(theirs.history)
    assert ours.epoch == theirs.epoch
    for name, values in theirs.history.items():
        np.testing.assert_allclose(ours.history[name], values, rtol=rtol, atol=1e-5, err_msg=name)
    for got, want in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["binary", "one-hot", "numbers"])
@pytest.mark.parametrize("weights", [{0: 0.3, 1: 2.0, 2: 5.0}, {1: 4.0}], ids=str)
def test_class_weight(kind, weights, rng):
    models, (x, y) = twins(kind), data_of(kind, rng)
    more = {
        "class_weight": weights,
        "epochs": 3,
        "batch_size": 16,
        "shuffle": False,
        "verbose": 0,
        "validation_split": 0.2,
    }
    agree(*(m.fit(x, y, **more) for m in models), models)
    for m in models:
        m.train_on_batch(x, y, class_weight=weights)
    agree(*(m.fit(x, y, **more) for m in models), models)


@pytest.mark.parametrize(
    "more",
    [
        {"steps_per_epoch": 5, "batch_size": 5, "epochs": 4},
        {"steps_per_epoch": 2, "batch_size": 5, "epochs": 7},
        {"steps_per_epoch": 3, "batch_size": 10, "epochs": 4},
        {"steps_per_epoch": 9, "batch_size": 10, "epochs": 2},
        {"steps_per_epoch": 7, "epochs": 2},
        {"validation_freq": 2, "epochs": 5},
        {"validation_freq": [1, 4], "epochs": 5},
        {"validation_steps": 2, "validation_batch_size": 7, "epochs": 2},
        {"validation_steps": 3, "epochs": 2},
        {"validation_steps": 2, "batch_size": 8, "epochs": 2},
        {"initial_epoch": 2, "epochs": 5},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_steps_and_validation(more, rng):
    models, (x, y) = twins(), data_of("regression", rng)
    validation = data_of("regression", rng, 23)
    agree(
        *(m.fit(x, y, shuffle=False, verbose=0, validation_data=validation, **more) for m in models), models
    )


def batches(x, y, size=8):
    while True:
        for i in range(0, len(x), size):
            yield x[i : i + size], y[i : i + size]


def test_generators(rng):
    models, (x, y) = twins(), data_of("regression", rng)
    more = {"steps_per_epoch": 5, "epochs": 3, "verbose": 0}
    agree(*(m.fit(batches(x, y), **more) for m in models), models)
    ours, theirs = (m.evaluate(batches(x, y), steps=4, verbose=0) for m in models)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    ours, theirs = (m.predict(batches(x, y), steps=4, verbose=0) for m in models)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_data_sets(weighted, rng):
    models, (x, y) = twins("numbers"), data_of("numbers", rng)

    def make(base):
        class Data(base):
            def __len__(self):
                return 7

            def __getitem__(self, i):
                return x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]

        return Data()

    found = []
    for m, k in zip(models, (fastnn, keras), strict=True):
        found.append(
            m.fit(
                make(k.utils.PyDataset),
                epochs=3,
                shuffle=False,
                verbose=0,
                validation_data=make(k.utils.Sequence),
                class_weight={0: 0.5, 2: 3.0} if weighted else None,
            )
        )
    agree(*found, models)


@pytest.mark.parametrize(
    "make",
    [
        lambda k: [
            k.callbacks.ReduceLROnPlateau(patience=1, factor=0.5, min_delta=0.01, cooldown=1, min_lr=1e-3)
        ],
        lambda k: [k.callbacks.ReduceLROnPlateau("loss", patience=2, factor=0.2)],
        lambda k: [k.callbacks.ReduceLROnPlateau("val_accuracy", patience=0, factor=0.9)],
        lambda k: [k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9 if epoch % 2 else rate)],
        lambda k: [k.callbacks.EarlyStopping(patience=2, restore_best_weights=True)],
        lambda k: [k.callbacks.EarlyStopping("accuracy", patience=1, start_from_epoch=4, baseline=0.9)],
        lambda k: [
            k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.8),
            k.callbacks.EarlyStopping("val_loss", min_delta=0.001, patience=1),
        ],
    ],
    ids=range(7),
)
def test_callbacks(make, rng):
    models, (x, y) = twins("numbers", lambda k: k.optimizers.Adam(0.1)), data_of("numbers", rng)
    validation = data_of("numbers", rng, 23)
    more = {"epochs": 12, "batch_size": 10, "shuffle": False, "verbose": 0, "validation_data": validation}
    agree(
        *(m.fit(x, y, callbacks=make(k), **more) for m, k in zip(models, (fastnn, keras), strict=True)),
        models,
        rtol=1e-3,
    )


def test_csv_logger(tmp_path, rng):
    models, (x, y) = twins(), data_of("regression", rng)
    lines = []
    for m, k in zip(models, (fastnn, keras), strict=True):
        path = tmp_path / k.__name__
        for epochs in (2, 3):
            m.fit(
                x,
                y,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                callbacks=[k.callbacks.CSVLogger(str(path), separator=";", append=True)],
            )
        lines.append([line.split(";") for line in path.read_bytes().decode().splitlines(keepends=True)])
    assert len(lines[0]) == len(lines[1]) == 6
    assert lines[0][0] == lines[1][0]
    for a, b in zip(*lines, strict=True):
        assert len(a) == len(b)
        assert (a[0], a[3:]) == (b[0], b[3:])


def test_csv_logger_of_arrays_and_rare_validation(tmp_path, rng):
    """Metrics of several numbers; validation every other epoch; a second fit that appends to the file."""
    x, y = rng.normal(size=(50, 4)).astype("f4"), np.eye(3, dtype="f4")[rng.integers(0, 3, 50)]
    tables, texts, weights = [], [], None
    for k in (fastnn, keras):
        model = k.Sequential([k.layers.Input((4,)), k.layers.Dense(3, activation="softmax")])
        metrics = [
            k.metrics.Precision(thresholds=[0.2, 0.4], name="p"),
            k.metrics.F1Score(average=None, name="f1"),
            "accuracy",
        ]
        model.compile(k.optimizers.SGD(0.1), "categorical_crossentropy", metrics=metrics)
        weights = weights or model.get_weights()
        model.set_weights(weights)
        path = tmp_path / k.__name__
        for append, first in ((False, 0), (True, 3), (True, 5)):
            model.fit(
                x,
                y,
                batch_size=16,
                initial_epoch=first,
                epochs=first + 3,
                shuffle=False,
                verbose=0,
                validation_data=(x[:20], y[:20]),
                validation_freq=2,
                callbacks=[k.callbacks.CSVLogger(str(path), append=append)],
            )
        texts.append(path.read_bytes().decode())
        tables.append(list(csv.reader(texts[-1].splitlines())))
    ours, theirs = tables
    assert (
        ours[0]
        == theirs[0]
        == ["epoch", "accuracy", "f1", "loss", "p"]
        + [f"val_{name}" for name in ("accuracy", "f1", "loss", "p")]
    )
    assert len(ours) == len(theirs) == 10
    quotes = [[line.count('"') for line in text.splitlines()] for text in texts]
    assert quotes[0] == quotes[1]
    assert texts[0].count("\r\n") == texts[1].count("\r\n") == 10
    for row, wanted in zip(ours[1:], theirs[1:], strict=True):
        assert row[0] == wanted[0]
        for cell, other in zip(row[1:], wanted[1:], strict=True):
            if other == "NA":
                assert cell == "NA"
                continue
            assert cell[:2] + cell[-2:] == other[:2] + other[-2:] or "[" not in other
            got, want = (np.array(c.strip('"[]').split(", "), float) for c in (cell, other))
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert {row[6] == "NA" for row in ours[1:]} == {True, False}


@pytest.mark.parametrize("name", [n for n in dir(fastnn.callbacks.Callback) if n.startswith("on_")])
def test_callbacks_have_keras_hooks(name):
    assert hasattr(keras.callbacks.Callback, name)


@pytest.mark.parametrize("name", [n for n in dir(keras.callbacks.Callback) if n.startswith("on_")])
def test_no_hook_of_keras_is_missing(name):
    assert hasattr(fastnn.callbacks.Callback, name)


def test_order_of_hooks(rng):
    models, (x, y) = twins(), data_of("regression", rng)
    seen = []
    for m, k in zip(models, (fastnn, keras), strict=True):
        calls = []

        def hook(name, calls=calls):
            def call(*arguments, **logs):
                calls.append((name, arguments[0] if arguments and isinstance(arguments[0], int) else None))

            return call

        names = [n for n in dir(k.callbacks.Callback) if n.startswith("on_") and not n.startswith("on_batch")]
        m.fit(
            x,
            y,
            epochs=3,
            batch_size=20,
            verbose=0,
            validation_data=(x, y),
            validation_freq=2,
            validation_batch_size=30,
            callbacks=[k.callbacks.LambdaCallback(**{n: hook(n) for n in names})],
        )
        seen.append(calls)
    assert seen[0] == seen[1]


# ---- configurations -----------------------------------------------------------------------------------


def test_json_goes_both_ways(rng):
    models, (x, _) = twins("one-hot"), data_of("one-hot", rng)
    for source, reader in ((models[1], fastnn), (models[0], keras)):
        again = reader.models.model_from_json(source.to_json())
        assert again.compiled
        again.set_weights(source.get_weights())
        np.testing.assert_allclose(
            again.predict(x, verbose=0), source.predict(x, verbose=0), rtol=1e-4, atol=1e-5
        )


def test_json_has_the_same_members():
    ours, theirs = (json.loads(m.to_json()) for m in twins())
    assert sorted(ours) == sorted(theirs)
    assert sorted(ours["config"]) == sorted(theirs["config"])
    assert ours["build_config"] == theirs["build_config"]


def test_clones_take_the_same_arguments():
    import inspect

    ours, theirs = (inspect.signature(k.models.clone_model).parameters for k in (fastnn, keras))
    assert list(ours) == [name for name in theirs if name != "kwargs"]


@pytest.mark.parametrize(
    "name", ["fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch", "to_json"]
)
def test_methods_take_the_same_arguments(name):
    import inspect

    ours, theirs = (
        {
            n: p.default
            for n, p in inspect.signature(getattr(k.Sequential, name)).parameters.items()
            if n != "kwargs"
        }
        for k in (fastnn, keras)
    )
    assert ours == theirs


@pytest.mark.parametrize("name", [n for n in fastnn.callbacks.__all__ if hasattr(keras.callbacks, n)])
def test_callbacks_take_the_same_arguments(name):
    import inspect

    ours, theirs = (
        {
            n: p.default
            for n, p in inspect.signature(getattr(k.callbacks, name).__init__).parameters.items()
            if p.kind is p.POSITIONAL_OR_KEYWORD
        }
        for k in (fastnn, keras)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    "name", [n for n in fastnn.initializers.__all__ if n[0].isupper() and n != "Initializer"]
)
def test_initializers_have_the_same_configs(name):
    ours, theirs = (getattr(k.initializers, name)() for k in (fastnn, keras))
    if name != "Identity":  # Keras's forgets its gain, and takes it all the same
        assert sorted(ours.get_config()) == sorted(theirs.get_config())
    form = fastnn.initializers.serialize(ours)
    assert type(keras.initializers.deserialize(form)) is type(theirs)
    assert type(fastnn.initializers.deserialize(keras.initializers.serialize(theirs))) is type(ours)


def test_no_initializer_is_missing():
    for name in dir(keras.initializers):
        if not name.startswith("_") and name.lower() not in ("stft", "stftinitializer"):
            assert hasattr(fastnn.initializers, name), name


# ---- helpers ------------------------------------------------------------------------------------------


def test_helpers(rng):
    x = rng.normal(size=(5, 3))
    x[1] = 0
    for order in (1, 2, np.inf):
        np.testing.assert_allclose(fastnn.utils.normalize(x, -1, order), keras.utils.normalize(x, -1, order))
    labels = rng.integers(0, 4, (6, 1))
    for more in ({}, {"num_classes": 7}):
        assert np.array_equal(
            fastnn.utils.to_categorical(labels, **more), keras.utils.to_categorical(labels, **more)
        )
    for empty in ([], np.zeros((0, 1), int)):
        ours, theirs = (k.utils.to_categorical(empty, 3) for k in (fastnn, keras))
        assert ours.shape == theirs.shape == (0, 3)
    with pytest.raises(ValueError, match="give num_classes"):
        fastnn.utils.to_categorical([])
    for values in (1, (1, 2), (1, 2, 3), [1, 2]):
        assert fastnn.utils.unpack_x_y_sample_weight(values) == keras.utils.unpack_x_y_sample_weight(values)
