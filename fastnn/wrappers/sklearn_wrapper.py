"""``SKLearnClassifier``, ``SKLearnRegressor``, ``SKLearnTransformer``: models as estimators."""

import copy
from typing import Any

import numpy as np

try:
    from sklearn.utils.validation import validate_data  # of scikit-learn 1.6
except ImportError as error:
    raise ImportError(
        "fastnn.wrappers needs scikit-learn 1.6 or newer, which is not installed: "
        "pip install 'fastnn-cpu[sklearn]'"
    ) from error

import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from fastnn import config
from fastnn.models import Model, clone_model


class SKLBase(BaseEstimator):
    """A model, or a function that makes one, as an estimator; see its three subclasses."""

    def __init__(self, model, warm_start=False, model_kwargs=None, fit_kwargs=None):
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True  # seeds are the process's: utils.set_random_seed
        return tags

    def set_fit_request(self, **kwargs):
        """Say which metadata `fit` takes, by name: True, False, None or an alias.

        scikit-learn's metadata routing must be enabled. What `fit` is given beside X and y it passes on, so
        that any name may be asked for.

        Returns
        -------
        self
        """
        if not sklearn.get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_fit_request is for metadata routing, which is not enabled: call "
                "sklearn.set_config(enable_metadata_routing=True) first."
            )
        requests = self._get_metadata_request()
        for param, alias in kwargs.items():
            requests.fit.add_request(param=param, alias=alias)
        self._metadata_request = requests
        return self

    @property
    def epoch_(self) -> int:
        """Epochs of the last `fit`."""
        return len(self.history_.epoch) if hasattr(self, "history_") else 0

    def fit(self, X, y, **kwargs):
        """Train a model.

        Parameters
        ----------
        X : array-like, (rows, features)
        y : array-like, (rows,) or (rows, outputs)
        **kwargs
            Arguments of the model's ``fit``; they go before ``fit_kwargs``.

        Returns
        -------
        self
        """
        X, y = self._validated(X, y)
        y = self._process_target(y)
        model = self._get_model(X, y)
        self.history_ = model.fit(X, self._targets_of(model, y), **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def _get_model(self, X: Any, y: Any) -> Any:
        """Return the model to train, checked."""
        if isinstance(self.model, Model):
            return self.model if self.warm_start else _untrained(_compiled(self.model))
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if not callable(self.model):
            raise TypeError(
                f"model must be a compiled Sequential, or a function of X and y that returns one, got "
                f"{self.model!r} of type {type(self.model).__name__}."
            )
        made = self.model(X=X, y=y, **(self.model_kwargs or {}))
        if not isinstance(made, Model):
            raise TypeError(f"model(X=, y=) must return a Sequential, got {made!r} of {type(made).__name__}.")
        return _compiled(made)

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self.model_.predict(validate_data(self, X, reset=False))

    def _validated(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _process_target(self, y: np.ndarray) -> np.ndarray:
        """Return targets as a function that makes models sees them."""
        self._one_column = y.ndim == 1
        return y.reshape(len(y), -1)

    def _targets_of(self, model: Any, y: np.ndarray) -> np.ndarray:
        """Return targets as this model's loss takes them."""
        return y


class SKLearnClassifier(ClassifierMixin, SKLBase):
    """A model that classifies, with scikit-learn's interface: Keras's ``wrappers.SKLearnClassifier``.

    Parameters
    ----------
    model : Sequential or callable
        Compiled. Each `fit` trains a copy of it, with new weights. A function is called as
        ``model(X=X, y=y, **model_kwargs)``, y with a column of 0 and 1 for each class, and returns a compiled
        model. For two classes one unit is enough; with "sparse_categorical_crossentropy", targets are class
        numbers.
    warm_start : bool
        Whether `fit` goes on with the model of the `fit` before, or with the very model given.
    model_kwargs : dict, optional
        For a function.
    fit_kwargs : dict, optional
        For the model's ``fit``: epochs, batch_size, ...

    Attributes
    ----------
    model_ : Sequential
    history_ : History
    epoch_ : int
    classes_ : ndarray
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where the columns have names.
    """

    def predict(self, X):
        """Return the classes of rows ``X``."""
        scores = self.decision_function(X)
        numbers = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[numbers]

    def predict_proba(self, X):
        """Return the probabilities of the classes, (rows, classes).

        They are the model's outputs, through a sigmoid or softmax where its loss takes logits.
        """
        found = self._outputs(X)
        if self._native().from_logits:
            found = _sigmoid(found) if self._native().loss.startswith("binary") else _softmax(found)
        return np.hstack([1 - found, found]) if found.shape[1] == 1 else found

    def decision_function(self, X):
        """Return the model's outputs, (rows, classes).

        Of two classes, in scikit-learn's shape: (rows,), above 0 for the second one. Keras returns two
        columns there.
        """
        found = self._outputs(X)
        if found.shape[1] == 1:
            return found[:, 0] if self._native().from_logits else 2 * found[:, 0] - 1
        return found[:, 1] - found[:, 0] if len(self.classes_) == 2 else found

    def _native(self) -> Any:
        return self.model_._native("predict")

    def _validated(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"{type(self).__name__} takes one class for each row, got y of type {kind!r}.")
        return X, y

    def _process_target(self, y: np.ndarray) -> np.ndarray:
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(f"A classifier needs two classes or more, got one class: {self.classes_[0]}.")
        return np.eye(len(self.classes_), dtype=config.floatx())[numbers]

    def _targets_of(self, model: Any, y: np.ndarray) -> np.ndarray:
        units = model._units()
        if units == 1 and y.shape[1] == 2:
            return y[:, 1:]
        if units < y.shape[1]:
            raise ValueError(
                f"y has {y.shape[1]} classes, but the model has {units} output(s); its last layer needs a "
                "unit for each class, or one unit for two classes."
            )
        return y.argmax(axis=1) if model._native("fit", y).kind == "class" else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class SKLearnRegressor(RegressorMixin, SKLBase):
    """A model that predicts numbers, with scikit-learn's interface: Keras's ``wrappers.SKLearnRegressor``.

    Parameters
    ----------
    model : Sequential or callable
        As of `SKLearnClassifier`; a function sees y as (rows, outputs).
    warm_start, model_kwargs, fit_kwargs
        As of `SKLearnClassifier`.

    Attributes
    ----------
    model_, history_, epoch_, n_features_in_, feature_names_in_
        As of `SKLearnClassifier`.
    """

    def predict(self, X):
        """Return what is expected of rows ``X``: (rows,), or (rows, outputs) of several."""
        found = self._outputs(X)
        return found[:, 0] if self._one_column and found.shape[1] == 1 else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class SKLearnTransformer(TransformerMixin, SKLBase):
    """A model whose outputs are features for others: Keras's ``wrappers.SKLearnTransformer``.

    Parameters
    ----------
    model : Sequential or callable
        As of `SKLearnRegressor`.
    warm_start, model_kwargs, fit_kwargs
        As of `SKLearnClassifier`.

    Attributes
    ----------
    model_, history_, epoch_, n_features_in_, feature_names_in_
        As of `SKLearnClassifier`.
    """

    def transform(self, X):
        """Return the model's outputs for rows ``X``, (rows, outputs)."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _compiled(model: Any) -> Any:
    if not model.compiled or not model.loss or not model.optimizer:
        raise RuntimeError(
            f"Model {model.name!r} is not compiled with a loss and an optimizer: "
            "model.compile(optimizer='adam', loss='mse')."
        )
    return model


def _untrained(model: Any) -> Any:
    """Return a copy with new weights, compiled alike, its optimizer fresh."""
    twin = clone_model(model)
    given = model._compiled
    twin.compile(
        type(given.optimizer).from_config(given.optimizer.get_config()),
        given.loss,
        metrics=copy.deepcopy(given.metrics),  # which count
        weighted_metrics=copy.deepcopy(given.weighted_metrics),
        precision=given.precision,
    )
    return twin


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # by tanh: exp would overflow
    return 0.5 * (1 + np.tanh(0.5 * x))


def _softmax(x: np.ndarray) -> np.ndarray:
    found = np.exp(x - x.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)
