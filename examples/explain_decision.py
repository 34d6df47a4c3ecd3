"""Why does the model say so? Twice: which columns it needs at all, and what decided about one row.

scikit-learn's ``permutation_importance`` shuffles a column and looks how much worse the predictions become.
That is about all rows. ``model.input_gradients`` says how the output for one row answers to a small change of
each of its numbers; multiplied by how far the row is from the mean, it says what pushed this decision, and
which way.

Run it: ``python examples/explain_decision.py``
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from fastnn import Input
from fastnn.layers import Dense
from fastnn.losses import BinaryCrossentropy
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

EPOCHS = 30
SHOWN = 5


def fit(x, y, seed=0):
    """A classifier of two classes; its output is the logit, which does not saturate as a probability does."""
    set_random_seed(seed)
    model = Sequential([Input(shape=(x.shape[1],)), Dense(16, activation="tanh"), Dense(1)])
    model.compile(optimizer="adam", loss=BinaryCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=16, epochs=EPOCHS, verbose=0)
    return model


def accuracy(model, x, y):
    return float(((model.predict(x)[:, 0] > 0) == y).mean())


def needed(model, x, y, seed=0):
    """For each column, how much accuracy is lost where it is shuffled."""
    found = permutation_importance(model, x, y, scoring=accuracy, n_repeats=20, random_state=seed)
    return found.importances_mean


def pushes(model, row):
    """For each column of one row, scaled to mean 0, what it added to the logit, to first order."""
    return (model.input_gradients(row[None]) * row)[0]


def main():
    data = load_breast_cancer()
    x, x_test, y, y_test = train_test_split(data.data, data.target, test_size=0.3, random_state=0)
    scaler = StandardScaler().fit(x)
    x, x_test = (scaler.transform(part).astype("float32") for part in (x, x_test))
    model = fit(x, y)
    print(f"accuracy on rows never seen: {accuracy(model, x_test, y_test):.3f}")

    lost = needed(model, x_test, y_test)
    print("\naccuracy lost without")
    for column in np.argsort(lost)[::-1][:SHOWN]:
        print(f"  {data.feature_names[column]:25} {lost[column]:.4f}")

    row = x_test[int(np.argmin(model.predict(x_test)))]
    said, pushed = model.predict(row[None])[0, 0], pushes(model, row)
    print(f"\nthe surest tumour of all, logit {said:.1f}; pushed by")
    for column in np.argsort(np.abs(pushed))[::-1][:SHOWN]:
        print(f"  {data.feature_names[column]:25} {pushed[column]:+.2f}")


if __name__ == "__main__":
    main()
