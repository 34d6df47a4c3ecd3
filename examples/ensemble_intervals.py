"""How far off may a prediction be? 90 % intervals for the progress of diabetes, by ensembles, in three ways.

Run it: ``python examples/ensemble_intervals.py``; with ``pip install crepes`` it shows the third, too
"""

import warnings

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastnn as keras
from fastnn import MLPEnsembleRegressor, MLPRegressor

try:
    from crepes import WrapRegressor
except ImportError:
    WrapRegressor = None

LEVEL = 0.9
NORMAL = 1.645  # a normal variable is within so many standard deviations with this probability
MEMBERS = 20
EPOCHS = 60  # few, so that the networks do not learn the noise by heart


def load(split=0):
    """292 patients to train on and 150 to test with; ten columns, scaled, and how the disease went on."""
    x, y = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=150, random_state=split)
    scaler = StandardScaler().fit(x_train)
    center, scale = y_train.mean(), y_train.std()
    scaled = [(y - center) / scale for y in (y_train, y_test)]
    return scaler.transform(x_train), scaled[0], scaler.transform(x_test), scaled[1], scale


def ensemble(seed=0):
    """Twenty networks, each of which has not seen one fifth of the rows."""
    member = MLPRegressor(hidden_layer_sizes=(32,), max_iter=EPOCHS, batch_size=32)
    return MLPEnsembleRegressor(member, MEMBERS, cv=5, oob_score=True, random_state=seed)


def by_spread(x, y, x_test, seed=0):
    """Mean and standard deviation over the members, and the noise that no member can know about.

    The members disagree where they have seen little. How the targets scatter is seen in how far the
    predictions of rows by those members are off that have not been trained on them; what the members
    disagree about is a part of that.
    """
    found = ensemble(seed).fit(x, y)
    mean, std = found.predict(x_test, return_std=True)
    wrong = np.mean((y - found.oob_prediction_) ** 2)
    disagreed = np.mean(found.predict(x, return_std=True)[1] ** 2)
    half = NORMAL * np.sqrt(std**2 + max(0.0, wrong - disagreed))
    return mean - half, mean + half


def by_quantiles(x, y, x_test, seed=0):
    """Networks with three outputs, which learn the quantiles themselves: intervals need not be symmetric."""
    keras.utils.set_random_seed(seed)
    levels = [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]
    models = []
    for _ in range(MEMBERS):
        model = keras.Sequential(
            [keras.layers.Dense(32, activation="relu"), keras.layers.Dropout(0.2), keras.layers.Dense(3)]
        )
        model.compile(optimizer="adam", loss=keras.losses.Quantile(levels))
        models.append(model)
    keras.fit_many(models, x, y, batch_size=32, epochs=EPOCHS, verbose=0)
    low, _, high = np.sort(np.mean(keras.predict_many(models, x_test), axis=0)).T
    return low, high


def conformal(x, y, x_test, seed=0):
    """A third of the rows is not trained on; how far predictions are off there is how far they may be off.

    Whatever the data are like, 90 % of such intervals hold the target; of these rows, about that.
    """
    x, x_held, y, y_held = train_test_split(x, y, test_size=1 / 3, random_state=seed)
    wrapped = WrapRegressor(ensemble(seed))
    wrapped.fit(x, y)
    wrapped.calibrate(x_held, y_held)
    return wrapped.predict_int(x_test, confidence=LEVEL).T


def ways():
    """Return the ways there are, by name."""
    found = {"spread of the members": by_spread, "quantile losses": by_quantiles}
    return {**found, "conformal (crepes)": conformal} if WrapRegressor is not None else found


def judge(way, split=0):
    """Return the share of the test patients whose target lies within, and the mean width."""
    x, y, x_test, y_test, scale = load(split)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # they are to stop early
        low, high = way(x, y, x_test)
    return np.mean((low <= y_test) & (y_test <= high)), scale * np.mean(high - low)


def main():
    for name, way in ways().items():
        coverage, width = judge(way)
        print(f"{name:22} {coverage:.0%} of 150 patients within, mean width {width:.0f}")
    if WrapRegressor is None:
        print("conformal intervals: pip install crepes")


if __name__ == "__main__":
    main()
