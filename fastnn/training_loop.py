"""``fit``: from its arguments to native calls that run many epochs each.

Everything that can be wrong with the arguments is found before anything of the model changes. How much runs
in one native call is decided by the callbacks: with none that looks between epochs, all that fits in
``SLICE`` seconds.
"""

import math
import time
from typing import Any, NamedTuple

import numpy as np

from fastnn import data, progress
from fastnn.callbacks import CallbackList, EarlyStopping, warn_not_there
from fastnn.engine import Engine
from fastnn.history import History
from fastnn.hooks import BATCH_HOOKS, EPOCH_HOOKS, TEST_HOOKS, Callback
from fastnn.kernels.training import Training

# Seconds of a native call, after which signals, progress and other threads get their turn.
SLICE = 0.05
BATCH_SIZE = 32


class Data(NamedTuple):
    """Checked arrays of a training or validation set."""

    x: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None

    def slice(self, start: int, stop: int) -> "Data":
        weight = self.sample_weight
        return Data(self.x[start:stop], self.y[start:stop], weight if weight is None else weight[start:stop])

    def require_finite(self, prefix: str = "") -> None:
        """Raise where the first NaN or infinity is; ``prefix`` goes before the array's name."""
        for name, a in zip(self._fields, self, strict=True):
            data.require_finite(a, prefix + name)


class Settings(NamedTuple):
    """Checked arguments of ``fit``."""

    batch_size: int
    first: int  # epoch
    last: int  # epoch, exclusive
    verbose: int
    shuffle: bool
    validation_batch_size: int


def settings(
    batch_size: Any,
    epochs: Any,
    verbose: Any,
    shuffle: Any,
    initial_epoch: Any,
    validation_batch_size: Any,
    later: dict[str, Any],
) -> Settings:
    """Check what ``fit`` was told, but for data and callbacks; ``later`` is what is not supported yet."""
    for name, (value, off) in later.items():
        if value is not None and value != off:
            raise NotImplementedError(f"fit: {name}={value!r} is not supported yet; leave it at {off!r}.")
    size = whole(batch_size, "batch_size", 1, BATCH_SIZE)
    if not isinstance(shuffle, bool | np.bool_ | int) or shuffle not in (0, 1):
        raise ValueError(f"shuffle={shuffle!r}: must be True or False.")
    return Settings(
        batch_size=size,
        first=whole(initial_epoch, "initial_epoch", 0, 0),
        last=whole(epochs, "epochs", 0, 1),
        verbose=progress.level(verbose),
        shuffle=bool(shuffle),
        validation_batch_size=whole(validation_batch_size, "validation_batch_size", 1, size),
    )


def whole(value: Any, name: str, least: int, default: int) -> int:
    """Return ``value`` as an int of at least ``least``; None gives the default."""
    if value is None:
        return default
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    return value.__index__()


class Fit:
    """One call of ``fit``, its arguments checked.

    Parameters
    ----------
    model : Sequential
    engine : Engine
    train, validation : Data
    settings : Settings
    callbacks : list of Callback
    """

    def __init__(
        self,
        model: Any,
        engine: Engine,
        train: Data,
        validation: Data | None,
        settings: Settings,
        callbacks: list[Callback],
    ):
        self.model = model
        self.engine = engine
        self.train = train
        self.validation = validation
        self.settings = settings
        self.steps = math.ceil(len(train.x) / settings.batch_size)
        self.keys = engine.compiled.native.keys
        self.bar = (
            progress.Progress(settings.verbose, settings.last, self.steps) if settings.verbose else None
        )
        self.history = next((c for c in callbacks if isinstance(c, History)), None) or History()
        others = [c for c in callbacks if c is not self.history]
        self.stopping = self._stopping(others)  # what runs natively
        if self.stopping is not None:
            others.remove(self.stopping)
        self.callbacks = CallbackList([*others, self.history])
        watching = CallbackList(others)
        self.by_step = watching.overridden(*BATCH_HOOKS)
        self.by_epoch = self.by_step or watching.overridden(*EPOCH_HOOKS, *TEST_HOOKS)
        self.own_validation = validation is not None and (self.by_step or watching.overridden(*TEST_HOOKS))
        self.recorded = 0  # how many of the training's epochs are in the history

    def run(self) -> History:
        """Train, and return the history."""
        model, callbacks = self.model, self.callbacks
        everyone = [*callbacks.callbacks, *([] if self.stopping is None else [self.stopping])]
        for c in everyone:
            c.set_model(model)
            c.set_params(
                {"verbose": self.settings.verbose, "epochs": self.settings.last, "steps": self.steps}
            )
        model.history = self.history
        model.stop_training = False
        if self.stopping is not None:
            self.stopping.on_train_begin()
        callbacks.on_train_begin()
        logs: dict[str, float] = {}
        if self.settings.first < self.settings.last:
            self._start(self.settings.first)
            try:
                logs = self._epochs() if self.by_epoch else self._many_epochs()
            finally:
                self._end()
        callbacks.on_train_end(logs)
        if self.stopping is not None:
            self.stopping.say()
        return self.history

    # The native training -----------------------------------------------------------------------------------

    def _start(self, epoch: int) -> None:
        settings = self.settings
        self.engine.begin()
        self.training = Training(
            self.engine.net,
            self.train.x,
            self.train.y,
            batch_size=settings.batch_size,
            shuffle=settings.shuffle,
            seed=self.model.seed,
            epochs=settings.last - epoch,
            sample_weight=self.train.sample_weight,
            validation=None if self.own_validation else self.validation,
            stopping=self._stopping_columns(),
            initial_epoch=epoch,
        )
        self.engine.owner = self
        self.first = epoch  # the training's own count starts here

    def _call(self, epochs: int, seconds: float) -> None:
        if self.engine.stale:
            self.engine.sync()
        try:
            self.training.run(epochs, seconds)
        except ValueError:  # NaN or infinity among the rows: say where
            self.train.require_finite("")
            if self.validation is not None:
                self.validation.require_finite("validation_data: ")
            raise
        self.engine.published()

    def _close(self) -> None:
        self.training.close()
        self.engine.owner = None

    def _end(self) -> None:
        """Whatever happened: what was published last is the model's state, and the bar's line is ended."""
        self._close()
        self.engine.published()
        if not self.by_epoch:
            self._record()
            self._tell_stopping()
        if self.bar is not None:
            self.bar.close()

    # Many epochs a call -------------------------------------------------------------------------------------

    def _many_epochs(self) -> dict[str, float]:
        training, bar, model = self.training, self.bar, self.model
        began = time.perf_counter()
        while not training.finished and not model.stop_training:
            before = training.epoch
            self._call(self.settings.last, SLICE)
            now = time.perf_counter()
            done = training.epoch - before
            if done:
                columns = self._record()
                if bar is not None:
                    bar.end_many(self.first + before, (now - began) / done, columns)
                began = now
            elif bar is not None:
                bar.begin(self.first + before)
                bar.step(training.step, now - began, self._partial())
        if training.stopped:
            model.stop_training = True
        logs = training.logs
        return dict(sorted(zip(self._columns(), logs[-1].tolist(), strict=True))) if len(logs) else {}

    def _record(self) -> dict[str, np.ndarray]:
        """Enter the epochs that the training has completed since the last time into the history."""
        rows = self.training.logs[self.recorded :].copy()
        columns = dict(sorted(zip(self._columns(), rows.T, strict=True)))
        if len(rows):
            self.history.extend(self.first + self.recorded, columns)
        self.recorded += len(rows)
        return columns

    def _columns(self) -> list[str]:
        """Return the names of the columns of the training's logs."""
        native = self.validation is not None and not self.own_validation
        return [*self.keys, *(f"val_{key}" for key in self.keys if native)]

    def _partial(self) -> dict[str, float]:
        """Return the metrics of the epoch so far."""
        return dict(sorted(zip(self.keys, self.training.partial_logs().tolist(), strict=True)))

    # One epoch a call, or one step --------------------------------------------------------------------------

    def _epochs(self) -> dict[str, float]:
        callbacks, model = self.callbacks, self.model
        logs: dict[str, float] = {}
        for epoch in range(self.settings.first, self.settings.last):
            callbacks.on_epoch_begin(epoch, {})
            began = time.perf_counter()
            logs = self._steps(epoch, began) if self.by_step else self._one_epoch(epoch, began)
            if self.own_validation:
                assert self.validation is not None
                if self.engine.stale:
                    self.engine.sync()
                found = evaluate(
                    self.engine, self.validation, self.settings.validation_batch_size, callbacks, model
                )
                logs.update({f"val_{key}": value for key, value in found.items()})
            logs = dict(sorted(logs.items()))
            seconds = time.perf_counter() - began
            callbacks.on_epoch_end(epoch, logs)
            if self.bar is not None:
                self.bar.end(epoch, seconds, logs)
            if model.stop_training:
                break
        return logs

    def _one_epoch(self, epoch: int, began: float) -> dict[str, float]:
        before = self.first + self.training.epoch
        while self.first + self.training.epoch == before:
            self._call(1, SLICE)
            if self.bar is not None and self.training.step:
                self.bar.begin(epoch)
                self.bar.step(self.training.step, time.perf_counter() - began, self._partial())
        return dict(zip(self._columns(), self.training.logs[-1].tolist(), strict=True))

    def _steps(self, epoch: int, began: float) -> dict[str, float]:
        callbacks, model, drawn = self.callbacks, self.model, began
        logs: dict[str, float] = {}
        for step in range(self.steps):
            callbacks.on_train_batch_begin(step, {})
            self._call(1, 0.0)
            done = self.training.step == 0  # the epoch
            logs = (
                dict(zip(self.keys, self.training.logs[-1].tolist(), strict=True))
                if done
                else self._partial()
            )
            callbacks.on_train_batch_end(step, dict(logs))
            now = time.perf_counter()
            if self.bar is not None and not done and now - drawn > SLICE:
                self.bar.begin(epoch)
                self.bar.step(step + 1, now - began, logs)
                drawn = now
            if model.stop_training:
                break
        return logs

    # Early stopping without Python --------------------------------------------------------------------------

    def _stopping(self, callbacks: list[Callback]) -> EarlyStopping | None:
        """Return the one EarlyStopping among callbacks that need no Python between epochs."""
        found = [c for c in callbacks if type(c) is EarlyStopping]
        rest = CallbackList([c for c in callbacks if c not in found])
        if len(found) != 1 or rest.overridden(*EPOCH_HOOKS, *BATCH_HOOKS, *TEST_HOOKS):
            return None
        return found[0]

    def _stopping_columns(self) -> dict[str, Any] | None:
        s = self.stopping
        if s is None:
            return None
        columns = self._columns()
        if s.monitor not in columns:
            warn_not_there(s.monitor, columns)
            return None
        return {
            "column": columns.index(s.monitor),
            "mode": s.direction(self.model),
            "min_delta": s.min_delta,
            "patience": s.patience,
            "baseline": s.baseline,
            "start_from_epoch": s.start_from_epoch,
            "restore_best_weights": bool(s.restore_best_weights),
        }

    def _tell_stopping(self) -> None:
        """Set the attributes that EarlyStopping would have set itself."""
        s, training = self.stopping, self.training
        if s is None or s.monitor not in self._columns() or training.epoch + self.first <= s.start_from_epoch:
            return
        s.best, s.best_epoch = training.best, training.best_epoch
        s.wait = self.first + training.epoch - 1 - s.best_epoch
        if training.stopped:
            s.stopped_epoch = self.first + training.epoch - 1
        if training.restored:
            s.best_weights = self.model.get_weights()


def evaluate(
    engine: Engine, part: Data, batch_size: int, callbacks: CallbackList | None, model: Any
) -> dict[str, float]:
    """Return loss and metrics of ``part``, calling the test hooks of ``callbacks``."""
    keys, net = engine.compiled.native.keys, engine.net
    if callbacks is None or not callbacks.overridden(*TEST_HOOKS):
        return dict(zip(keys, net.evaluate(*part).tolist(), strict=True))
    model.stop_evaluating = False
    callbacks.on_test_begin({})
    total: Any = 0.0
    for batch, start in enumerate(range(0, len(part.x), batch_size)):
        piece = part.slice(start, start + batch_size)
        callbacks.on_test_batch_begin(batch, {})
        total = total + net.evaluate(*piece) * len(piece.x)
        done = min(start + batch_size, len(part.x))
        logs = dict(sorted(zip(keys, (total / done).tolist(), strict=True)))
        callbacks.on_test_batch_end(batch, dict(logs))
        if model.stop_evaluating:
            break
    callbacks.on_test_end(logs)
    return logs
