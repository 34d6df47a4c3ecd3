"""A search whose fits go to the processes of a Dask cluster: here two on this machine, else on many.

scikit-learn's own search, joblib's backend "dask", and estimators of fastnn. Dask starts its processes with
OMP_NUM_THREADS=1, so each keeps to one core; where a process shall have more of them, ::

    dask.config.set({"distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": 4})

before the cluster is made. On one machine, ``fastnn.model_selection.GridSearchCV`` is faster than a cluster.

``pip install 'dask[distributed]'``, then: ``python examples/dask_search.py``
"""

import joblib
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

import fastnn
from fastnn import MLPClassifier

PROCESSES = 2
GRID = {"hidden_layer_sizes": [(16,), (32,)], "alpha": [1e-4, 1e-1, 10.0]}


def search(x, y):
    """Accuracies over three folds; where the fits run is joblib's affair."""
    network = MLPClassifier(max_iter=30, n_iter_no_change=30, tol=0.0, random_state=0)
    return GridSearchCV(network, GRID, cv=3).fit(x, y)


def on_a_cluster(x, y):
    """The search, and how many threads each process of the cluster may use."""
    with (
        LocalCluster(n_workers=PROCESSES, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        threads = client.run(fastnn.get_num_threads)
        with joblib.parallel_config(backend="dask"):
            return search(x, y), list(threads.values())


def main():
    x, y = load_digits(return_X_y=True)
    found, threads = on_a_cluster(x, y)
    print(f"{len(threads)} processes, threads in each: {threads}")
    for setting, score in zip(found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True):
        print(f"{score:.3f}  {setting}")


if __name__ == "__main__":
    main()
