"""What classifier and regressor have in common: ``fit``, ``partial_fit`` and the solvers."""

import warnings
from abc import ABC
from functools import cache
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastnn.estimators.fitting import NOT_FINITE, Fitting
from fastnn.estimators.networks import Forward, LossAndGradient, Trainer, dense, targets

STOCHASTIC = ("sgd", "adam")


class BaseMLP(BaseEstimator, ABC):
    """A multi-layer perceptron with scikit-learn's interface; see its two subclasses."""

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
    }

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
    def fit(self, X, y, sample_weight=None):
        """Train on rows ``X`` and their targets.

        Parameters
        ----------
        X : array-like or sparse matrix, (rows, features)
            Of float32, training is in float32, else in float64. A sparse matrix is made dense.
        y : array-like, (rows,) or (rows, outputs)
            Of a classifier, classes, or (rows, labels) of 0 and 1.
        sample_weight : array-like, (rows,), optional

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool = False) -> Any:
        fitting = self._begin(X, y, sample_weight, incremental)
        if fitting is not None:
            fitting.run()
        self._require_finite()
        return self

    def _begin(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool = False, validate: Any = None
    ) -> Fitting | None:
        """Check the data and draw the first weights; return the training to run, None where it is done.

        ``validate`` takes the place of `_validate_input`.
        """
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = (validate or self._validate_input)(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        if y.ndim == 1:
            y = y.reshape(-1, 1)
        self.n_outputs_ = y.shape[1]
        self._random_state = check_random_state(self.random_state)
        if first:
            self._initialize([X.shape[1], *sizes, self.n_outputs_], X.dtype)
        if not hasattr(self, "_forward"):
            self._forward = Forward()
        if self.solver == "lbfgs":
            self._fit_lbfgs(X, y, sample_weight)
            return None
        return Fitting(self, X, y, sample_weight, incremental)

    def _require_finite(self) -> None:
        if not all(np.isfinite(w).all() for w in [*self.coefs_, *self.intercepts_]):
            raise ValueError(NOT_FINITE)

    def _initialize(self, sizes: list[int], dtype: Any) -> None:
        """Draw weights as scikit-learn does (Glorot and Bengio, 2010), and begin the records."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._output()
        self.coefs_, self.intercepts_ = [], []
        for inputs, units in pairwise(sizes):
            bound = np.sqrt((2.0 if self.activation == "logistic" else 6.0) / (inputs + units))
            draw = self._random_state.uniform
            self.coefs_.append(draw(-bound, bound, (inputs, units)).astype(dtype, copy=False))
            self.intercepts_.append(draw(-bound, bound, units).astype(dtype, copy=False))
        self._best = [w.copy() for w in self.coefs_], [b.copy() for b in self.intercepts_]
        if self.solver in STOCHASTIC:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            early = self.early_stopping
            self.best_loss_: Any = None if early else np.inf
            self.validation_scores_: Any = [] if early else None
            self.best_validation_score_: Any = -np.inf if early else None

    def _trainer_of(self, solver: str, hyper: dict[str, float]) -> Trainer:
        return Trainer((self.coefs_, self.intercepts_), self.activation, self.out_activation_, solver, hyper)

    def _arrays(self, X: Any, y: np.ndarray, sample_weight: Any, dtype: Any) -> Any:
        """Return rows, targets and weights as the kernels read them."""
        weights = None if sample_weight is None else dense(sample_weight, dtype)
        return dense(X, dtype), targets(y, self.out_activation_, dtype), weights

    def _fit_lbfgs(self, X: Any, y: np.ndarray, sample_weight: Any) -> None:
        # SciPy's vector of weights is float64, and so is all that scikit-learn makes of it
        self.coefs_ = [w.astype(np.float64) for w in self.coefs_]
        self.intercepts_ = [b.astype(np.float64) for b in self.intercepts_]
        weights = self.coefs_, self.intercepts_
        rows = self._arrays(X, y, sample_weight, np.float64)
        net = self._trainer_of("sgd", {}).prepare(weights, self.alpha, sample_weight is not None)
        function = LossAndGradient(net, rows, weights, self._constant(y, sample_weight, len(y)))
        found = minimize(
            function,
            function.packed([*self.coefs_, *self.intercepts_]),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol},
        )
        self.n_iter_ = min(found.nit, self.max_iter)
        if found.status != 0:
            more = "\nIncrease the number of iterations to improve the convergence "
            more = f"{more}(max_iter={self.max_iter})." if self.n_iter_ == self.max_iter else ""
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s) (status={found.status}):\n"
                f"{found.message}\n{more}\nYou might also want to scale the data as shown in:\n"
                "    https://scikit-learn.org/stable/modules/preprocessing.html",
                ConvergenceWarning,
                stacklevel=6,
            )
        self.loss_ = found.fun
        self.coefs_, self.intercepts_ = function.unpacked(found.x)

    def _hyper(self) -> dict[str, float]:
        """Return the optimizer's hyper-parameters."""
        if self.solver == "sgd":
            return {
                "learning_rate": float(self.learning_rate_init),
                "momentum": self.momentum,
                "nesterov": float(self.nesterovs_momentum),
            }
        return {
            "learning_rate": float(self.learning_rate_init),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def _batch_rows(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                stacklevel=7,
            )
        return min(self.batch_size, rows)

    # Predicting ---------------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> np.ndarray:
        return self._computed(self._checked(X))

    def _checked(self, X: Any) -> Any:
        """Return rows as `_computed` takes them."""
        return validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)

    def _computed(self, X: Any) -> np.ndarray:
        """Return the outputs for rows that have been checked."""
        forward = getattr(self, "_forward", None) or Forward()  # of weights set by hand there is none
        return forward(X, (self.coefs_, self.intercepts_), self.activation, self.out_activation_)

    # What subclasses say ------------------------------------------------------------------------------------

    def _constant(self, y: np.ndarray, sample_weight: Any, batch_size: int) -> float:
        """Return what scikit-learn's loss has that the network's has not."""
        return 0.0

    def _labels(self, y: np.ndarray) -> np.ndarray:
        """Return targets as `_scorer` takes them."""
        return y

    def _has_partial_fit(self) -> bool:
        if self.solver not in STOCHASTIC:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
