"""``trainable=False``: what it freezes, when it takes effect, and what the model says of it."""

import numpy as np
import pytest

import fastnn as keras
from fastnn import layers


def stack(*kinds):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), *kinds])


def data(rows=40, outputs=2):
    rng = np.random.default_rng(2)
    return rng.normal(size=(rows, 4)).astype("f4"), rng.normal(size=(rows, outputs)).astype("f4")


def moved(model, call):
    """For each weight, whether the call changes it."""
    before = model.get_weights()
    call()
    return [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]


@pytest.mark.parametrize("when", ["made", "before compile", "after compile"])
def test_a_frozen_layer_stays(when):
    model = stack(
        layers.Dense(5, activation="relu", trainable=when != "made"), layers.Dense(3), layers.Dense(2)
    )
    if when == "before compile":
        model.layers[0].trainable = False
    model.compile("adam", "mse")
    if when == "after compile":
        model.layers[0].trainable = False
    x, y = data()
    for call in (lambda: model.fit(x, y, verbose=0), lambda: model.train_on_batch(x, y)):
        assert moved(model, call) == [False, False, True, True, True, True]
    model.layers[0].trainable = True
    assert all(moved(model, lambda: model.fit(x, y, verbose=0)))


def test_a_frozen_model_stays_and_says_so():
    model = stack(layers.Dense(5), layers.BatchNormalization(), layers.Dense(2))
    model.trainable = False
    model.compile("adam", "mse")
    assert [layer.trainable for layer in model.layers] == [False] * 3
    x, y = data()
    with pytest.warns(UserWarning, match="no trainable weights"):
        assert not any(moved(model, lambda: model.fit(x, y, verbose=0)))
    model.layers[0].trainable = True  # within a model that is not
    assert model.trainable_weights == []
    with pytest.warns(UserWarning, match="no trainable weights"):
        assert not any(moved(model, lambda: model.fit(x, y, verbose=0)))
    model.trainable = True
    assert all(moved(model, lambda: model.fit(x, y, verbose=0)))


def test_single_variables():
    model = stack(layers.Dense(5, activation="tanh"), layers.Dense(2))
    model.layers[0].bias.trainable = False
    model.layers[1].kernel.trainable = False
    model.compile("rmsprop", "mse")
    assert moved(model, lambda: model.fit(*data(), verbose=0)) == [True, False, False, True]


def test_layers_within_a_residual():
    model = stack(layers.Residual([layers.Dense(3), layers.PReLU(), layers.Dense(4)]), layers.Dense(2))
    inner = model.layers[0]
    inner.layers[0].trainable = False
    model.compile("sgd", "mse")
    call = lambda: model.fit(*data(), verbose=0)  # noqa: E731
    assert moved(model, call) == [False, False, True, True, True, True, True]
    inner.trainable = False
    assert not any(layer.trainable for layer in inner.layers)
    assert moved(model, call) == [False] * 5 + [True] * 2


def test_counts_and_summary():
    model = stack(layers.Dense(5, trainable=False), layers.BatchNormalization(), layers.Dense(2))
    model.compile("adam", "mse")
    assert model.count_params() == 25 + 20 + 12
    assert sum(v.size for v in model.trainable_weights) == 10 + 12
    lines = []
    model.summary(print_fn=lines.append, show_trainable=True)
    assert any("Trainable params: 22 " in line for line in lines)
    assert any("Non-trainable params: 35 " in line for line in lines)
    assert [line.split("│")[4].strip() for line in lines if "│" in line] == ["N", "Y", "Y"]
    model.fit(*data(), verbose=0)
    lines.clear()
    model.summary(print_fn=lines.append)
    assert any("Optimizer params: 46 " in line for line in lines)  # two moments each, the rate and the count
    again = keras.Sequential.from_config(model.get_config())
    assert [layer.trainable for layer in again.layers] == [False, True, True]


def test_evaluation_and_callbacks_during_a_fit_with_frozen_layers():
    """What a callback asks for takes effect in the next fit."""
    model = stack(layers.Dense(5), layers.Dense(2))
    model.compile("sgd", "mse")
    x, y = data()

    class Freezes(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            model.layers[0].trainable = False
            model.evaluate(x, y, verbose=0)

    assert all(moved(model, lambda: model.fit(x, y, epochs=3, verbose=0, callbacks=[Freezes()])))
    assert moved(model, lambda: model.fit(x, y, verbose=0)) == [False, False, True, True]
