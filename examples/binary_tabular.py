"""Two classes from a table of numbers: a synthetic table, and scikit-learn's breast-cancer data.

Run it: ``python examples/binary_tabular.py``
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

ROWS = 1000
FEATURES = 8
BATCH_SIZE = 32
SYNTHETIC_EPOCHS = 50
CANCER_EPOCHS = 50


def build(features=FEATURES):
    model = Sequential(
        [
            Dense(10, input_dim=features, activation="relu"),
            Dense(1, activation="sigmoid"),
        ]
    )
    # Adam's default rate: 0.001
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def synthetic_rows(targets="labels", seed=0):
    """1000 rows of 8 features; targets 0 or 1 that can be learned, or drawn uniformly from [0, 1]."""
    rng = np.random.default_rng(seed)
    x = rng.random((ROWS, FEATURES))
    if targets == "uniform":
        return x, rng.random(ROWS)
    return x, (x.sum(axis=1) > FEATURES / 2).astype("float64")


def train_synthetic(targets="labels", seed=0, verbose=0):
    """Train on the synthetic rows; the ``History``."""
    x, y = synthetic_rows(targets, seed)
    set_random_seed(seed)
    return build().fit(x, y, batch_size=BATCH_SIZE, epochs=SYNTHETIC_EPOCHS, verbose=verbose)


def train_breast_cancer(seed=0, verbose=0):
    """Train on 455 patients; ``(loss, accuracy)`` on the other 114."""
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42)
    scaler = StandardScaler().fit(x_train)
    set_random_seed(seed)
    model = build(features=x.shape[1])
    model.fit(
        scaler.transform(x_train), y_train, batch_size=BATCH_SIZE, epochs=CANCER_EPOCHS, verbose=verbose
    )
    return model.evaluate(scaler.transform(x_test), y_test, verbose=0)


def main():
    history = train_synthetic("labels", verbose=2).history
    print(f"synthetic table: loss {history['loss'][-1]:.4f}, accuracy {history['accuracy'][-1]:.3f}")

    # Targets that are nothing but chance: the best answer is 0.5 everywhere, whose loss is ln 2 = 0.6931.
    history = train_synthetic("uniform").history
    print(f"uniform targets: loss {history['loss'][0]:.4f} -> {history['loss'][-1]:.4f}")

    loss, accuracy = train_breast_cancer()
    print(f"breast cancer, rows never seen: loss {loss:.4f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
