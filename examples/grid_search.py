"""Which network for the wines? 60 settings on 5 folds: 300 networks, trained at once.

``fastnn.model_selection.GridSearchCV`` is scikit-learn's with another way to train. Rows are scaled within
each fold, so that no score knows rows that it is tested with.

Run it: ``python examples/grid_search.py``
"""

import time
import warnings

import numpy as np
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from fastnn import MLPClassifier
from fastnn.model_selection import GridSearchCV

GRID = {
    "network__hidden_layer_sizes": [(4,), (8,), (16,), (32,), (16, 16)],
    "network__alpha": [1e-4, 1e-2, 1e-1, 1.0],
    "network__learning_rate_init": [1e-3, 5e-3, 2e-2],
}
SHOWN = 5


def load():
    """Rows to search with, and a third of all to test with."""
    x, y = load_wine(return_X_y=True)
    return train_test_split(x, y, test_size=1 / 3, stratify=y, random_state=0)


def pipeline():
    return Pipeline([("scaler", StandardScaler()), ("network", MLPClassifier(random_state=0))])


def search(x, y, grid=None):
    """The best of all settings by the mean accuracy over five folds; at most 200 epochs each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # many would go on learning: the scores decide
        return GridSearchCV(pipeline(), grid or GRID, cv=5).fit(x, y)


def main():
    x, x_test, y, y_test = load()
    began = time.perf_counter()
    found = search(x, y)
    seconds = time.perf_counter() - began
    results = found.cv_results_
    print(f"{len(results['params'])} settings, {found.n_splits_} folds: {seconds:.2f} s")

    print("\nthe best by mean accuracy, and how much it differs between folds")
    for i in np.argsort(results["rank_test_score"], kind="stable")[:SHOWN]:
        named = {name.removeprefix("network__"): value for name, value in results["params"][i].items()}
        print(f"{results['mean_test_score'][i]:.3f} ± {results['std_test_score'][i]:.3f}  {named}")
    print(f"\naccuracy of the first on rows never seen: {found.score(x_test, y_test):.3f}")


if __name__ == "__main__":
    main()
