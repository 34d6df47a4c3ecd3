"""The estimators learn as well as scikit-learn's: mean test scores of 20 seeds within 0.01.

By default each data set is tried with one solver on the same two folds, long enough that the networks have
learned most of what there is. ``FASTNN_SCORES=all`` tries all solvers with scikit-learn's default
arguments, on five folds, which takes many times as long.
"""

import os
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn import datasets, neural_network as theirs  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import KFold, StratifiedKFold  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import fastnn  # noqa: E402

ALL = os.environ.get("FASTNN_SCORES") == "all"
SEEDS = range(20)
DATA = ("iris", "digits", "breast_cancer", "wine", "diabetes")
# Shuffling is not scikit-learn's, so training is another one in all of these.
SOLVERS = {
    "iris": {"solver": "adam", "batch_size": 16, "max_iter": 40, "learning_rate_init": 0.005},
    "digits": {"solver": "adam", "batch_size": 64, "max_iter": 15, "learning_rate_init": 0.005},
    "breast_cancer": {"solver": "sgd", "batch_size": 32, "max_iter": 30, "learning_rate_init": 0.02},
    "wine": {"solver": "sgd", "batch_size": 16, "max_iter": 40, "learning_rate_init": 0.02},
    "diabetes": {"solver": "adam", "batch_size": 32, "max_iter": 30, "alpha": 1.0},
}
DEFAULTS = {solver: {"solver": solver} for solver in ("adam", "sgd", "lbfgs")}
CASES = [(name, settings) for name in DATA for settings in (DEFAULTS.values() if ALL else [SOLVERS[name]])]


def folds(name):
    """[(x, y, x_test, y_test)], scaled by what the training rows show; numbers to predict are scaled too."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    kind = KFold if name == "diabetes" else StratifiedKFold
    found = []
    for train, test in kind(5 if ALL else 2, shuffle=True, random_state=0).split(x, y):
        scaler = StandardScaler().fit(x[train])
        center, scale = (y[train].mean(), y[train].std()) if name == "diabetes" else (0, 1)
        targets = (y - center) / scale if name == "diabetes" else y
        found.append((scaler.transform(x[train]), targets[train], scaler.transform(x[test]), targets[test]))
    return found


def scores(estimator, parts):
    """Mean test score of each seed."""
    found = []
    for seed in SEEDS:
        its = [
            clone(estimator).set_params(random_state=seed).fit(x, y).score(x_test, y_test)
            for x, y, x_test, y_test in parts
        ]
        found.append(np.mean(its))
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"), CASES, ids=lambda case: case if isinstance(case, str) else case["solver"]
)
def test_mean_scores(name, settings):
    parts = folds(name)
    kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
    arguments = settings if ALL else {"hidden_layer_sizes": (32,), **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours, reference = (scores(getattr(module, kind)(**arguments), parts) for module in (fastnn, theirs))
    print(f"{name}: {ours.mean():.4f} and {reference.mean():.4f}")
    assert abs(ours.mean() - reference.mean()) < 0.01, (ours.mean(), reference.mean())
    # and they have learned something; with its defaults, "sgd" has not everywhere
    assert ALL or ours.mean() > {"diabetes": 0.4}.get(name, 0.9)
    # each seed is a network of its own
    assert len(np.unique(ours)) > 1
