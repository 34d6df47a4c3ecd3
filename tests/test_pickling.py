"""Pickles, copies and joblib's files of models and estimators: they go on with the same bits."""

import copy
import io
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import layers


@pytest.fixture
def data(rng):
    return rng.normal(size=(40, 4)).astype("f4"), rng.normal(size=(40, 1)).astype("f4")


def through_pickle(protocol):
    return lambda thing: pickle.loads(pickle.dumps(thing, protocol))


def through_joblib(thing):
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(thing, file)
    file.seek(0)
    return joblib.load(file)


WAYS = {
    "pickle 2": through_pickle(2),
    "pickle": through_pickle(pickle.HIGHEST_PROTOCOL),
    "copy": copy.deepcopy,
    "joblib": through_joblib,
}


def made(optimizer="adam"):
    fastnn.utils.set_random_seed(0)
    model = fastnn.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(6, "tanh", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "optimizer",
    ["adam", "lamb", fastnn.optimizers.SGD(0.1, use_ema=True, gradient_accumulation_steps=2)],
    ids=str,
)
def test_models_train_on(way, optimizer, data):
    model = made(optimizer)
    history = model.fit(*data, epochs=3, verbose=0)
    twin = WAYS[way](model)
    assert twin.history.history == history.history
    assert twin.optimizer is not model.optimizer
    assert twin.optimizer.iterations == model.optimizer.iterations
    np.testing.assert_array_equal(twin.predict(data[0]), model.predict(data[0]))
    found = [m.fit(*data, epochs=4, verbose=0).history for m in (model, twin)]
    assert found[0] == found[1]
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
def test_models_that_have_not_trained(way, data):
    for model in (made(), fastnn.Sequential([layers.Dense(2)]), fastnn.Sequential()):
        twin = WAYS[way](model)
        assert twin.get_config() == model.get_config()
        assert twin.compiled == model.compiled


def test_a_copy_and_its_model_are_apart(data):
    model = made()
    model.fit(*data, verbose=0)
    twin = copy.deepcopy(model)
    before = model.get_weights()
    twin.fit(*data, epochs=2, verbose=0)
    twin.optimizer.learning_rate = 0.5
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert float(model.optimizer.learning_rate) == 0.001


def test_pickled_while_another_thread_trains(data):
    """Weights, optimizer and counters of one moment."""
    import threading

    model = made(fastnn.optimizers.SGD(0.01, momentum=0.9))
    model.layers[2].rate = 0.0
    fit = {"batch_size": 40, "verbose": 0, "shuffle": False}
    model.fit(*data, epochs=1, **fit)
    reference = copy.deepcopy(model)
    thread = threading.Thread(target=lambda: model.fit(*data, epochs=20_000, **fit))
    thread.start()
    copies = []
    while thread.is_alive() and len(copies) < 10:
        copies.append(pickle.loads(pickle.dumps(model)))
    model.stop_training = True
    thread.join()
    for twin in copies:
        more = int(twin.optimizer.iterations) - int(reference.optimizer.iterations)
        if more:
            reference.fit(*data, epochs=more, **fit)
        for a, b in zip(reference.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor", "MLPEnsembleRegressor"])
def test_estimators_go_on(way, kind, rng):
    pytest.importorskip("sklearn")
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int) if "Class" in kind else x[:, 0] ** 2
    options = {"hidden_layer_sizes": (5,), "max_iter": 7, "random_state": 0}
    if "Ensemble" in kind:
        member = fastnn.MLPRegressor(**{**options, "random_state": None})
        estimator = fastnn.estimators.MLPEnsembleRegressor(member, random_state=0)
    else:
        estimator = getattr(fastnn, kind)(**options)
    estimator.fit(x, y)
    twin = WAYS[way](estimator)
    np.testing.assert_array_equal(twin.predict(x), estimator.predict(x))
    if hasattr(estimator, "partial_fit"):
        for one in (estimator, twin):
            one.partial_fit(x, y)
        np.testing.assert_array_equal(twin.predict(x), estimator.predict(x))
        for a, b in zip(estimator.coefs_, twin.coefs_, strict=True):
            np.testing.assert_array_equal(a, b)
