"""Callbacks that end a training; they also run natively, where nothing else needs Python between epochs."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn.errors import warn
from fastnn.hooks import Callback
from fastnn.progress import write


class Monitor(Callback):
    """Base of the callbacks that watch one key of the logs.

    Parameters
    ----------
    monitor : str
        A key of the history.
    mode : {"auto", "min", "max"}
        Whether small or large is good; "auto" knows it for losses and the metrics of this package.
    min_delta : float
        A change must be larger than this to be an improvement.
    """

    def __init__(self, monitor="val_loss", mode="auto", min_delta=0):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{self._kind}: mode={mode!r}: must be 'auto', 'min' or 'max'.")
        if not isinstance(monitor, str):
            raise TypeError(f"{self._kind}: monitor must be a key of the history, got {monitor!r}.")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(self._number("min_delta", min_delta))

    @property
    def _kind(self) -> str:
        return type(self).__name__

    def direction(self, model: Any) -> str:
        """Return "min" or "max", of this model's metric where ``mode`` is "auto"."""
        if self.mode != "auto":
            return self.mode
        found = model.metric_direction(self.monitor.removeprefix("val_"))
        if found is None:
            raise ValueError(
                f"{self._kind}: monitor={self.monitor!r} is not a metric whose direction is known; pass "
                "mode='min' or 'max'."
            )
        return found

    def improves(self, value: float, reference: float | None, direction: str) -> bool:
        """Whether ``value`` is better than ``reference`` by more than ``min_delta``."""
        if reference is None:
            return True
        if direction == "min":
            return value + self.min_delta < reference
        return value - self.min_delta > reference

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, str) or not hasattr(value, "__float__"):
            raise TypeError(f"{self._kind}: {name} must be a number, got {value!r}.")
        return float(value)

    def _count(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{self._kind}: {name} must be a whole number of epochs, got {value!r}.")
        if value < 0:
            raise ValueError(f"{self._kind}: {name} must not be negative, got {value}.")
        return value.__index__()


class EarlyStopping(Monitor):
    """Stop when a metric has not improved for a while.

    Parameters
    ----------
    monitor : str
        A key of the history.
    min_delta : float
        A change must be larger than this to be an improvement.
    patience : int
        Epochs without improvement after which training stops.
    verbose : {0, 1}
        1 prints when it stops.
    mode : {"auto", "min", "max"}
        Whether small or large is good; "auto" knows it for losses and the metrics of this package.
    baseline : float, optional
        Stop as well while this is not reached.
    restore_best_weights : bool
        At the end, go back to the weights of the best epoch.
    start_from_epoch : int
        Epochs to let pass first.

    Attributes
    ----------
    best : float or None
    best_epoch, stopped_epoch, wait : int
    best_weights : list of ndarray or None
        With ``restore_best_weights``.
    """

    def __init__(
        self,
        monitor="val_loss",
        min_delta=0,
        patience=0,
        verbose=0,
        mode="auto",
        baseline=None,
        restore_best_weights=False,
        start_from_epoch=0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience = self._count("patience", patience)
        self.verbose = verbose
        self.baseline = None if baseline is None else self._number("baseline", baseline)
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = self._count("start_from_epoch", start_from_epoch)
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        direction = self.direction(self.model)
        current = logs.get(self.monitor)
        if current is None:
            warn_not_there(self.monitor, logs)
            return
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self.improves(current, self.best, direction):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improves(current, self.baseline, direction):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.say()
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def say(self) -> None:
        """Print what happened, where ``verbose`` asks for it."""
        if self.verbose and self.stopped_epoch > 0:
            write(f"Epoch {self.stopped_epoch + 1}: early stopping\n")
        if self.verbose and self.restore_best_weights and self.best is not None:
            write(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.\n")


def warn_not_there(monitor: str, logs: Iterable[str], what: str = "Early stopping") -> None:
    """Say, in Keras's words, that there is nothing to monitor."""
    warn(
        f"{what} conditioned on metric `{monitor}` which is not available. "
        f"Available metrics are: {','.join(logs)}",
        UserWarning,
    )


class StopAtLoss(Monitor):
    """Stop as soon as an epoch's loss, or another metric, is good enough. (Not in Keras.)

    Of itself it does not interrupt the native epochs: the compiled loop looks at the value.

    Parameters
    ----------
    threshold : float
        Training stops after the first epoch whose value is at most this (``mode="max"``: at least).
    monitor : str
        A key of the history.
    mode : {"auto", "min", "max"}
        Whether small or large is good; "auto" knows it for losses and the metrics of this package.
    verbose : {0, 1}
        1 prints when it stops.

    Attributes
    ----------
    stopped_epoch : int or None
        Number of the epoch that reached the threshold, from 0.
    """

    def __init__(self, threshold, monitor="loss", mode="auto", verbose=0):
        super().__init__(monitor, mode)
        self.threshold = self._number("threshold", threshold)
        if self.threshold != self.threshold:
            raise ValueError("StopAtLoss: threshold must be a number, got NaN.")
        self.verbose = verbose
        self.stopped_epoch: int | None = None

    def reaches(self, value: float, direction: str) -> bool:
        """Whether ``value`` is good enough."""
        return value <= self.threshold if direction == "min" else value >= self.threshold

    def on_train_begin(self, logs=None):
        self.stopped_epoch = None

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.monitor not in logs:
            warn_not_there(self.monitor, logs, "StopAtLoss is")
        elif self.reaches(logs[self.monitor], self.direction(self.model)):
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.say()

    def say(self) -> None:
        """Print what happened, where ``verbose`` asks for it."""
        if self.verbose and self.stopped_epoch is not None:
            sign = "<=" if self.direction(self.model) == "min" else ">="
            write(f"Epoch {self.stopped_epoch + 1}: {self.monitor} {sign} {self.threshold:g}\n")


class TerminateOnNaN(Callback):
    """Where the loss becomes NaN or infinite, end the training quietly instead of raising.

    The history then ends with the epoch in which that happened, and its loss. Unlike Keras's, the model keeps
    its last finite weights, and the epoch in question runs to its end. NaN among the data is an error as
    ever.

    Parameters
    ----------
    raise_error : bool
        Raise RuntimeError instead of stopping; `on_train_end` of the callbacks is not called then.
    """

    def __init__(self, raise_error: bool = False):
        super().__init__()
        self.raise_error = bool(raise_error)

    # `fit` looks for this callback and calls this, once; no hook of every batch is needed.
    def on_divergence(self, epoch: int, loss: float) -> None:
        """Say that epoch number ``epoch`` has ended with an invalid loss, and stop."""
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered in epoch {epoch + 1}. Loss value: {loss}. The model keeps its "
                "last finite weights."
            )
        write(f"Epoch {epoch + 1}: Invalid loss, terminating training\n")
        self.model.stop_training = True
