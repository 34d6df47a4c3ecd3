"""``from_sklearn``: a fitted multi-layer perceptron, scikit-learn's or one of our estimators, as a model."""

from typing import Any

import numpy as np

from fastnn import optimizers
from fastnn.convert.common import blaming, require
from fastnn.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    InputLayer,
    Layer,
    LayerNormalization,
)
from fastnn.models import Sequential
from fastnn.optimizers import Optimizer

# scikit-learn's names, of hidden layers and of the last one, where ours are others
_NAMES = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}
_VECTORS = ("gamma", "beta", "moving_mean", "moving_variance")


def from_sklearn(estimator: Any) -> Sequential:
    """Return a model with the layers and weights of a fitted ``MLPClassifier`` or ``MLPRegressor``.

    It is compiled with the loss that the estimator was trained with and an optimizer like its solver: Adam
    and SGD with its numbers ("lbfgs" becomes Adam), without what they remember. ``alpha``, whose effect
    depends on the rows of a batch, and the estimator's own learning-rate schedules and early stopping stay
    behind.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        scikit-learn's, or fastnn's; fitted.

    Returns
    -------
    Sequential
        What its ``predict(X)`` returns is, beside the estimator's methods:

        - of a regressor, ``predict(X)``, always of shape (rows, outputs);
        - of a classifier of three or more classes, ``predict_proba(X)``: the columns are in the order of
          ``classes_``, so that ``classes_[p.argmax(axis=1)]`` is the estimator's ``predict(X)``;
        - of two classes, one column, that of ``classes_[1]``: ``predict_proba(X)[:, 1:]``;
        - of several labels at once, ``predict_proba(X)``, a probability for each.

        Its ``fit`` takes class numbers, places in ``classes_``, instead of labels.

    Raises
    ------
    ValueError
        Where the estimator is not fitted, or trained for a loss that models do not have.
    TypeError
        For something else.
    ImportError
        Where scikit-learn is not installed.

    Examples
    --------
    >>> model = fastnn.convert.from_sklearn(MLPClassifier().fit(X, y))
    >>> model.predict(X)
    """
    networks = require("sklearn.neural_network", "scikit-learn", "from_sklearn")
    from fastnn import estimators

    kinds = (networks.MLPClassifier, networks.MLPRegressor, estimators.MLPClassifier, estimators.MLPRegressor)
    if not isinstance(estimator, kinds):
        raise TypeError(
            "from_sklearn takes an MLPClassifier or MLPRegressor, got "
            f"{type(estimator).__module__}.{type(estimator).__qualname__}."
        )
    kind = type(estimator).__name__
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"from_sklearn: this {kind} is not fitted yet; call fit(X, y) first.")
    with blaming(f"from_sklearn: this {kind} cannot be taken"):
        dtype = np.result_type(*estimator.coefs_).name
        layers, weights = _layers(estimator, dtype)
        inputs = InputLayer((estimator.coefs_[0].shape[0],), dtype=dtype)
        model = Sequential([inputs, *layers])
        model.set_weights(weights)
        model.compile(_optimizer(estimator), _loss(estimator))
    return model


def _layers(e: Any, dtype: str) -> tuple[list[Layer], list[np.ndarray]]:
    """Return the layers, and their weights in order."""
    layers: list[Layer] = []
    weights: list[np.ndarray] = []
    norms = getattr(e, "norms_", [])
    *hidden, last = range(len(e.coefs_))
    names, rates = (_each(value, len(hidden)) for value in (e.activation, getattr(e, "dropout", 0.0)))
    for i in hidden:
        weights += [e.coefs_[i], e.intercepts_[i]]
        units, activation = e.coefs_[i].shape[1], _NAMES.get(_hashable(names[i]), names[i])
        if norms:
            norm = BatchNormalization if "moving_mean" in norms[i] else LayerNormalization
            weights += [norms[i][name] for name in _VECTORS if name in norms[i]]
            layers += [Dense(units, dtype=dtype), norm(dtype=dtype), Activation(activation, dtype=dtype)]
        else:
            layers.append(Dense(units, activation, dtype=dtype))
        if rates[i]:
            layers.append(Dropout(float(rates[i]), dtype=dtype))
    activation = _NAMES.get(e.out_activation_, e.out_activation_)
    layers.append(Dense(e.coefs_[last].shape[1], activation, dtype=dtype))
    return layers, [*weights, e.coefs_[last], e.intercepts_[last]]


def _each(value: Any, count: int) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] * count


def _hashable(name: Any) -> str:
    return name if isinstance(name, str) else ""


def _loss(e: Any) -> Any:
    """Return the loss of a model that corresponds to the estimator's."""
    if hasattr(e, "classes_"):
        name = "sparse_categorical_crossentropy" if e.out_activation_ == "softmax" else "binary_crossentropy"
        if getattr(e, "loss", "log_loss") == "log_loss":
            return name
    known = {"squared_error": "mse", "poisson": "poisson", "absolute_error": "mae", "huber": "huber"}
    return known.get(e.loss, e.loss) if isinstance(e.loss, str) else e.loss


def _optimizer(e: Any) -> Optimizer:
    """Return an optimizer as the estimator's solver is."""
    solver = e.solver
    if isinstance(solver, Optimizer):
        return type(solver).from_config(solver.get_config())
    rate = float(e.learning_rate_init)
    if solver == "sgd":
        return optimizers.SGD(rate, momentum=float(e.momentum), nesterov=bool(e.nesterovs_momentum))
    if solver in ("adam", "lbfgs"):
        return optimizers.Adam(rate, beta_1=float(e.beta_1), beta_2=float(e.beta_2), epsilon=float(e.epsilon))
    return optimizers.TABLE[solver](learning_rate=rate)
