"""One stochastic fit of an estimator: epochs in native calls, what they bring to be entered afterwards.

Whether an epoch was an improvement is decided twice by the same rule: by the schedule, which so knows when to
return from a native call (``rule="tolerance"`` of `Training`), and here, where the estimator's records are
kept. Where Python has to look between epochs, each is a call of its own.
"""

import math
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastnn.errors import warn
from fastnn.estimators.architecture import calls_python, plan
from fastnn.estimators.networks import Trainer, dense
from fastnn.estimators.optimization import optimization
from fastnn.estimators.validation import Part, Validation, hold_out
from fastnn.estimators.watching import Watch

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
    train : Part
    held : Part or None
        Validation data, where they are given.
    incremental : bool
        Whether this is `partial_fit`.
    """

    def __init__(self, estimator: Any, train: Part, held: Part | None, incremental: bool):
        e = self.estimator = estimator
        if e.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        self.incremental = incremental
        # what the best weights are chosen by, and the end: "" is the training's loss
        self.stops_on = "loss" if e.early_stopping == "loss" else "score" if e.early_stopping else ""
        self.trainer = trainer = e._trainer = self._trainer_of()
        if held is None and e.early_stopping:
            train, held = hold_out(e, train)
        batch_size = e._batch_rows(train.X.shape[0])
        self.constant = e._constant(train.y, train.sample_weight, batch_size)
        x = dense(train.X, trainer.dtype)
        y = trainer.objective.targets(train.y, trainer.dtype)
        weight = None if train.sample_weight is None else dense(train.sample_weight, trainer.dtype)
        # dropout needs a seed too
        draws = e.shuffle or any(layer[0] == "drop" for layer in trainer.layers)
        seed = int(e._random_state.randint(2**31 - 1)) if draws else 0
        self.held = None if held is None else Validation(e, trainer, held)
        self._begin_records()
        self.epochs = 1 if incremental else e.max_iter
        self.rows = len(x)
        self.watch = Watch(e, trainer, self.epochs)
        falls = e.solver == "sgd" and e.learning_rate == "invscaling"
        # with a constant, sums would round differently here and there
        self.by_epoch = self.watch.by_epoch or falls or self.constant != 0
        judged = None if self.held is None or self.by_epoch else self.held.native(self.scores)
        self.by_epoch = self.by_epoch or (self.held is not None and judged is None)
        validation, metrics = judged or (None, [])
        self.judged = validation is not None  # by native epochs
        self.quiet = not self.by_epoch and not e.verbose and not self.watch
        self.improved = False  # whether the native epochs have kept weights that are the best
        net = trainer.prepare(e._weights(), e.l1, e.alpha, weight is not None, metrics)
        trainer.objective.look(net, x, y)
        stopping = None if self.by_epoch else self._stopping(1 + len(metrics))
        self.training = trainer.begin(
            x, y, weight, batch_size, e.shuffle, seed, self.epochs, stopping, validation
        )
        # whether its native calls need Python, and cannot go along with others
        self.alone = self.training.calls_python or calls_python(trainer.layers)
        self.seen = 0  # epochs of the training that are entered
        self.done = False
        e.n_iter_ = 0
        try:
            self.watch.begin(self.training.steps)
        except BaseException:
            trainer.close()
            self.watch.leave()
            raise

    def _trainer_of(self) -> Trainer:
        # a new one, or the one of the call before, which remembers what its optimizer does
        e, weights = self.estimator, self.estimator._weights()
        before = getattr(e, "_trainer", None)
        if self.incremental and before is not None:
            return before
        objective = e._objective(weights.coefs[0].dtype)
        layers = plan(weights, e.activation, e.out_activation_, e.dropout)
        if e.warm_start == "optimizer" and before is not None and before.fits(weights, layers):
            before.objective, before.optimization = objective, optimization(e)
            return before
        return Trainer(weights, layers, objective, optimization(e))

    def _begin_records(self) -> None:
        # what an earlier fit, with other arguments, may not have begun
        e = self.estimator
        self.scores = self.held is not None and (self.stops_on == "score" or bool(e.callbacks))
        if self.held is not None and e.validation_loss_curve_ is None:
            e.validation_loss_curve_, e.best_validation_loss_ = [], math.inf
        if self.scores and e.validation_scores_ is None:
            e.validation_scores_, e.best_validation_score_ = [], -math.inf
        if not self.stops_on and e.best_loss_ is None:
            e.best_loss_ = math.inf

    def _stopping(self, results: int) -> dict[str, Any]:
        """Return the rule by which the schedule returns; so many columns are the training's own."""
        e = self.estimator
        column, best = {
            "": (0, e.best_loss_),
            "loss": (results, e.best_validation_loss_),
            "score": (results + 1, e.best_validation_score_),
        }[self.stops_on]
        return {
            "rule": "tolerance",
            "column": column,
            "mode": "max" if self.stops_on == "score" else "min",
            "min_delta": e.tol,
            "patience": min(e.n_iter_no_change, 2**62),
            "best": best,
            "wait": e._no_improvement_count,
            "restore_best_weights": bool(self.stops_on),
        }

    def run(self) -> None:
        """Train to the end, and give the estimator its weights."""
        try:
            self.train()
        except KeyboardInterrupt:
            self.interrupt()
        finally:
            self.end()

    def train(self) -> None:
        """Train to the end; `end` comes after."""
        while not self.done:
            error = None
            try:
                self.training.run(1 if self.by_epoch else self.epochs, SLICE)
            except FloatingPointError as found:
                error = found
            self.look(error)

    def look(self, error: Exception | None = None) -> None:
        """Enter the epochs of the last native call, which raised `error`; `done` says if that is all."""
        e = self.estimator
        if error is not None:
            self._diverge(error)
        rows = self.training.logs[self.seen :]
        if self.trainer.diverged:  # not the epoch in which that was
            finite = np.logical_and.accumulate(np.isfinite(rows[:, 0])).sum()
            rows = rows[: 0 if self.by_epoch else finite]
        if self.quiet:
            self._enter_all(rows)
        else:
            for row in rows.tolist():
                self._enter(row)
        while self.trainer.diverged and not self.done:
            self._enter([math.nan] * self.training.logs.shape[1])
        if e.solver == "sgd" and e.learning_rate == "invscaling" and not self.done:
            self.trainer.rate = e.learning_rate_init / (e.t_ + 1) ** e.power_t

    def _diverge(self, error: Exception) -> None:
        if not isinstance(error, FloatingPointError):
            raise error
        self.trainer.diverged = True
        if not self.stops_on:
            raise ValueError(NOT_FINITE)

    def _enter(self, row: list[float]) -> None:
        # an epoch, and what follows from it
        e = self.estimator
        e.loss_ = row[0] + self.constant
        self.seen += 1
        e.n_iter_ += 1
        e.t_ += self.rows
        e.loss_curve_.append(e.loss_)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        logs = {"loss": e.loss_, **self._validate(row)}
        self._judge()
        stops = False
        if self.watch.by_epoch:
            e._keep(self.trainer.weights())
            stops = self.watch.epoch(e.n_iter_ - 1, logs)
        self._see_end()
        if stops:
            self.done = True
        if self.done:
            self.watch.end()
        elif self.watch.by_epoch:
            self.watch.next(e.n_iter_)

    def _enter_all(self, rows: np.ndarray) -> None:
        # the same of many epochs, which the schedule has judged
        e = self.estimator
        if not len(rows):
            return
        count, losses = len(rows), rows[:, 0].tolist()
        e.loss_ = losses[-1]
        self.seen += count
        e.n_iter_ += count
        e.t_ += self.rows * count
        e.loss_curve_.extend(losses)
        if not self.stops_on:
            e.best_loss_ = self.training.best
        if self.judged:
            self._enter_judged(rows[:, rows.shape[1] // 2 :])
        e._no_improvement_count = self.training.wait
        self._see_end()

    def _enter_judged(self, rows: np.ndarray) -> None:
        # what many epochs say of the validation data: loss and, where it is asked for, score
        e = self.estimator
        watched = "best_validation_score_" if self.stops_on == "score" else "best_validation_loss_"
        before = getattr(e, watched)
        e.validation_loss_curve_.extend(rows[:, 0].tolist())
        e.best_validation_loss_ = float(np.fmin.reduce(rows[:, 0], initial=e.best_validation_loss_))
        if self.scores:
            e.validation_scores_.extend(rows[:, 1].tolist())
            e.best_validation_score_ = float(np.fmax.reduce(rows[:, 1], initial=e.best_validation_score_))
        self.improved = self.improved or getattr(e, watched) != before

    def _see_end(self) -> None:
        e = self.estimator
        if e._no_improvement_count > e.n_iter_no_change and self._ends():
            self.done = True
        elif e.n_iter_ == self.epochs:
            self.done = True
            if e.n_iter_ == e.max_iter and not self.incremental:
                warn(
                    f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and the optimization "
                    "hasn't converged yet.",
                    ConvergenceWarning,
                )

    def _validate(self, row: list[float]) -> dict[str, float]:
        # loss and score of the validation data, entered; callbacks see them as the epoch's logs
        e = self.estimator
        if self.held is None:
            return {}
        native = row[len(row) // 2 :]
        found = {"val_loss": native[0] if self.judged else self.held.loss()}
        e.validation_loss_curve_.append(found["val_loss"])
        if self.scores:
            found["val_score"] = native[1] if self.judged else self.held.score()
            e.validation_scores_.append(found["val_score"])
        if e.verbose and self.stops_on == "score":
            print(f"Validation score: {found['val_score']:f}")
        elif e.verbose:
            print(f"Validation loss: {found['val_loss']:.8f}")
        return found

    def _judge(self) -> None:
        # whether the epoch was an improvement: of the loss, or of the validation data's score or loss
        e = self.estimator
        found = {}
        if not self.stops_on:
            found[""] = self._compared("best_loss_", e.loss_, -1)
        if self.held is not None:
            found["loss"] = self._compared("best_validation_loss_", e.validation_loss_curve_[-1], -1)
        if self.scores:
            found["score"] = self._compared("best_validation_score_", e.validation_scores_[-1], 1)
        improved, better = found[self.stops_on]
        if better and self.judged:
            self.improved = True
        elif better and self.stops_on:
            e._best = self.trainer.weights()
        e._no_improvement_count = 0 if improved else e._no_improvement_count + 1

    def _compared(self, name: str, value: float, sign: int) -> tuple[bool, bool]:
        # whether a value is no worse than the best up to then by the tolerance, and whether it is better
        e, best = self.estimator, getattr(self.estimator, name)
        better = sign * value > sign * best
        if better:
            setattr(e, name, value)
        return not sign * value < sign * best + e.tol, better

    def _ends(self) -> bool:
        # after too many epochs without an improvement: whether training ends; else it goes on slower
        e = self.estimator
        what = {"": "Training loss", "loss": "Validation loss", "score": "Validation score"}[self.stops_on]
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
        warn("Training interrupted by user.", UserWarning)

    def end(self) -> None:
        """Give the weights to the estimator, whatever happened."""
        e = self.estimator
        if self.judged and self.stops_on and (self.improved or not self.trainer.diverged):
            self.training.finish()  # with the best weights, where any were better than those before
            if self.training.restored:
                e._best = self.trainer.weights()
        self.trainer.close()
        if not self.stops_on:
            self.trainer.average()
        e._keep(e._best if self.stops_on else self.trainer.weights())
        self.watch.leave()
