"""scikit-learn's own searches by joblib's backends: the same bits, and each worker keeps to its share."""

import os
import threading
import time

import numpy as np
import pytest
from support import run_python

sklearn = pytest.importorskip("sklearn")

import joblib  # noqa: E402
from sklearn import model_selection  # noqa: E402
from sklearn.experimental import enable_halving_search_cv  # noqa: E402, F401

import fastnn  # noqa: E402
from fastnn import MLPClassifier  # noqa: E402
from fastnn.kernels.threads import get_fair_share  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEARCHES = {
    "GridSearchCV": {},
    "RandomizedSearchCV": {"n_iter": 4, "random_state": 0},
    "HalvingGridSearchCV": {"random_state": 0},
}


def search(kind, backend=None, n_jobs=None):
    """Scores of a search, and the weights of its best estimator."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 8))
    y = (X @ rng.normal(size=8) > 0).astype(int)
    network = MLPClassifier((16,), max_iter=15, batch_size=20, learning_rate_init=0.01, random_state=0)
    grid = {"alpha": [1e-4, 1e-2, 1.0], "hidden_layer_sizes": [(8,), (300,)]}
    made = getattr(model_selection, kind)(network, grid, cv=2, n_jobs=n_jobs, **SEARCHES[kind])
    with joblib.parallel_config(backend=backend) if backend else joblib.parallel_config():
        made.fit(X, y)
    return made.cv_results_["mean_test_score"], made.best_estimator_.coefs_


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_the_same_bits_by_threads_and_processes(kind, backend):
    scores, weights = search(kind)
    assert len(set(scores)) > 1
    found, found_weights = search(kind, backend, n_jobs=2)
    np.testing.assert_array_equal(found, scores)
    for a, b in zip(found_weights, weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_concurrent_fits_of_threads_do_not_disturb_one_another():
    """Sixteen fits by four threads: each ends as it does alone."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 10))
    y = (X[:, 0] > 0).astype(int)
    sizes = [(4,), (32,), (8, 8), (200,)] * 4

    def fit(size):
        return MLPClassifier(size, max_iter=10, random_state=len(size)).fit(X, y).coefs_

    alone = [fit(size) for size in sizes]
    together = joblib.Parallel(n_jobs=4, backend="threading")(joblib.delayed(fit)(size) for size in sizes)
    for a, b in zip(alone, together, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)


def test_concurrent_fits_share_the_cores():
    """What a native call would get is all cores, or half of them while two others are under way."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(2000, 20))
    y = (X[:, 0] > 0).astype(int)
    cores = fastnn.get_num_threads()
    assert get_fair_share() == cores

    def fit():
        MLPClassifier((300, 300), max_iter=10, n_iter_no_change=10, random_state=0).fit(X, y)

    threads = [threading.Thread(target=fit) for _ in range(2)]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        seen.add(get_fair_share())
        time.sleep(1e-3)
    assert min(seen) == max(1, cores // 2)
    assert get_fair_share() == cores


WORKERS = """
import joblib
import fastnn

def threads():
    return fastnn.get_num_threads()

if __name__ == "__main__":
    with joblib.parallel_config(backend="loky", **{arguments}):
        print(set(joblib.Parallel(n_jobs={jobs})(joblib.delayed(threads)() for _ in range(8))))
"""


@pytest.mark.parametrize(
    ("jobs", "arguments", "variable"),
    [(2, {}, None), (1000, {}, None), (2, {"inner_max_num_threads": 1}, None), (2, {}, "1")],
    ids=["two", "many", "told by joblib", "told by the environment"],
)
def test_processes_keep_to_their_share(jobs, arguments, variable, tmp_path, monkeypatch):
    """joblib tells its workers by OMP_NUM_THREADS: cores by jobs, where nothing else was said."""
    if variable is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    jobs = min(jobs, 2 * (os.cpu_count() or 1))
    script = tmp_path / "workers.py"  # a file, which workers can import again
    script.write_text(WORKERS.replace("{arguments}", repr(arguments)).replace("{jobs}", str(jobs)))
    said = run_python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')")
    share = 1 if variable or arguments else max(1, joblib.cpu_count() // jobs)
    assert said.strip() == str({min(share, fastnn.get_num_threads())})
