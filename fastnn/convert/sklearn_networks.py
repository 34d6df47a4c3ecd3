"""``from_sklearn``: a fitted multi-layer perceptron, scikit-learn's or one of our estimators, as a model."""

from typing import Any

import numpy as np

from fastnn import losses, optimizers
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
from fastnn.optimizers.schedules import LearningRateSchedule

# scikit-learn's names, of hidden layers and of the last one, where ours are others
_NAMES = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}
_VECTORS = ("gamma", "beta", "moving_mean", "moving_variance")


def from_sklearn(estimator: Any) -> Sequential:
    """Return a model with the layers and weights of a fitted ``MLPClassifier`` or ``MLPRegressor``.

    It is compiled with the loss that the estimator was trained with, and an optimizer like its solver, with
    its numbers but not what it remembers; "lbfgs" becomes Adam. What models have other means for stays
    behind: the penalties ``alpha`` and ``l1``, class weights, "invscaling" and "adaptive" learning rates, and
    early stopping.

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

        Its ``fit`` takes class numbers, places in ``classes_``, instead of labels (of several classes and
        fastnn's loss "focal", one-hot rows).

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
    given = getattr(e, "loss", "squared_error")  # before scikit-learn 1.7, regressors had but one
    if not isinstance(given, str):
        return given
    several = e.out_activation_ == "softmax"
    if given == "log_loss":
        return "sparse_categorical_crossentropy" if several else "binary_crossentropy"
    if given == "focal":
        gamma = float(e.gamma)
        if several:
            return losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=gamma)
        return losses.BinaryFocalCrossentropy(gamma=gamma)
    if given == "quantile":
        return losses.Quantile(float(e.quantile))
    return {"squared_error": "mse", "absolute_error": "mae"}.get(given, given)


def _optimizer(e: Any) -> Optimizer:
    """Return an optimizer as the estimator's solver is."""
    solver = e.solver
    if isinstance(solver, Optimizer):
        config = solver.get_config()
    elif solver == "sgd":
        config = {"momentum": float(e.momentum), "nesterov": bool(e.nesterovs_momentum)}
    elif solver in ("adam", "lbfgs"):
        config = {name: float(getattr(e, name)) for name in ("beta_1", "beta_2", "epsilon")}
    else:
        config = {}
    if isinstance(solver, str):
        clips = {name: getattr(e, name, None) for name in ("clipnorm", "clipvalue", "global_clipnorm")}
        config = {"learning_rate": float(e.learning_rate_init), **clips, **config}
    if isinstance(e.learning_rate, LearningRateSchedule):
        config["learning_rate"] = e.learning_rate
    kind = type(solver) if isinstance(solver, Optimizer) else optimizers.TABLE.get(solver, optimizers.Adam)
    return kind.from_config(config)
