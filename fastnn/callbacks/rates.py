"""Callbacks that set the learning rate between epochs."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.callbacks.stopping import Monitor, warn_not_there
from fastnn.hooks import Callback
from fastnn.progress import write


class ReduceLROnPlateau(Monitor):
    """Lower the learning rate when a metric has stopped improving.

    After ``patience`` epochs without improvement, ``rate = max(rate * factor, min_lr)``. The rate is entered
    in the logs and the history as ``"learning_rate"``.

    Parameters
    ----------
    monitor : str
        A key of the history.
    factor : float
        Below 1.
    patience : int
        Epochs without improvement after which the rate is lowered.
    verbose : {0, 1}
        1 prints each change.
    mode : {"auto", "min", "max"}
        Whether small or large is good; "auto" knows it for losses and the metrics of this package.
    min_delta : float
        A change must be larger than this to be an improvement.
    cooldown : int
        Epochs after a change in which nothing is counted.
    min_lr : float
        The rate goes no lower.
    """

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.factor = self._number("factor", factor)
        if not 0 <= self.factor < 1:
            raise ValueError(
                f"ReduceLROnPlateau: factor must be at least 0 and below 1, got {factor!r}: the rate is "
                "multiplied by it."
            )
        self.patience = self._count("patience", patience)
        self.verbose = verbose
        self.cooldown = self._count("cooldown", cooldown)
        self.min_lr = self._number("min_lr", min_lr)
        if not self.min_lr >= 0:
            raise ValueError(f"ReduceLROnPlateau: min_lr must not be negative, got {min_lr!r}.")
        self._reset()

    def _reset(self) -> None:
        self.best: float | None = None
        self.wait = self.cooldown_counter = 0

    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            warn_not_there(self.monitor, logs, "Learning rate reduction is")
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(current, self.best, self.direction(self.model)):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        old = float(optimizer.learning_rate)
        if old <= np.float32(self.min_lr):
            return
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        if self.verbose > 0:
            write(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.\n")
        self.cooldown_counter = self.cooldown
        self.wait = 0


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch.

    The rate is entered in the logs and the history as ``"learning_rate"``.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, rate) -> rate``: from the number of the epoch, counted from 0, and the present rate,
        a float; ``schedule(epoch)`` is taken as well.
    verbose : {0, 1}
        1 prints each rate.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0):
        super().__init__()
        if not callable(schedule):
            raise TypeError(
                f"LearningRateScheduler: schedule must be a function of (epoch, rate), got {schedule!r}."
            )
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch, logs=None):
        optimizer: Any = self.model.optimizer
        try:
            rate = self.schedule(epoch, float(optimizer.learning_rate))
        except TypeError:  # a function of the epoch alone
            rate = self.schedule(epoch)
        if not isinstance(rate, float | np.floating):
            raise ValueError(f"LearningRateScheduler: schedule must return a float, got {rate!r}.")
        optimizer.learning_rate = float(rate)
        if self.verbose > 0:
            write(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.\n")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
