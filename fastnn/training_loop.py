"""``fit``: from its arguments to native calls that run many epochs each.

Everything that can be wrong with the arguments is found before anything of the model changes. How much runs
in one native call is decided by the callbacks: with none that looks between epochs, all that fits in
``SLICE`` seconds.
"""

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastnn import data, progress, suspects
from fastnn.callbacks import CallbackList
from fastnn.engine import Engine
from fastnn.errors import warn
from fastnn.history import History
from fastnn.hooks import TEST_HOOKS, Callback
from fastnn.kernels.network import Tally
from fastnn.kernels.training import Training
from fastnn.watch import Watch

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

    batch_size: int | None
    first: int  # epoch
    last: int  # epoch, exclusive
    verbose: int
    shuffle: bool
    steps: int | None  # of an epoch, where given
    validation_batch_size: int | None
    validation_steps: int | None
    validation_freq: int | frozenset[int]

    def validates(self, epoch: int) -> bool:
        """Whether epoch number ``epoch``, from 0, ends with a validation."""
        freq = self.validation_freq
        return (epoch + 1) % freq == 0 if isinstance(freq, int) else epoch + 1 in freq


def settings(
    batch_size: Any,
    epochs: Any,
    verbose: Any,
    shuffle: Any,
    initial_epoch: Any,
    steps_per_epoch: Any,
    validation_batch_size: Any,
    validation_steps: Any,
    validation_freq: Any,
) -> Settings:
    """Check what ``fit`` was told, but for data and callbacks."""
    if not isinstance(shuffle, bool | np.bool_ | int) or shuffle not in (0, 1):
        raise ValueError(f"shuffle={shuffle!r}: must be True or False.")
    return Settings(
        batch_size=None if batch_size is None else whole(batch_size, "batch_size", 1, 0),
        first=whole(initial_epoch, "initial_epoch", 0, 0),
        last=whole(epochs, "epochs", 0, 1),
        verbose=progress.level(verbose),
        shuffle=bool(shuffle),
        steps=steps(steps_per_epoch, "steps_per_epoch"),
        validation_batch_size=whole(validation_batch_size, "validation_batch_size", 1, 0) or None,
        validation_steps=steps(validation_steps, "validation_steps"),
        validation_freq=_frequency(validation_freq),
    )


def steps(value: Any, name: str) -> int | None:
    """Return a number of steps, None for None."""
    return None if value is None else whole(value, name, 1, 0)


def _frequency(value: Any) -> int | frozenset[int]:
    if type(value) is int and value > 0:
        return value
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return whole(value, "validation_freq", 1, 1)
    return frozenset(whole(epoch, "validation_freq: each epoch", 1, 1) for epoch in value)


def batch_rows(batch_size: int | None, steps: int | None, rows: int) -> int:
    """Return the rows of a step: as given, else what makes ``steps`` steps of ``rows`` rows, else 32."""
    return batch_size or (BATCH_SIZE if steps is None else -(-rows // steps))


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
    """One call of ``fit`` on arrays, its arguments checked.

    Parameters
    ----------
    model : Sequential
    engine : Engine
    train : Data
    validation : Data, Batches or None
        Of `Batches` (``fastnn/preparing.py`` makes them) the items are `Data`.
    settings : Settings
    callbacks : list of Callback
    """

    def __init__(
        self,
        model: Any,
        engine: Engine,
        train: Data,
        validation: Any,
        settings: Settings,
        callbacks: list[Callback],
    ):
        self.model = model
        self.engine = engine
        self.train = train
        self.settings = settings
        self.steps: int | None = self._count_steps()
        self.validation = self._validation_part(validation)
        self.layout = engine.layout
        self.own = engine.own()
        self.bar = (
            progress.Progress(settings.verbose, settings.last, self.steps) if settings.verbose else None
        )
        native = isinstance(self.validation, Data) and settings.validation_freq == 1
        python = validation is not None and (not native or engine.compiled.native.resolved.apart)
        self.watch = watch = Watch(callbacks, self.by_batches or python, bool(self.own))
        self.history, self.callbacks = watch.history, watch.python
        self.by_step, self.by_epoch = watch.by_step, watch.by_epoch
        self.fresh = False  # whether the optimizer had taken no step yet
        self.own_validation = validation is not None and (
            python or self.by_batches or self.by_step or watch.tests
        )
        self.recorded = 0  # how many of the training's epochs are in the history
        self.diverged = False  # and TerminateOnNaN was there

    by_batches = False  # whether Python brings each batch

    def _count_steps(self) -> int | None:
        rows, wanted = len(self.train.x), self.settings.steps
        self.batch_size = batch_rows(self.settings.batch_size, wanted, rows)
        full = math.ceil(rows / self.batch_size)
        if wanted is None or wanted == full:
            self.epoch_steps = 0
            return full
        epochs = self.settings.last - self.settings.first
        if wanted > full or (full % wanted and wanted * epochs > full):
            rest = f"every epoch ends after {full}" if wanted > full else f"one ends after {full % wanted}"
            warn(
                f"Your input ran out of data: steps_per_epoch={wanted}, but {rows} rows give {full} batches "
                f"of {self.batch_size}, so that {rest}.",
                UserWarning,
            )
        self.epoch_steps = min(wanted, full)
        return self.epoch_steps

    def _validation_part(self, validation: Any) -> Any:
        if not isinstance(validation, Data):
            return validation
        given = self.settings
        size = given.validation_batch_size or given.batch_size
        self.validation_size = batch_rows(size, given.validation_steps, len(validation.x))
        if given.validation_steps is None:
            return validation
        return validation.slice(0, given.validation_steps * self.validation_size)

    def run(self) -> History:
        """Train, and return the history."""
        self.begin()
        self.finish()
        return self.history

    def finish(self) -> None:
        """Train to the end, after `begin`."""
        logs: dict[str, float] = {}
        if self.has_epochs:
            try:
                logs = self._epochs() if self.by_epoch else self._many_epochs()
            finally:
                self.end()
        self.conclude(logs)

    def begin(self) -> None:
        """Tell the callbacks, and get ready for native calls: `finish` makes them, or somebody else."""
        model, watch = self.model, self.watch
        for c in watch.everyone():
            c.set_model(model)
            c.set_params(
                {"verbose": self.settings.verbose, "epochs": self.settings.last, "steps": self.steps}
            )
        model.history = self.history
        model.stop_training = False
        for c in watch.native():
            c.on_train_begin()
        self.callbacks.on_train_begin()
        if model.initial_epoch is not None:  # a callback has brought the model back to where it once stood
            self.settings = self.settings._replace(first=model.initial_epoch)
            model.initial_epoch = None
        if self.has_epochs:
            self.fresh = self.engine.net.iterations == 0
            self._start(self.settings.first)

    @property
    def has_epochs(self) -> bool:
        """Whether there are epochs to train for."""
        return self.settings.first < self.settings.last

    def conclude(self, logs: dict[str, Any]) -> None:
        """Tell the callbacks of the end, after `end`; ``logs`` are the last epoch's."""
        if self.has_epochs and self.fresh:
            loss = self.engine.compiled.native.loss
            suspects.look(self.model, loss, self.training.logs[:, 0], self.train)
        self.callbacks.on_train_end(logs)
        for c in self.watch.native():
            c.say()

    # The native training -----------------------------------------------------------------------------------

    def _start(self, epoch: int) -> None:
        settings, columns = self.settings, self._labels()
        native = None if self.own_validation else self.validation
        self.engine.begin()
        self.training = Training(
            self.engine.net,
            self.train.x,
            self.train.y,
            batch_size=self.batch_size,
            shuffle=settings.shuffle,
            seed=self.model.seed,
            epochs=settings.last - epoch,
            sample_weight=self.train.sample_weight,
            validation=native,
            stopping=self.watch.stopping_columns(columns, self.model),
            reaching=self.watch.reaching_column(columns, self.model),
            initial_epoch=epoch,
            epoch_steps=self.epoch_steps,
            keep_outputs=bool(self.own),
            validation_batch=0 if native is None else self.validation_size,
        )
        self.engine.owner = self
        self.first = epoch  # the training's own count starts here

    def _call(self, epochs: int, seconds: float) -> None:
        if self.engine.stale:
            self.engine.sync()
        try:
            self.training.run(epochs, seconds)
        except (ValueError, FloatingPointError) as error:
            self.explain(error)
        self.engine.published()

    def explain(self, error: Exception) -> None:
        """Raise what a native call raised with what Python knows of it; return where training just ends."""
        if isinstance(error, FloatingPointError):
            self._diverge(error)
            return
        if isinstance(error, ValueError):  # NaN or infinity among the rows: say where
            self.train.require_finite(self._where())
            if isinstance(self.validation, Data):
                self.validation.require_finite("validation_data: ")
        raise error

    def _where(self) -> str:
        """Return what goes before the names of the arrays in messages."""
        return ""

    def _diverge(self, error: FloatingPointError) -> None:
        """Raise that the loss is no longer finite, or note it where `TerminateOnNaN` is present."""
        if self.watch.terminate is None:
            suspect = suspects.of_divergence(self.train)
            raise FloatingPointError(f"{error}.{suspect}") from None
        self.diverged = True

    def _close(self) -> None:
        self.training.close()
        self.engine.owner = None

    def end(self) -> None:
        """Whatever happened: what was published last is the model's state, and the bar's line is ended."""
        self._close()
        if not self.training.restored:
            self.engine.finish()
        self.engine.published()
        if not self.by_epoch:
            self._record()
            self.watch.tell(self.training, self.first, self._labels(), self.model)
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
        return self.last_logs()

    def last_logs(self) -> dict[str, Any]:
        """Return the logs of the last epoch of those that ran natively, after the last of them."""
        training = self.training
        if training.stopped or training.reached:
            self.model.stop_training = True
        logs = training.logs
        found = self._named(logs[-1]) if len(logs) else {}
        if self.diverged:
            last = self.first + training.epoch - 1
            if math.isfinite(found.get("loss", math.nan)):  # the weights broke in the middle of an epoch
                last += 1
                found = self._invalid()
                self.history.on_epoch_end(last, found)
            self.watch.terminate.on_divergence(last, found["loss"])  # type: ignore[union-attr]
        return found

    def _record(self) -> dict[str, np.ndarray]:
        """Enter the epochs that the training has completed since the last time into the history."""
        rows = self.training.logs[self.recorded :].copy()
        size = len(self.layout.labels())
        columns = self.layout.columns(rows[:, :size])
        if self._validates_natively():
            columns.update(self.layout.columns(rows[:, size:], "val_"))
        columns = dict(sorted(columns.items()))
        if len(rows):
            self.history.extend(self.first + self.recorded, columns)
        self.recorded += len(rows)
        return columns

    def _validates_natively(self) -> bool:
        return self.validation is not None and not self.own_validation

    def _labels(self) -> list[str]:
        """Return the names of the columns of the training's logs."""
        return [*self.layout.labels(), *(self.layout.labels("val_") if self._validates_natively() else [])]

    def _named(self, row: np.ndarray) -> dict[str, Any]:
        """Return a row of the training's logs, and what Python's own metrics say, by name."""
        if not self._validates_natively():
            return dict(sorted({**self.layout.named(row), **self.own.results()}.items()))
        size = len(row) // 2
        return dict(
            sorted({**self.layout.named(row[:size]), **self.layout.named(row[size:], "val_")}.items())
        )

    def _partial(self) -> dict[str, Any]:
        """Return the metrics of the epoch so far."""
        found = self.layout.named(self.training.partial_logs())
        return dict(sorted({**found, **self.own.results()}.items()))

    def _show(self) -> None:
        """Show the step just done to Python's own metrics."""
        if self.own and not self.diverged:
            self.own.update(*self.training.outputs())

    def _invalid(self) -> dict[str, float]:
        """Return the logs of an epoch that broke off, its loss no longer finite."""
        return {**self._partial(), "loss": math.nan}

    # One epoch a call, or one step --------------------------------------------------------------------------

    def _epochs(self) -> dict[str, float]:
        callbacks, model = self.callbacks, self.model
        logs: dict[str, float] = {}
        for epoch in range(self.settings.first, self.settings.last):
            if not self._more():
                break
            callbacks.on_epoch_begin(epoch, {})
            began = time.perf_counter()
            logs = self._steps(epoch, began) if self.by_step else self._one_epoch(epoch, began)
            if self.diverged:
                self.watch.terminate.on_divergence(epoch, logs["loss"])  # type: ignore[union-attr]
            elif self.own_validation and self.settings.validates(epoch):
                logs.update({f"val_{key}": value for key, value in self._validate().items()})
            logs = dict(sorted(logs.items()))
            seconds = time.perf_counter() - began
            callbacks.on_epoch_end(epoch, logs)
            if self.bar is not None:
                self.bar.end(epoch, seconds, logs)
            if model.stop_training or self.diverged:
                break
        return logs

    def _more(self) -> bool:
        """Whether there is data for another epoch."""
        return True

    def _validate(self) -> dict[str, float]:
        if self.engine.stale:
            self.engine.sync()
        if isinstance(self.validation, Data):
            return evaluate(self.engine, self.validation, self.validation_size, self.callbacks, self.model)
        self.validation.restart()
        pieces = self.validation.epoch()
        first = next(pieces, None)
        if first is None:
            self.validation.warn()
            return {}
        return evaluate_batches(self.engine, first, pieces, self.callbacks, self.model)

    def _one_epoch(self, epoch: int, began: float) -> dict[str, float]:
        before = self.first + self.training.epoch
        while self.first + self.training.epoch == before:
            self._call(1, SLICE)
            if self.diverged and self.first + self.training.epoch == before:
                return self._invalid()
            if self.bar is not None and self.training.step:
                self.bar.begin(epoch)
                self.bar.step(self.training.step, time.perf_counter() - began, self._partial())
        return self._named(self.training.logs[-1])

    def _steps(self, epoch: int, began: float) -> dict[str, float]:
        callbacks, model, drawn = self.callbacks, self.model, began
        before = self.training.epoch
        logs: dict[str, float] = {}
        self.own.reset()
        for step in itertools.count():
            callbacks.on_train_batch_begin(step, {})
            self._call(1, 0.0)
            self._show()
            done = self.training.epoch > before
            if done:
                logs = self._named(self.training.logs[-1])
            else:
                logs = self._invalid() if self.diverged else self._partial()
            callbacks.on_train_batch_end(step, dict(logs))
            now = time.perf_counter()
            if self.bar is not None and not done and now - drawn > SLICE:
                self.bar.begin(epoch)
                self.bar.step(step + 1, now - began, logs)
                drawn = now
            if done or model.stop_training or self.diverged:
                break
        return logs


def evaluate(
    engine: Engine, part: Data, batch_size: int, callbacks: CallbackList | None, model: Any
) -> dict[str, Any]:
    """Return loss and metrics of ``part``, calling the test hooks of ``callbacks``."""
    hooks = callbacks is not None and callbacks.overridden(*TEST_HOOKS)
    if not hooks and not engine.own():
        return engine.layout.named(engine.judge(part, batch_size))
    pieces = (part.slice(start, start + batch_size) for start in range(0, len(part.x), batch_size))
    return evaluate_batches(engine, next(pieces), pieces, callbacks, model, finite=False)


def evaluate_batches(
    engine: Engine,
    first: Data,
    others: Iterator[Data],
    callbacks: CallbackList | None,
    model: Any,
    finite: bool = True,
) -> dict[str, Any]:
    """Return loss and metrics over batches, calling the test hooks of ``callbacks``.

    ``finite``: a batch whose loss is not is looked at for NaN and infinity.
    """
    layout, net, own = engine.layout, engine.net, engine.own()
    calls = callbacks if callbacks is not None and callbacks.overridden(*TEST_HOOKS) else None
    model.stop_evaluating = False
    if calls is not None:
        calls.on_test_begin({})
    tally = Tally(net)
    own.reset()
    logs: dict[str, Any] = {}
    for batch, piece in enumerate(itertools.chain([first], others)):
        if calls is not None:
            calls.on_test_batch_begin(batch, {})
        outputs = engine.outputs_of(piece) if own else None
        values = engine.judge(piece, tally=tally, outputs=outputs)
        if finite and not math.isfinite(values[0]):
            piece.require_finite(f"batch {batch}: ")
        if outputs is not None:
            own.update(piece.y, outputs, piece.sample_weight)
        if calls is not None:
            logs = dict(sorted({**layout.named(values), **own.results()}.items()))
            calls.on_test_batch_end(batch, dict(logs))
            if model.stop_evaluating:
                break
    logs = dict(sorted({**layout.named(values), **own.results()}.items()))
    if calls is not None:
        calls.on_test_end(logs)
    return logs
