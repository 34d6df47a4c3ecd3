"""Statistics of gradients: against NumPy, of dead units, as a callback."""

import numpy as np
import pytest
from support import digest, mlp

import fastnn as keras
from fastnn import layers

X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = X[:, :2] ** 2


def model(**options):
    return mlp(4, (9, "relu"), (6, "relu"), (2, None), **{"optimizer": "adam", "loss": "mse", **options})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_numpy(dtype):
    m = model(dtype=dtype)
    loss, gradients = m.gradients(X, Y)
    found = m.gradient_statistics(X, Y)
    assert found.loss == loss
    assert [w.path for w in found.weights] == [v.path for v in m.trainable_weights]
    for w, g in zip(found.weights, gradients, strict=True):
        g = g.astype("float64")
        assert w.shape == g.shape
        assert w.norm == pytest.approx(np.linalg.norm(g), rel=1e-12)
        assert w.mean == pytest.approx(g.mean(), rel=1e-9, abs=1e-12)
        assert w.largest == np.abs(g).max()
        assert w.zeros == pytest.approx((g == 0).mean())
    assert found.norm == pytest.approx(np.sqrt(sum(w.norm**2 for w in found.weights)))
    for w in found.weights:
        assert w.path in str(found)


def test_dead_units_are_counted():
    m = model()
    bias = m.layers[1].bias.numpy()
    bias[[1, 4]] = -100  # below zero for every row
    m.layers[1].bias.assign(bias)
    alive = [(layer(X) > 0).any(axis=0).sum() for layer in (m.layers[0],)]
    found = m.gradient_statistics(X, Y)
    assert [layer.units for layer in found.layers] == [9, 6, 2]
    assert found.layers[0].idle >= 9 - alive[0]
    assert 2 <= found.layers[1].idle < 6
    assert found.layers[2].idle == 0
    assert f"{found.layers[1].idle} of 6 units are reached by no gradient" in str(found)
    assert found.layers[1].path == m.layers[1].path


def test_frozen_layers_have_none():
    m = model()
    m.layers[0].trainable = False
    found = m.gradient_statistics(X, Y)
    assert len(found.weights) == 4
    assert found.layers[0].idle is None


def test_nothing_of_the_model_changes():
    def make():
        keras.utils.set_random_seed(1)
        m = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(8),
                layers.BatchNormalization(),
                layers.Dropout(0.5),
                layers.Dense(2),
            ]
        )
        m.compile("adam", "mse")
        return m

    watched, left = make(), make()
    call = keras.callbacks.GradientStatistics(X, Y, every=2)
    watched.fit(X, Y, epochs=5, verbose=0, callbacks=[call])
    left.fit(X, Y, epochs=5, verbose=0)
    watched.gradient_statistics(X, Y)
    for m in (watched, left):
        m.fit(X, Y, epochs=2, verbose=0)
    assert digest(watched.get_weights()) == digest(left.get_weights())
    assert call.epochs == [1, 3]
    assert len(call.found) == 2
    assert set(call.history) == {v.path for v in watched.trainable_weights}
    assert all(len(norms) == 2 and min(norms) >= 0 for norms in call.history.values())


def test_they_show_what_vanishes():
    deep = mlp(4, *[(16, "sigmoid")] * 8, (2, None), optimizer="sgd", loss="mse")
    kernels = [w.norm for w in deep.gradient_statistics(X, Y).weights if len(w.shape) == 2]
    assert kernels[0] < 1e-4 * kernels[-1]


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_every(every):
    with pytest.raises(ValueError, match="every"):
        keras.callbacks.GradientStatistics(X, Y, every=every)


def test_bad_rows_are_named():
    with pytest.raises(ValueError, match="x holds NaN in row 0"):
        model().gradient_statistics(np.full_like(X, np.nan), Y)
