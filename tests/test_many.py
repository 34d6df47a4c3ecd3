"""``fit_many`` and ``predict_many``: each model as if it were trained alone, to the bit."""

import threading
import time

import numpy as np
import pytest
from support import ctrl_c_after

import fastnn as keras
from fastnn.callbacks import EarlyStopping, LambdaCallback, StopAtLoss, TerminateOnNaN
from fastnn.kernels import threads as fastnn_threads
from fastnn.kernels.network import Network
from fastnn.kernels.training import Training
from fastnn.layers import BatchNormalization, Dense, Dropout

ROWS, COLUMNS = 150, 6
rng = np.random.default_rng(0)
X = rng.normal(size=(ROWS, COLUMNS))
Y = np.tanh(X @ rng.normal(size=(COLUMNS, 1)) + 0.1 * rng.normal(size=(ROWS, 1)))
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


def small(i, units=8, **compiled):
    """A compiled model, the same for the same number."""
    keras.utils.set_random_seed(100 + i)
    model = keras.Sequential([keras.Input((COLUMNS,)), Dense(units, activation="tanh"), Dense(1)])
    model.compile(**{"optimizer": keras.optimizers.Adam(0.01 * (1 + i % 3)), "loss": "mse", **compiled})
    return model


def zoo():
    """Models that differ in everything."""
    adam, sgd = keras.optimizers.Adam, keras.optimizers.SGD
    made = [small(i, 3 + 5 * i) for i in range(4)]
    keras.utils.set_random_seed(7)
    deep = [keras.Input((COLUMNS,)), Dense(40, activation="relu"), Dropout(0.3), Dense(20, activation="gelu")]
    made.append(keras.Sequential([*deep, Dense(1)]))
    made[-1].compile(adam(0.003), "huber", metrics=["mae"])
    made.append(keras.Sequential([Dense(12), BatchNormalization(), keras.layers.ReLU(), Dense(1)]))
    made[-1].compile(sgd(0.05, momentum=0.9, nesterov=True), "mse")
    made.append(keras.Sequential([Dense(9, activation="elu", dtype="float64"), Dense(1, dtype="float64")]))
    made[-1].compile(keras.optimizers.Lion(1e-3, clipnorm=0.5), "mae")
    made.append(keras.Sequential([Dense(9, kernel_regularizer="l2", bias_constraint="non_neg"), Dense(1)]))
    made[-1].compile(keras.optimizers.Muon(1e-2), "mse")
    made.append(keras.Sequential([Dense(7, "tanh"), Dense(1)]))
    made[-1].compile(adam(keras.optimizers.schedules.CosineDecay(0.01, 50)), "mse")
    return made


def weights_of(models):
    return [w for model in models for w in model.get_weights()]


def assert_same(models, others):
    for a, b in zip(weights_of(models), weights_of(others), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_the_bits_of_one_after_the_other(threads):
    together, alone = zoo(), zoo()
    found = keras.fit_many(together, X, Y, epochs=7, batch_size=16, verbose=0, num_threads=threads)
    for model, history in zip(alone, found, strict=True):
        assert model.fit(X, Y, epochs=7, batch_size=16, verbose=0).history == history.history
        assert history.epoch == list(range(7))
    assert_same(together, alone)
    for a, b in zip(together, alone, strict=True):  # and so does what comes after
        a.fit(X, Y, verbose=0)
        b.fit(X, Y, verbose=0)
    assert_same(together, alone)


def test_each_with_its_own_early_stopping():
    def calls(i):
        return [EarlyStopping("val_loss", patience=1 + i, restore_best_weights=i % 2 == 0, min_delta=1e-3)]

    together, alone = [small(i) for i in range(6)], [small(i) for i in range(6)]
    watching = [calls(i) for i in range(6)]
    found = keras.fit_many(
        together, X, Y, epochs=200, validation_split=0.3, callbacks=watching, shuffle=False, verbose=0
    )
    for i, (model, history) in enumerate(zip(alone, found, strict=True)):
        mine = calls(i)
        reference = model.fit(
            X, Y, epochs=200, validation_split=0.3, callbacks=mine, shuffle=False, verbose=0
        )
        assert reference.history == history.history
        for name in ("stopped_epoch", "best_epoch", "best", "wait"):
            assert getattr(watching[i][0], name) == getattr(mine[0], name), name
    assert len({len(history.epoch) for history in found}) > 2
    assert_same(together, alone)


@pytest.mark.parametrize("as_function", [False, True])
def test_callbacks_for_all_are_copied(as_function):
    stop = EarlyStopping("loss", patience=2, min_delta=0.05)
    given = (lambda i: [EarlyStopping("loss", patience=2, min_delta=0.05)]) if as_function else [stop]
    together, alone = [small(i) for i in range(3)], [small(i) for i in range(3)]
    found = keras.fit_many(together, X, Y, epochs=300, callbacks=given, verbose=0)
    assert stop.stopped_epoch == 0
    for model, history in zip(alone, found, strict=True):
        mine = [EarlyStopping("loss", patience=2, min_delta=0.05)]
        assert len(model.fit(X, Y, epochs=300, callbacks=mine, verbose=0).epoch) == len(history.epoch) < 300
    assert_same(together, alone)


def test_data_of_ones_own_and_rows():
    xs = [X[: 60 + i] + i for i in range(4)]
    ys = [Y[: 60 + i] for i in range(4)]
    together, alone = [small(i) for i in range(4)], [small(i) for i in range(4)]
    keras.fit_many(together, xs, ys, epochs=[3, 1, 4, 2], batch_size=[7, 32, 60, 1], verbose=0)
    for i, model in enumerate(alone):
        model.fit(xs[i], ys[i], epochs=[3, 1, 4, 2][i], batch_size=[7, 32, 60, 1][i], verbose=0)
    assert_same(together, alone)

    folds = [np.arange(ROWS) % 3 != i for i in range(3)]
    rows = [np.flatnonzero(folds[0]), folds[1], list(np.flatnonzero(folds[2])) * 2, None]
    held = [np.flatnonzero(~fold) for fold in folds] + [np.array([-1, -2, 0])]
    weight = np.linspace(0, 2, ROWS)
    found = keras.fit_many(
        together, X, Y, rows=rows, validation_rows=held, sample_weight=weight, epochs=2, verbose=0
    )
    for i, model in enumerate(alone):
        index = slice(None) if rows[i] is None else rows[i]
        reference = model.fit(
            X[index],
            Y[index],
            sample_weight=weight[index],
            validation_data=(X[held[i]], Y[held[i]], weight[held[i]]),
            epochs=2,
            verbose=0,
        )
        assert reference.history == found[i].history
    assert_same(together, alone)


def test_targets_and_validation_of_ones_own():
    ys = [Y, Y[:, 0] ** 2]
    held = [(X[:9], Y[:9]), (X[:5], ys[1][:5], np.ones(5))]
    together, alone = [small(0), small(1)], [small(0), small(1)]
    found = keras.fit_many(together, X, ys, validation_data=held, verbose=0)
    for model, y, part, history in zip(alone, ys, held, found, strict=True):
        assert model.fit(X, y, validation_data=part, verbose=0).history == history.history
    assert_same(together, alone)


def test_classifiers_and_class_weights():
    def made():
        models = []
        for i in range(3):
            keras.utils.set_random_seed(i)
            models.append(keras.Sequential([Dense(8, "relu"), Dense(3, "softmax")]))
            models[-1].compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return models

    together, alone = made(), made()
    found = keras.fit_many(together, X, CLASSES, epochs=3, class_weight="balanced", verbose=0)
    for model, history in zip(alone, found, strict=True):
        reference = model.fit(X, CLASSES, epochs=3, class_weight="balanced", verbose=0)
        assert reference.history == history.history
    assert_same(together, alone)


def test_what_is_shared_is_converted_once(monkeypatch):
    made = []
    contiguous = keras.data.contiguous
    monkeypatch.setattr(
        keras.data, "contiguous", lambda a, dtype: made.append(a.shape) or contiguous(a, dtype)
    )
    rows = np.arange(0, ROWS, 2)
    keras.fit_many([small(i) for i in range(5)], X, Y, rows=[rows] * 5, verbose=0)
    assert made.count(X.shape) == 1
    assert made.count((len(rows), COLUMNS)) <= 5  # which fit already, and are not copied


class OwnLoss(keras.losses.Loss):
    def loss(self, y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean(axis=-1)

    def gradient(self, y_true, y_pred):
        return 2 * (y_pred - y_true) / y_true.shape[-1]


def test_python_between_epochs_is_called_for_each():
    seen = []
    calls = [LambdaCallback(on_epoch_end=lambda epoch, logs, i=i: seen.append((i, epoch))) for i in range(2)]
    together, alone = [small(i) for i in range(4)], [small(i) for i in range(4)]
    for models in (together, alone):
        models[3].compile("adam", OwnLoss())
    keras.fit_many(together, X, Y, epochs=3, callbacks=[[calls[0]], [], [calls[1]], []], verbose=0)
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    for model in alone:
        model.fit(X, Y, epochs=3, verbose=0)
    assert_same(together, alone)


def test_one_that_fails_does_not_lose_the_others():
    def made():
        models = [small(i) for i in range(4)]
        models[1].compile(keras.optimizers.SGD(1e30), "mse")
        return models

    together, alone = made(), made()
    with pytest.raises(FloatingPointError, match=r"models\[1\] \('sequential.*loss became"):
        keras.fit_many(together, X, Y, epochs=5, verbose=0)
    for i in (0, 2, 3):
        alone[i].fit(X, Y, epochs=5, verbose=0)
        assert_same([together[i]], [alone[i]])
    assert all(np.isfinite(w).all() for w in together[1].get_weights())

    found = keras.fit_many(made(), X, Y, epochs=5, verbose=0, on_error="return")
    assert [type(one).__name__ for one in found] == ["History", "FloatingPointError", "History", "History"]

    broken = X.copy()
    broken[3, 2] = np.nan
    together = [small(i) for i in range(3)]
    found = keras.fit_many(together, [X, broken, X], [Y] * 3, verbose=0, on_error="return")
    assert isinstance(found[1], ValueError)
    assert "row 3" in str(found[1])
    assert_same([together[1]], [small(1)])

    ended = made()
    found = keras.fit_many(ended, X, Y, epochs=5, verbose=0, callbacks=[TerminateOnNaN()])
    assert len(found[1].epoch) < 5 == len(found[0].epoch)


def test_stop_at_a_loss():
    together = [small(i) for i in range(3)]
    found = keras.fit_many(together, X, Y, epochs=400, callbacks=[StopAtLoss(0.05)], verbose=0)
    for model, history in zip(together, found, strict=True):
        losses = history.history["loss"]
        assert losses[-1] <= 0.05 < min(losses[:-1])
        assert model.stop_training


def test_nothing_to_do():
    assert keras.fit_many([], X, Y, verbose=0) == []
    model = small(0)
    assert keras.fit_many([model], X, Y, epochs=0, verbose=0)[0].history == {}
    assert_same([model], [small(0)])


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals")
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_keeps_what_was_learned(threads):
    models = [small(i, 64) for i in range(3)]
    before = [model.get_weights() for model in models]
    began = time.perf_counter()
    with ctrl_c_after(0.4), pytest.raises(KeyboardInterrupt):
        keras.fit_many(models, X, Y, epochs=10**7, verbose=0, num_threads=threads)
    assert time.perf_counter() - began < 5
    moved = [
        not np.array_equal(a[0], model.get_weights()[0]) for a, model in zip(before, models, strict=True)
    ]
    assert sum(moved) >= threads
    assert sum(len(model.history.epoch) > 0 for model in models) == sum(moved)
    keras.fit_many(models, X, Y, epochs=2, verbose=0)
    assert all(len(model.history.epoch) == 2 for model in models)


def test_a_slice_ends_though_there_is_more_to_do():
    """Long fits take turns with Python: nobody waits for the last model."""
    model = small(0)
    other = small(1)
    seen = []
    thread = threading.Thread(
        target=lambda: [seen.append(model.predict(X, verbose=0)[0, 0]) or time.sleep(0.02) for _ in range(20)]
    )
    thread.start()
    keras.fit_many([model, other], X, Y, epochs=60_000, verbose=0)
    thread.join()
    assert len(set(seen)) > 3


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_predict_many(threads):
    models = zoo()
    for model in models:
        model.build((None, COLUMNS))
    found = keras.predict_many(models, X, num_threads=threads)
    for model, outputs in zip(models, found, strict=True):
        reference = model.predict(X, verbose=0)
        assert reference.dtype == outputs.dtype
        np.testing.assert_array_equal(reference, outputs)
    xs = [X[: i + 1] for i in range(len(models))]
    for model, x, outputs in zip(models, xs, keras.predict_many(models, xs), strict=True):
        np.testing.assert_array_equal(model.predict(x, verbose=0), outputs)
    assert keras.predict_many([], X) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda m: keras.fit_many([m[0], m[0]], X, Y), r"models\[1\] is models\[0\] again"),
        (lambda m: keras.fit_many([m[0], 3], X, Y), r"models\[1\] is 3"),
        (lambda m: keras.fit_many(m[0], X, Y), "takes a list of models, got <.*Sequential"),
        (lambda m: keras.predict_many(None, X), "takes a list of models, got None"),
        (lambda m: keras.fit_many(m, [X, X], [Y, Y]), "x is a list of 2 arrays for 3 models"),
        (lambda m: keras.fit_many(m, [X, X, X], Y), "y must be one too"),
        (lambda m: keras.fit_many(m, X, Y, rows=[[0]]), "rows has 1 items for 3 models"),
        (lambda m: keras.fit_many(m, X, Y, rows=np.arange(3)), "a list with an array of row numbers"),
        (lambda m: keras.fit_many(m, X, Y, rows=[[0, ROWS]] * 3), f"but there are {ROWS} rows"),
        (lambda m: keras.fit_many(m, X, Y, rows=[[]] * 3), "one or more"),
        (lambda m: keras.fit_many(m, X, Y, epochs=[1, 2]), "epochs has 2 items for 3 models"),
        (lambda m: keras.fit_many(m, X, Y, batch_size=0), "batch_size must be at least 1"),
        (lambda m: keras.fit_many(m, X, Y, on_error="ignore"), "'raise' or 'return'"),
        (lambda m: keras.fit_many(m, X, Y, num_threads=0), "positive integer"),
        (lambda m: keras.fit_many(m, X[:, :4], Y), r"models\[0\] .*4 columns"),
        (lambda m: keras.fit_many(m, X, Y[:9]), r"models\[0\] .*9"),
        (lambda m: keras.fit_many(m, X, Y, callbacks=[[], []]), "2 lists for 3 models"),
        (lambda m: keras.fit_many(m, X, Y, callbacks=[[STOP], [STOP], []]), "needs one of its own"),
        (
            lambda m: keras.fit_many(m, X, Y, validation_data=(X, Y), validation_rows=[[0]] * 3),
            "not both",
        ),
        (lambda m: keras.fit_many([*m, keras.Sequential([Dense(1)])], X, Y), "Compile model"),
        (lambda m: keras.predict_many(m, [X, X]), "x is a list of 2 arrays for 3 models"),
    ],
)
def test_what_is_wrong_is_said_before_anything_changes(wrong, message):
    models = [small(i) for i in range(3)]
    with pytest.raises((ValueError, TypeError), match=message):
        wrong(models)
    assert_same(models, [small(i) for i in range(3)])


STOP = EarlyStopping("loss")


def test_one_optimizer_for_two_models():
    shared = keras.optimizers.Adam()
    models = [small(i, optimizer=shared) for i in range(2)]
    with pytest.raises(ValueError, match="same optimizer object"):
        keras.fit_many(models, X, Y, verbose=0)


def test_the_line_at_the_end(capsys):
    keras.fit_many([small(i) for i in range(3)], X, Y, epochs=4, verbose=2)
    assert "3 models - 12 epochs - 0.0s" in capsys.readouterr().out


def test_calls_that_overlap_share_the_cores():
    """A training that chooses its threads leaves the others their part."""
    cores = fastnn_threads.get_num_threads()
    layers = [(256, "relu", True), (256, "relu", True), (1, "linear", True)]
    x = rng.normal(size=(1024, 64)).astype(np.float32)
    trainings = []
    for _ in range(2):
        net = Network(64, layers, "float32")
        net.compile("mean_squared_error", False, "sgd", {}, [])
        y = np.zeros((1024, 1), np.float32)
        trainings.append(Training(net, x, y, batch_size=256, shuffle=False, seed=0, epochs=10**6))
    first, second = trainings
    first.run(10**6, 0.2)
    assert first.threads <= cores
    other = threading.Thread(target=first.run, args=(10**6, 1.5))
    other.start()
    time.sleep(0.3)
    second.run(10**6, 0.4)
    assert other.is_alive()
    assert second.threads <= max(1, cores // 2)
    other.join()
    for training in trainings:
        training.close()
