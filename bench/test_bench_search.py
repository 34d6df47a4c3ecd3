"""A grid search of 60 candidates on 5 folds beside scikit-learn's MLPClassifier in its own search.

scikit-learn has the fastest of several ways to use the cores, tried before on a part of the grid. The data
are as scikit-learn loads them. Searches take turns, fastnn's several to one of scikit-learn's.
"""

import statistics
import time
import warnings

import joblib
import pytest
from sklearn import datasets, model_selection, neural_network
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import fastnn
from fastnn._bench import machine

RATES = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 3e-3, 1e-2]}
# networks for 150 rows of 4 columns, and for 1797 of 64
GRIDS = {
    "iris": {"hidden_layer_sizes": [(5,), (10,), (15,), (20,), (10, 5)], **RATES},
    "digits": {"hidden_layer_sizes": [(10,), (25,), (50,), (100,), (50, 50)], **RATES},
}
QUICK = {"alpha": [1e-4], "learning_rate_init": [1e-3]}
TRIED = {"hidden_layer_sizes": [(10,), (20,)], "alpha": [1e-4]}
FOLDS = 5
GOALS = {"iris": 40, "digits": 8}
REST_SECONDS = 0.3  # after scikit-learn: idle threads of its BLAS spin for a while


def jobs_to_try():
    """What ``n_jobs`` may be, and the BLAS threads of its workers, by a name for the table."""
    cores = machine.cores()
    ways = {"1": (1, cores), "1, BLAS 1": (1, 1)}
    return ways if cores == 1 else {**ways, str(cores): (cores, 1)}


def search_of(module, network, grid, x, y, n_jobs=None):
    """Seconds of a search without the final fit, and its best score."""
    made = module.GridSearchCV(network, grid, cv=FOLDS, n_jobs=n_jobs, refit=False)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made.fit(x, y)
    return time.perf_counter() - began, made.best_score_


def theirs(grid, x, y, way):
    """The same of scikit-learn's network in scikit-learn's search."""
    n_jobs, blas = way
    network = neural_network.MLPClassifier(random_state=0)
    with (
        threadpool_limits(blas),
        joblib.parallel_config(backend="loky", inner_max_num_threads=blas),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of workers that another way has left behind, and ends
        found = search_of(model_selection, network, grid, x, y, n_jobs)
    time.sleep(REST_SECONDS)
    return found


def ours(grid, x, y):
    from fastnn import model_selection as searches

    return search_of(searches, fastnn.MLPClassifier(random_state=0), grid, x, y)


@pytest.mark.parametrize("name", GOALS)
def test_search(settings, report, name):
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    grid = {**GRIDS[name], **QUICK} if settings.quick else GRIDS[name]
    ways = jobs_to_try()
    for way in ways.values():
        theirs(TRIED, x, y, way)  # workers are started, and import what they need
    tried = {told: theirs(TRIED, x, y, way)[0] for told, way in ways.items()}
    best = min(tried, key=tried.get)
    repeats = 1 if settings.quick else 3
    ours(TRIED, x, y)
    seconds, scores = zip(*[ours(grid, x, y) for _ in range(repeats)], strict=True)
    reference, their_score = theirs(grid, x, y, ways[best])
    more, _ = zip(*[ours(grid, x, y) for _ in range(repeats)], strict=True)
    found = statistics.median([*seconds, *more])
    assert abs(scores[0] - their_score) < 0.05
    report(
        "grid searches beside scikit-learn",
        {
            "": name,
            "fits": len(model_selection.ParameterGrid(grid)) * FOLDS,
            "seconds": found,
            "slowest": max([*seconds, *more]),
            "scikit-learn s": reference,
            "its n_jobs": best,
            "×": reference / found,
            "goal": GOALS[name],
            "best score": float(scores[0]),
            "its best score": float(their_score),
        },
    )
