"""``MLPClassifier``."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted

from fastnn.estimators.base import BaseMLP
from fastnn.estimators.objective import Objective, of_classifier
from fastnn.estimators.options import CLASS_WEIGHT, GAMMA, losses
from fastnn.estimators.validation import checked
from fastnn.estimators.weighting import ClassWeights


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multi-layer perceptron that classifies: scikit-learn's ``MLPClassifier``, over compiled training.

    The outputs are probabilities: of one class of several (softmax), of two (one logistic output), or of
    several labels at once (a logistic output each). Arguments up to ``max_fun`` are scikit-learn's.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int
        Units of each hidden layer.
    activation : {"identity", "logistic", "tanh", "relu"}, any other of ``fastnn.activations``, or list
        Of the hidden layers; of a list, one of each. Names, or functions as layers take them.
    solver : {"lbfgs", "sgd", "adam"}, another name out of ``fastnn.optimizers``, or an Optimizer
        "lbfgs" is SciPy's, on all rows at once, in float64. Another name has ``learning_rate_init`` and else
        that optimizer's defaults; an Optimizer (which is not changed) has its own rate.
    alpha : float
        ``alpha / 2`` times the sum of the squares of the kernels is added to the losses' sum of each batch.
    batch_size : int or "auto"
        "auto" is ``min(200, rows)``.
    learning_rate : {"constant", "invscaling", "adaptive"}, or a LearningRateSchedule
        The names, of "sgd": "invscaling" divides ``learning_rate_init`` by ``t_ ** power_t`` after each
        epoch, "adaptive" divides the rate by 5 where training would otherwise stop, until it is 1e-6. A
        schedule out of ``fastnn.optimizers.schedules``, or one of your own, is of all solvers but "lbfgs".
    learning_rate_init : float
    power_t : float
    max_iter : int
        Epochs at most; of "lbfgs", iterations.
    shuffle : bool
        Whether each epoch takes the rows in another order.
    random_state : int, RandomState or None
        Of the first weights (the same as scikit-learn's), of the split for early stopping, of the order of
        the rows, and of dropout.
    tol : float
        Less improvement than this is none.
    verbose : bool
        Whether to print a line for each epoch.
    warm_start : bool or "optimizer"
        Whether `fit` goes on from the weights of the `fit` before; "optimizer": and from what the optimizer
        remembers, with the learning rate and all else as they are set now.
    momentum : float
        Of "sgd".
    nesterovs_momentum : bool
    early_stopping : bool or "loss"
        Whether to hold out rows (or take the validation data that `fit` is given), stop where their score
        does not improve, and end with the best weights; "loss": where their loss does not improve.
    validation_fraction : float
        Share of the rows that are held out.
    beta_1, beta_2, epsilon : float
        Of "adam".
    n_iter_no_change : int
        Epochs without an improvement after which training stops.
    max_fun : int
        Of "lbfgs": calls of the loss at most.
    loss : {"log_loss", "focal"}, a Loss, or a function out of ``fastnn.losses``
        "focal" multiplies the log-loss of what has probability p by ``(1 - p) ** gamma``. A Loss, also one
        of your own, gets probabilities, and targets one-hot, or class numbers where it takes those.
    gamma : float
        Of "focal".
    class_weight : dict, list of dict, "balanced" or None
        By class, what its rows' weights are multiplied by; "balanced" makes classes count the same. Of
        several labels, a list with a dict for each, and the factors are multiplied. In validation data too.
    dropout : float, or list of float
        Share of a hidden layer's outputs that each step leaves out; of a list, of each layer.
    batch_norm, layer_norm : bool
        Whether hidden layers are normalized, before their activation: by ``BatchNormalization``, or by
        ``LayerNormalization``.
    l1 : float
        ``l1`` times the sum of the kernels' absolute values is added, as ``alpha``'s is.
    clipnorm, clipvalue, global_clipnorm : float, optional
        Most that the norm of one array's gradient, any element, or the norm of all gradients may be; one of
        them.
    callbacks : list of Callback, optional
        Which see epochs: ``logs`` are loss, and of validation data val_loss and val_score. Their ``model``
        is this estimator, with its weights as they are then, and what a model's callbacks use:
        ``stop_training``, ``optimizer.learning_rate``, ``get_weights()``, ``set_weights(weights)``.

    Attributes
    ----------
    classes_ : ndarray
    coefs_, intercepts_ : list of ndarray
        Kernels (inputs, units) and biases (units,) of each layer. They may be changed.
    norms_ : list of dict
        Of each hidden layer "gamma" and "beta", (units,), and with ``batch_norm`` "moving_mean" and
        "moving_variance"; empty without normalization. They may be changed.
    loss_ : float
        Of the last epoch, penalty included.
    best_loss_ : float or None
        None with early stopping.
    loss_curve_ : list of float
        Of each epoch; not with "lbfgs".
    validation_scores_, best_validation_score_
        Accuracies of the validation data, with ``early_stopping=True`` or callbacks; else None.
    validation_loss_curve_, best_validation_loss_
        Losses of the validation data, penalties not included; None where there are none.
    n_iter_ : int
        Epochs of the last `fit`.
    t_ : int
        Rows trained on.
    n_layers_, n_outputs_ : int
    out_activation_ : str
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where the columns have names.
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        **BaseMLP._parameter_constraints,
        "loss": losses("log_loss", "focal"),
        "gamma": GAMMA,
        "class_weight": CLASS_WEIGHT,
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        loss="log_loss",
        gamma=2.0,
        class_weight=None,
        dropout=0.0,
        batch_norm=False,
        layer_norm=False,
        l1=0.0,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        callbacks=None,
    ):
        self._take(locals())

    @available_if(lambda self: self._has_partial_fit())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch more.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array-like, (classes,)
            All there will be; for the first call.

        Returns
        -------
        self
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Return the classes of rows ``X``, or of several labels an indicator matrix."""
        check_is_fitted(self)
        return self._decided(self._outputs(X))

    def predict_proba(self, X):
        """Return the probabilities of the classes, (rows, classes), in the order of ``classes_``."""
        check_is_fitted(self)
        found = self._outputs(X)
        if self.n_outputs_ == 1:
            return np.hstack([1 - found, found])
        return found

    def predict_log_proba(self, X):
        """Return the logarithms of `predict_proba`."""
        found = self.predict_proba(X)
        return np.log(found, out=found)

    def _decided(self, outputs: np.ndarray) -> np.ndarray:
        return self._label_binarizer.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs)

    def _score(self, y: np.ndarray, outputs: np.ndarray, sample_weight: Any) -> float:
        if self.out_activation_ == "softmax":
            right = outputs.argmax(axis=1) == y.argmax(axis=1)
        else:
            right = ((outputs > 0.5) == y).all(axis=1) | (len(self.classes_) == 1)
        return float(np.average(right, weights=sample_weight))

    def _native_score(self) -> str | None:
        if self.out_activation_ == "softmax":
            by_number = self._trainer.objective.resolved.targets == "class"
            return "sparse_categorical_accuracy" if by_number else "categorical_accuracy"
        return "binary_accuracy" if self.n_outputs_ == 1 and len(self.classes_) > 1 else None

    def _output(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _objective(self, dtype: Any) -> Objective:
        return of_classifier(self.loss, self.out_activation_, self.n_outputs_, self.gamma)

    def _class_weights(self, y: np.ndarray) -> ClassWeights | None:
        if self.class_weight is None:
            return None
        labels = self._label_binarizer.y_type_.startswith("multilabel")
        return ClassWeights(self.class_weight, self.classes_, y, labels)

    def _validate_held(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        X, y = checked(self, X, y, reset=False)
        classes = np.setdiff1d(unique_labels(y), self.classes_)
        if len(classes):
            raise ValueError(f"y_val has classes that y has not: {classes}; y has {self.classes_}.")
        return X, self._label_binarizer.transform(y).astype(bool)

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        X, y = checked(self, X, y, reset=reset)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            classes = unique_labels(y)
            if self.warm_start and set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to "
                    f"fit. Previously got {self.classes_}, `y` has {classes}"
                )
            if not self.warm_start and len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
                raise ValueError(
                    "`y` has classes not in `self.classes_`. "
                    f"`self.classes_` has {self.classes_}. 'y' has {classes}."
                )
        return X, self._label_binarizer.transform(y).astype(bool)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
