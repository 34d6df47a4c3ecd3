"""What classifier and regressor have in common: ``fit``, ``partial_fit`` and the solvers."""

from abc import ABC
from functools import cache
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastnn.errors import warn
from fastnn.estimators.architecture import Weights, first_weights, plan, require_layers
from fastnn.estimators.fitting import NOT_FINITE, Fitting
from fastnn.estimators.networks import Forward, LossAndGradient, Trainer, dense
from fastnn.estimators.objective import Objective
from fastnn.estimators.optimization import optimization
from fastnn.estimators.options import CONSTRAINTS, require_together
from fastnn.estimators.validation import Part


class BaseMLP(BaseEstimator, ABC):
    """A multi-layer perceptron with scikit-learn's interface; see its two subclasses."""

    _parameter_constraints: dict[str, Any] = CONSTRAINTS

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        # signatures take long to inspect, and a search asks for each of its fits
        return super()._get_param_names()

    def _take(self, given: dict[str, Any]) -> None:
        """Keep the constructor's arguments as they are."""
        for name in self._get_param_names():
            setattr(self, name, given[name])

    # Fitting ------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train on rows ``X`` and their targets.

        Parameters
        ----------
        X : array-like or sparse matrix, (rows, features)
            Of float32, training is in float32, else in float64. A sparse matrix is made dense.
        y : array-like, (rows,) or (rows, outputs)
            Of a classifier, classes, or (rows, labels) of 0 and 1.
        sample_weight : array-like, (rows,), optional
        X_val, y_val, sample_weight_val : array-like, optional
            Validation data, as the three before, which ``early_stopping`` takes instead of rows held out. In
            a pipeline, ``Pipeline(..., transform_input=["X_val"])`` transforms them as the others.

        Returns
        -------
        self
        """
        held = None
        if X_val is not None and y_val is not None:
            held = X_val, y_val, sample_weight_val
        elif any(given is not None for given in (X_val, y_val, sample_weight_val)):
            raise ValueError("X_val and y_val must be given together; sample_weight_val is of both.")
        return self._fit(X, y, sample_weight, held=held)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool = False, held: Any = None) -> Any:
        fitting = self._begin(X, y, sample_weight, incremental, held=held)
        if fitting is not None:
            fitting.run()
        self._require_finite()
        return self

    def _begin(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        incremental: bool = False,
        validate: Any = None,
        held: Any = None,
        generator: Any = None,
    ) -> Fitting | None:
        """Check the data and draw the first weights; return the training to run, None where it is done.

        ``validate`` takes the place of `_validate_input`, ``generator`` that of a new one for
        ``random_state``; ``held`` are validation data.
        """
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        require_together(self, incremental, held is not None)
        require_layers(self.activation, self.dropout, len(sizes))
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = (validate or self._validate_input)(X, y, incremental, reset=first)
        train = self._part(X, y, sample_weight)
        self.n_outputs_ = train.y.shape[1]
        by_class = self._class_weights(train.y)
        if held is not None:
            X, y = self._validate_held(*held[:2])
            held = self._part(X, y, held[2])
            if held.y.shape[1] != self.n_outputs_:
                raise ValueError(f"y_val has {held.y.shape[1]} columns, but y has {self.n_outputs_}.")
        if by_class is not None:
            train, held = [
                part and part._replace(sample_weight=by_class.rows(part.y, part.sample_weight))
                for part in (train, held)
            ]
        self._random_state = generator or check_random_state(self.random_state)
        if first:
            self._initialize([train.X.shape[1], *sizes, self.n_outputs_], train.X.dtype)
        if not hasattr(self, "_forward"):
            self._forward = Forward()
        if isinstance(self.solver, str) and self.solver == "lbfgs":
            self._fit_lbfgs(*train)
            return None
        return Fitting(self, train, held, incremental)

    def _part(self, X: Any, y: np.ndarray, sample_weight: Any) -> Part:
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        return Part(X, y.reshape(-1, 1) if y.ndim == 1 else y, sample_weight)

    def _require_finite(self) -> None:
        if not all(np.isfinite(w).all() for w in self._weights().flat()):
            raise ValueError(NOT_FINITE)

    def _initialize(self, sizes: list[int], dtype: Any) -> None:
        """Draw the first weights, and begin the records."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._output()
        self._keep(first_weights(self, sizes, dtype, self._random_state))
        self._best = self._weights().copy()
        if not isinstance(self.solver, str) or self.solver != "lbfgs":
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            scored = self.early_stopping and self.early_stopping != "loss"
            self.best_loss_: Any = None if self.early_stopping else np.inf
            self.validation_scores_: Any = [] if scored else None
            self.best_validation_score_: Any = -np.inf if scored else None
            self.validation_loss_curve_: Any = None
            self.best_validation_loss_: Any = None

    def _weights(self) -> Weights:
        # those set by hand have no normalizations
        return Weights(self.coefs_, self.intercepts_, getattr(self, "norms_", []))

    def _keep(self, weights: Weights) -> None:
        self.coefs_, self.intercepts_, self.norms_ = weights

    def _fit_lbfgs(self, X: Any, y: np.ndarray, sample_weight: Any) -> None:
        # SciPy's vector of weights is float64, and so is all that scikit-learn makes of it
        double = np.dtype(np.float64)
        weights = self._weights()
        weights = weights.like([w.astype(double) for w in weights.flat()])
        self._keep(weights)
        objective = self._objective(double)
        rows = dense(X, double), objective.targets(y, double)
        layers = plan(weights, self.activation, self.out_activation_)
        trainer = Trainer(weights, layers, objective, optimization(self))
        net = trainer.prepare(weights, self.l1, self.alpha, sample_weight is not None)
        objective.look(net, *rows)
        given = None if sample_weight is None else dense(sample_weight, double)
        constant = self._constant(y, sample_weight, len(y))
        function = LossAndGradient(net, (*rows, given), weights, constant)
        found = minimize(
            function,
            function.packed(weights),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol},
        )
        self.n_iter_ = min(found.nit, self.max_iter)
        if found.status != 0:
            more = "\nIncrease the number of iterations to improve the convergence "
            more = f"{more}(max_iter={self.max_iter})." if self.n_iter_ == self.max_iter else ""
            warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s) (status={found.status}):\n"
                f"{found.message}\n{more}\nYou might also want to scale the data as shown in:\n"
                "    https://scikit-learn.org/stable/modules/preprocessing.html",
                ConvergenceWarning,
            )
        self.loss_ = found.fun
        self._keep(function.unpacked(found.x))

    def _batch_rows(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                UserWarning,
            )
        return min(self.batch_size, rows)

    # Predicting ---------------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> np.ndarray:
        return self._computed(self._rows(X))

    def _rows(self, X: Any) -> Any:
        """Return rows as `_computed` takes them."""
        return validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)

    def _computed(self, X: Any) -> np.ndarray:
        """Return the outputs for rows that have been checked."""
        forward = getattr(self, "_forward", None) or Forward()  # of weights set by hand there is none
        return forward(X, self._weights(), self.activation, self.out_activation_)

    # What subclasses say ------------------------------------------------------------------------------------

    def _objective(self, dtype: Any) -> Objective:
        """Return what the network is trained for."""
        raise NotImplementedError

    def _class_weights(self, y: np.ndarray) -> Any:
        """Return the `ClassWeights` of targets, if there are any."""
        return None

    def _constant(self, y: np.ndarray, sample_weight: Any, batch_size: int) -> float:
        """Return what scikit-learn's loss has that the network's has not."""
        return 0.0

    def _score(self, y: np.ndarray, outputs: np.ndarray, sample_weight: Any) -> float:
        """Return what `score` says of rows with these outputs; scikit-learn's metrics take far longer."""
        raise NotImplementedError

    def _native_score(self) -> str | None:
        """Return the kernels' metric that is `_score` without weights, if there is one."""
        return None

    def _has_partial_fit(self) -> bool:
        if isinstance(self.solver, str) and self.solver == "lbfgs":
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
