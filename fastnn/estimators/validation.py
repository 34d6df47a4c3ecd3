"""Validation data: held out of the training's rows or given, and what is said of them after each epoch.

Native epochs say it themselves, where they can; elsewhere, and where callbacks look on, it is said here.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils.validation import validate_data

from fastnn.estimators.networks import Trainer, dense
from fastnn.kernels.network import Network


def checked(estimator: Any, X: Any, y: Any, **how: Any) -> tuple[Any, np.ndarray]:
    """Return rows and targets as scikit-learn's networks take them; the estimator learns of their columns.

    ``how`` is further said to ``validate_data``.
    """
    how.update(accept_sparse=["csr", "csc"], multi_output=True, dtype=(np.float64, np.float32))
    X, y = validate_data(estimator, X, y, **how)
    return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


class Part(NamedTuple):
    """Checked rows, targets (rows, outputs) and the rows' weights, if any."""

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None


def hold_out(e: Any, part: Part) -> tuple[Part, Part]:
    """Return rows to train on and rows to validate with, split as scikit-learn does."""
    X, y, sample_weight = part
    arrays = (X, y) if sample_weight is None else (X, y, sample_weight)
    parts = train_test_split(
        *arrays,
        random_state=e._random_state,
        test_size=e.validation_fraction,
        stratify=y if is_classifier(e) and e.n_outputs_ == 1 else None,
    )
    train, held = parts[::2], parts[1::2]
    if held[0].shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )
    if sample_weight is None:
        train, held = [*train, None], [*held, None]
    return Part(*train), Part(*held)


class Validation:
    """Rows that are judged after each epoch, by a network of their own, which knows no penalties.

    Parameters
    ----------
    e : BaseMLP
    trainer : Trainer
        Whose weights are judged.
    part : Part
    """

    def __init__(self, e: Any, trainer: Trainer, part: Part):
        self._e, self._trainer = e, trainer
        dtype, weight = trainer.dtype, part.sample_weight
        self._x = dense(part.X, dtype)
        self._targets, self._weight = part.y, weight
        self._y = trainer.objective.targets(part.y, dtype)
        self._w = None if weight is None else dense(weight, dtype)
        self._constant = e._constant(part.y, weight, len(self._x))
        self._net: Any = None

    def native(self, scored: bool) -> tuple[Any, list[str]] | None:
        """Return the data as `Training` takes them, and the metrics that score them; None where Python must.

        Parameters
        ----------
        scored : bool
            Whether a score is asked for.
        """
        metric = self._e._native_score()
        if self._trainer.objective.resolved.apart or self._constant:
            return None
        if scored and (metric is None or self._weight is not None):  # weighted, sums would round differently
            return None
        return (self._x, self._y, self._w), [metric] if scored else []

    def loss(self) -> float:
        """Return the loss of the rows with the trainer's weights; NaN once those have diverged."""
        if self._trainer.diverged:
            return float("nan")
        if self._net is None:
            self._net = Network(self._trainer.inputs, self._trainer.layers, self._trainer.dtype.name)
            self._trainer.objective.compile(self._net, "sgd", {}, self._weight is not None)
            self._outputs = np.empty((len(self._x), self._net.outputs), self._trainer.dtype)
        self._net.set_weights(self._trainer.arrays())
        found = self._net.evaluate(self._x, self._y, self._w, outputs=self._outputs)[0]
        apart = self._trainer.objective.apart(self._y, self._outputs, self._w)
        return float(found) + apart + self._constant

    def score(self) -> float:
        """Return the score of the outputs that `loss` has seen; NaN once the weights have diverged."""
        if self._trainer.diverged:
            return float("nan")
        return self._e._score(self._targets, self._outputs, self._weight)
