"""``GridSearchCV`` and ``RandomizedSearchCV``: scikit-learn's, but for how the candidates are trained.

What a search does besides is scikit-learn's own: its parts are called here in the order of its ``fit``.
"""

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn import model_selection as theirs
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _insert_error_scores, _warn_or_raise_about_fit_failures
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import _check_method_params

from fastnn.model_selection.candidates import candidates_of, network_of
from fastnn.model_selection.evaluation import Evaluation
from fastnn.model_selection.folds import Folds
from fastnn.model_selection.scoring import Scoring


class BaseSearch(BaseSearchCV):
    """What both searches have in common."""

    def fit(self, X, y=None, **params):
        """Train all candidates on all folds, and the best of them on all rows.

        Parameters
        ----------
        X : array-like or sparse matrix, (rows, features)
        y : array-like, (rows,) or (rows, outputs)
        **params
            For the estimator's ``fit`` (``sample_weight``; of a pipeline ``step__name``), and ``groups`` for
            the splits. Those with a value for each row are split as the rows are.

        Returns
        -------
        self
        """
        if self._trains_together(X, y, params):
            return self._fit_together(X, y, params)
        return super().fit(X, y, **params)

    def _trains_together(self, X: Any, y: Any, params: dict[str, Any]) -> bool:
        """Whether this search is one over networks, and nothing about it is scikit-learn's business alone."""
        network = network_of(self.estimator)
        if network is None or not (_has_rows(X) and _has_rows(y)):
            return False
        if any(hasattr(e, "_skl_callbacks") for e in (self, self.estimator, network)):
            return False
        given = set(params) - {"groups"}
        if _routing_enabled():
            return not params  # who gets which of them is for scikit-learn to say
        if network is self.estimator:
            return given <= {"sample_weight"}
        last = f"{self.estimator.steps[-1][0]}__"
        return all(name == f"{last}sample_weight" or not name.startswith(last) for name in given)

    def _settings(self) -> Iterable[dict[str, Any]]:
        """Return the settings of all candidates."""
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit_together(self, X: Any, y: Any, params: dict[str, Any]) -> Any:
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        cv = self._checked_cv_orig = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self.n_splits_ = cv.get_n_splits(X, y, **routed.splitter.split)
        base = clone(self.estimator)
        settings = list(self._settings())
        splits = list(cv.split(X, y, **routed.splitter.split))
        if len(splits) != self.n_splits_:
            raise ValueError(
                f"cv.split gave {len(splits)} splits, cv.get_n_splits says {self.n_splits_}: they must agree."
            )
        if self.verbose > 0:
            fits = f"{len(splits)} folds for each of {len(settings)} candidates"
            print(f"Fitting {fits}, totalling {len(splits) * len(settings)} fits")
        folds = Folds(X, y, splits, routed.estimator.fit, routed.scorer.score)
        evaluation = Evaluation(self, folds, Scoring(scorers, self.error_score, y))
        out = evaluation(candidates_of(base, settings))
        if not out:
            raise ValueError("There was nothing to fit: the grid has no candidates, or cv no splits.")
        _warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):  # which of what kind its scores are, only a fit that did not fail can tell
            _insert_error_scores(out, self.error_score)
        results = self._format_results(settings, len(splits), out)

        first = out[0]["test_scores"]
        self.multimetric_ = isinstance(first, dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(first)
            refit_metric = self.refit
        self._choose(results, refit_metric)
        if self.refit:
            self._refit(base, X, y, routed.estimator.fit)
        self.scorer_ = scorers._scorers if isinstance(scorers, _MultimetricScorer) else scorers
        self.cv_results_ = results
        return self

    def _choose(self, results: dict[str, Any], refit_metric: Any) -> None:
        """Keep what is best, where one metric decides, or the caller's function."""
        if not self.refit and self.multimetric_:
            return
        self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
        if not callable(self.refit):
            self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
        self.best_params_ = results["params"][self.best_index_]

    def _refit(self, base: Any, X: Any, y: Any, fit_params: dict[str, Any]) -> None:
        """Train the best candidate on all rows."""
        self.best_estimator_ = clone(base).set_params(**clone(self.best_params_, safe=False))
        began = time.time()
        self.best_estimator_.fit(X, y, **fit_params)
        self.refit_time_ = time.time() - began
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


def _has_rows(array: Any) -> bool:
    """Whether these are an array, a frame or a column; lists and the like are left to scikit-learn."""
    return isinstance(array, np.ndarray) or issparse(array) or hasattr(array, "to_numpy")


class GridSearchCV(BaseSearch, theirs.GridSearchCV):
    """Every combination of the parameters, all candidates trained on all folds at once.

    scikit-learn's ``GridSearchCV``, with its arguments, attributes and scores, for fastnn's estimators and
    pipelines that end in one; for others, it is scikit-learn's in all.

    Parameters
    ----------
    estimator : estimator
    param_grid : dict or list of dict
        Values by the parameters' names.
    scoring : str, callable, list, tuple or dict, optional
    n_jobs : int, optional
        Threads to train with; None or -1 for all cores that fastnn may use.
    refit : bool, str or callable
        Whether to train the best candidate on all rows; the metric that decides; or a function of
        ``cv_results_`` that returns the best index.
    cv : int, splitter or iterable, optional
    verbose : int
        More than 0 prints how many fits there are, more than 1 a line for each.
    pre_dispatch : int or str
        For scikit-learn, where it trains.
    error_score : "raise" or float
        The score of a candidate that cannot be fitted.
    return_train_score : bool

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, ...
        As in scikit-learn. Times of fits are equal shares of the time of those trained together.
    """

    def _settings(self) -> Iterable[dict[str, Any]]:
        return ParameterGrid(self.param_grid)


class RandomizedSearchCV(BaseSearch, theirs.RandomizedSearchCV):
    """Combinations of the parameters drawn at random, all candidates trained on all folds at once.

    scikit-learn's ``RandomizedSearchCV``, as `GridSearchCV` is its grid search.

    Parameters
    ----------
    estimator : estimator
    param_distributions : dict or list of dict
        Lists of values, or distributions with ``rvs``, by the parameters' names.
    n_iter : int
        Candidates to draw.
    random_state : int, RandomState or None
        Of the draws.
    scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As of `GridSearchCV`.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, ...
        As of `GridSearchCV`.
    """

    def _settings(self) -> Iterable[dict[str, Any]]:
        return ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state)
