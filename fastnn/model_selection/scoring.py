"""Scores of trained networks, as a search's scorers give them."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer, _Scorer
from sklearn.model_selection._validation import _score
from sklearn.utils.multiclass import type_of_target

from fastnn.estimators import MLPClassifier
from fastnn.estimators.networks import Forward
from fastnn.model_selection.candidates import Candidate
from fastnn.model_selection.folds import Fold, Part

Scores = float | dict[str, float]


class Scoring:
    """Scores networks.

    Parameters
    ----------
    scorers : callable
        As the search made them.
    error_score : "raise" or float
    y : array-like
        All targets.
    """

    def __init__(self, scorers: Any, error_score: Any, y: Any):
        self.scorers, self.error_score = scorers, error_score
        multiple = isinstance(scorers, _MultimetricScorer)
        self.names = list(scorers._scorers) if multiple else None
        each = scorers._scorers.values() if multiple else [scorers]
        # these ask for predictions only, which a network gives as the pipeline that it ends would
        self.asks_network = all(isinstance(s, _BaseScorer | _PassthroughScorer) for s in each)
        self._counts = _is_accuracy(scorers) and _has_classes(y)
        self._forward = Forward()

    def failed(self) -> Scores:
        """Return the scores of a candidate that could not be fitted."""
        return self.error_score if self.names is None else dict.fromkeys(self.names, self.error_score)

    def __call__(self, candidate: Candidate, network: Any, fold: Fold, part: Part) -> Scores:
        """Return a fitted network's scores for rows of its fold."""
        network._forward = self._forward  # one for all, made anew where the layers are others
        if self._counts and not part.params and _says_accuracy(network):
            right = self._right(network, part)
            if right is not None:
                return right
        estimator, rows = self._asked(candidate, network, fold, part)
        return _score(estimator, rows, part.y, self.scorers, part.params, self.error_score)

    def _asked(self, candidate: Candidate, network: Any, fold: Fold, part: Part) -> tuple[Any, Any]:
        """Return what a scorer is called with: an estimator and its rows."""
        if fold.head is None:
            return network, part.given
        if self.asks_network:
            try:
                return network, part.for_network()
            except Exception:  # which the pipeline will raise again, where it is made a score
                pass
        return candidate.assembled(fold.head, network), part.given

    def _right(self, network: Any, part: Part) -> float | None:
        """Return the share of rows that are right: what accuracy_score says, after longer checks.

        None where these checks would end with an error or a warning.
        """
        if part.checked is None:
            labels = np.asarray(part.y)
            try:
                part.checked = network._rows(part.for_network()), labels
            except Exception:
                return None
        rows, labels = part.checked
        found = _classes(network, network._computed(rows))
        if labels.ndim != 1 or found.shape != labels.shape:
            return None
        return int(np.count_nonzero(found == labels)) / len(labels)


def _classes(network: Any, outputs: np.ndarray) -> np.ndarray:
    """Return the classes that outputs stand for: what ``predict`` says, after longer checks."""
    classes, columns = network.classes_, outputs.shape[1]
    if columns == len(classes) > 2:
        return classes[outputs.argmax(axis=1)]
    if columns == 1 and len(classes) == 2:
        return classes[(outputs[:, 0] > 0.5).astype(np.intp)]
    return network._decided(outputs)


def _is_accuracy(scorer: Any) -> bool:
    """Whether a scorer is accuracy, or the estimator's own score."""
    if type(scorer) is _Scorer:
        found = scorer._score_func is accuracy_score and not scorer._kwargs and scorer._sign == 1
        return bool(found and scorer._response_method == "predict")
    return isinstance(scorer, _PassthroughScorer)


def _has_classes(y: Any) -> bool:
    """Whether targets are one class for each row."""
    try:
        return type_of_target(y) in ("binary", "multiclass")
    except ValueError:  # every fit will say what is wrong with them
        return False


def _says_accuracy(network: Any) -> bool:
    """Whether a network's own score is the accuracy of its own predictions."""
    kind = type(network)
    return (
        isinstance(network, MLPClassifier)
        and kind.score is ClassifierMixin.score
        and kind.predict is MLPClassifier.predict
    )
