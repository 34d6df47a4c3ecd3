"""fastnn's searches beside scikit-learn's, over the same estimators: the same results, but for the times."""

import contextlib
import io
import re
import warnings

import numpy as np
import pytest
from support import run_check

sklearn = pytest.importorskip("sklearn")

from scipy import sparse, stats  # noqa: E402
from sklearn import model_selection as theirs  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import make_scorer, mean_absolute_error  # noqa: E402
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.preprocessing import MinMaxScaler, StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import fastnn  # noqa: E402
from fastnn import MLPClassifier, MLPRegressor, model_selection as ours  # noqa: E402
from fastnn.model_selection import evaluation  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROWS = 60
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 8, "learning_rate_init": 0.05, "random_state": 0}
GRID = {"hidden_layer_sizes": [(4,), (3, 3)], "alpha": [1e-4, 1.0], "solver": ["adam", "sgd"]}
TIMES = {"mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time"}


def data(task="classes"):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(ROWS, 6))
    z = X @ rng.normal(size=(6, 3)) + 0.3 * rng.normal(size=(ROWS, 3))
    y = {
        "classes": np.array(["x", "y", "z"])[z.argmax(axis=1)],
        "binary": (z[:, 0] > 0).astype(int),
        "labels": (z > 0).astype(int),
        "regression": z[:, 0],
        "outputs": z,
    }[task]
    return X, y


def network(task="classes", **settings):
    kind = MLPClassifier if task in ("classes", "binary", "labels") else MLPRegressor
    return kind(**{**SMALL, **settings})


@pytest.fixture
def together(monkeypatch):
    """How many estimators each call of ``fit_many`` was given."""
    counts = []
    fit_many = evaluation.fit_many

    def counting(estimators, *args, **kwargs):
        counts.append(len(estimators))
        return fit_many(estimators, *args, **kwargs)

    monkeypatch.setattr(evaluation, "fit_many", counting)
    return counts


def assert_alike(found, reference):
    """All that two searches say, to the bit."""
    assert list(found.cv_results_) == list(reference.cv_results_)
    for key, want in reference.cv_results_.items():
        got = found.cv_results_[key]
        if key in TIMES:
            assert got.shape == want.shape, key
            assert got.dtype == want.dtype, key
            assert np.isfinite(got).all(), key
            assert (got >= 0).all(), key
        elif key == "params":
            assert str(got) == str(want)
        elif key.startswith("param_"):
            assert got.dtype == want.dtype, key
            assert str(list(got)) == str(list(want)), key
        else:
            assert got.dtype == want.dtype, key
            np.testing.assert_array_equal(got, want, err_msg=key)
    for name in ("best_index_", "best_score_", "n_splits_", "multimetric_", "n_features_in_", "classes_"):
        assert hasattr(found, name) == hasattr(reference, name), name
        np.testing.assert_array_equal(getattr(found, name, 0), getattr(reference, name, 0), err_msg=name)
    assert str(getattr(found, "best_params_", 0)) == str(getattr(reference, "best_params_", 0))
    assert str(found.scorer_) == str(reference.scorer_)
    assert hasattr(found, "refit_time_") == hasattr(reference, "refit_time_")
    assert hasattr(found, "best_estimator_") == hasattr(reference, "best_estimator_")


def both(estimator, grid, X, y, *, fit=None, **arguments):
    """A grid search of ours and of scikit-learn's, alike."""
    made = [m.GridSearchCV(estimator, grid, **{"cv": 3, **arguments}) for m in (ours, theirs)]
    for each in made:
        each.fit(X, y, **(fit or {}))
    assert_alike(*made)
    if hasattr(made[0], "best_estimator_"):
        np.testing.assert_array_equal(*[each.predict(X) for each in made])
    return made


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("task", ["classes", "binary", "labels", "regression", "outputs"])
def test_the_same_results(task, train, together):
    X, y = data(task)
    both(network(task), GRID, X, y, return_train_score=train)
    assert together == [8 * 3]


def test_more_estimators_settings_of_all_kinds():
    X, y = data()
    grid = [{"early_stopping": [True], "batch_size": [7]}, {"solver": ["lbfgs"]}, {"shuffle": [False]}]
    both(network(random_state=np.random.RandomState(4)), grid, X, y)
    both(network(), {"random_state": [np.random.RandomState(1), 2]}, X.astype(np.float32), y)


def test_random_candidates(together):
    X, y = data()
    distributions = {"alpha": stats.loguniform(1e-4, 1.0), "hidden_layer_sizes": [(3,), (4,), (5, 2)]}
    for state in (1, np.random.RandomState):
        made = [
            m.RandomizedSearchCV(
                network(), distributions, n_iter=5, cv=3, random_state=1 if state == 1 else state(7)
            ).fit(X, y)
            for m in (ours, theirs)
        ]
        assert_alike(*made)
    assert together == [15, 15]


def scores_of(estimator, X, y):
    """A scorer that is a function: it sees the estimator as the search was given it."""
    assert hasattr(estimator, "coefs_") or isinstance(estimator, Pipeline)
    assert X.shape[1] == 6
    return {"right": np.mean(estimator.predict(X) == y), "steps": len(getattr(estimator, "steps", [0]))}


@pytest.mark.parametrize(
    "scoring",
    [
        "accuracy",
        "f1_macro",
        "neg_log_loss",
        ["accuracy", "neg_log_loss", "f1_micro"],
        {"a": "accuracy", "b": make_scorer(lambda y, p: float(np.mean(y == p)))},
        scores_of,
    ],
    ids=["accuracy", "f1", "log loss", "list", "dict", "function"],
)
@pytest.mark.parametrize("pipeline", [False, True])
def test_scoring(scoring, pipeline):
    X, y = data()
    single = isinstance(scoring, str)
    name = {list: "neg_log_loss", dict: "b"}.get(type(scoring), "right")
    estimator = make_pipeline(StandardScaler(), network()) if pipeline else network()
    grid = {("mlpclassifier__alpha" if pipeline else "alpha"): [1e-4, 1.0, 10.0]}
    settings = {"scoring": scoring, "return_train_score": True}
    both(estimator, grid, X, y, refit=True if single else name, **settings)
    both(estimator, grid, X, y, refit=False, **settings)


def test_refit_may_be_a_function_and_wrong_ones_raise_as_in_scikit_learn():
    X, y = data()
    both(network(), GRID, X, y, refit=lambda results: int(np.argmin(results["mean_test_score"])))
    for refit, error in ((lambda results: 99, IndexError), (lambda results: "0", TypeError)):
        for module in (ours, theirs):
            with pytest.raises(error):
                module.GridSearchCV(network(), {"alpha": [1.0]}, cv=3, refit=refit).fit(X, y)
    for module in (ours, theirs):
        with pytest.raises(ValueError, match="For multi-metric scoring"):
            module.GridSearchCV(network(), {"alpha": [1.0]}, scoring=["accuracy"], refit=True).fit(X, y)


def test_pipelines_with_parameters_in_the_preprocessing(together):
    X, y = data()
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", PCA()), ("net", network())])
    grid = [
        {
            "scale": [StandardScaler(), MinMaxScaler(), "passthrough"],
            "reduce__n_components": [2, 5],
            "net__alpha": [1e-4, 1.0],
        },
        {"reduce": ["passthrough"], "net": [network(alpha=0.3), network(hidden_layer_sizes=3)]},
    ]
    both(pipeline, grid, X, y, return_train_score=True)
    assert together == [14 * 3]


class Counted(StandardScaler):
    """Counts how often it was fitted."""

    fits = 0

    def fit(self, *args, **kwargs):
        Counted.fits += 1
        return super().fit(*args, **kwargs)


def test_preprocessing_is_shared_by_the_candidates_that_agree_in_it():
    X, y = data()
    Counted.fits = 0
    grid = {"counted__with_mean": [True, False], "mlpclassifier__alpha": [1e-4, 1e-2, 1.0]}
    pipeline = make_pipeline(Counted(), network())
    found = ours.GridSearchCV(pipeline, grid, cv=3, refit=False).fit(X, y)
    assert Counted.fits == 2 * 3
    assert_alike(found, theirs.GridSearchCV(pipeline, grid, cv=3, refit=False).fit(X, y))
    assert Counted.fits == 2 * 3 + 2 * 3 * 3


@pytest.mark.parametrize("task", ["classes", "regression"])
def test_sample_weights(task):
    X, y = data(task)
    weight = np.random.default_rng(0).integers(1, 5, ROWS) + 0.5
    grid = {"alpha": [1e-4, 1.0]}
    both(network(task), grid, X, y, fit={"sample_weight": weight}, return_train_score=True)
    pipeline = Pipeline([("scale", StandardScaler()), ("net", network(task))])
    for fit in (
        {"net__sample_weight": weight},
        {"net__sample_weight": weight, "scale__sample_weight": weight},
        {"scale__sample_weight": weight},
    ):
        both(pipeline, {"net__alpha": [1e-4, 1.0]}, X, y, fit=fit)


def test_groups_and_splitters_and_indices():
    X, y = data()
    groups = np.arange(ROWS) % 4
    both(network(), GRID, X, y, cv=theirs.GroupKFold(4), fit={"groups": groups})
    both(network(), GRID, X, y, cv=theirs.ShuffleSplit(2, random_state=0))
    order = np.random.default_rng(0).permutation(ROWS)
    both(network(), GRID, X, y, cv=[(order[:40], order[40:]), (order[20:], order[:5])])


@pytest.mark.parametrize("convert", ["csr_matrix", "csc_array"])
def test_sparse_rows(convert):
    X, y = data()
    X[X < 0.2] = 0
    X = getattr(sparse, convert)(X)
    both(network(), {"alpha": [1e-4, 1.0]}, X, y)
    pipeline = make_pipeline(StandardScaler(with_mean=False), network())
    both(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, X, y)


def test_frames_and_their_names():
    pd = pytest.importorskip("pandas")
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = both(network(), {"alpha": [1e-4, 1.0]}, frame, pd.Series(y))
        pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), network())
        made += both(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, frame, y)
    for each in made:
        assert list(each.feature_names_in_) == list("abcdef")
    assert list(made[2].best_estimator_[-1].feature_names_in_) == list("abcdef")


def test_polars_frames():
    pl = pytest.importorskip("polars")
    X, y = data("regression")
    both(network("regression"), {"alpha": [1e-4, 1.0]}, pl.DataFrame(X, schema=list("abcdef")), y)


def told_by(module, estimator, grid, X, y, **arguments):
    """A search, and the warnings about fits that it gave: their categories, counts and scores."""
    made = module.GridSearchCV(estimator, grid, cv=3, **arguments)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        made.fit(X, y)
    told = [w for w in found if w.category in (FitFailedWarning, UserWarning)]
    return made, [(w.category, str(w.message).split("\n-----")[0].split("Details")[0]) for w in told]


@pytest.mark.parametrize(
    "scoring", [None, ["accuracy", "f1_macro"], scores_of], ids=["one", "two", "function"]
)
@pytest.mark.parametrize("score", [np.nan, 0.25])
def test_candidates_that_fail(scoring, score):
    X, y = data()
    grid = {"solver": ["adam", "newton"], "hidden_layer_sizes": [(4,), (0,)]}
    settings = {
        "error_score": score,
        "scoring": scoring,
        "refit": "right" if scoring is scores_of else "accuracy" if scoring else True,
        "return_train_score": True,
    }
    found, reference = [told_by(m, network(), grid, X, y, **settings) for m in (ours, theirs)]
    assert_alike(found[0], reference[0])
    assert found[1] == reference[1]
    assert "9 fits failed out of a total of 12" in found[1][0][1]


def test_preprocessing_that_fails():
    X, y = data()
    pipeline = make_pipeline(PCA(), network())
    grid = {"pca__n_components": [2, 99], "mlpclassifier__alpha": [1e-4, 1.0]}
    found, reference = [told_by(m, pipeline, grid, X, y) for m in (ours, theirs)]
    assert_alike(found[0], reference[0])
    assert found[1] == reference[1]
    assert "6 fits failed out of a total of 12" in found[1][0][1]


def test_scoring_that_fails():
    X, y = data()
    X[0] = np.nan  # tested with in the first fold, trained on in the others
    grid = {"alpha": [1e-4, 1.0]}
    found, reference = [told_by(m, network(), grid, X, y, refit=False) for m in (ours, theirs)]
    assert_alike(found[0], reference[0])
    assert found[1] == reference[1]
    assert any("Scoring failed" in message for _, message in found[1])


def test_errors_that_are_raised():
    X, y = data()
    for module in (ours, theirs):
        with pytest.raises(ValueError, match="All the 3 fits failed"):
            module.GridSearchCV(network(), {"solver": ["newton"]}, cv=3).fit(X, y)
        with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0"):
            module.GridSearchCV(
                network(), {"hidden_layer_sizes": [(4,), (0,)]}, cv=3, error_score="raise"
            ).fit(X, y)
        with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
            module.GridSearchCV(network(), {"depth": [1]}, cv=3).fit(X, y)
        with pytest.raises(ValueError, match="'refit' parameter"):
            module.GridSearchCV(network(), {"alpha": [1.0]}, refit=3.5).fit(X, y)
    with pytest.raises(ValueError, match="n_jobs must be None, -1, or a number of threads, got 0"):
        ours.GridSearchCV(network(), {"alpha": [1.0]}, n_jobs=0).fit(X, y)


def test_what_it_prints():
    X, y = data()
    for verbose in (1, 2, 3, 10):
        for scoring in (None, ["accuracy", "f1_macro"]):
            said = []
            for module in (ours, theirs):
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    module.GridSearchCV(
                        network(), {"alpha": [1.0, 2.0]}, cv=2, verbose=verbose, scoring=scoring, refit=False
                    ).fit(X, y)
                lines = [re.sub(r"\.{2,}|total time=.*", "", line) for line in out.getvalue().splitlines()]
                said.append(sorted(lines))  # those of starts come first here
            assert said[0] == said[1]


def test_candidates_of_which_some_are_other_estimators(together):
    X, y = data()
    pipeline = Pipeline([("scale", StandardScaler()), ("last", network())])
    grid = [{"last": [LogisticRegression(), network(alpha=1.0)]}, {"last__alpha": [0.1]}]
    both(pipeline, grid, X, y)
    assert together == [2 * 3]


def test_whatever_is_not_ours_is_scikit_learns(together):
    X, y = data()
    both(LogisticRegression(), {"C": [0.1, 1.0]}, X, y)
    both(network(), {"alpha": [0.1]}, X.tolist(), y.tolist())
    both(make_pipeline(network(), memory=None), {"mlpclassifier__alpha": [0.1]}, X, list(y))

    class Own(MLPClassifier):
        def fit(self, X, y):
            return super().fit(2 * X, y)

    both(Own(**SMALL), {"alpha": [0.1]}, X, y)
    assert together == []


def test_routed_metadata():
    X, y = data()
    weight = np.linspace(0.5, 2.0, ROWS)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = network().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        both(estimator, {"alpha": [1e-4, 1.0]}, X, y, fit={"sample_weight": weight})
        both(estimator, {"alpha": [1e-4, 1.0]}, X, y)


def test_many_calls_where_one_would_need_too_much_memory(monkeypatch, together):
    X, y = data()
    estimator = make_pipeline(StandardScaler(), network())
    grid = {"standardscaler__with_mean": [True, False], "mlpclassifier__alpha": [1e-4, 1e-2, 1.0]}
    want = theirs.GridSearchCV(estimator, grid, cv=3).fit(X, y)
    for limit in (20_000, 1):
        together.clear()
        monkeypatch.setattr(evaluation, "BATCH_BYTES", limit)
        assert_alike(ours.GridSearchCV(estimator, grid, cv=3).fit(X, y), want)
        assert len(together) > 1
        assert sum(together) == 18
        assert max(together) <= (18 if limit > 1 else fastnn.get_num_threads())


def test_halving_search_over_our_estimators():
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401

    X, y = data()
    found = theirs.HalvingGridSearchCV(network(), {"alpha": [1e-4, 1e-2, 1.0, 10.0]}, cv=2, random_state=0)
    found.fit(X, y)
    assert found.n_iterations_ > 1
    assert 0.3 < found.best_score_ <= 1


def test_nested_and_cloned_and_repeated():
    X, y = data()
    scores = [
        theirs.cross_val_score(m.GridSearchCV(network(), {"alpha": [1e-4, 1.0]}, cv=2), X, y, cv=3)
        for m in (ours, theirs)
    ]
    np.testing.assert_array_equal(*scores)
    first = ours.GridSearchCV(network(), {"alpha": [1e-4, 1.0]}, cv=2).fit(X, y)
    again = sklearn.base.clone(first).fit(X, y)
    assert_alike(again, first)
    assert repr(first).startswith("GridSearchCV(")


@pytest.mark.parametrize("n_jobs", [None, -1, -2, 1, 2])
def test_threads_do_not_change_the_results(n_jobs, monkeypatch):
    asked = []
    fit_many = evaluation.fit_many

    def asking(*args, num_threads, **kwargs):
        asked.append(num_threads)
        return fit_many(*args, num_threads=num_threads, **kwargs)

    monkeypatch.setattr(evaluation, "fit_many", asking)
    X, y = data()
    found = ours.GridSearchCV(network(), GRID, cv=3, n_jobs=n_jobs).fit(X, y)
    assert_alike(found, theirs.GridSearchCV(network(), GRID, cv=3).fit(X, y))
    cores = fastnn.get_num_threads()
    assert asked == [{None: None, -1: None, -2: max(1, cores - 1)}.get(n_jobs, n_jobs)]


def test_the_same_signatures():
    import inspect

    for name in ours.__all__:
        for method in ("__init__", "fit"):
            a, b = [inspect.signature(getattr(getattr(m, name), method)).parameters for m in (ours, theirs)]
            assert [(p.name, str(p.default), p.kind) for p in a.values()] == [
                (p.name, str(p.default), p.kind) for p in b.values()
            ]


def test_regressors_are_scored_by_their_errors():
    X, y = data("regression")
    for scoring in ("neg_root_mean_squared_error", make_scorer(mean_absolute_error, greater_is_better=False)):
        both(network("regression"), GRID, X, y, scoring=scoring)


CHECKED = {"hidden_layer_sizes": (5,), "max_iter": 40, "learning_rate_init": 0.05, "random_state": 0}


@parametrize_with_checks(
    [
        ours.GridSearchCV(MLPClassifier(**CHECKED), {"alpha": [1e-4, 1.0]}, cv=2, error_score="raise"),
        ours.RandomizedSearchCV(
            MLPRegressor(**CHECKED), {"alpha": [1e-4, 1.0]}, n_iter=2, cv=2, random_state=0
        ),
    ]
)
def test_scikit_learns_checks(estimator, check):
    run_check(estimator, check)
