"""find_learning_rate, and the warnings where training plainly fails."""

import warnings

import numpy as np
import pytest
from support import mlp, state

import fastnn as keras
from fastnn import TrainingWarning


def problem(rng, rows=400):
    x = rng.normal(size=(rows, 4))
    return x, np.tanh(x @ rng.normal(size=(4, 1))) + 0.1 * rng.normal(size=(rows, 1))


def model_of(optimizer="adam", hidden=(16, "tanh"), inputs=4, **more):
    return mlp(inputs, hidden, (1, None), optimizer=optimizer, loss="mse", **more)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_suggestion_trains_well(optimizer, rng):
    x, y = problem(rng)
    model = model_of(optimizer)
    found = model.find_learning_rate(x, y, highest=100.0)
    assert len(found.rates) == len(found.losses) == len(found.smoothed)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-6, 100, 100)[: len(found.rates)])
    assert 1e-4 < found.suggestion < 3
    ends = {}
    for rate in (found.suggestion, found.rates[5]):
        twin = model_of(optimizer)
        twin.optimizer.learning_rate = rate
        ends[rate] = twin.fit(x, y, epochs=10, verbose=0).history["loss"][-1]
    assert ends[found.suggestion] < 0.3 * ends[found.rates[5]]


def test_the_model_stays_as_it_was(rng):
    x, y = problem(rng)
    model, twin = model_of(metrics=["mae"]), model_of(metrics=["mae"])
    for m in (model, twin):
        m.fit(x, y, epochs=2, verbose=0)
    before, rate = state(model), float(model.optimizer.learning_rate)
    model.find_learning_rate(x, y, steps=20)
    assert state(model) == before
    assert float(model.optimizer.learning_rate) == rate
    assert model.fit(x, y, epochs=2, verbose=0).history == twin.fit(x, y, epochs=2, verbose=0).history


def test_losses_are_those_of_the_steps(rng):
    x, y = problem(rng, 8)
    weight = rng.uniform(0, 2, 8)
    model = model_of("sgd")
    found = model.find_learning_rate(x, y, weight, lowest=0.01, highest=0.1, steps=10, batch_size=50)
    twin = model_of("sgd")
    losses = []
    for rate in np.geomspace(0.01, 0.1, 10):
        twin.optimizer.learning_rate = rate
        losses.append(twin.train_on_batch(x, y, weight))
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)
    mean, smoothed = 0.0, []
    for n, loss in enumerate(found.losses):
        mean = 0.9 * mean + 0.1 * loss
        smoothed.append(mean / (1 - 0.9 ** (n + 1)))
    np.testing.assert_allclose(found.smoothed, smoothed, rtol=1e-12)


def test_a_test_that_diverges_ends_early(rng):
    x, y = problem(rng)
    found = model_of("sgd", (90, "relu")).find_learning_rate(x, y, lowest=1e-3, highest=1e6, steps=60)
    assert len(found.rates) < 60
    assert np.isfinite(found.losses).all()
    assert found.suggestion < found.rates[-1]


def test_nothing_to_suggest(rng):
    x, y = problem(rng)
    model = model_of("sgd")
    found = model.find_learning_rate(x, y, lowest=1e3, highest=1e4, steps=10)
    assert found.suggestion is None or found.suggestion >= 1e3
    assert "RangeTest" in repr(found)


def test_plot(rng, tmp_path):
    pytest.importorskip("matplotlib")
    found = model_of().find_learning_rate(*problem(rng), steps=30)
    found.plot().savefig(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").stat().st_size > 1000
    axes = found.plot().axes[0]
    assert axes.get_xscale() == "log"
    assert np.array_equal(axes.get_lines()[0].get_ydata(), found.losses)


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        ({"steps": 5}, ["steps", "10"]),
        ({"batch_size": 0}, ["batch_size", "0"]),
        ({"lowest": 0}, ["lowest", "0"]),
        ({"lowest": 2.0}, ["lowest", "highest", "2.0"]),
        ({"highest": float("inf")}, ["highest", "inf"]),
        ({"highest": "high"}, ["highest", "high"]),
    ],
)
def test_bad_arguments(bad, names, rng):
    model = model_of()
    with pytest.raises((ValueError, TypeError)) as caught:
        model.find_learning_rate(*problem(rng), **bad)
    assert all(name in str(caught.value) for name in names)


def test_bad_data_and_models(rng):
    x, y = problem(rng)
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="x holds NaN in row 3"):
        model_of().find_learning_rate(x, y)
    with pytest.raises(ValueError, match="Compile model"):
        mlp(4, (1, None)).find_learning_rate(x, y)


# ---- TrainingWarning -------------------------------------------------------------------------------------


def test_a_rate_that_is_too_high_is_named(rng):
    x, y = problem(rng)
    with pytest.warns(TrainingWarning, match=r"The loss is .* First suspect: the learning rate is too high"):
        model_of(keras.optimizers.Adam(50.0)).fit(x, y, epochs=5, verbose=0)


def test_columns_that_are_not_scaled_are_named(rng):
    x, y = problem(rng)
    with pytest.warns(TrainingWarning, match=r"The loss stayed at .* First suspect: y holds values up to"):
        model_of(keras.optimizers.Adam(1e-6)).fit(x, 1e6 * y, epochs=8, verbose=0)
    x[:, 2] *= 1e5
    with pytest.raises(FloatingPointError, match=r"First suspect: column 2 of x holds values up to"):
        model_of(keras.optimizers.SGD(1.0), (30, "relu")).fit(x, y, epochs=300, verbose=0)


def test_dead_units_are_named(rng):
    x, y = problem(rng)
    model = model_of("sgd", (16, "relu"))
    weights = model.get_weights()
    weights[1][:] = -100
    model.set_weights(weights)
    model.layers[1].bias.assign([float(y.mean())])
    with pytest.warns(TrainingWarning, match=r"all units of layer 'dense\w*' are dead"):
        model.fit(x, y, epochs=8, verbose=0)


@pytest.mark.parametrize(
    "case", ["learns", "noise", "constant", "perfect", "few epochs", "goes on", "unscaled", "fine-tuned"]
)
def test_no_false_alarms(case, rng):
    x, y = problem(rng)
    model, epochs = model_of(), 8
    if case == "noise":
        y = rng.normal(size=y.shape)
    elif case == "constant":
        y = np.zeros_like(y)
    elif case == "perfect":
        y = model.predict(x)
    elif case == "few epochs":
        model, epochs = model_of(keras.optimizers.Adam(50.0)), 3
    elif case == "unscaled":
        x = x * 1e5  # learned from all the same
    elif case == "fine-tuned":
        x = x * 1e5
        y = model.predict(x) + 0.01 * y
        model.optimizer.learning_rate = 1e-7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, y, epochs=epochs, verbose=0)
        if case == "goes on":
            for _ in range(3):
                model.fit(x, y, epochs=epochs, verbose=0)


@pytest.mark.parametrize(
    "loss",
    [
        "mean_absolute_error",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
    ],
)
def test_dead_units_are_named_for_every_loss(loss, rng):
    """From the best constant answer on, where nothing but the output's bias can learn."""
    x, labels = rng.normal(size=(240, 4)), np.repeat([0, 1, 2, 0], 60)
    shares = np.bincount(labels) / len(labels)
    y, units, activation, bias = {
        "mean_absolute_error": (np.arange(240.0), 1, None, [119.5]),
        "binary_crossentropy": (labels > 0, 1, "sigmoid", [0.0]),
        "categorical_crossentropy": (np.eye(3)[labels], 3, "softmax", np.log(shares)),
        "sparse_categorical_crossentropy": (labels, 3, "softmax", np.log(shares)),
    }[loss]
    model = mlp(4, (8, "relu"), (units, activation), optimizer=keras.optimizers.SGD(1e-4), loss=loss)
    model.layers[0].bias.assign(np.full(8, -100.0))
    model.layers[1].bias.assign(bias)
    with pytest.warns(TrainingWarning, match=r"The loss stayed at .* First suspect: all units of layer"):
        model.fit(x, y, epochs=6, verbose=0)
