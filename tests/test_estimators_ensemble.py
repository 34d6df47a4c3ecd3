"""Ensembles: members as if trained alone, averages over them, and rows judged by those who never saw them."""

import pickle
import warnings

import numpy as np
import pytest
from support import run_check, run_python

sklearn = pytest.importorskip("sklearn")

from scipy import sparse  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import fastnn  # noqa: E402
from fastnn import MLPClassifier, MLPEnsembleClassifier, MLPEnsembleRegressor, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROWS = 60
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 12, "batch_size": 16, "learning_rate_init": 0.02}
CLASSES, NUMBERS = ("binary", "classes", "labels"), ("regression", "outputs")
TASKS = (*CLASSES, *NUMBERS)
RESAMPLING = {
    "none": {},
    "bootstrap": {"bootstrap": True},
    "few rows": {"bootstrap": True, "max_samples": 0.4},
    "so many rows": {"bootstrap": True, "max_samples": 25},
    "folds": {"cv": 3},
    "folds, bootstrap": {"cv": 2, "bootstrap": True},
}


def data(task):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(ROWS, 4))
    z = X @ rng.normal(size=(4, 3)) + 0.3 * rng.normal(size=(ROWS, 3))
    y = {
        "binary": np.array(["no", "yes"])[(z[:, 0] > 0).astype(int)],
        "classes": z.argmax(axis=1) * 10 + 3,
        "labels": (z > 0).astype(int),
        "regression": z[:, 0],
        "outputs": z,
    }[task]
    return X, y


def template(task, **arguments):
    return (MLPClassifier if task in CLASSES else MLPRegressor)(**{**SMALL, **arguments})


def ensemble(task, n_estimators=4, random_state=7, **arguments):
    kind = MLPEnsembleClassifier if task in CLASSES else MLPEnsembleRegressor
    return kind(template(task), n_estimators, random_state=random_state, **arguments)


def said(member, X):
    return member.predict_proba(X) if hasattr(member, "predict_proba") else member.predict(X)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("resampling", RESAMPLING)
@pytest.mark.parametrize("task", TASKS)
def test_members_are_what_they_would_be_alone(task, resampling, weighted):
    X, y = data(task)
    weight = np.linspace(0.2, 2, ROWS) if weighted else None
    found = ensemble(task, **RESAMPLING[resampling]).fit(X, y, weight)
    assert len({member.random_state for member in found.estimators_}) == 4
    for member, rows in zip(found.estimators_, found.estimators_samples_, strict=True):
        alone = clone(found.estimator).set_params(random_state=member.random_state)
        alone.fit(X[rows], y[rows], None if weight is None else weight[rows])
        assert alone.loss_curve_ == member.loss_curve_
        for name in ("coefs_", "intercepts_"):
            for a, b in zip(getattr(alone, name), getattr(member, name), strict=True):
                np.testing.assert_array_equal(a, b)
    assert not np.array_equal(found.estimators_[0].coefs_[0], found.estimators_[1].coefs_[0])


@pytest.mark.parametrize("task", TASKS)
def test_predictions_are_means_over_the_members(task):
    X, y = data(task)
    found = ensemble(task).fit(X, y)
    each = np.array([said(member, X) for member in found.estimators_])
    if task in NUMBERS:
        np.testing.assert_allclose(found.predict(X), each.mean(axis=0), rtol=1e-12)
        mean, std = found.predict(X, return_std=True)
        assert found.score(X, y) == r2_score(y, found.predict(X))
    else:
        mean, std = found.predict_proba(X, return_std=True)
        np.testing.assert_array_equal(mean, found.predict_proba(X))
        np.testing.assert_array_equal(np.log(mean), found.predict_log_proba(X))
        if task == "labels":
            np.testing.assert_array_equal(found.predict(X), (mean > 0.5).astype(int))
        else:
            np.testing.assert_array_equal(found.predict(X), found.classes_[mean.argmax(axis=1)])
            np.testing.assert_array_equal(found.classes_, np.unique(y))
        assert found.score(X, y) == accuracy_score(y, found.predict(X))
    np.testing.assert_allclose(mean, each.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, each.std(axis=0), rtol=1e-12)
    assert mean.shape == std.shape == each.shape[1:]
    assert (std > 0).all()


@pytest.mark.parametrize("resampling", ["none", "bootstrap"])
def test_seeds(resampling):
    X, y = data("classes")
    one, two = (ensemble("classes", **RESAMPLING[resampling]).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    other = ensemble("classes", random_state=8, **RESAMPLING[resampling]).fit(X, y)
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))
    # the first members of a larger ensemble are those of a smaller one
    more = ensemble("classes", 6, **RESAMPLING[resampling]).fit(X, y)
    for a, b in zip(one.estimators_, more.estimators_, strict=False):
        np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])
    state = np.random.RandomState(7)
    drawn = [ensemble("classes", random_state=state).fit(X, y).predict_proba(X) for _ in range(2)]
    assert not np.array_equal(*drawn)


def test_bootstrap_samples():
    X, y = data("regression")
    for share, size in ((None, ROWS), (0.4, 24), (25, 25), (0.001, 1)):
        found = ensemble("regression", bootstrap=True, max_samples=share)
        rows = found.fit(X, y).estimators_samples_
        assert [len(its) for its in rows] == [size] * 4
        assert size == 1 or len({tuple(its) for its in rows}) == 4
    rows = ensemble("regression", 40, bootstrap=True).fit(X, y).estimators_samples_
    drawn = np.bincount(np.concatenate(rows), minlength=ROWS)
    assert drawn.sum() == 40 * ROWS
    assert 15 < drawn.min() < drawn.max() < 70  # 40 each, and the standard deviation is 6.3
    assert np.mean([len(np.unique(its)) for its in rows]) == pytest.approx((1 - 1 / np.e) * ROWS, rel=0.05)


@pytest.mark.parametrize("resampling", ["bootstrap", "folds", "folds, bootstrap"])
@pytest.mark.parametrize("task", TASKS)
def test_rows_are_judged_by_members_that_have_not_seen_them(task, resampling):
    X, y = data(task)
    found = ensemble(task, 12, oob_score=True, **RESAMPLING[resampling]).fit(X, y)
    name = "oob_prediction_" if task in NUMBERS else "oob_decision_function_"
    unseen = getattr(found, name)
    for row in range(ROWS):
        strangers = [
            member
            for member, rows in zip(found.estimators_, found.estimators_samples_, strict=True)
            if row not in rows
        ]
        assert strangers
        if resampling == "folds":
            assert len(strangers) == 4
        want = np.mean([said(member, X[row : row + 1])[0] for member in strangers], axis=0)
        np.testing.assert_allclose(unseen[row], want, rtol=1e-6)
    if task in NUMBERS:
        assert found.oob_score_ == r2_score(y, unseen)
    else:
        decided = (unseen > 0.5).astype(int) if task == "labels" else found.classes_[unseen.argmax(axis=1)]
        assert found.oob_score_ == accuracy_score(y, decided)
    found.set_params(oob_score=False).fit(X, y)
    assert not hasattr(found, "oob_score_")
    assert not hasattr(found, name)


def test_rows_that_every_member_has_seen():
    X, y = data("regression")
    with pytest.warns(
        UserWarning, match=r"of 60 rows were seen by every member: their oob_prediction_ is NaN"
    ):
        found = ensemble("regression", 2, bootstrap=True, oob_score=mean_absolute_error).fit(X, y)
    missing = np.isnan(found.oob_prediction_)
    assert 0 < missing.sum() < ROWS
    in_all = [row for row in range(ROWS) if all(row in rows for rows in found.estimators_samples_)]
    np.testing.assert_array_equal(np.flatnonzero(missing), in_all)
    assert found.oob_score_ == mean_absolute_error(y[~missing], found.oob_prediction_[~missing])


def test_rows_that_all_members_have_seen_have_no_score():
    X, y = data("classes")
    everything = [(np.arange(ROWS), np.arange(3))]
    with pytest.warns(UserWarning, match="60 of 60 rows"):
        found = ensemble("classes", cv=everything, oob_score=True).fit(X, y)
    assert np.isnan(found.oob_score_)
    assert np.isnan(found.oob_decision_function_).all()


@pytest.mark.parametrize(
    ("task", "cv", "same"),
    [
        ("classes", 3, StratifiedKFold(3)),
        ("labels", 3, KFold(3)),
        ("regression", 3, KFold(3)),
        ("regression", KFold(2, shuffle=True, random_state=1), KFold(2, shuffle=True, random_state=1)),
        (
            "binary",
            RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=1),
            RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=1),
        ),
    ],
)
def test_folds_are_scikit_learns(task, cv, same):
    X, y = data(task)
    found = ensemble(task, 5, cv=cv).fit(X, y)
    folds = [train for train, _ in same.split(X, y)]
    for i, rows in enumerate(found.estimators_samples_):
        np.testing.assert_array_equal(rows, folds[i % len(folds)])


def test_folds_of_groups_and_folds_listed():
    X, y = data("regression")
    groups = np.arange(ROWS) % 7
    folds = list(GroupKFold(3).split(X, y, groups))
    for found in (
        ensemble("regression", cv=GroupKFold(3)).fit(X, y, groups=groups),
        ensemble("regression", cv=folds).fit(X, y),
    ):
        for i, rows in enumerate(found.estimators_samples_):
            np.testing.assert_array_equal(rows, folds[i % 3][0])


def test_folds_drawn_at_random_are_kept():
    X, y = data("regression")
    found = ensemble("regression", cv=KFold(2, shuffle=True)).fit(X, y)
    for one, two in zip(found.estimators_samples_, found.estimators_samples_, strict=True):
        np.testing.assert_array_equal(one, two)
    rows = found.estimators_samples_[1]
    alone = clone(found.estimators_[1]).fit(X[rows], y[rows])
    np.testing.assert_array_equal(alone.coefs_[0], found.estimators_[1].coefs_[0])


def test_classes_that_a_member_has_not_met():
    X, _ = data("classes")
    y = np.array(["rare", *["common"] * 30, *["usual"] * 29])
    found = ensemble("classes", 12, bootstrap=True).fit(X, y)
    assert list(found.classes_) == ["common", "rare", "usual"]
    ignorant = ["rare" not in y[rows] for rows in found.estimators_samples_]
    assert 0 < sum(ignorant) < 12
    probabilities = found.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    want = np.zeros((ROWS, 3))
    for member, lacks in zip(found.estimators_, ignorant, strict=True):
        want[:, [0, 2] if lacks else [0, 1, 2]] += member.predict_proba(X) / 12
    np.testing.assert_allclose(probabilities, want, rtol=1e-12)


def test_members_that_have_met_one_class_only():
    X, _ = data("binary")
    y = np.array(["no"] * (ROWS - 1) + ["yes"])
    found = ensemble("binary", 6, bootstrap=True, max_samples=0.3).fit(X, y)
    assert {len(member.classes_) for member in found.estimators_} == {1, 2}
    want = np.zeros((ROWS, 2))
    for member in found.estimators_:
        want += member.predict_proba(X) / 6 if len(member.classes_) == 2 else np.array([1, 0]) / 6
    np.testing.assert_allclose(found.predict_proba(X), want, rtol=1e-12)


def test_one_class():
    X, _ = data("binary")
    found = ensemble("binary").fit(X, np.full(ROWS, "yes"))
    assert set(found.predict(X)) == {"yes"}
    np.testing.assert_array_equal(found.predict_proba(X), np.ones((ROWS, 1)))


@pytest.mark.parametrize("resampling", ["none", "bootstrap", "folds"])
@pytest.mark.parametrize("task", TASKS)
def test_sparse_rows_float32_and_lists(task, resampling):
    X, y = data(task)
    X = X.astype(np.float32)
    X[X < 0] = 0
    settings = {"oob_score": resampling != "none", **RESAMPLING[resampling]}
    plain = ensemble(task, 8, **settings).fit(X, y)
    thin = ensemble(task, 8, **settings).fit(sparse.csr_array(X), y)
    assert plain.estimators_[0].coefs_[0].dtype == np.float32
    assert said(plain, X).dtype == np.float32
    np.testing.assert_array_equal(said(plain, X), said(thin, sparse.csr_array(X)))
    if resampling != "none":
        assert thin.oob_score_ == plain.oob_score_
    listed = ensemble(task, 8, **settings).fit(X.tolist(), y.tolist())
    assert said(listed, X.tolist()).shape == said(plain, X).shape


def test_sparse_labels():
    X, y = data("labels")
    plain = ensemble("labels", 8, cv=2, oob_score=True).fit(X, y)
    thin = ensemble("labels", 8, cv=2, oob_score=True).fit(X, sparse.csr_array(y))
    np.testing.assert_array_equal(plain.predict_proba(X), thin.predict_proba(X))
    assert thin.oob_score_ == plain.oob_score_
    assert thin.score(X, y) == plain.score(X, y)


@pytest.mark.parametrize("task", TASKS)
def test_clones_and_pickles(task):
    X, y = data(task)
    found = ensemble(task, cv=2, oob_score=True).fit(X, y)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(said(again, X), said(found, X))
    np.testing.assert_array_equal(again.estimators_samples_, found.estimators_samples_)
    copy = clone(found)
    with pytest.raises(NotFittedError):
        copy.predict(X)
    assert not hasattr(copy, "estimators_samples_")
    np.testing.assert_array_equal(said(copy.fit(X, y), X), said(found, X))
    assert not hasattr(found.estimator, "coefs_")  # the template is left alone


def test_searches_and_pipelines():
    X, y = data("classes")
    pipeline = make_pipeline(StandardScaler(), ensemble("classes", 2))
    search = GridSearchCV(
        pipeline, {"mlpensembleclassifier__estimator__alpha": [1e-4, 10.0]}, cv=2, scoring="neg_log_loss"
    )
    search.fit(X, y)
    for member in search.best_estimator_[-1].estimators_:
        assert member.alpha == search.best_params_["mlpensembleclassifier__estimator__alpha"]
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1]


def test_names_of_features():
    pd = pytest.importorskip("pandas")
    X, y = data("binary")
    frame = pd.DataFrame(X, columns=list("abcd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = ensemble("binary", cv=2, oob_score=True).fit(frame, pd.Series(y))
        found.predict(frame)
    assert list(found.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        found.predict(frame[list("dcba")])


def test_numbers_of_threads():
    X, y = data("regression")
    want = ensemble("regression").fit(X, y).predict(X)
    for n_jobs in (1, 2, -1, -2, -100):
        np.testing.assert_array_equal(ensemble("regression", n_jobs=n_jobs).fit(X, y).predict(X), want)


@pytest.mark.parametrize(
    ("n_jobs", "threads"), [(None, None), (-1, None), (1, 1), (3, 3), (-2, 3), (-4, 1), (-9, 1)]
)
def test_n_jobs_are_threads_of_the_training(n_jobs, threads, monkeypatch):
    from fastnn.estimators import ensemble as module, many

    given = []
    monkeypatch.setattr(many, "get_num_threads", lambda: 4)
    train = module.fit_many

    def watched(*args, num_threads, **kwargs):
        given.append(num_threads)
        return train(*args, **kwargs)

    monkeypatch.setattr(module, "fit_many", watched)
    ensemble("regression", 2, n_jobs=n_jobs).fit(*data("regression"))
    assert given == [threads]


def test_members_by_default():
    X, y = data("classes")
    for kind, member in ((MLPEnsembleClassifier, MLPClassifier), (MLPEnsembleRegressor, MLPRegressor)):
        found = kind(n_estimators=2, random_state=0).fit(X, y)
        assert [type(one) for one in found.estimators_] == [member] * 2
        assert found.estimators_[0].max_iter == 200
        assert kind().n_estimators == 10


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"estimator": MLPRegressor()}, TypeError, "estimator must be an MLPClassifier or None, got MLPReg"),
        ({"estimator": make_pipeline(StandardScaler())}, TypeError, "go before the ensemble"),
        ({"n_estimators": 0}, ValueError, "n_estimators"),
        ({"max_samples": 0.5}, ValueError, "max_samples=0.5 is for bootstrap samples; set bootstrap=True"),
        ({"bootstrap": True, "max_samples": 1.5}, ValueError, "max_samples"),
        ({"oob_score": True}, ValueError, "oob_score=True needs rows that a member has not seen"),
        ({"cv": 5}, ValueError, "n_estimators=4 is less than the 5 folds of cv.*set n_estimators=5"),
        ({"cv": 61}, ValueError, "cv=61 folds need as many rows, got n_samples=60"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be None, -1, or a number of threads, got 0"),
        ({"estimator": MLPClassifier(alpha=-1.0)}, ValueError, "alpha"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    X, y = data("classes")
    with pytest.raises(error, match=message):
        MLPEnsembleClassifier(**{"estimator": template("classes"), "n_estimators": 4, **arguments}).fit(X, y)


def test_groups_without_folds():
    X, y = data("classes")
    with pytest.raises(ValueError, match="groups are for cv, which is None"):
        ensemble("classes").fit(X, y, groups=np.arange(ROWS))


def test_they_are_imported_when_they_are_needed():
    code = """
import sys
import fastnn
print("sklearn" in sys.modules, fastnn.MLPEnsembleClassifier is fastnn.estimators.MLPEnsembleClassifier)
"""
    assert run_python(code).split() == ["False", "True"]
    assert fastnn.MLPEnsembleRegressor is MLPEnsembleRegressor


FAST = {"max_iter": 40, "hidden_layer_sizes": (20,), "learning_rate_init": 0.02}


@parametrize_with_checks(
    [
        MLPEnsembleClassifier(MLPClassifier(**FAST), 3),
        MLPEnsembleRegressor(MLPRegressor(**FAST), 3),
        MLPEnsembleClassifier(MLPClassifier(**FAST), 3, cv=3, oob_score=True),
        MLPEnsembleRegressor(MLPRegressor(**FAST), 3, cv=2, oob_score=True),
    ]
)
def test_scikit_learns_checks(estimator, check):
    run_check(estimator, check)


# A row of weight 2 may be drawn or not, where of two rows one may be: as with scikit-learn's own bagging.
WEIGHTS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "a bootstrap sample draws rows, not weights"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [
        MLPEnsembleClassifier(MLPClassifier(**FAST), 3, bootstrap=True),
        MLPEnsembleRegressor(MLPRegressor(**FAST), 3, bootstrap=True),
    ],
    expected_failed_checks=lambda estimator: WEIGHTS,
)
def test_scikit_learns_checks_of_bootstrap_samples(estimator, check):
    check(estimator)
