"""Libraries that bring an OpenMP runtime or thread pools of their own: for test_runtimes.py and bench/."""

import importlib.util

# What a process does to import one, and to have its threads at work once.
USE = {
    "torch": """
import torch
torch.set_num_threads(2)
a = torch.ones(600, 600, requires_grad=True)
(a @ a).relu().sum().backward()
""",
    "sklearn": """
import numpy, sklearn.ensemble, sklearn.cluster
rng = numpy.random.default_rng(0)
sklearn.cluster.KMeans(3, n_init=1, random_state=0).fit(rng.normal(size=(2000, 5)))
trees = sklearn.ensemble.HistGradientBoostingClassifier(max_iter=2)
trees.fit(rng.normal(size=(500, 5)), rng.integers(0, 2, 500))
""",
    "lightgbm": """
import lightgbm, numpy
rng = numpy.random.default_rng(0)
data = lightgbm.Dataset(rng.normal(size=(500, 5)), rng.integers(0, 2, 500))
lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 2}, data, num_boost_round=2)
""",
    "xgboost": """
import numpy, xgboost
rng = numpy.random.default_rng(0)
data = xgboost.DMatrix(rng.normal(size=(500, 5)), rng.integers(0, 2, 500))
xgboost.train({"objective": "binary:logistic", "nthread": 2}, data, num_boost_round=2)
""",
}


def installed() -> list[str]:
    """Return which of them there are."""
    return [name for name in USE if importlib.util.find_spec(name) is not None]
