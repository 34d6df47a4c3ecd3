"""One stochastic fit of an estimator: epochs in native calls, what they bring to be entered afterwards.

Whether an epoch was an improvement is decided twice by the same rule: by the schedule, which so knows when to
return from a native call (``rule="tolerance"`` of `Training`), and here, where the estimator's records are
kept. Where Python has to look between epochs, each is a call of its own.
"""

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastnn.estimators.networks import dense

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
    "preprocessed."
)
SLICE = 0.05  # seconds of a native call, after which signals and printed lines get their turn


class Fitting:
    """A fit, or a `partial_fit`, that has begun.

    Parameters
    ----------
    estimator : BaseMLP
        Its weights drawn, its records begun.
    X : ndarray or sparse matrix, (rows, features)
    y : ndarray, (rows, outputs)
    sample_weight : ndarray, (rows,), or None
    incremental : bool
        Whether this is `partial_fit`.
    """

    def __init__(self, estimator: Any, X: Any, y: np.ndarray, sample_weight: Any, incremental: bool):
        e = self.estimator = estimator
        if e.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if not incremental or not hasattr(e, "_trainer"):
            e._trainer = e._trainer_of(e.solver, e._hyper())
        self.trainer = trainer = e._trainer
        self.incremental = incremental
        self.held = None
        if e.early_stopping:
            (X, y, sample_weight), self.held = self._hold_out(X, y, sample_weight)
        batch_size = e._batch_rows(X.shape[0])
        self.constant = e._constant(y, sample_weight, batch_size)
        x, y, sample_weight = e._arrays(X, y, sample_weight, trainer.dtype)
        seed = int(e._random_state.randint(2**31 - 1)) if e.shuffle else None
        trainer.prepare((e.coefs_, e.intercepts_), e.alpha, sample_weight is not None)
        self.epochs = 1 if incremental else e.max_iter
        self.rows = len(x)
        falls = e.solver == "sgd" and e.learning_rate == "invscaling"
        # with a constant, sums would round differently here and there
        self.by_epoch = self.held is not None or falls or self.constant != 0
        self.quiet = not self.by_epoch and not e.verbose
        stopping = None if self.by_epoch else self._stopping()
        self.training = trainer.begin(x, y, sample_weight, batch_size, seed, self.epochs, stopping)
        self.seen = 0  # epochs of the training that are entered
        self.done = False
        e.n_iter_ = 0

    def _stopping(self) -> dict[str, Any]:
        """Return the rule by which the schedule returns."""
        e = self.estimator
        return {
            "rule": "tolerance",
            "column": 0,
            "mode": "min",
            "min_delta": e.tol,
            "patience": min(e.n_iter_no_change, 2**62),
            "best": e.best_loss_,
            "wait": e._no_improvement_count,
        }

    def run(self) -> None:
        """Train to the end."""
        try:
            while not self.done:
                error = None
                try:
                    self.training.run(1 if self.by_epoch else self.epochs, SLICE)
                except FloatingPointError as found:
                    error = found
                self.look(error)
        except KeyboardInterrupt:
            self.interrupt()
        finally:
            self.end()

    def look(self, error: Exception | None = None) -> None:
        """Enter the epochs of the last native call, which raised `error`; `done` says if that is all."""
        e = self.estimator
        if error is not None:
            self._diverge(error)
        losses = self.training.logs[self.seen :, 0].tolist() if not self.trainer.diverged else []
        if self.quiet:
            self._enter_all(losses)
        else:
            for loss in losses:
                self._enter(loss)
        while self.trainer.diverged and not self.done:
            self._enter(math.nan)
        if e.solver == "sgd" and e.learning_rate == "invscaling" and not self.done:
            self.trainer.rate = e.learning_rate_init / (e.t_ + 1) ** e.power_t

    def _diverge(self, error: Exception) -> None:
        if not isinstance(error, FloatingPointError):
            raise error
        self.trainer.diverged = True
        if self.held is None:
            raise ValueError(NOT_FINITE)

    def _enter(self, loss: float) -> None:
        # an epoch, and what follows from it
        e = self.estimator
        e.loss_ = loss + self.constant
        self.seen += 1
        e.n_iter_ += 1
        e.t_ += self.rows
        e.loss_curve_.append(e.loss_)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        self._judge()
        self._see_end()

    def _enter_all(self, losses: list[float]) -> None:
        # the same of many epochs, which the schedule has judged
        e = self.estimator
        if not losses:
            return
        e.loss_ = losses[-1]
        self.seen += len(losses)
        e.n_iter_ += len(losses)
        e.t_ += self.rows * len(losses)
        e.loss_curve_.extend(losses)
        e.best_loss_, e._no_improvement_count = self.training.best, self.training.wait
        self._see_end()

    def _see_end(self) -> None:
        e = self.estimator
        if e._no_improvement_count > e.n_iter_no_change and self._ends():
            self.done = True
        elif e.n_iter_ == self.epochs:
            self.done = True
            if e.n_iter_ == e.max_iter and not self.incremental:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and the optimization "
                    "hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=7,
                )

    def _judge(self) -> None:
        # whether the epoch was an improvement: of the loss, or of the score of the rows held out
        e = self.estimator
        if self.held is None:
            best = e.best_loss_
            improved = not e.loss_ > best - e.tol
            e.best_loss_ = min(best, e.loss_)
        else:
            score, best = self._score(*self.held), e.best_validation_score_
            e.validation_scores_.append(score)
            if e.verbose:
                print(f"Validation score: {score:f}")
            improved = not score < best + e.tol
            if score > best:
                e.best_validation_score_ = score
                e._best = self.trainer.weights()
        e._no_improvement_count = 0 if improved else e._no_improvement_count + 1

    def _score(self, x: np.ndarray, y: np.ndarray, sample_weight: Any) -> float:
        e = self.estimator
        if self.trainer.diverged:
            return float("nan")
        return e._scorer(y, e._decided(self.trainer.predict(x)), sample_weight=sample_weight)

    def _ends(self) -> bool:
        # after too many epochs without an improvement: whether training ends; else it goes on slower
        e = self.estimator
        what = "Validation score" if e.early_stopping else "Training loss"
        told = (
            f"{what} did not improve more than tol={e.tol:f} for {e.n_iter_no_change:d} consecutive epochs."
        )
        ends = True
        if e.solver != "sgd" or e.learning_rate != "adaptive":
            told += " Stopping."
        elif self.trainer.rate <= 1e-6:
            told += " Learning rate too small. Stopping."
        else:
            ends = False
            self.trainer.rate /= 5.0
            e._no_improvement_count = 0
            told += f" Setting learning rate to {self.trainer.rate:f}"
        if e.verbose:
            print(told)
        return ends

    def interrupt(self) -> None:
        """Enter what was trained before Ctrl-C, and warn, as scikit-learn does."""
        if not self.done:
            self.look()
        self.done = True
        warnings.warn("Training interrupted by user.", stacklevel=6)

    def end(self) -> None:
        """Give the weights to the estimator, whatever happened."""
        e = self.estimator
        self.trainer.close()
        e.coefs_, e.intercepts_ = self.trainer.weights() if self.held is None else e._best

    def _hold_out(self, X: Any, y: np.ndarray, sample_weight: Any) -> Any:
        """Return rows to train on, and rows to score: each X, y and weights."""
        e = self.estimator
        arrays = (X, y) if sample_weight is None else (X, y, sample_weight)
        parts = train_test_split(
            *arrays,
            random_state=e._random_state,
            test_size=e.validation_fraction,
            stratify=y if is_classifier(e) and e.n_outputs_ == 1 else None,
        )
        train, held = parts[::2], parts[1::2]
        if held[0].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        if sample_weight is None:
            train, held = [*train, None], [*held, None]
        return train, (dense(held[0], self.trainer.dtype), e._labels(held[1]), held[2])
