"""``MLPRegressor``."""

from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastnn.estimators.base import BaseMLP
from fastnn.estimators.objective import Objective, has_exponential_outputs, of_regressor
from fastnn.estimators.options import QUANTILE, losses
from fastnn.estimators.validation import checked


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron for numbers: scikit-learn's ``MLPRegressor``, over compiled training.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber", "quantile"}, a Loss, or a function
        Half the squared error, or half the Poisson deviance, with exponential outputs, of targets of at
        least 0; as ``fastnn.losses`` has them, and means over the outputs, the absolute error, Huber's loss
        (squares up to 1), and the pinball loss. A Loss may be one of your own, a function is one out of
        ``fastnn.losses``.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t
        As of `MLPClassifier`, and so the following:
    max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping,
    validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun
    quantile : float
        Of ``loss="quantile"``: the share of targets that shall lie below the predictions.
    dropout, batch_norm, layer_norm, l1, clipnorm, clipvalue, global_clipnorm, callbacks
        As of `MLPClassifier`.

    Attributes
    ----------
    validation_scores_, best_validation_score_
        R2 of the validation data, with ``early_stopping=True`` or callbacks; else None.
    coefs_, intercepts_, norms_, loss_, best_loss_, loss_curve_, validation_loss_curve_, best_validation_loss_
        As of `MLPClassifier`.
    n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As of `MLPClassifier`.
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        **BaseMLP._parameter_constraints,
        "loss": losses("squared_error", "poisson", "absolute_error", "huber", "quantile"),
        "quantile": QUANTILE,
    }

    def __init__(
        self,
        loss="squared_error",
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
        quantile=0.5,
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
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch more.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Return what is expected of rows ``X``, (rows,) or (rows, outputs)."""
        check_is_fitted(self)
        return self._decided(self._outputs(X))

    def _decided(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def _score(self, y: np.ndarray, outputs: np.ndarray, sample_weight: Any) -> float:
        if not np.isfinite(outputs).all() or len(y) < 2:
            return float("nan")
        kinds = [a.dtype for a in (y, outputs, sample_weight) if a is not None and a.dtype.kind == "f"]
        y = y.astype(np.result_type(*kinds), copy=False)
        weight = 1.0 if sample_weight is None else sample_weight[:, None]
        off = (weight * (y - outputs) ** 2).sum(axis=0)
        spread = (weight * (y - np.average(y, axis=0, weights=sample_weight)) ** 2).sum(axis=0)
        # as scikit-learn has it where all targets are equal: 1 if they are met, else 0
        missed = np.divide(off, spread, out=(off != 0).astype(off.dtype), where=spread != 0)
        return float(np.average(1 - missed))

    def _output(self) -> str:
        return "exp" if has_exponential_outputs(self.loss) else "identity"

    def _objective(self, dtype: Any) -> Objective:
        return of_regressor(self.loss, self.n_outputs_, dtype, self.quantile)

    def _constant(self, y: np.ndarray, sample_weight: Any, batch_size: int) -> float:
        """Return what a deviance has beside ``prediction - y * log(prediction)``: y alone decides it."""
        if not isinstance(self.loss, str) or self.loss != "poisson":
            return 0.0
        rows = (xlogy(y, y) - y).sum(axis=1)
        if sample_weight is None:
            return float(rows.mean())
        starts = np.arange(0, len(y), batch_size)
        totals = np.add.reduceat(sample_weight, starts)
        sums = np.add.reduceat(rows * sample_weight, starts)
        means = np.divide(sums, totals, out=np.zeros(len(starts)), where=totals != 0)
        return float(np.average(means, weights=np.diff([*starts, len(y)])))

    def _validate_held(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        return self._validate_input(X, y, False, reset=False)

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        return checked(self, X, y, y_numeric=True, reset=reset)
