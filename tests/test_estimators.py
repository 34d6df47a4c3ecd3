"""The estimators beside scikit-learn's: the same numbers from the same weights, and its own checks."""

import contextlib
import io
import pickle
import warnings

import numpy as np
import pytest
from support import run_check, run_python

sklearn = pytest.importorskip("sklearn")

from sklearn import neural_network as theirs  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import fastnn  # noqa: E402
from fastnn import MLPClassifier, MLPRegressor  # noqa: E402

ROWS = 53
SOLVERS = {
    "sgd": {"learning_rate_init": 0.05},
    "sgd, classical momentum": {"learning_rate_init": 0.05, "nesterovs_momentum": False},
    "sgd, no momentum": {"learning_rate_init": 0.1, "momentum": 0.0},
    "sgd, invscaling": {"learning_rate_init": 0.5, "learning_rate": "invscaling", "power_t": 0.3},
    "sgd, adaptive": {
        "learning_rate_init": 0.2,
        "learning_rate": "adaptive",
        "tol": 5e-2,
        "n_iter_no_change": 2,
    },
    "adam": {"learning_rate_init": 0.01, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6},
    "lbfgs": {"max_iter": 12},
}
TASKS = ("binary", "classes", "labels", "regression", "outputs", "poisson")


def data(task, dtype=np.float64):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(ROWS, 6))
    z = X @ rng.normal(size=(6, 3)) + 0.3 * rng.normal(size=(ROWS, 3))
    y = {
        "binary": np.array(["no", "yes"])[(z[:, 0] > 0).astype(int)],
        "classes": z.argmax(axis=1) * 10 + 3,
        "labels": (z > 0).astype(int),
        "regression": z[:, 0],
        "outputs": z,
        "poisson": rng.poisson(np.exp(0.3 * z[:, :2])),
    }[task]
    return X.astype(dtype), y


def pair(task, **arguments):
    """fastnn's estimator and scikit-learn's, with the same arguments."""
    name = "MLPClassifier" if task in ("binary", "classes", "labels") else "MLPRegressor"
    if task == "poisson":
        arguments["loss"] = "poisson"
    return [getattr(module, name)(**arguments) for module in (fastnn, theirs)]


def fitted(estimators, *data, method="fit", **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for estimator in estimators:
            getattr(estimator, method)(*data, **arguments)


RECORDS = (
    "n_iter_",
    "t_",
    "loss_",
    "best_loss_",
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
)


def assert_alike(ours, reference, tolerance=1e-6):
    for name in RECORDS:
        assert hasattr(ours, name) == hasattr(reference, name), name
        a, b = getattr(ours, name, None), getattr(reference, name, None)
        if b is None:
            assert a is None, name
        else:
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name), getattr(reference, name), strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), name
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(reference, name), name


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_the_same_numbers_as_scikit_learn(task, solver):
    """50 epochs, with every activation, with and without weights, in batches of which the last is short."""
    X, y = data(task)
    weight = np.random.default_rng(6).integers(0, 4, ROWS) + 0.5
    for i, activation in enumerate(("identity", "logistic", "tanh", "relu")):
        settings = {
            "max_iter": 50,
            "hidden_layer_sizes": ((9,), 20, (6, 5, 4), (9,))[i],
            "activation": activation,
            "alpha": (0.0, 1e-4, 0.5, 2.0)[i],
            "batch_size": (20, "auto", 16, 7)[i],
            "shuffle": False,
            "random_state": 3,
            "tol": 1e-7,
            **SOLVERS[solver],
        }
        if solver.startswith("sgd") and task in ("regression", "outputs", "poisson"):
            settings["learning_rate_init"] /= 20  # else it diverges
        estimators = pair(task, solver=solver.split(",")[0], **settings)
        fitted(estimators, X, y, sample_weight=weight if i % 2 else None)
        assert_alike(*estimators)
        ours, reference = estimators
        np.testing.assert_allclose(ours.score(X, y), reference.score(X, y), atol=1e-6)
        assert hasattr(ours, "predict_proba") == hasattr(reference, "predict_proba")
        if hasattr(ours, "predict_proba"):
            np.testing.assert_allclose(ours.predict_proba(X), reference.predict_proba(X), atol=1e-6)
            with np.errstate(divide="ignore"):
                np.testing.assert_array_equal(ours.predict_log_proba(X), np.log(ours.predict_proba(X)))


@pytest.mark.parametrize("task", TASKS)
def test_short_last_batches_of_the_default_size(task):
    rng = np.random.default_rng(1)
    X, y = data(task)
    more = rng.integers(0, ROWS, 450)
    estimators = pair(task, max_iter=50, shuffle=False, random_state=1, alpha=3.0, n_iter_no_change=50)
    fitted(estimators, X[more], y[more])
    assert_alike(*estimators)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_as_scikit_learn_does(task, solver):
    X, y = data(task)
    estimators = pair(task, solver=solver, hidden_layer_sizes=8, shuffle=False, random_state=2, batch_size=20)
    first = {"classes": np.unique(y)} if task in ("binary", "classes") else {}
    if task == "labels":
        first = {"classes": np.arange(3)}
    fitted(estimators, X, y, method="partial_fit", **first)
    estimators[0] = pickle.loads(pickle.dumps(estimators[0]))  # what the optimizer remembers goes along
    for rows in (slice(10, 50), slice(0, 30)):
        fitted(estimators, X[rows], y[rows], method="partial_fit")
    fitted(estimators, X, y, method="partial_fit", sample_weight=np.linspace(0.1, 2, ROWS))
    assert_alike(*estimators)
    for estimator in estimators:
        estimator.coefs_[0][:] *= 0.5
    fitted(estimators, X, y, method="partial_fit")
    assert_alike(*estimators)


@pytest.mark.parametrize("task", TASKS)
def test_early_stopping_and_warm_start(task):
    X, y = data(task)
    settings = {
        "hidden_layer_sizes": 6,
        "max_iter": 60,
        "shuffle": False,
        "random_state": 4,
        "learning_rate_init": 0.05,
        "validation_fraction": 0.3,
        "n_iter_no_change": 5,
    }
    estimators = pair(task, warm_start=True, **settings)
    for _ in range(2):
        fitted(estimators, X, y)
        assert_alike(*estimators)
    # where nothing improves, scikit-learn's second fit ends with the last weights, not the best ones: it
    # trains in their place
    estimators = pair(task, early_stopping=True, warm_start=True, **settings)
    fitted(estimators, X, y)
    assert_alike(*estimators)
    best = estimators[0].best_validation_score_
    fitted(estimators, X, y)
    assert estimators[0].best_validation_score_ >= best
    for name in ("loss_curve_", "validation_scores_"):
        np.testing.assert_allclose(*[getattr(e, name) for e in estimators], atol=1e-6)
    estimators = pair(task, early_stopping=True, **settings)
    fitted(estimators, X, y, sample_weight=np.linspace(0.1, 2, ROWS))
    assert_alike(*estimators)


@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": True, "n_iter_no_change": 2, "validation_fraction": 0.3},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
        {"tol": 0.5, "n_iter_no_change": 1},
        {"max_iter": 3},
    ],
)
def test_the_same_lines_and_warnings(settings):
    X, y = data("classes")
    said = []
    for estimator in pair("classes", verbose=True, shuffle=False, random_state=0, **settings):
        with warnings.catch_warnings(record=True) as found, contextlib.redirect_stdout(io.StringIO()) as out:
            warnings.simplefilter("always")
            estimator.fit(X, y)
        said.append((out.getvalue(), [(w.category, str(w.message)) for w in found]))
    assert said[0] == said[1]
    assert "Iteration 3, loss = " in said[0][0]
    assert all(w[0] is ConvergenceWarning for w in said[0][1])


def test_lbfgs_warns_as_scikit_learn_does():
    X, y = data("regression")
    told = []
    for estimator in pair("regression", solver="lbfgs", max_iter=2, random_state=0):
        with pytest.warns(ConvergenceWarning) as found:
            estimator.fit(X, y)
        told.append([str(w.message) for w in found])
        assert found[0].filename == __file__ or estimator.__module__.startswith("sklearn")
    assert told[0] == told[1]


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_float32(task, solver):
    X, y = data(task, np.float32)
    estimators = pair(task, solver=solver, max_iter=20, shuffle=False, random_state=0, batch_size=20)
    fitted(estimators, X, y)
    assert_alike(*estimators, tolerance=2e-3)
    ours, reference = estimators
    for rows in (X, X.astype(np.float64)):
        for method in {"predict", "predict_proba"} & set(dir(reference)):
            assert getattr(ours, method)(rows).dtype == getattr(reference, method)(rows).dtype


@pytest.mark.parametrize("convert", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
def test_sparse_rows_are_as_good_as_dense_ones(convert):
    from scipy import sparse

    X, y = data("classes")
    X[X < 0.3] = 0
    settings = {"random_state": 0, "early_stopping": True, "max_iter": 15, "learning_rate_init": 0.03}
    dense, thin = MLPClassifier(**settings), MLPClassifier(**settings)
    fitted([dense], X, y)
    fitted([thin], getattr(sparse, convert)(X), y)
    assert_alike(thin, dense, 0)
    X = np.tile(X, (100, 1))  # more rows than are made dense at once
    np.testing.assert_array_equal(thin.predict_proba(getattr(sparse, convert)(X)), dense.predict_proba(X))


@pytest.mark.parametrize("task", TASKS)
def test_shuffled_epochs_repeat_and_learn(task):
    X, y = data(task)
    one = pair(task, random_state=9, max_iter=30, batch_size=10, learning_rate_init=0.01)[0]
    two = clone(one)
    fitted([one, two], X, y)
    assert one.loss_curve_ == two.loss_curve_
    ordered = clone(one).set_params(shuffle=False)
    fitted([ordered], X, y)
    assert ordered.loss_curve_ != one.loss_curve_
    assert one.loss_curve_[-1] < 0.8 * one.loss_curve_[0]


def test_pickled_estimators_predict_the_same_bits():
    X, y = data("outputs")
    for solver in ("adam", "lbfgs"):
        estimator = MLPRegressor(solver=solver, max_iter=10)
        fitted([estimator], X, y)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).predict(X), estimator.predict(X))


def test_changed_weights_count_in_predictions():
    X, y = data("regression")
    estimator = MLPRegressor(max_iter=5, activation="identity")
    fitted([estimator], X, y)
    before = estimator.predict(X)
    estimator.intercepts_[-1][0] += 1.0
    np.testing.assert_allclose(estimator.predict(X), before + 1.0)


def test_names_of_features():
    pd = pytest.importorskip("pandas")
    X, y = data("binary")
    frame = pd.DataFrame(X, columns=list("abcdef"))
    estimator = MLPClassifier(max_iter=5, early_stopping=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(frame, y).predict(frame)
    assert list(estimator.feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame[list("fedcba")])


def test_data_too_large_to_train_on():
    X, y = data("regression")
    for solver in ("sgd", "adam"):
        with pytest.raises(ValueError, match="non-finite parameter weights"):
            fitted([MLPRegressor(solver=solver, random_state=0)], X * 1e300, y)


def test_divergence_with_early_stopping_keeps_the_best_weights():
    """As in scikit-learn, whose epochs then go on to the last."""
    X, y = data("regression")
    settings = {
        "activation": "identity",
        "solver": "sgd",
        "learning_rate_init": 1e3,
        "early_stopping": True,
        "max_iter": 60,
        "random_state": 0,
        "shuffle": False,
    }
    estimators = pair("regression", **settings)
    with np.errstate(all="ignore"):
        fitted(estimators, X, y)
    ours, reference = estimators
    assert np.isnan(ours.validation_scores_[-1])
    assert ours.n_iter_ == reference.n_iter_ == 60
    for a, b in zip(ours.coefs_, reference.coefs_, strict=True):
        np.testing.assert_allclose(a, b)


def test_an_interrupted_fit_keeps_what_it_has():
    class Interrupting(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 6:
                raise KeyboardInterrupt

    X, y = data("classes")
    estimator = MLPClassifier(max_iter=50, random_state=0, callbacks=[Interrupting()])
    with pytest.warns(UserWarning, match="interrupted by user"):
        estimator.fit(X, y)
    assert len(estimator.loss_curve_) == 7
    shorter = MLPClassifier(max_iter=7, random_state=0)
    fitted([shorter], X, y)
    np.testing.assert_array_equal(estimator.coefs_[0], shorter.coefs_[0])


def test_wrong_arguments_say_what_scikit_learn_says():
    X, y = data("binary")
    wrong = (
        {"alpha": -1},
        {"hidden_layer_sizes": (3, -1)},
        {"batch_size": 0},
        {"momentum": 2},
        {"max_iter": 0},
    )
    for arguments in wrong:
        said = []
        for estimator in pair("binary", **arguments):
            with pytest.raises(ValueError) as caught:  # noqa: PT011
                estimator.fit(X, y)
            said.append((type(caught.value), sorted(str(caught.value))))  # choices come in any order
        assert said[0] == said[1]
    for module in (fastnn, theirs):
        assert not hasattr(module.MLPClassifier(solver="lbfgs"), "partial_fit")
        with pytest.raises(ValueError, match="does not support early_stopping"):
            module.MLPRegressor(early_stopping=True).partial_fit(*data("regression"))
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        fitted(pair("binary", batch_size=100, max_iter=1), X, y)


def test_the_same_signatures():
    import inspect

    for name in ("MLPClassifier", "MLPRegressor"):
        ours, reference = getattr(fastnn, name), getattr(theirs, name)
        for method in ("__init__", "fit", "predict", "score"):
            a = list(inspect.signature(getattr(ours, method)).parameters.values())
            b = list(inspect.signature(getattr(reference, method)).parameters.values())
            same = [(p.name, p.default, p.kind) for p in a[: len(b)]]
            assert same == [(p.name, p.default, p.kind) for p in b]
            # what is beyond scikit-learn's comes after it, by name
            assert all(p.kind == p.KEYWORD_ONLY for p in a[len(b) :])
            assert len(a) == len(b) or method in ("__init__", "fit")
        assert ours.partial_fit is not None


def test_without_scikit_learn_the_error_says_what_to_install():
    code = """
import sys
sys.modules["sklearn"] = None
import fastnn
for name in ("MLPClassifier", "MLPRegressor", "estimators", "model_selection"):
    try:
        getattr(fastnn, name)
    except ImportError as error:
        print(error)
"""
    lines = run_python(code).splitlines()
    assert len(lines) == 4
    assert all("pip install 'fastnn-cpu[sklearn]'" in line for line in lines)


FAST = {"max_iter": 40, "hidden_layer_sizes": (20,), "learning_rate_init": 0.02}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        MLPClassifier(**FAST),
        MLPRegressor(**FAST),
        MLPClassifier(solver="lbfgs", max_iter=50),
        MLPRegressor(solver="sgd", early_stopping=False, **FAST),
    ]
)
def test_scikit_learns_checks(estimator, check):
    run_check(estimator, check)
