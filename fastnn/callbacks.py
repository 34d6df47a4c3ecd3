"""Callbacks: what happens between epochs (``keras.callbacks``).

A callback costs only what it overrides. With none that overrides a hook of epochs or batches, many epochs run
in one native call; with epoch hooks there is one call an epoch; with batch hooks, one a step.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn.errors import warn
from fastnn.history import History
from fastnn.hooks import Callback, overrides
from fastnn.progress import write

__all__ = ["Callback", "CallbackList", "EarlyStopping", "History"]


class CallbackList(Callback):
    """Several callbacks called as one, in order; also useful in training loops of your own.

    Parameters
    ----------
    callbacks : list of Callback, optional
    add_history, add_progbar : bool
        ``add_history`` adds a `History` where there is none; ``add_progbar`` is accepted for Keras's sake.
    model : Sequential, optional
    **params
        Handed to each callback's ``set_params``.
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        super().__init__()
        self.callbacks = check_callbacks(callbacks)
        if add_history and not any(isinstance(c, History) for c in self.callbacks):
            self.callbacks.append(History())
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def append(self, callback: Callback) -> None:
        self.callbacks.append(callback)

    def set_model(self, model):
        self._model = model
        for c in self.callbacks:
            c.set_model(model)

    def set_params(self, params):
        self.params = params
        for c in self.callbacks:
            c.set_params(params)

    def overridden(self, *hooks: str) -> bool:
        """Whether any callback does something in one of ``hooks``."""
        return any(overrides(c, *hooks) for c in self.callbacks)


def _forward_whole(hook: str):
    def call(self, logs=None):
        logs = {} if logs is None else logs
        for c in self.callbacks:
            getattr(c, hook)(logs)

    return call


def _forward_epoch(hook: str):
    def call(self, epoch, logs=None):
        logs = {} if logs is None else logs
        for c in self.callbacks:
            getattr(c, hook)(epoch, logs)

    return call


def _forward_batch(hook: str):
    def call(self, batch, logs=None):
        logs = {} if logs is None else logs  # one dict for all: what a callback adds, later ones see
        for c in self.callbacks:
            getattr(c, hook)(batch, logs=logs)

    return call


for _hook in dir(Callback):
    if _hook.startswith("on_"):
        _forward = (
            _forward_batch if "batch" in _hook else _forward_epoch if "epoch" in _hook else _forward_whole
        )
        setattr(CallbackList, _hook, _forward(_hook))


def check_callbacks(callbacks: Any) -> list[Callback]:
    """Return a flat list of callbacks, or raise what is not one."""
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return list(callbacks.callbacks)
    if isinstance(callbacks, Callback):
        return [callbacks]
    if isinstance(callbacks, str) or not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of Callback objects, got {callbacks!r}.")
    found: list[Callback] = []
    for c in callbacks:
        if isinstance(c, Callback | list | tuple):
            found.extend(check_callbacks(c))
        elif isinstance(c, type):
            raise TypeError(f"callbacks holds the class {c.__name__}; make an object of it: {c.__name__}().")
        else:
            raise TypeError(
                f"callbacks holds {c!r} of type {type(c).__name__}; subclasses of Callback are needed."
            )
    return found


class EarlyStopping(Callback):
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
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"EarlyStopping: mode={mode!r}: must be 'auto', 'min' or 'max'.")
        if not isinstance(monitor, str):
            raise TypeError(f"EarlyStopping: monitor must be a key of the history, got {monitor!r}.")
        self.monitor = monitor
        self.min_delta = abs(_number("min_delta", min_delta))
        self.patience = _count("patience", patience)
        self.verbose = verbose
        self.mode = mode
        self.baseline = None if baseline is None else _number("baseline", baseline)
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = _count("start_from_epoch", start_from_epoch)
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None
        self._stopped = False

    def direction(self, model: Any) -> str:
        """Return "min" or "max", of this model's metric where ``mode`` is "auto"."""
        if self.mode != "auto":
            return self.mode
        found = model.metric_direction(self.monitor.removeprefix("val_"))
        if found is None:
            raise ValueError(
                f"EarlyStopping: monitor={self.monitor!r} is not a metric whose direction is known; pass "
                "mode='min' or 'max'."
            )
        return found

    def on_train_begin(self, logs=None):
        self._reset()

    def improves(self, value: float, reference: float | None, direction: str) -> bool:
        """Whether ``value`` is better than ``reference`` by more than ``min_delta``."""
        if reference is None:
            return True
        if direction == "min":
            return value + self.min_delta < reference
        return value - self.min_delta > reference

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


def _number(name: str, value: Any) -> float:
    if isinstance(value, str) or not hasattr(value, "__float__"):
        raise TypeError(f"EarlyStopping: {name} must be a number, got {value!r}.")
    return float(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"EarlyStopping: {name} must be a whole number of epochs, got {value!r}.")
    if value < 0:
        raise ValueError(f"EarlyStopping: {name} must not be negative, got {value}.")
    return value.__index__()


def warn_not_there(monitor: str, logs: Iterable[str]) -> None:
    """Say, in Keras's words, that there is nothing to monitor."""
    warn(
        f"Early stopping conditioned on metric `{monitor}` which is not available. "
        f"Available metrics are: {','.join(logs)}",
        UserWarning,
    )
