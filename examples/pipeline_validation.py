"""A table of numbers and words: a pipeline that scales and encodes it, and validation data that stop it.

Run it: ``python examples/pipeline_validation.py``
"""

import numpy as np
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastnn import MLPClassifier

ROWS = 3000
CITIES = np.array(["Bern", "Lima", "Oslo", "Rabat"])
PLANS = np.array(["basic", "plus", "max"])


def customers(seed=0):
    """Columns age, income, city and plan; and whether each customer stays, which depends on all of them."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, ROWS)
    income = np.exp(rng.normal(10.4, 0.6, ROWS))
    city, plan = rng.integers(0, len(CITIES), ROWS), rng.integers(0, len(PLANS), ROWS)
    wish = (
        np.sin(age / 12.0)
        + 0.8 * (np.log(income) - 10.4) * (plan - 1)
        + np.array([0.8, -0.5, 0.0, -0.9])[city]
    )
    stays = np.where(wish + rng.logistic(0, 0.15, ROWS) > 0, "stays", "leaves")
    table = np.empty((ROWS, 4), dtype=object)
    for i, column in enumerate((age, income, CITIES[city], PLANS[plan])):
        table[:, i] = column
    return table, stays


def network(seed=0):
    """The pipeline; ``transform_input`` sends X_val through its first step, as X."""
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), [0, 1]), ("words", OneHotEncoder(sparse_output=False), [2, 3])]
    )
    classifier = MLPClassifier(
        (32, 16),
        activation=["tanh", "relu"],
        dropout=[0.1, 0.0],
        class_weight="balanced",
        learning_rate_init=0.01,
        early_stopping="loss",
        random_state=seed,
    )
    classifier.set_fit_request(X_val=True, y_val=True)
    return Pipeline([("columns", columns), ("network", classifier)], transform_input=["X_val"])


def train(seed=0):
    """Train on two thirds, validate on a sixth; return the pipeline and its accuracy on another sixth."""
    x, y = customers(seed)
    x_train, x_rest, y_train, y_rest = train_test_split(x, y, test_size=1 / 3, random_state=seed)
    x_val, x_test, y_val, y_test = train_test_split(x_rest, y_rest, test_size=0.5, random_state=seed)
    with config_context(enable_metadata_routing=True):  # or, for good, sklearn.set_config(...)
        pipe = network(seed)
        pipe.fit(x_train, y_train, X_val=x_val, y_val=y_val)
    return pipe, pipe.score(x_test, y_test)


def main():
    pipe, accuracy = train()
    trained = pipe["network"]
    best = int(np.argmin(trained.validation_loss_curve_))
    print(f"{trained.n_iter_} epochs, the best of which was number {best + 1}:")
    print(
        f"training loss {trained.loss_curve_[best]:.3f}, validation loss {trained.best_validation_loss_:.3f}"
    )
    print(f"accuracy on other rows: {accuracy:.3f}")


if __name__ == "__main__":
    main()
