"""``fastnn.wrappers``: models as scikit-learn's estimators, as Keras's wrappers make them."""

import inspect
import pickle
import warnings
from contextlib import suppress
from unittest import SkipTest

import numpy as np
import pytest
from support import run_python

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils import get_tags  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import fastnn as keras  # noqa: E402
from fastnn.keras import wrappers  # noqa: E402
from fastnn.keras.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer  # noqa: E402

KINDS = (SKLearnClassifier, SKLearnRegressor, SKLearnTransformer)
QUIET = {"verbose": 0, "epochs": 30}


def data(classes=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(90, 4)).astype("float32")
    z = X @ rng.normal(size=(4, 3))
    if classes is None:
        return X, z[:, 0].astype("float32")
    names = np.array(["ant", "bee", "cat"])
    return X, names[z[:, :classes].argmax(axis=1)]


def sequential(units, activation, loss, rate=0.02, metrics=None):
    model = keras.Sequential(
        [keras.layers.Dense(12, activation="relu"), keras.layers.Dense(units, activation=activation)]
    )
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, metrics=metrics)
    return model


def dynamic(X, y, loss="mse", layers=(20,), activation=None, seed=0):
    """A model for any data, from the same seed each time."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input(shape=(X.shape[1],))])
    for units in layers:
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(y.shape[1], activation=activation))
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=loss)
    return model


CLASSIFIED = {"loss": "categorical_crossentropy", "activation": "softmax"}


@pytest.mark.parametrize("classes", [2, 3])
def test_classifier(classes):
    X, y = data(classes)
    found = SKLearnClassifier(sequential(classes, "softmax", "categorical_crossentropy"), fit_kwargs=QUIET)
    assert found.fit(X, y) is found
    assert list(found.classes_) == ["ant", "bee", "cat"][:classes]
    outputs = found.model_.predict(X)
    np.testing.assert_array_equal(found.predict_proba(X), outputs)
    np.testing.assert_array_equal(found.predict(X), found.classes_[outputs.argmax(axis=1)])
    assert found.score(X, y) > 0.8
    assert found.epoch_ == len(found.history_.history["loss"]) == 30


@pytest.mark.parametrize(
    ("units", "activation", "loss"),
    [
        (1, "sigmoid", "binary_crossentropy"),
        (1, None, keras.losses.BinaryCrossentropy(from_logits=True)),
        (2, None, keras.losses.CategoricalCrossentropy(from_logits=True)),
        (2, "sigmoid", "binary_crossentropy"),
        (2, "softmax", "sparse_categorical_crossentropy"),
        (2, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
    ],
)
def test_two_classes_by_any_loss(units, activation, loss):
    X, y = data(2)
    found = SKLearnClassifier(sequential(units, activation, loss), fit_kwargs=QUIET).fit(X, y)
    outputs, probabilities = found.model_.predict(X).astype(float), found.predict_proba(X)
    assert probabilities.shape == (len(X), 2)
    if activation == "sigmoid":
        want = np.hstack([1 - outputs, outputs]) if units == 1 else outputs
    elif activation == "softmax":
        want = outputs
    else:
        second = 1 / (1 + np.exp(-(outputs[:, 0] if units == 1 else outputs[:, 1] - outputs[:, 0])))
        want = np.stack([1 - second, second], axis=1)
    np.testing.assert_allclose(probabilities, want, atol=1e-6)
    decision = found.decision_function(X)
    assert decision.shape == (len(X),)
    np.testing.assert_array_equal(found.predict(X), np.where(decision > 0, "bee", "ant"))
    sure = np.abs(probabilities[:, 1] - probabilities[:, 0]) > 1e-5
    np.testing.assert_array_equal(decision[sure] > 0, probabilities[sure, 1] > probabilities[sure, 0])
    assert found.score(X, y) > 0.8
    assert cross_val_score(found, X, y, cv=3, scoring="roc_auc").mean() > 0.8


def test_the_same_training_as_without_the_wrapper():
    X, y = data(3)
    found = SKLearnClassifier(dynamic, model_kwargs=CLASSIFIED, fit_kwargs=QUIET).fit(X, y, batch_size=16)
    targets = np.eye(3)[np.unique(y, return_inverse=True)[1]]
    model = dynamic(X, targets, **CLASSIFIED)
    history = model.fit(X, targets, batch_size=16, **QUIET)
    assert found.history_.history == history.history
    for a, b in zip(found.model_.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_regressor_of_one_and_of_several_outputs():
    X, y = data()
    found = SKLearnRegressor(dynamic, fit_kwargs={**QUIET, "epochs": 60}).fit(X, y)
    assert found.predict(X).shape == y.shape
    assert found.score(X, y) > 0.8
    several = np.stack([y, -y], axis=1)
    found.fit(X, several)
    np.testing.assert_array_equal(found.predict(X), found.model_.predict(X))
    assert found.score(X, several) > 0.8
    # what a function that makes models is shown has columns
    shapes = []
    SKLearnRegressor(lambda X, y: shapes.append((X.shape, y.shape)) or dynamic(X, y), fit_kwargs=QUIET).fit(
        X, y
    )
    assert shapes == [((90, 4), (90, 1))]


def test_quantiles_of_one_target():
    X, y = data()
    levels = [0.1, 0.5, 0.9]
    found = SKLearnRegressor(sequential(3, None, keras.losses.Quantile(levels)), fit_kwargs=QUIET).fit(X, y)
    assert found.predict(X).shape == (90, 3)


def test_transformer():
    X, y = data()
    found = SKLearnTransformer(dynamic, model_kwargs={"layers": (3,)}, fit_kwargs=QUIET)
    np.testing.assert_array_equal(found.fit_transform(X, y), found.model_.predict(X))
    made = make_pipeline(
        SKLearnTransformer(dynamic, fit_kwargs=QUIET), SKLearnRegressor(dynamic, fit_kwargs=QUIET)
    )
    assert made.fit(X, y).predict(X).shape == (90,)


def test_fit_leaves_the_given_model_as_it_is():
    X, y = data(3)
    model = sequential(3, "softmax", "categorical_crossentropy", metrics=["accuracy"])
    model.build((None, 4))
    before = model.get_weights()
    found = SKLearnClassifier(model, fit_kwargs=QUIET).fit(X, y)
    assert found.model_ is not model
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert list(found.history_.history) == ["accuracy", "loss"]
    assert found.model_.optimizer is not model.optimizer
    assert found.model_.optimizer.learning_rate == pytest.approx(0.02)
    first = found.model_
    found.fit(X, y)
    assert found.model_ is not first
    assert not np.array_equal(found.model_.get_weights()[0], first.get_weights()[0])


def test_a_copy_learns_as_the_model_would():
    X, y = data()
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 20, 0.5)
    first, second = (keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2))
    model = keras.Sequential(
        [
            keras.layers.Dense(8, activation="tanh", kernel_initializer=first),
            keras.layers.Dense(1, kernel_initializer=second),
        ]
    )
    model.compile(keras.optimizers.SGD(rate, momentum=0.5), "mse", metrics=["mae"])
    found = SKLearnRegressor(model, fit_kwargs={**QUIET, "shuffle": False}).fit(X, y)
    history = model.fit(X, y, shuffle=False, **QUIET)
    assert found.history_.history == history.history


def test_warm_start():
    X, y = data()
    model, twin = (dynamic(X, y.reshape(-1, 1)) for _ in range(2))
    found = SKLearnRegressor(model, warm_start=True, fit_kwargs={"verbose": 0, "epochs": 3}).fit(X, y)
    assert found.model_ is model
    found.fit(X, y)
    assert found.model_ is model
    for _ in range(2):
        twin.fit(X, y, epochs=3, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], twin.get_weights()[0])
    made = SKLearnRegressor(dynamic, warm_start=True, fit_kwargs={"verbose": 0, "epochs": 3}).fit(X, y)
    first = made.model_
    assert made.fit(X, y).model_ is first
    assert made.set_params(warm_start=False).fit(X, y).model_ is not first


def test_arguments_of_fit():
    X, y = data()
    given = {"epochs": 4, "verbose": 0}
    found = SKLearnRegressor(dynamic, fit_kwargs=given)
    assert found.epoch_ == 0
    found.fit(X, y, epochs=2, sample_weight=np.linspace(0, 1, 90))
    assert found.epoch_ == 2  # what fit is given goes first,
    assert given == {"epochs": 4, "verbose": 0}  # and not into fit_kwargs
    assert found.fit(X, y).epoch_ == 4
    model = dynamic(X, y.reshape(-1, 1))
    model.fit(X, y, epochs=2, verbose=0, sample_weight=np.linspace(0, 1, 90))
    found.fit(X, y, epochs=2, sample_weight=np.linspace(0, 1, 90))
    np.testing.assert_array_equal(found.model_.get_weights()[0], model.get_weights()[0])


def test_clones_and_pickles():
    X, y = data(3)
    for model in (dynamic, sequential(3, "softmax", "categorical_crossentropy")):
        arguments = {"model_kwargs": CLASSIFIED, "fit_kwargs": QUIET, "warm_start": False}
        found = SKLearnClassifier(model, **arguments)
        copy = clone(found)
        for name, value in arguments.items():
            assert getattr(copy, name) == value
        with pytest.raises(NotFittedError):
            copy.predict(X)
        found.fit(X, y)
        again = pickle.loads(pickle.dumps(found))
        np.testing.assert_array_equal(again.predict_proba(X), found.predict_proba(X))


def test_searches():
    X, y = data(2)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SKLearnClassifier(dynamic, model_kwargs=CLASSIFIED)),
        {
            "sklearnclassifier__fit_kwargs": [{"epochs": 1, "verbose": 0}, {"epochs": 40, "verbose": 0}],
        },
        cv=3,
    ).fit(X, y)
    assert search.best_params_["sklearnclassifier__fit_kwargs"]["epochs"] == 40
    assert search.best_estimator_[-1].epoch_ == 40


def test_routing_of_metadata():
    X, y = data()
    found = SKLearnRegressor(dynamic, fit_kwargs=QUIET)
    with pytest.raises(RuntimeError, match="enable_metadata_routing=True"):
        found.set_fit_request(sample_weight=True)
    weight = np.linspace(0, 1, 90)
    with sklearn.config_context(enable_metadata_routing=True):
        assert found.set_fit_request(sample_weight=True) is found
        routed = make_pipeline(found).fit(X, y, sample_weight=weight)
    want = SKLearnRegressor(dynamic, fit_kwargs=QUIET).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(routed.predict(X), want.predict(X))


def test_errors():
    X, y = data(3)
    uncompiled = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(RuntimeError, match="is not compiled with a loss and an optimizer"):
        SKLearnClassifier(uncompiled).fit(X, y)
    with pytest.raises(RuntimeError, match="is not compiled"):
        SKLearnRegressor(lambda X, y: uncompiled).fit(*data())
    with pytest.raises(TypeError, match="model must be a compiled Sequential, or a function"):
        SKLearnRegressor("model").fit(*data())
    with pytest.raises(TypeError, match="must return a Sequential, got None"):
        SKLearnRegressor(lambda X, y: None).fit(*data())
    with pytest.raises(ValueError, match=r"y has 3 classes, but the model has 2 output\(s\)"):
        SKLearnClassifier(sequential(2, "softmax", "categorical_crossentropy")).fit(X, y)
    with pytest.raises(ValueError, match="got one class: ant"):
        SKLearnClassifier(dynamic).fit(X, np.full(90, "ant"))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        SKLearnClassifier(dynamic).fit(*data())
    with pytest.raises(AttributeError, match=r"module 'fastnn.wrappers' has no attribute 'SKLearnCluster'$"):
        _ = wrappers.SKLearnCluster


def test_names_of_features():
    pd = pytest.importorskip("pandas")
    X, y = data(3)
    frame = pd.DataFrame(X, columns=list("abcd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = SKLearnClassifier(dynamic, model_kwargs=CLASSIFIED, fit_kwargs=QUIET).fit(frame, y)
        found.predict(frame)
    assert list(found.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        found.predict(frame[list("dcba")])


def test_importing():
    code = """
import sys
import fastnn
import fastnn.keras.wrappers
from fastnn import keras
assert "sklearn" not in sys.modules
assert keras.wrappers is fastnn.wrappers is fastnn.keras.wrappers
assert fastnn.keras.wrappers.SKLearnClassifier is fastnn.wrappers.SKLearnClassifier
print(*dir(fastnn.wrappers))
"""
    assert run_python(code).split() == ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def test_without_scikit_learn_the_error_says_what_to_install():
    code = """
import sys
sys.modules["sklearn"] = None
import fastnn
try:
    fastnn.wrappers.SKLearnClassifier
except ImportError as error:
    print(error)
"""
    assert "pip install 'fastnn-cpu[sklearn]'" in run_python(code)


# Beside Keras -----------------------------------------------------------------------------------------------


def kerass():
    return pytest.importorskip("keras")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_signatures_and_tags_as_kerass(kind):
    theirs = getattr(kerass().wrappers, kind.__name__)
    for method in ("__init__", "fit", "predict", "transform", "decision_function", "score"):
        if hasattr(theirs, method) and hasattr(kind, method):
            a, b = (inspect.signature(getattr(c, method)).parameters for c in (kind, theirs))
            assert [(p.name, p.default, p.kind) for p in a.values()] == [
                (p.name, p.default, p.kind) for p in b.values()
            ]
    ours, reference = get_tags(kind(model=None)), get_tags(theirs(model=None))
    assert repr(ours) == repr(reference)
    public = {name for name in dir(theirs) if not name.startswith("_")}
    # theirs has a `predict` that classifies nothing
    assert public - set(dir(kind)) <= ({"predict"} if kind is SKLearnTransformer else set())


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_the_same_predictions_as_kerass_from_the_same_weights(classes):
    theirs = kerass()
    X, y = data(classes)
    units = classes or 1
    loss, activation = ("categorical_crossentropy", "softmax") if classes else ("mse", None)
    rng = np.random.default_rng(2)
    shapes = [(4, 8), (8,), (8, units), (units,)]
    weights = [rng.normal(size=shape).astype("float32") * 0.5 for shape in shapes]
    found = []
    for module in (keras, theirs):

        def make(X, y, module=module):
            layers = [
                module.layers.Input(shape=(4,)),
                module.layers.Dense(8, activation="tanh"),
                module.layers.Dense(y.shape[1], activation=activation),
            ]
            model = module.Sequential(layers)
            model.set_weights(weights)
            model.compile(optimizer=module.optimizers.SGD(0.1), loss=loss)
            return model

        kind = "SKLearnClassifier" if classes else "SKLearnRegressor"
        fit = {"epochs": 3, "batch_size": 30, "shuffle": False, "verbose": 0}
        found.append(getattr(module.wrappers, kind)(make, fit_kwargs=fit).fit(X, y))
    ours, reference = found
    np.testing.assert_allclose(ours.history_.history["loss"], reference.history_.history["loss"], rtol=1e-4)
    raw = reference.model_.predict(X, verbose=0)
    np.testing.assert_allclose(ours.model_.predict(X), raw, rtol=1e-3, atol=1e-5)
    a, b = ours.predict(X), reference.predict(X)
    assert a.shape == b.shape
    if classes is None:
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    else:
        np.testing.assert_array_equal(ours.classes_, reference.classes_)
        ordered = np.sort(raw, axis=1)
        sure = ordered[:, -1] - ordered[:, -2] > 1e-4
        np.testing.assert_array_equal(a[sure], b[sure])
        np.testing.assert_allclose(ours.predict_proba(X), raw, rtol=1e-3, atol=1e-5)


@parametrize_with_checks(
    [
        SKLearnClassifier(dynamic, model_kwargs=CLASSIFIED, fit_kwargs=QUIET),
        SKLearnRegressor(dynamic, fit_kwargs=QUIET),
        SKLearnTransformer(dynamic, fit_kwargs=QUIET),
    ]
)
def test_scikit_learns_checks(estimator, check):
    # one check of transformers ends early with this where they have Keras's tag, non_deterministic
    with suppress(SkipTest):
        check(estimator)
