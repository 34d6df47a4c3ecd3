"""Early stopping inside native runs, against the rule played over the logs of a run that nobody stops."""

import numpy as np
import pytest
from support import compiled, digest, random_weights, train

from fastnn.kernels.training import Training


def play(values, *, mode, min_delta, patience, baseline, start_from_epoch):
    """Keras 3's EarlyStopping over recorded values: (epochs trained, stopped, best epoch, best)."""
    sign = 1 if mode == "max" else -1
    best, best_epoch, wait = -np.inf, None, 0
    for epoch, value in enumerate(values):
        if epoch < start_from_epoch:
            continue
        if best_epoch is None:
            best_epoch = epoch
        wait += 1
        if sign * value - abs(min_delta) > best:
            best, best_epoch = sign * value, epoch
            if baseline is None or sign * value - abs(min_delta) > sign * baseline:
                wait = 0
            continue
        if wait >= patience and epoch > 0:
            return epoch + 1, True, best_epoch, sign * best
    return len(values), False, best_epoch, sign * best


def problem(rate):
    rng = np.random.default_rng(2)
    layers = [(12, "tanh", True), (1, "linear", True)]
    weights = random_weights(layers, 3, rng)
    net = compiled(
        layers,
        3,
        np.float64,
        weights,
        "mean_squared_error",
        optimizer="adam",
        learning_rate=rate,
        metrics=["mean_absolute_error"],
    )
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))
    return net, x[:20], y[:20], (x[20:], y[20:], None)


EPOCHS = 60


@pytest.mark.parametrize("column", [0, 1, 2, 3])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    ("patience", "min_delta", "baseline", "start_from_epoch"),
    [
        (0, 0, None, 0),
        (1, 0, None, 0),
        (4, 0, None, 0),
        (3, 0.005, None, 0),
        (3, -0.005, None, 5),
        (2, 0, 0.9, 0),
        (5, 0, 1e-9, 3),
        (2, 0, 1e9, 0),
        (1000, 0, None, 0),
        (0, 1e9, None, 0),
        (0, 0, None, 100),
    ],
)
@pytest.mark.parametrize("restore", [False, True])
def test_stops_where_keras_would(column, mode, patience, min_delta, baseline, start_from_epoch, restore):
    rate = 0.1  # overfits at once, and jitters
    net, x, y, validation = problem(rate)
    free = train(net, x, y, epochs=EPOCHS, batch_size=7, shuffle=True, validation=validation)
    rule = {
        "mode": mode,
        "min_delta": min_delta,
        "patience": patience,
        "baseline": baseline,
        "start_from_epoch": start_from_epoch,
    }
    epochs, stopped, best_epoch, best = play(free.logs[:, column], **rule)

    net, x, y, validation = problem(rate)
    training = Training(
        net,
        x,
        y,
        batch_size=7,
        shuffle=True,
        seed=1,
        epochs=EPOCHS,
        num_threads=1,
        validation=validation,
        stopping={**rule, "column": column, "restore_best_weights": restore},
    )
    assert training.run(EPOCHS, 60.0) == epochs
    assert (training.epoch, training.stopped, len(training.logs)) == (epochs, stopped, epochs)
    assert training.logs.tobytes() == free.logs[:epochs].tobytes()
    if best_epoch is not None:
        assert training.best_epoch == best_epoch
        if np.isfinite(best):
            assert training.best == best
    keep = epochs if not restore or best_epoch is None else best_epoch + 1
    twin, x, y, validation = problem(rate)
    train(twin, x, y, epochs=keep, batch_size=7, shuffle=True)
    assert digest(net.weights()) == digest(twin.weights())
    if not stopped:
        assert training.epoch == EPOCHS
    else:
        assert training.run(EPOCHS, 60.0) == 0


def test_stopping_survives_cuts():
    rule = {
        "column": 2,
        "mode": "min",
        "min_delta": 0,
        "patience": 2,
        "baseline": None,
        "start_from_epoch": 0,
        "restore_best_weights": True,
    }
    results = []
    for seconds in (60.0, 0.0):
        net, x, y, validation = problem(0.1)
        training = Training(
            net,
            x,
            y,
            batch_size=7,
            shuffle=True,
            seed=1,
            epochs=EPOCHS,
            num_threads=2,
            validation=validation,
            stopping=rule,
        )
        while training.epoch < EPOCHS and not training.stopped:
            training.run(EPOCHS, seconds)
        results.append(
            (
                digest(net.weights()),
                training.logs.tobytes(),
                training.epoch,
                training.best_epoch,
                training.best,
            )
        )
    assert results[0] == results[1]
