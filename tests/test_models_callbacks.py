"""Callbacks: order of hooks, logs, stopping, early stopping."""

import numpy as np
import pytest
from support import digest, iterations, mlp, state

import fastnn as keras
from fastnn.callbacks import Callback, EarlyStopping


class Recorder(Callback):
    """Writes down every hook, its number and the names in its logs."""

    def __init__(self):
        super().__init__()
        self.calls = []


HOOKS = [
    f"on_{when}"
    for when in (
        "train_begin",
        "train_end",
        "epoch_begin",
        "epoch_end",
        "test_begin",
        "test_end",
        "predict_begin",
        "predict_end",
    )
]
BATCH_HOOKS = [
    f"on_{what}_batch_{when}" for what in ("train", "test", "predict") for when in ("begin", "end")
]


def recorder(hooks):
    def numbered(name):
        return lambda self, number, logs=None: self.calls.append((name, number, sorted(logs or {})))

    def plain(name):
        return lambda self, logs=None: self.calls.append((name, sorted(logs or {})))

    made = {name: (numbered if "batch" in name or "epoch" in name else plain)(name) for name in hooks}
    return type("R", (Recorder,), made)()


@pytest.fixture
def model():
    return mlp(4, (5, "relu"), (1, None), optimizer="sgd", loss="mse", metrics=["mae"])


@pytest.fixture
def xy(rng):
    return rng.normal(size=(20, 4)).astype(np.float32), rng.normal(size=(20, 1)).astype(np.float32)


def test_order_of_hooks(model, xy):
    callback = recorder(HOOKS)
    model.fit(*xy, epochs=2, batch_size=10, validation_data=xy, callbacks=[callback], verbose=0)
    names, both = ["loss", "mae"], ["loss", "mae", "val_loss", "val_mae"]
    tests = [("on_test_begin", []), ("on_test_end", names)]
    epochs = [[("on_epoch_begin", e, []), *tests, ("on_epoch_end", e, both)] for e in range(2)]
    assert callback.calls == [("on_train_begin", []), *epochs[0], *epochs[1], ("on_train_end", both)]


def test_order_of_batch_hooks(model, xy):
    callback = recorder([*HOOKS, "on_train_batch_begin", "on_train_batch_end"])
    model.fit(*xy, epochs=1, batch_size=7, callbacks=callback, verbose=0)
    names = ["loss", "mae"]
    batches = [
        call for b in range(3) for call in (("on_train_batch_begin", b, []), ("on_train_batch_end", b, names))
    ]
    assert callback.calls == [
        ("on_train_begin", []),
        ("on_epoch_begin", 0, []),
        *batches,
        ("on_epoch_end", 0, names),
        ("on_train_end", names),
    ]


def test_hooks_of_evaluate_and_predict(model, xy):
    callback = recorder(HOOKS)
    model.evaluate(*xy, callbacks=[callback], verbose=0)
    model.predict(xy[0], callbacks=[callback], verbose=0)
    assert [call[0] for call in callback.calls] == [
        "on_test_begin",
        "on_test_end",
        "on_predict_begin",
        "on_predict_end",
    ]


def test_params_and_model_are_set(model, xy):
    seen = []

    class Look(Callback):
        def on_train_begin(self, logs=None):
            seen.append((self.model, dict(self.params)))

    model.fit(*xy, epochs=3, batch_size=7, callbacks=[Look()], verbose=0)
    ((found, params),) = seen
    assert found is model
    assert params["epochs"] == 3
    assert params["steps"] == 3
    assert params["verbose"] == 0


def test_logs_are_those_of_the_history(model, xy):
    logs_seen, batch_losses = [], []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs_seen.append(dict(logs))

        def on_train_batch_end(self, batch, logs=None):
            batch_losses.append(logs["loss"])

    history = model.fit(
        *xy, epochs=3, batch_size=7, validation_data=xy, callbacks=[Look()], verbose=0
    ).history
    assert [{k: v[e] for k, v in history.items()} for e in range(3)] == logs_seen
    # A batch's loss is the mean so far, so the last batch's is the epoch's.
    assert batch_losses[2::3] == pytest.approx(history["loss"], rel=1e-6)


def test_stop_training_after_an_epoch(model, xy):
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.stop_training = True

    history = model.fit(*xy, epochs=50, batch_size=10, callbacks=[Stop()], verbose=0)
    assert history.epoch == [0, 1]
    assert iterations(model) == 4
    assert len(model.fit(*xy, epochs=3, verbose=0).epoch) == 3, "a new fit does not start stopped"


def test_a_callback_sees_and_may_set_weights(model, xy):
    class Zero(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.set_weights([np.zeros_like(w) for w in self.model.get_weights()])

    model.fit(*xy, epochs=3, callbacks=[Zero()], verbose=0)
    assert not any(w.any() for w in model.get_weights())


def test_a_callback_may_predict_and_evaluate(model, xy):
    class Look(Callback):
        found = []  # noqa: RUF012

        def on_epoch_end(self, epoch, logs=None):
            self.found.append((self.model.predict(xy[0], verbose=0), self.model.evaluate(*xy, verbose=0)[0]))

    twin = mlp(4, (5, "relu"), (1, None), optimizer="sgd", loss="mse", metrics=["mae"])
    model.fit(*xy, epochs=2, callbacks=[Look()], verbose=0)
    twin.fit(*xy, epochs=2, verbose=0)
    assert state(model) == state(twin)
    assert np.array_equal(Look.found[1][0], twin.predict(xy[0], verbose=0))
    assert Look.found[1][1] == twin.evaluate(*xy, verbose=0)[0]


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_batch_end", "on_train_end"]
)
def test_an_exception_in_a_callback_comes_out_and_leaves_the_model_usable(hook, model, xy):
    def fail(self, *arguments, **more):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model.fit(
            *xy, epochs=3, batch_size=5, callbacks=[type("Fail", (Callback,), {hook: fail})()], verbose=0
        )
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert len(model.fit(*xy, epochs=2, verbose=0).epoch) == 2


def test_a_fit_within_a_fit_of_one_model_is_refused(model, xy):
    class Again(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.fit(*xy, epochs=1, verbose=0)

    with pytest.raises(RuntimeError):
        model.fit(*xy, epochs=2, callbacks=[Again()], verbose=0)
    model.fit(*xy, epochs=1, verbose=0)


def test_what_is_no_callback_is_refused(model, xy):
    for wrong in (5, ["early"], [EarlyStopping]):
        before = state(model)
        with pytest.raises((TypeError, ValueError, AttributeError), match="callback"):
            model.fit(*xy, epochs=1, callbacks=wrong, verbose=0)
        assert state(model) == before


# ---- EarlyStopping -------------------------------------------------------------------------------


def problem(rng):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))

    def make():
        optimizer = keras.optimizers.Adam(0.1)
        return mlp(3, (12, "tanh"), (1, None), optimizer=optimizer, loss="mse", metrics=["mae"])

    return make, {
        "x": x[:20],
        "y": y[:20],
        "validation_data": (x[20:], y[20:]),
        "batch_size": 7,
        "epochs": 60,
        "verbose": 0,
    }


class InPython(EarlyStopping):
    """A subclass: Python must be asked between the epochs."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 4},
        {"patience": 3, "restore_best_weights": True},
        {"monitor": "loss", "patience": 1},
        {"monitor": "val_mae", "patience": 2, "min_delta": 0.01, "restore_best_weights": True},
        {"patience": 2, "start_from_epoch": 9},
        {"patience": 3, "baseline": 0.5},
        {"patience": 3, "mode": "max"},
        {"patience": 500, "restore_best_weights": True},
    ],
    ids=str,
)
def test_early_stopping_natively_and_in_python_agree(options, rng):
    make, data = problem(rng)
    results = []
    for kind in (EarlyStopping, InPython):
        model, stopping = make(), kind(**options)
        history = model.fit(**data, callbacks=[stopping])
        results.append(
            (
                history.history,
                history.epoch,
                state(model),
                stopping.stopped_epoch,
                stopping.best_epoch,
                float(stopping.best),
            )
        )
    assert results[0] == results[1]


def test_early_stopping_counts_epochs_from_the_initial_one(rng):
    make, data = problem(rng)
    results = []
    for kind in (EarlyStopping, InPython):
        for initial in (0, 20):
            stopping = kind(patience=2, start_from_epoch=25, restore_best_weights=True)
            model = make()
            epochs = model.fit(**{**data, "initial_epoch": initial}, callbacks=[stopping]).epoch
            assert epochs[0] == initial
            assert stopping.best_epoch >= 25
            results.append((initial, epochs, state(model), stopping.stopped_epoch, stopping.best_epoch))
    assert results[:2] == results[2:]


def test_early_stopping_stops_and_restores(rng):
    make, data = problem(rng)
    free = make().fit(**data).history["val_loss"]
    best = int(np.argmin(free))
    assert 0 < best < 50, "the problem must overfit for this test to say anything"
    patience = 5
    model, stopping = make(), EarlyStopping(monitor="val_loss", patience=patience, restore_best_weights=True)
    history = model.fit(**data, callbacks=[stopping])
    values = history.history["val_loss"]
    stop = next(e for e in range(len(free)) if e - int(np.argmin(free[: e + 1])) >= patience)
    assert values == free[: stop + 1]
    assert stopping.stopped_epoch == stop
    assert stopping.best_epoch == int(np.argmin(free[: stop + 1]))
    assert stopping.best == min(values)
    twin = make()
    twin.fit(**{**data, "epochs": stopping.best_epoch + 1})
    assert digest(model.get_weights()) == digest(twin.get_weights())
    assert model.evaluate(*data["validation_data"], verbose=0)[0] == pytest.approx(min(values), rel=1e-6)


def test_epochs_without_end_until_early_stopping_ends_them(rng):
    """A number of epochs that nobody means to reach costs no memory."""
    make, data = problem(rng)
    results = []
    for epochs in (200, 10**12):
        stopping = EarlyStopping(patience=5, restore_best_weights=True)
        model = make()
        results.append((model.fit(**{**data, "epochs": epochs}, callbacks=[stopping]).history, state(model)))
    assert results[0] == results[1]


def test_early_stopping_modes(rng):
    make, data = problem(rng)
    for mode, monitor, better in (
        ("auto", "val_loss", min),
        ("min", "val_loss", min),
        ("max", "val_loss", max),
    ):
        stopping = EarlyStopping(monitor=monitor, mode=mode, patience=3)
        values = make().fit(**data, callbacks=[stopping]).history[monitor]
        assert stopping.best == better(values)


def test_early_stopping_on_accuracy_goes_up_by_itself(rng):
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    model = mlp(
        3,
        (1, "sigmoid"),
        optimizer=keras.optimizers.Adam(0.1),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    stopping = EarlyStopping(monitor="accuracy", patience=4)
    values = model.fit(x, y, epochs=60, verbose=0, callbacks=[stopping]).history["accuracy"]
    assert stopping.best == max(values)


def test_early_stopping_without_its_monitor_warns_and_goes_on(rng):
    make, data = problem(rng)
    data.pop("validation_data")
    with pytest.warns(UserWarning, match="val_loss"):
        history = make().fit(**{**data, "epochs": 3}, callbacks=[EarlyStopping(patience=0)])
    assert len(history.epoch) == 3


def test_early_stopping_verbose(rng, capsys):
    make, data = problem(rng)
    stopping = EarlyStopping(patience=3, verbose=1, restore_best_weights=True)
    make().fit(**data, callbacks=[stopping])
    text = capsys.readouterr().out
    assert f"Epoch {stopping.stopped_epoch + 1}: early stopping" in text
    assert f"Restoring model weights from the end of the best epoch: {stopping.best_epoch + 1}." in text


def test_early_stopping_can_be_used_again(rng):
    make, data = problem(rng)
    stopping = EarlyStopping(patience=3)
    results = []
    for _ in range(2):
        model = make()
        results.append((model.fit(**data, callbacks=[stopping]).history, stopping.best_epoch))
    assert results[0] == results[1]


@pytest.mark.parametrize("bad", [{"mode": "mni"}, {"patience": -1}, {"patience": "two"}, {"monitr": "loss"}])
def test_early_stopping_bad_arguments(bad, rng):
    (name,) = bad
    with pytest.raises((ValueError, TypeError), match=name):
        EarlyStopping(**bad)


# ---- History.plot --------------------------------------------------------------------------------


def test_history_plot(model, xy, tmp_path):
    pytest.importorskip("matplotlib")
    import matplotlib

    matplotlib.use("Agg")
    history = model.fit(*xy, epochs=3, validation_data=xy, verbose=0)
    path = tmp_path / "curves.png"
    figure = history.plot()
    figure.savefig(path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    drawn = [line for axes in figure.axes for line in axes.get_lines()]
    assert len(drawn) == 4, "loss and mae, of training and validation"
    assert sorted(list(line.get_ydata()) for line in drawn) == sorted(history.history.values())
    assert len(history.plot(metrics=["loss"]).axes) == 1
    with pytest.raises(ValueError, match="accuracy"):
        history.plot(metrics=["accuracy"])


def test_history_plot_without_matplotlib(model, xy, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    history = model.fit(*xy, epochs=1, verbose=0)
    with pytest.raises(ImportError, match="matplotlib"):
        history.plot()
