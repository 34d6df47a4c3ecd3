"""The rows of a search's folds, preprocessed once for all candidates that agree in the preprocessing."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, _num_samples

from fastnn.model_selection.candidates import Candidate


@dataclass(eq=False)
class Part:
    """Rows of a fold, to train on or to be tested with.

    Parameters
    ----------
    given : array-like
        Rows as the search was given them.
    y : array-like
    params : dict
        What a scorer is told besides.
    head : Pipeline or None
        Fitted.
    rows : array-like, optional
        As the network is given them; when first needed, what ``head`` makes of those given.
    """

    given: Any
    y: Any
    params: dict[str, Any]
    head: Any = None
    rows: Any = None
    checked: Any = None  # what `Scoring` keeps: these rows and y as arrays

    def for_network(self) -> Any:
        """Return rows as the network is given them."""
        if self.rows is None:
            self.rows = self.given if self.head is None else self.head.transform(self.given)
        return self.rows

    def __len__(self) -> int:
        return _num_samples(self.given)


@dataclass(eq=False)
class Fold:
    """A split of the rows, after the steps before the network.

    Parameters
    ----------
    train, test : Part
    sample_weight : array-like or None
        Of the rows to train on.
    head : Pipeline or None
        Fitted on the rows to train on.
    seconds : float
        That preprocessing took.
    error : Exception or None
        That it ended with.
    """

    train: Part
    test: Part
    sample_weight: Any = None
    head: Any = None
    seconds: float = 0.0
    error: Exception | None = None


class Folds:
    """Makes folds.

    Parameters
    ----------
    X, y : array-like
        All rows.
    splits : list of tuple
        Indices to train on, and to test with.
    fit_params, score_params : dict
        Of all rows; the names of the first are those of ``fit``.
    """

    def __init__(self, X: Any, y: Any, splits: Any, fit_params: dict[str, Any], score_params: dict[str, Any]):
        self.X, self.y = X, y
        self.splits = [(np.asarray(train), np.asarray(test)) for train, test in splits]
        self.fit_params, self.score_params = fit_params, score_params

    def __len__(self) -> int:
        return len(self.splits)

    def make(self, candidate: Candidate, split: int) -> Fold:
        """Return a fold as candidates with this one's preprocessing see it."""
        train, test = self.splits[split]
        X, y, estimator = self.X, self.y, candidate.estimator
        params = _check_method_params(X, params=self.fit_params, indices=train)
        X_train, y_train = _safe_split(estimator, X, y, train)
        X_test, y_test = _safe_split(estimator, X, y, test, train)
        fold = Fold(
            Part(X_train, y_train, self._score_params(train)),
            Part(X_test, y_test, self._score_params(test)),
        )
        prefix = "" if candidate.last is None else f"{candidate.last}__"
        fold.sample_weight = params.pop(f"{prefix}sample_weight", None)
        if candidate.last is not None:
            self._preprocess(fold, candidate.head(), params)
        return fold

    def _score_params(self, rows: np.ndarray) -> dict[str, Any]:
        return _check_method_params(self.X, params=self.score_params, indices=rows)

    @staticmethod
    def _preprocess(fold: Fold, head: Any, params: dict[str, Any]) -> None:
        fold.head = fold.train.head = fold.test.head = head
        began = time.perf_counter()
        try:
            fold.train.rows = head.fit_transform(fold.train.given, fold.train.y, **params)
        except Exception as error:
            fold.error = error
        fold.seconds = time.perf_counter() - began
