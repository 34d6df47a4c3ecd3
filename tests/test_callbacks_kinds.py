"""The callbacks but EarlyStopping: rates, logs, stopping at a loss, NaN; and which of them interrupt."""

import csv
import pickle

import numpy as np
import pytest
from support import mlp, state

import fastnn as keras
from fastnn import callbacks as kinds
from fastnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ProgbarLogger,
    ReduceLROnPlateau,
    StopAtLoss,
    TerminateOnNaN,
)
from fastnn.watch import Watch


@pytest.fixture
def xy(rng):
    return rng.normal(size=(20, 4)).astype(np.float32), rng.normal(size=(20, 1)).astype(np.float32)


def model_of(rate=0.05, hidden=(5, "tanh"), **more):
    return mlp(
        4,
        hidden,
        (1, None),
        **{"optimizer": keras.optimizers.Adam(rate), "loss": "mse", "metrics": ["mae"], **more},
    )


class Nothing(Callback):
    """Asks for every epoch, and does nothing."""

    def on_epoch_end(self, epoch, logs=None):
        pass


# ---- which callbacks interrupt ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "by_epoch", "by_step"),
    [
        ([], False, False),
        ([Callback(), ProgbarLogger(), TerminateOnNaN()], False, False),
        ([EarlyStopping()], False, False),
        ([EarlyStopping(), StopAtLoss(0.1), TerminateOnNaN()], False, False),
        ([EarlyStopping(), EarlyStopping("loss")], True, False),
        ([StopAtLoss(0.1), StopAtLoss(0.1, "mae")], True, False),
        ([EarlyStopping(), Nothing()], True, False),
        ([ReduceLROnPlateau()], True, False),
        ([LearningRateScheduler(lambda e, r: r)], True, False),
        ([CSVLogger("x")], True, False),
        ([LambdaCallback(on_epoch_end=print)], True, False),
        ([LambdaCallback(on_train_end=print)], False, False),
        ([LambdaCallback(on_test_batch_end=print)], True, False),
        ([LambdaCallback(on_train_batch_end=print)], True, True),
        ([LambdaCallback(on_batch_begin=print)], True, True),
        ([type("Own", (EarlyStopping,), {})()], True, False),
    ],
    ids=lambda value: "+".join(type(c).__name__ for c in value) if isinstance(value, list) else "",
)
def test_who_interrupts_the_native_epochs(given, by_epoch, by_step):
    watch = Watch(given, False)
    assert (watch.by_epoch, watch.by_step) == (by_epoch, by_step)
    assert set(given) <= set(watch.everyone())
    assert Watch(given, True).by_epoch
    assert not Watch(given, True).native()


def test_history_is_kept_and_comes_last(xy):
    history = keras.callbacks.History()

    class Add(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = epoch

    model = model_of()
    assert model.fit(*xy, epochs=2, callbacks=[history, Add()], verbose=0) is history
    assert history.history["mine"] == [0, 1]
    assert model.fit(*xy, epochs=2, callbacks=[history], verbose=0) is history
    assert len(history.history["loss"]) == 4
    assert len(history.history["mine"]) == 2
    assert history.epoch == [0, 1]
    assert history.params == {"verbose": 0, "epochs": 2, "steps": 1}


# ---- StopAtLoss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    ("monitor", "mode"), [("loss", "auto"), ("mae", "min"), ("val_loss", "auto"), ("val_mae", "max")]
)
@pytest.mark.parametrize("batch_size", [20, 7])
def test_stop_at_loss(monitor, mode, batch_size, native, xy):
    more = {"validation_data": xy, "batch_size": batch_size, "verbose": 0, "epochs": 60}
    free = model_of().fit(*xy, **more).history[monitor]
    threshold = free[25]
    good = [v <= threshold if mode != "max" else v >= threshold for v in free]
    stop = StopAtLoss(threshold, monitor, mode)
    model = model_of()
    history = model.fit(*xy, **more, callbacks=[stop] if native else [stop, Nothing()])
    assert history.history[monitor] == free[: good.index(True) + 1]
    assert stop.stopped_epoch == good.index(True)
    assert model.stop_training
    stop.threshold = -1e9 if mode != "max" else 1e9
    assert len(model.fit(*xy, **more, callbacks=[stop]).epoch) == 60
    assert stop.stopped_epoch is None


@pytest.mark.parametrize("native", [True, False])
def test_stop_at_loss_beside_early_stopping(native, xy):
    """Whoever is first; the best weights come back in either case."""
    results = []
    third = model_of().fit(*xy, epochs=3, verbose=0).history["loss"][2]
    for threshold in (1e-9, third):
        stop, early = StopAtLoss(threshold), EarlyStopping("val_loss", patience=3, restore_best_weights=True)
        model = model_of()
        history = model.fit(
            *xy,
            epochs=200,
            validation_data=(xy[0][:9], -xy[1][:9]),
            verbose=0,
            callbacks=[early, stop] + ([] if native else [Nothing()]),
        )
        assert stop.stopped_epoch == (None if threshold < third else 2)
        assert (early.stopped_epoch > 0) == (threshold < third)
        best = int(np.argmin(history.history["val_loss"]))
        assert early.best_epoch == best
        twin = model_of()
        twin.fit(*xy, epochs=best + 1, verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights(), strict=True))
        results.append(history.epoch)
    assert results[1] != results[0]


def test_stop_at_loss_without_its_monitor_warns(xy):
    for more in ([], [Nothing()]):
        with pytest.warns(UserWarning, match="StopAtLoss is conditioned on metric `val_loss`"):
            history = model_of().fit(*xy, epochs=3, callbacks=[StopAtLoss(0.1, "val_loss"), *more], verbose=0)
        assert len(history.epoch) == 3


def test_stop_at_loss_says_so(xy, capsys):
    model_of().fit(*xy, epochs=3, callbacks=[StopAtLoss(100, verbose=1)], verbose=0)
    assert capsys.readouterr().out == "Epoch 1: loss <= 100\n"


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        ({"threshold": "low"}, ["threshold", "low"]),
        ({"threshold": float("nan")}, ["threshold", "NaN"]),
        ({"threshold": 1, "mode": "down"}, ["mode", "down"]),
        ({"threshold": 1, "monitor": 3}, ["monitor", "3"]),
        ({"threshold": 1, "patience": 3}, ["patience"]),
    ],
)
def test_stop_at_loss_bad_arguments(bad, names):
    with pytest.raises((ValueError, TypeError)) as caught:
        StopAtLoss(**bad)
    assert all(name in str(caught.value) for name in names)


# ---- TerminateOnNaN ----------------------------------------------------------------------------------


def exploding(**more):
    return model_of(optimizer=keras.optimizers.SGD(1e3), hidden=(90, "relu"), **more)


@pytest.mark.parametrize("hidden", [(90, "relu"), (5, "tanh")], ids=["wide", "tiny"])
@pytest.mark.parametrize("how", ["native", "epochs", "steps", "batches"])
def test_terminate_on_nan(how, hidden, xy, capsys):
    model = model_of(optimizer=keras.optimizers.SGD(1e6), hidden=hidden)
    ends = []
    more = {"native": [], "epochs": [Nothing()], "steps": [LambdaCallback(on_batch_end=lambda b, logs: None)]}
    given = ((xy[0][i : i + 7], xy[1][i : i + 7]) for _ in range(50) for i in range(0, 20, 7))
    data, fit = ((given,), {"steps_per_epoch": 3}) if how == "batches" else (xy, {"batch_size": 7})
    history = model.fit(
        *data,
        **fit,
        epochs=50,
        verbose=0,
        callbacks=[TerminateOnNaN(), LambdaCallback(on_train_end=ends.append), *more.get(how, [])],
    )
    losses = history.history["loss"]
    assert not np.isfinite(losses[-1])
    assert np.isfinite(losses[:-1]).all()
    assert len(losses) == len(history.epoch) < 50
    assert history.epoch == list(range(len(losses)))
    assert "Invalid loss, terminating training" in capsys.readouterr().out
    assert all(np.isfinite(w).all() for w in model.get_weights()), "the last finite weights"
    assert model.stop_training
    assert len(ends) == 1
    model.optimizer.learning_rate = 1e-3
    model.set_weights([0 * w for w in model.get_weights()])
    model.fit(*xy, verbose=0)


def test_terminate_on_nan_may_raise(xy):
    ends = []
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered in epoch"):
        exploding().fit(
            *xy,
            epochs=50,
            verbose=0,
            callbacks=[TerminateOnNaN(raise_error=True), LambdaCallback(on_train_end=ends.append)],
        )
    assert not ends


def test_without_terminate_on_nan_it_is_an_error(xy):
    with pytest.raises(FloatingPointError):
        exploding().fit(*xy, epochs=50, verbose=0)


def test_nan_in_the_data_is_an_error_all_the_same(xy):
    xy[0][3, 1] = np.nan
    with pytest.raises(ValueError, match="x holds NaN in row 3"):
        model_of().fit(*xy, callbacks=[TerminateOnNaN()], verbose=0)


# ---- rates -------------------------------------------------------------------------------------------


def test_learning_rate_scheduler(xy, capsys):
    model, seen = model_of(rate=0.1), []

    def schedule(epoch, rate):
        seen.append((epoch, rate))
        return rate * 0.5

    history = model.fit(*xy, epochs=3, callbacks=[LearningRateScheduler(schedule, verbose=1)], verbose=0)
    assert seen == [(0, 0.1), (1, 0.05), (2, 0.025)]
    assert history.history["learning_rate"] == [0.05, 0.025, 0.0125]
    assert float(model.optimizer.learning_rate) == 0.0125
    assert "Epoch 2: LearningRateScheduler setting learning rate to 0.025." in capsys.readouterr().out
    twin = model_of(rate=0.1)
    for rate in (0.05, 0.025, 0.0125):
        twin.optimizer.learning_rate = rate
        twin.fit(*xy, verbose=0)
    assert state(twin)[1] == state(model)[1]


def test_learning_rate_scheduler_of_the_epoch_alone_and_bad_ones(xy):
    model = model_of()
    model.fit(*xy, epochs=2, callbacks=[LearningRateScheduler(lambda epoch: 0.5 / (epoch + 1))], verbose=0)
    assert float(model.optimizer.learning_rate) == 0.25
    with pytest.raises(ValueError, match="must return a float, got 'fast'"):
        model.fit(*xy, callbacks=[LearningRateScheduler(lambda e, r: "fast")], verbose=0)
    with pytest.raises(TypeError, match="schedule must be a function"):
        LearningRateScheduler(0.1)


def play(values, rate, *, factor, patience, min_delta, cooldown, min_lr, sign):
    """ReduceLROnPlateau's rule over recorded values: the rate after each epoch."""
    best, wait, cool, rates = None, 0, 0, []
    for value in values:
        if cool > 0:
            cool, wait = cool - 1, 0
        if best is None or sign * value - min_delta > sign * best:
            best, wait = value, 0
        elif cool == 0:
            wait += 1
            if wait >= patience and rate > min_lr:
                rate, cool, wait = max(rate * factor, min_lr), cooldown, 0
        rates.append(rate)
    return rates


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 0},
        {"patience": 2, "factor": 0.5},
        {"patience": 1, "factor": 0.5, "cooldown": 3},
        {"patience": 1, "min_delta": 0.05, "min_lr": 0.01},
        {"patience": 2, "mode": "max", "monitor": "val_mae"},
    ],
    ids=str,
)
def test_reduce_lr_on_plateau(options, xy, capsys):
    model = model_of(rate=0.2)
    history = model.fit(
        *xy,
        epochs=40,
        validation_data=(xy[0][:9], -xy[1][:9]),
        batch_size=5,
        verbose=0,
        callbacks=[ReduceLROnPlateau(**options, verbose=1)],
    ).history
    rule = {"factor": 0.1, "patience": 10, "min_delta": 1e-4, "cooldown": 0, "min_lr": 0.0, **options}
    monitor, mode = rule.pop("monitor", "val_loss"), rule.pop("mode", "min")
    after = play(history[monitor], 0.2, sign=1 if mode == "max" else -1, **rule)
    # The logs hold the rate that the epoch was trained with.
    np.testing.assert_allclose(history["learning_rate"], [0.2, *after[:-1]], rtol=1e-12)
    np.testing.assert_allclose(float(model.optimizer.learning_rate), after[-1], rtol=1e-12)
    assert len(set(after)) > 1, "the problem must reach a plateau for this test to say anything"
    assert "ReduceLROnPlateau reducing learning rate to" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"factor": 1.0}, "factor"),
        ({"factor": -0.5}, "factor"),
        ({"factor": "half"}, "factor"),
        ({"patience": -1}, "patience"),
        ({"cooldown": 1.5}, "cooldown"),
        ({"min_lr": -1}, "min_lr"),
        ({"mode": "mni"}, "mode"),
        ({"epsilon": 1}, "epsilon"),
    ],
)
def test_reduce_lr_bad_arguments(bad, name):
    with pytest.raises((ValueError, TypeError), match=name):
        ReduceLROnPlateau(**bad)


def test_reduce_lr_without_its_monitor_warns(xy):
    with pytest.warns(UserWarning, match="Learning rate reduction is conditioned on metric `val_loss`"):
        model_of().fit(*xy, callbacks=[ReduceLROnPlateau()], verbose=0)


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau, lambda m: StopAtLoss(1, m)])
def test_a_direction_that_is_not_known_is_an_error_before_training(kind, xy):
    model = model_of()
    before = state(model)
    with pytest.raises(ValueError, match=r"monitor='speed'.*mode='min' or 'max'"):
        model.fit(*xy, callbacks=[kind("speed")], verbose=0)
    assert state(model) == before


# ---- logs ----------------------------------------------------------------------------------------------


def test_csv_logger(xy, tmp_path):
    path = tmp_path / "log.csv"
    model = model_of()
    logger = CSVLogger(path)
    history = model.fit(*xy, epochs=3, validation_data=xy, callbacks=[logger], verbose=0).history
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for key in history:
        assert [float(row[key]) for row in rows] == history[key]
    model.fit(*xy, epochs=1, callbacks=[logger], verbose=0)
    assert len(path.read_text().splitlines()) == 2, "written anew"
    pickle.loads(pickle.dumps(logger))


def test_csv_logger_appends_and_fills(xy, tmp_path):
    path = tmp_path / "log.csv"
    model = model_of()
    model.fit(*xy, epochs=2, callbacks=[CSVLogger(str(path), separator=";", append=True)], verbose=0)
    model.fit(
        *xy,
        epochs=4,
        initial_epoch=2,
        validation_data=xy,
        validation_freq=2,
        verbose=0,
        callbacks=[CSVLogger(path, separator=";", append=True)],
    )
    lines = [line.split(";") for line in path.read_text().splitlines()]
    assert lines[0] == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [line[0] for line in lines[1:]] == ["0", "1", "2", "3"]
    assert lines[1][3:] == ["NA", "NA"]
    assert float(lines[4][3]) > 0
    with pytest.raises(ValueError, match="separator"):
        CSVLogger(path, separator=", ")
    with pytest.raises(TypeError):
        CSVLogger(5)


def test_lambda_callback(xy):
    seen = []
    callback = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(("epoch", epoch)),
        on_train_end=lambda logs: seen.append(("end", sorted(logs))),
        on_test_begin=lambda logs: seen.append(("test",)),
        on_train_batch_end=None,
    )
    model_of().fit(*xy, epochs=2, validation_data=xy, callbacks=[callback], verbose=0)
    names = ["loss", "mae", "val_loss", "val_mae"]
    assert seen == [("epoch", 0), ("test",), ("epoch", 1), ("test",), ("end", names)]
    with pytest.raises(TypeError, match="there is no hook 'on_epoch'"):
        LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, got 3"):
        LambdaCallback(on_epoch_end=3)


def test_progbar_logger_changes_nothing(xy, capsys):
    model_of().fit(*xy, epochs=2, callbacks=[ProgbarLogger()], verbose=2)
    shown = capsys.readouterr().out
    assert shown.count("1/1 - ") == 2


@pytest.mark.parametrize(
    "name",
    [
        "OrbaxCheckpoint",
        "RemoteMonitor",
        "SwapEMAWeights",
        "TensorBoard",
    ],
)
def test_callbacks_that_there_are_not_say_why(name):
    with pytest.raises(NotImplementedError, match=rf"callbacks\.{name} is not in fastnn on purpose: \w+"):
        getattr(kinds, name)("path")


def test_callback_lists_outside_of_fit(xy):
    seen = []
    calls = keras.callbacks.CallbackList(
        [LambdaCallback(on_epoch_end=lambda e, logs: seen.append((e, logs)))],
        add_history=True,
        epochs=3,
        steps=2,
    )
    assert calls.callbacks[0].params == {"epochs": 3, "steps": 2}
    calls.on_epoch_end(4, {"loss": 1.0})
    assert seen == [(4, {"loss": 1.0})]
    assert calls.callbacks[1].history == {"loss": [1.0]}
