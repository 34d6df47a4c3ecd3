"""from_sklearn: scikit-learn's networks and our estimators as models."""

import warnings
from inspect import signature

import numpy as np
import pytest
from support import run_python

import fastnn
from fastnn.convert import from_sklearn

pytest.importorskip("sklearn")
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

KINDS = {"scikit-learn": (MLPClassifier, MLPRegressor), "fastnn": (fastnn.MLPClassifier, fastnn.MLPRegressor)}
SMALL = {"hidden_layer_sizes": (3,), "max_iter": 2}
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


@pytest.fixture
def x(rng):
    """Rows of usual size, and of hundreds."""
    return np.vstack([rng.normal(size=(40, 5)), 100 * rng.normal(size=(5, 5))])


def fitted(estimator, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few epochs do not converge
        return estimator.fit(x, y)


def close(got, want):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("whose", KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (1,), (7, 3)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_regressors(whose, activation, hidden, outputs, dtype, x, rng):
    x = x.astype(dtype)
    y = rng.normal(size=(len(x), outputs))
    e = fitted(
        KINDS[whose][1](hidden_layer_sizes=hidden, activation=activation, max_iter=3),
        x,
        y if outputs > 1 else y[:, 0],
    )
    model = from_sklearn(e)
    assert model.dtype == e.coefs_[0].dtype == dtype
    wanted = e.predict(x).reshape(len(x), outputs)
    if dtype == "float64":
        close(model.predict(x), wanted)
    else:
        np.testing.assert_allclose(model.predict(x), wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())
    assert model.loss == "mse"


@pytest.mark.parametrize("whose", KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["two", "four", "labels"])
def test_classifiers(whose, activation, kind, x, rng):
    y = {
        "two": np.array(["no", "yes"])[rng.integers(0, 2, len(x))],
        "four": np.array([3, 7, 8, 20])[rng.integers(0, 4, len(x))],
        "labels": rng.integers(0, 2, (len(x), 3)),
    }[kind]
    e = fitted(KINDS[whose][0]((6, 4), activation=activation, max_iter=3), x, y)
    model, wanted = from_sklearn(e), e.predict_proba(x)
    close(model.predict(x), wanted[:, 1:] if kind == "two" else wanted)
    if kind == "four":
        assert model.loss == "sparse_categorical_crossentropy"
        np.testing.assert_array_equal(e.classes_[model.predict(x).argmax(axis=1)], e.predict(x))
    else:
        assert model.loss == "binary_crossentropy"


def test_it_trains_on(x, rng):
    """From the estimator's weights, on class numbers."""
    y = np.array(["a", "b", "c"])[x[:, :3].argmax(axis=1)]
    e = fitted(MLPClassifier((16,), max_iter=10, random_state=0, learning_rate_init=0.01), x, y)
    model = from_sklearn(e)
    numbers = np.searchsorted(e.classes_, y)
    before = model.evaluate(x, numbers, verbose=0)
    history = model.fit(x, numbers, epochs=60, verbose=0, batch_size=45).history["loss"]
    assert history[0] == pytest.approx(before, rel=1e-6)
    assert history[-1] < 0.8 * before


def test_the_estimator_stays_as_it_is(x, rng):
    e = fitted(MLPRegressor(hidden_layer_sizes=(4,), max_iter=3), x, x[:, 0])
    before = [w.copy() for w in (*e.coefs_, *e.intercepts_)]
    model = from_sklearn(e)
    model.fit(x, x[:, 0], epochs=2, verbose=0)
    for now, then in zip((*e.coefs_, *e.intercepts_), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert np.any(model.layers[0].kernel.numpy() != before[0])


def test_the_solver_becomes_the_optimizer(x):
    y = x[:, 0]
    adam = MLPRegressor(**SMALL, learning_rate_init=0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-6)
    found = from_sklearn(fitted(adam, x, y)).optimizer
    assert type(found).__name__ == "Adam"
    config = found.get_config()
    assert [config[k] for k in ("learning_rate", "beta_1", "beta_2", "epsilon")] == [0.02, 0.8, 0.9, 1e-6]
    sgd = MLPRegressor(**SMALL, solver="sgd", learning_rate_init=1e-6, momentum=0.5)
    config = from_sklearn(fitted(sgd, x, y)).optimizer.get_config()
    assert [config[k] for k in ("learning_rate", "momentum", "nesterov")] == [1e-6, 0.5, True]
    lbfgs = MLPRegressor(hidden_layer_sizes=(3,), max_iter=5, solver="lbfgs")
    assert type(from_sklearn(fitted(lbfgs, x, y)).optimizer).__name__ == "Adam"
    own = fastnn.optimizers.RMSprop(0.003, rho=0.7)
    e = fitted(fastnn.MLPRegressor(solver=own, **SMALL), x, y)
    found = from_sklearn(e).optimizer
    assert found is not own
    assert (found.get_config()["rho"], type(found)) == (0.7, type(own))
    e = fitted(fastnn.MLPRegressor(solver="lion", learning_rate_init=1e-5, **SMALL), x, y)
    assert type(from_sklearn(e).optimizer).__name__ == "Lion"
    schedule = fastnn.optimizers.schedules.ExponentialDecay(0.01, 5, 0.5)
    e = fitted(fastnn.MLPRegressor(learning_rate=schedule, clipnorm=0.5, **SMALL), x, y)
    config = from_sklearn(e).optimizer.get_config()
    assert config["learning_rate"]["class_name"] == "ExponentialDecay"
    assert config["clipnorm"] == 0.5


@pytest.mark.parametrize("norm", ["batch_norm", "layer_norm"])
def test_our_estimators_normalizations_and_lists(norm, x):
    y = (x[:, 0] > 0).astype(int)
    e = fastnn.MLPClassifier(
        (6, 4), activation=["gelu", "tanh"], dropout=[0.2, 0.0], max_iter=4, **{norm: True}
    )
    fitted(e, x, y)
    model = from_sklearn(e)
    kind = "BatchNormalization" if norm == "batch_norm" else "LayerNormalization"
    assert [type(layer).__name__ for layer in model.layers] == [
        *("Dense", kind, "Activation", "Dropout"),
        *("Dense", kind, "Activation"),
        "Dense",
    ]
    close(model.predict(x), e.predict_proba(x)[:, 1:])


def test_an_activation_of_ones_own(x):
    sine = fastnn.activations.Custom(np.sin, np.cos, name="sine")
    e = fitted(fastnn.MLPRegressor(hidden_layer_sizes=(4,), activation=sine, max_iter=2), x, x[:, 0])
    close(from_sklearn(e).predict(x)[:, 0], e.predict(x))


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("poisson", "poisson"),
        ("absolute_error", "mae"),
        ("quantile", "Quantile"),
        (fastnn.losses.Huber(0.3), "Huber"),
        (fastnn.losses.log_cosh, "log_cosh"),
    ],
)
def test_losses_of_regressors(loss, name, x):
    y = np.abs(x[:, 0])
    e = fitted(fastnn.MLPRegressor(loss=loss, **SMALL, learning_rate_init=1e-4), x, y)
    model = from_sklearn(e)
    close(model.predict(x)[:, 0], e.predict(x))
    found = model.loss
    assert (found if isinstance(found, str) else getattr(found, "__name__", type(found).__name__)) == name
    assert np.isfinite(model.evaluate(x, y, verbose=0))


@pytest.mark.parametrize("classes", [2, 3])
def test_focal_loss(classes, x, rng):
    x = x[:40]  # the others' probabilities are 0 and 1
    y = rng.integers(0, classes, len(x))
    e = fitted(fastnn.MLPClassifier((4,), loss="focal", gamma=1.5, max_iter=2), x, y)
    model = from_sklearn(e)
    assert model.loss.get_config()["gamma"] == 1.5
    targets = y if classes == 2 else np.eye(3)[y]
    p = e.predict_proba(x)[np.arange(len(x)), y]
    wanted = np.mean(-((1 - p) ** 1.5) * np.log(np.clip(p, 1e-7, 1 - 1e-7)))
    assert model.evaluate(x, targets, verbose=0) == pytest.approx(wanted, rel=1e-3)


def test_scikit_learns_poisson(x):
    """In its versions that have it."""
    if "loss" not in signature(MLPRegressor).parameters:
        pytest.skip("this scikit-learn's MLPRegressor has one loss")
    e = MLPRegressor(loss="poisson", hidden_layer_sizes=(4,), max_iter=2, learning_rate_init=1e-4)
    model = from_sklearn(fitted(e, x, np.abs(x[:, 0])))
    assert (e.out_activation_, model.loss) == ("exp", "poisson")
    close(model.predict(x)[:, 0], e.predict(x))


def test_bad_arguments(x):
    for kind in (MLPClassifier, fastnn.MLPRegressor):
        with pytest.raises(
            ValueError, match=rf"^from_sklearn: this {kind.__name__} is not fitted yet; call fit"
        ):
            from_sklearn(kind())
    with pytest.raises(
        TypeError, match=r"takes an MLPClassifier or MLPRegressor, got sklearn\..*LinearRegression"
    ):
        from_sklearn(LinearRegression().fit(x, x[:, 0]))
    with pytest.raises(TypeError, match="got builtins"):
        from_sklearn(None)


def test_nothing_foreign_is_imported_before_it_is_needed():
    said = run_python(
        "import sys, fastnn\n"
        "fastnn.convert.from_keras, fastnn.convert.to_torch, fastnn.convert.from_sklearn\n"
        "print([m for m in ('keras', 'torch', 'sklearn', 'tensorflow', 'jax') if m in sys.modules])\n"
    )
    assert said.strip() == "[]"


def test_without_scikit_learn_a_sentence_says_so():
    said = run_python(
        "import sys\n"
        "sys.modules['sklearn'] = None\n"
        "import fastnn\n"
        "try:\n"
        "    fastnn.convert.from_sklearn(None)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    assert "pip install scikit-learn" in said
