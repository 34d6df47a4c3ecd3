"""Ensembles of perceptrons: members of different seeds, trained at once, their predictions averaged.

Members differ by their first weights and the order of their rows, which is what makes ensembles of networks
good (Lakshminarayanan et al., 2017); bootstrap samples or folds leave each member rows to be judged by. A
bootstrap sample is a list of rows, not weights: a row that was not drawn then costs nothing, and batches are
as large as those of a member alone.
"""

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    _fit_context,
    clone,
    is_classifier,
)
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import check_cv
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, RealNotInt
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn.errors import warn
from fastnn.estimators.classifier import MLPClassifier
from fastnn.estimators.many import fit_many, threads_of
from fastnn.estimators.regressor import MLPRegressor
from fastnn.estimators.validation import checked


class BaseMLPEnsemble(MetaEstimatorMixin, BaseEstimator, ABC):
    """Members of one kind, and what they say together; see its two subclasses."""

    _member: type
    _unseen: str  # attribute for the predictions of rows by the members that have not seen them

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        "estimator": "no_validation",  # `_template` says what is wrong with it
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "bootstrap": ["boolean"],
        "max_samples": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
        ],
        "cv": ["cv_object"],
        "oob_score": ["boolean", callable],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        n_estimators=10,
        *,
        bootstrap=False,
        max_samples=None,
        cv=None,
        oob_score=False,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.bootstrap = bootstrap
        self.max_samples = max_samples
        self.cv = cv
        self.oob_score = oob_score
        self.n_jobs = n_jobs
        self.random_state = random_state

    # Fitting ------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Train all members.

        Parameters
        ----------
        X, y, sample_weight
            As for the members. Of a bootstrap sample, rows are drawn with equal chances, and bring their
            weights along.
        groups : array-like, (rows,), optional
            For a ``cv`` that keeps groups together.

        Returns
        -------
        self
        """
        template = self._template()
        X, y = self._validate_input(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        self._splits = self._training_rows(X, y, groups)
        self._draws = self._rows_to_draw()
        if self.oob_score and self._splits is None and self._draws is None:
            raise ValueError(
                f"oob_score={self.oob_score!r} needs rows that a member has not seen; set bootstrap=True or "
                "cv=5, say."
            )
        self._n_samples = X.shape[0]
        random_state = check_random_state(self.random_state)
        self._seeds = random_state.randint(np.iinfo(np.int32).max, size=self.n_estimators)
        members = [clone(template).set_params(random_state=int(seed)) for seed in self._seeds]
        whole = self._splits is None and self._draws is None
        rows = None if whole else self.estimators_samples_
        fit_many(members, X, y, sample_weight=sample_weight, rows=rows, num_threads=threads_of(self.n_jobs))
        self.estimators_ = members
        for name in ("oob_score_", self._unseen):
            self.__dict__.pop(name, None)
        if self.oob_score:
            self._judge_unseen(X, y, rows)
        return self

    def _template(self) -> Any:
        if self.estimator is None:
            return self._member()
        if not isinstance(self.estimator, self._member):
            raise TypeError(
                f"estimator must be an {self._member.__name__} or None, got {self.estimator!r}. Steps before "
                "it go before the ensemble: make_pipeline(StandardScaler(), "
                f"{type(self).__name__}(...))."
            )
        return self.estimator

    def _training_rows(self, X: Any, y: Any, groups: Any) -> list[np.ndarray] | None:
        """Return the rows of each split that its members are trained on; None without splits."""
        if self.cv is None:
            if groups is not None:
                raise ValueError("groups are for cv, which is None; set cv=GroupKFold(5), say.")
            return None
        if isinstance(self.cv, Integral) and self.cv > X.shape[0]:
            raise ValueError(f"cv={self.cv} folds need as many rows, got n_samples={X.shape[0]}.")
        cv = check_cv(self.cv, y, classifier=is_classifier(self))
        found = [np.asarray(train) for train, _ in cv.split(X, y, groups)]
        if len(found) > self.n_estimators:
            raise ValueError(
                f"n_estimators={self.n_estimators} is less than the {len(found)} folds of cv, of which each "
                f"needs a member; set n_estimators={len(found)} or a multiple of it."
            )
        return found

    def _rows_to_draw(self) -> Any:
        """Return how many rows a bootstrap sample has, or their share; None without bootstrap."""
        if self.bootstrap:
            return 1.0 if self.max_samples is None else self.max_samples
        if self.max_samples is not None:
            raise ValueError(
                f"max_samples={self.max_samples!r} is for bootstrap samples; set bootstrap=True, or leave it "
                "at None."
            )
        return None

    @property
    def estimators_samples_(self) -> list[np.ndarray]:
        """Rows that each member was trained on, in the order in which it got them."""
        return [self._rows_of(i) for i in range(len(self._seeds))]

    def _rows_of(self, member: int) -> np.ndarray:
        # Drawn again whenever somebody asks: kept, they would outgrow the members.
        splits, draws = self._splits, self._draws
        found = np.arange(self._n_samples) if splits is None else splits[member % len(splits)]
        if draws is None:
            return found
        count = draws if isinstance(draws, Integral) else max(1, round(draws * len(found)))
        return found[np.random.default_rng(self._seeds[member]).integers(len(found), size=count)]

    def _judge_unseen(self, X: Any, y: Any, rows: Any) -> None:
        """Predict each row by the members that have not seen it, and score that."""
        mean: Any = None
        count = np.zeros(self._n_samples, int)
        for member, seen in zip(self.estimators_, rows, strict=True):
            unseen = np.ones(self._n_samples, bool)
            unseen[seen] = False
            if unseen.any():
                found = self._said(member, X[np.flatnonzero(unseen)])
                if mean is None:
                    mean = np.zeros((self._n_samples, *found.shape[1:]))
                mean[unseen] += found
                count[unseen] += 1
        known = np.flatnonzero(count)
        if len(known) < len(count):
            warn(
                f"{len(count) - len(known)} of {len(count)} rows were seen by every member: their "
                f"{self._unseen} is NaN. More members leave fewer such rows.",
                UserWarning,
            )
        if mean is None:
            mean = np.full(self._n_samples, np.nan)
        with np.errstate(invalid="ignore"):
            mean /= count.reshape(-1, *[1] * (mean.ndim - 1))
        setattr(self, self._unseen, mean)
        score = self.oob_score if callable(self.oob_score) else self._scorer
        self.oob_score_ = score(y[known], self._decided(mean[known])) if len(known) else np.nan

    # Predicting ---------------------------------------------------------------------------------------------

    def _moments(self, X: Any, return_std: bool) -> Any:
        """Return the mean of what the members say, and on request its standard deviation."""
        check_is_fitted(self, "estimators_")
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        said = np.stack([self._said(member, X) for member in self.estimators_])
        mean = said.mean(axis=0)
        return (mean, said.std(axis=0)) if return_std else mean

    # What subclasses say ------------------------------------------------------------------------------------

    @abstractmethod
    def _validate_input(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Return rows and targets, checked."""

    @abstractmethod
    def _said(self, member: Any, X: Any) -> np.ndarray:
        """Return a member's predictions, those that are averaged."""

    @abstractmethod
    def _decided(self, mean: np.ndarray) -> np.ndarray:
        """Return what `predict` returns."""

    _scorer: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class MLPEnsembleClassifier(ClassifierMixin, BaseMLPEnsemble):
    """Several `MLPClassifier` of different seeds, whose probabilities are averaged.

    Parameters
    ----------
    estimator : MLPClassifier, optional
        What the members are like; ``estimator__alpha`` is its ``alpha`` in a search. Its ``random_state``
        does not matter.
    n_estimators : int
        Number of members.
    bootstrap : bool
        Whether each member is trained on a sample of the rows, drawn with replacement; else on all.
    max_samples : int or float, optional
        Rows of a bootstrap sample, or their share; by default, as many as there are.
    cv : int, splitter or iterable, optional
        Member i is trained without fold i of these, from the first again after the last. An int is that many
        folds, stratified, as everywhere in scikit-learn; other folds for each round:
        ``RepeatedStratifiedKFold``. With ``bootstrap=True``, samples are drawn from the other folds.
    oob_score : bool or callable
        Whether to predict each row by the members that have not seen it, and to score that: by accuracy, or
        by ``oob_score(y, predicted)``.
    n_jobs : int, optional
        Threads to train with; None and -1 are as many as fastnn may use, -2 one less.
    random_state : int, RandomState or None
        Of the members' seeds, and of bootstrap samples.

    Attributes
    ----------
    estimators_ : list of MLPClassifier
        Each the same, to the bit, as one trained alone with its ``random_state`` on its rows.
    estimators_samples_ : list of ndarray
        Those rows.
    classes_ : ndarray
        A class that a member's rows had not has probability 0 there.
    oob_score_ : float
    oob_decision_function_ : ndarray, (rows, classes)
        Mean probabilities by the members that have not seen the row, NaN where all have. Both only with
        ``oob_score``.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where the columns have names.
    """

    _member = MLPClassifier
    _unseen = "oob_decision_function_"
    _scorer = staticmethod(accuracy_score)

    def predict(self, X):
        """Return the classes of rows ``X``, or of several labels an indicator matrix."""
        return self._decided(self._moments(X, False))

    def predict_proba(self, X, return_std=False):
        """Return the mean probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix, (rows, features)
        return_std : bool
            Whether to return their standard deviations over the members, too.

        Returns
        -------
        ndarray, (rows, classes), or two of them
        """
        return self._moments(X, return_std)

    def predict_log_proba(self, X):
        """Return the logarithms of `predict_proba`."""
        found = self.predict_proba(X)
        return np.log(found, out=found)

    def _validate_input(self, X: Any, y: Any) -> tuple[Any, Any]:
        X, y = checked(self, X, y)
        self._label_binarizer = LabelBinarizer().fit(y)
        self.classes_ = self._label_binarizer.classes_
        return X, y

    def _said(self, member: Any, X: Any) -> np.ndarray:
        found = member.predict_proba(X)
        if len(member.classes_) == len(self.classes_) == found.shape[1]:
            return found
        out = np.zeros((len(found), len(self.classes_)), found.dtype)
        # of one class alone, a member has no probabilities
        known = np.searchsorted(self.classes_, member.classes_)
        out[:, known] = found if len(known) > 1 else 1
        return out

    def _decided(self, mean: np.ndarray) -> np.ndarray:
        binary = self._label_binarizer.y_type_ == "binary"
        return self._label_binarizer.inverse_transform(mean[:, -1] if binary else mean)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPEnsembleRegressor(RegressorMixin, BaseMLPEnsemble):
    """Several `MLPRegressor` of different seeds, whose predictions are averaged.

    Parameters
    ----------
    estimator : MLPRegressor, optional
    n_estimators, bootstrap, max_samples, cv, oob_score, n_jobs, random_state
        As of `MLPEnsembleClassifier`; the score is R2, and folds are not stratified.

    Attributes
    ----------
    estimators_ : list of MLPRegressor
    oob_prediction_ : ndarray, (rows,) or (rows, outputs)
        Mean predictions by the members that have not seen the row, NaN where all have.
    estimators_samples_, oob_score_, n_features_in_, feature_names_in_
        As of `MLPEnsembleClassifier`.
    """

    _member = MLPRegressor
    _unseen = "oob_prediction_"
    _scorer = staticmethod(r2_score)

    def predict(self, X, return_std=False):
        """Return the mean of the members' predictions.

        Parameters
        ----------
        X : array-like or sparse matrix, (rows, features)
        return_std : bool
            Whether to return their standard deviations, too: how far the members disagree, which is not how
            far the targets scatter.

        Returns
        -------
        ndarray, (rows,) or (rows, outputs), or two of them
        """
        return self._moments(X, return_std)

    def _validate_input(self, X: Any, y: Any) -> tuple[Any, Any]:
        return checked(self, X, y, y_numeric=True)

    def _said(self, member: Any, X: Any) -> np.ndarray:
        return member.predict(X)

    def _decided(self, mean: np.ndarray) -> np.ndarray:
        return mean
