"""Many estimators fitted at once: each as its own ``fit`` leaves it, to the bit."""

import warnings

import numpy as np
import pytest
from support import ctrl_c_after

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

from fastnn import MLPClassifier, MLPRegressor  # noqa: E402
from fastnn.estimators import fit_many  # noqa: E402
from fastnn.kernels import many  # noqa: E402

ROWS = 90
rng = np.random.default_rng(2)
X = rng.normal(size=(ROWS, 5))
Z = X @ rng.normal(size=(5, 3)) + 0.2 * rng.normal(size=(ROWS, 3))
CLASSES = np.array(["a", "b", "c"])[Z.argmax(axis=1)]

CLASSIFIERS = [
    MLPClassifier((7,), random_state=0, max_iter=40),
    MLPClassifier((7,), random_state=1, max_iter=300, tol=1e-2, n_iter_no_change=3),
    MLPClassifier((20, 5), activation="tanh", random_state=2, max_iter=30, batch_size=16, alpha=0.1),
    MLPClassifier(
        (9,), solver="sgd", learning_rate="adaptive", learning_rate_init=0.3, random_state=3, tol=0.05
    ),
    MLPClassifier((9,), solver="sgd", learning_rate="invscaling", random_state=4, max_iter=25),
    MLPClassifier((9,), early_stopping=True, random_state=5, n_iter_no_change=4),
    MLPClassifier((4,), solver="lbfgs", random_state=6, max_iter=15),
    MLPClassifier((4,), shuffle=False, alpha=0.0, random_state=7, max_iter=20),
    MLPClassifier((4,), random_state=np.random.RandomState(3), max_iter=20),
]
REGRESSORS = [
    MLPRegressor(hidden_layer_sizes=(7,), random_state=0, max_iter=40),
    MLPRegressor(
        hidden_layer_sizes=(11,), activation="logistic", random_state=1, max_iter=20, early_stopping=True
    ),
    MLPRegressor(hidden_layer_sizes=(3,), loss="poisson", random_state=2, max_iter=20),
]
RECORDS = (
    "coefs_",
    "intercepts_",
    "loss_",
    "loss_curve_",
    "n_iter_",
    "t_",
    "best_loss_",
    "_no_improvement_count",
)


def quietly(act):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return act()


def assert_same(fitted, reference):
    for ours, alone in zip(fitted, reference, strict=True):
        for name in (*RECORDS, "validation_scores_", "classes_", "n_features_in_", "n_outputs_"):
            assert hasattr(ours, name) == hasattr(alone, name), name
            a, b = getattr(ours, name, None), getattr(alone, name, None)
            if isinstance(a, list) and a and isinstance(a[0], np.ndarray):
                for one, other in zip(a, b, strict=True):
                    np.testing.assert_array_equal(one, other, err_msg=name)
            else:
                np.testing.assert_array_equal(a, b, err_msg=name)


def fit_alone(estimators, x, y, sample_weight=None, rows=None):
    for i, estimator in enumerate(estimators):
        index = slice(None) if rows is None or rows[i] is None else rows[i]
        weight = None if sample_weight is None else sample_weight[index]
        quietly(lambda e=estimator, i=index, w=weight: e.fit(x[i], y[i], sample_weight=w))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("estimators", "y"),
    [
        (CLASSIFIERS, CLASSES),
        (CLASSIFIERS, (Z > 0).astype(int)),
        (REGRESSORS, np.exp(Z[:, 0] / 3)),
        (REGRESSORS, np.exp(Z)),
    ],
    ids=["classes", "labels", "number", "numbers"],
)
def test_the_bits_of_one_after_the_other(estimators, y, weighted, dtype):
    x = X.astype(dtype)
    weight = np.linspace(0.5, 2, ROWS) if weighted else None
    rows = [None, np.arange(0, ROWS, 2), np.arange(60), *[None] * (len(estimators) - 3)]
    together, alone = [clone(e) for e in estimators], [clone(e) for e in estimators]
    errors = quietly(lambda: fit_many(together, x, y, sample_weight=weight, rows=rows))
    assert errors == [None] * len(estimators)
    fit_alone(alone, x, y, weight, rows)
    assert_same(together, alone)
    for ours, reference in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours.predict(x), reference.predict(x))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_matter(threads):
    together, alone = [clone(e) for e in CLASSIFIERS], [clone(e) for e in CLASSIFIERS]
    quietly(lambda: fit_many(together, X, CLASSES, num_threads=threads))
    fit_alone(alone, X, CLASSES)
    assert_same(together, alone)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("task", ["binary", "number", "numbers"])
def test_small_networks_of_one_shape_share_lanes(task, alpha, monkeypatch):
    """As in ensembles: scikit-learn's penalties and factors, many to a vector."""
    seen = []
    run_many = many.run_many
    monkeypatch.setattr(
        many,
        "run_many",
        lambda trainings, *rest: seen.append(many.sharing(trainings)) or run_many(trainings, *rest),
    )
    y = {"binary": Z[:, 0] > 0, "number": Z[:, 0], "numbers": Z[:, :2]}[task]
    kind = MLPClassifier if task == "binary" else MLPRegressor
    settings = {"alpha": alpha, "batch_size": 16, "max_iter": 9, "activation": "tanh"}
    together = [kind(hidden_layer_sizes=(8,), random_state=i, **settings) for i in range(9)]
    alone = [clone(e) for e in together]
    quietly(lambda: fit_many(together, X, y))
    fit_alone(alone, X, y)
    assert_same(together, alone)
    assert max(seen[0]) > 1


def test_data_of_ones_own():
    xs, ys = [X, X[:50], X[20:]], [CLASSES, CLASSES[:50], CLASSES[20:]]
    together, alone = [clone(e) for e in CLASSIFIERS[:3]], [clone(e) for e in CLASSIFIERS[:3]]
    quietly(lambda: fit_many(together, xs, ys))
    for estimator, x, y in zip(alone, xs, ys, strict=True):
        quietly(lambda e=estimator, x=x, y=y: e.fit(x, y))
    assert_same(together, alone)


def test_warm_starts_go_on():
    settings = {"warm_start": True, "random_state": 0, "max_iter": 6}
    together = [MLPClassifier((5,), **settings), MLPRegressor(hidden_layer_sizes=(5,), **settings)]
    alone = [clone(e) for e in together]
    y = (Z[:, 0] > 0).astype(int)
    for _ in range(3):
        quietly(lambda: fit_many(together, X, y))
        fit_alone(alone, X, y)
        assert_same(together, alone)


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    together = [clone(e) for e in CLASSIFIERS[:3]]
    together[1].feature_names_in_ = np.array(["wrong"])  # of an earlier fit
    quietly(
        lambda: fit_many(together, frame, pandas.Series(CLASSES), rows=[None, np.arange(50), np.arange(50)])
    )
    alone = [clone(e) for e in CLASSIFIERS[:3]]
    fit_alone(alone, X, CLASSES, rows=[None, np.arange(50), np.arange(50)])
    assert_same(together, alone)
    assert all(list(e.feature_names_in_) == list("abcde") for e in together)
    quietly(lambda: fit_many(together, X, CLASSES))
    assert not any(hasattr(e, "feature_names_in_") for e in together)


def test_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.csr_matrix(np.where(np.abs(X) > 1, X, 0))
    rows = [np.arange(40), np.arange(40), None]
    together, alone = [clone(e) for e in CLASSIFIERS[:3]], [clone(e) for e in CLASSIFIERS[:3]]
    quietly(lambda: fit_many(together, x, CLASSES, rows=rows))
    fit_alone(alone, x, CLASSES, rows=rows)
    assert_same(together, alone)


def test_one_that_fails_does_not_lose_the_others():
    def made():
        return [
            clone(CLASSIFIERS[0]),
            MLPClassifier((3,), alpha=-1),
            MLPRegressor(hidden_layer_sizes=(3,), solver="sgd", learning_rate_init=1e30, random_state=0),
            MLPClassifier((0,)),
            clone(CLASSIFIERS[2]),
        ]

    y = (Z[:, 0] > 0).astype(int)
    together, alone = made(), made()
    errors = quietly(lambda: fit_many(together, X, y, on_error="return"))
    reasons = [None if e is None else str(e) for e in errors]
    assert reasons[0] is None
    assert reasons[4] is None
    assert "alpha" in reasons[1]
    assert "non-finite" in reasons[2]
    assert "hidden_layer_sizes must be > 0" in reasons[3]
    fit_alone([alone[0], alone[4]], X, y)
    assert_same([together[0], together[4]], [alone[0], alone[4]])
    with pytest.raises(ValueError, match="alpha"):
        quietly(lambda: fit_many(made(), X, y))


def test_warnings_and_lines(capsys):
    estimators = [MLPClassifier((3,), max_iter=3, random_state=i, verbose=i == 1) for i in range(3)]
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as caught:
        fit_many(estimators, X, CLASSES)
    assert len(caught) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"Iteration {i + 1}, loss = {loss:.8f}" for i, loss in enumerate(estimators[1].loss_curve_)
    ]


def test_ctrl_c_keeps_what_was_learned():
    estimators = [
        MLPClassifier((50,), max_iter=10**6, n_iter_no_change=10**6, random_state=i) for i in range(3)
    ]
    with ctrl_c_after(0.5), pytest.raises(KeyboardInterrupt):
        fit_many(estimators, X, CLASSES, num_threads=2)
    learned = [e for e in estimators if e.n_iter_]
    assert len(learned) >= 2
    assert all(e.score(X, CLASSES) > 0.5 for e in learned)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda e: fit_many([e[0], e[0]], X, CLASSES), "more than once"),
        (lambda e: fit_many([e[0], "mlp"], X, CLASSES), r"estimators\[1\] is 'mlp'"),
        (lambda e: fit_many(e[0], X, CLASSES), "takes a list of estimators, got MLPClassifier"),
        (lambda e: fit_many(e, X, CLASSES, rows=[None]), "rows has 1 items for 3 estimators"),
        (lambda e: fit_many(e, X, CLASSES, on_error="no"), "'raise' or 'return'"),
    ],
)
def test_what_is_wrong_is_said(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        wrong([clone(e) for e in CLASSIFIERS[:3]])


def test_calls_of_one_estimator_still_look_like_scikit_learns(capsys):
    """Native epochs many at a time, and the lines, counts and rates as if Python had looked after each."""
    settings = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.5, "random_state": 0}
    quiet = MLPClassifier((6,), tol=0.02, n_iter_no_change=2, **settings)
    loud = clone(quiet).set_params(verbose=True)
    for estimator in (quiet, loud):
        quietly(lambda e=estimator: e.fit(X, CLASSES))
    assert_same([quiet], [loud])
    said = capsys.readouterr().out
    assert said.count("Setting learning rate to") >= 8
    assert said.rstrip().endswith("Learning rate too small. Stopping.")
    assert said.count("Iteration ") == quiet.n_iter_


def test_warnings_name_the_line_of_the_users():
    """However many rooms, and scikit-learn's decorators, lie between."""
    network = MLPClassifier((3,), max_iter=2, batch_size=1000)
    calls = [
        lambda: network.fit(X, CLASSES),
        lambda: fit_many([clone(network)], X, CLASSES),
        lambda: MLPClassifier((3,), solver="lbfgs", max_iter=1).fit(X, CLASSES),
    ]
    for call in calls:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert len(caught) in (1, 2)
        assert {one.filename for one in caught} == {__file__}
