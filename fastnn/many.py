"""``fit_many`` and ``predict_many``: many models in native calls that spread them over all cores."""

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from fastnn import class_weights, progress
from fastnn.callbacks import Monitor, check_callbacks
from fastnn.kernels import many, many_predictions
from fastnn.models import Sequential
from fastnn.parts import Parts, converted, one_each
from fastnn.training_loop import SLICE, Fit, settings

__all__ = ["fit_many", "predict_many"]

# Models of a native call: more than a slice can bring to their end only have to be looked at for nothing.
AT_ONCE = 256


def fit_many(
    models: Sequence[Sequential],
    x: Any,
    y: Any,
    *,
    rows: Any = None,
    batch_size: Any = None,
    epochs: Any = 1,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    validation_rows: Any = None,
    shuffle: bool = True,
    class_weight: Any = None,
    sample_weight: Any = None,
    num_threads: int | None = None,
    on_error: str = "raise",
) -> list[Any]:
    """Train many compiled models at once, each on one core: what small models are fastest with.

    The models may differ in everything. Each ends with the weights, to the bit, that its own `fit` with these
    arguments would give it.

    Parameters
    ----------
    models : list of Sequential
        Compiled, each with an optimizer of its own.
    x, y : array-like, or list of arrays
        As for `Sequential.fit`, shared by all models; or a list with as many arrays as there are models. The
        items of a list ``x`` are then arrays or frames of two dimensions, those of a list ``y`` arrays.
    rows : list of array of int, optional
        For each model the rows of ``x``, ``y`` and ``sample_weight`` to train on, such as folds, or samples
        with repetitions. None as an item takes all.
    batch_size, epochs : int, or list of int
        As for `fit`; a list has one for each model.
    verbose : {"auto", 0, 1, 2}
        1 draws the share that is done, on a terminal; 2 prints a line at the end.
    callbacks : list of Callback, or list of lists, or function, optional
        A list of callbacks is copied for each model. A list of lists has one for each model; a function is
        called with a model's number and returns its list. With `EarlyStopping`, `StopAtLoss` and callbacks
        that only look at the beginning or the end of a training, models are trained together; those with
        other callbacks, or with losses, metrics or the like of one's own, one after the other.
    validation_split : float
        As for `fit`.
    validation_data : tuple, or list of tuples, optional
        ``(x, y)`` or ``(x, y, sample_weight)`` for all models, or a list with one for each.
    validation_rows : list of array of int, optional
        For each model the rows of ``x``, ``y`` and ``sample_weight`` to validate on.
    shuffle : bool
    class_weight : dict or "balanced", optional
        As for `fit`.
    sample_weight : array-like, or list of arrays, optional
        Shared by all models; or a list with one array for each model.
    num_threads : int, optional
        By default as many as this process may use.
    on_error : {"raise", "return"}
        What becomes of the error of a model whose training fails, once all others have been trained.

    Returns
    -------
    list of History
        One for each model; with ``on_error="return"`` the error itself where training failed.

    Raises
    ------
    ValueError, TypeError
        For wrong arguments; no model has been trained.
    FloatingPointError, ...
        With ``on_error="raise"`` the first error of those whose training failed; its message begins with the
        number and the name of the model. The other models have been trained to their end.
    KeyboardInterrupt
        All models keep what they had learned up to then.
    """
    models = _listed(models, "fit_many")
    if on_error not in ("raise", "return"):
        raise ValueError(f"on_error={on_error!r}: must be 'raise' or 'return'.")
    threads = _threads(num_threads)
    level = progress.level(verbose)
    parts = Parts(models, x, y, sample_weight, rows, validation_data, validation_rows)
    counts = [_each(batch_size, models, "batch_size"), _each(epochs, models, "epochs")]
    watching = _callbacks(callbacks, models)
    weights = class_weights.check(class_weight)
    with ExitStack() as alone:
        fits: list[Any] = []
        for i, model in enumerate(models):
            calls = check_callbacks(watching[i])
            model._native("fit_many", parts.y(i))
            chosen = settings(counts[0][i], counts[1][i], 0, shuffle, 0, None, None, None, 1)
            for call in calls:
                if isinstance(call, Monitor):
                    call.direction(model)
            alone.enter_context(model._alone("fit_many"))
            try:
                part = parts.training(i, model.dtype)
                held = parts.validation(i, model.dtype)
                fits.append(model._fit(*part, weights, validation_split, held, chosen, calls))
            except (ValueError, TypeError) as error:
                raise _named(error, i, model) from error
        errors = _Together(fits, threads, level).run()
    found: list[Any] = [fit.history for fit in fits]
    for i, failure in errors.items():
        found[i] = failure
    if errors and on_error == "raise":
        i = min(errors)
        raise _named(errors[i], i, models[i]) from errors[i]
    return found


def predict_many(models: Sequence[Sequential], x: Any, *, num_threads: int | None = None) -> list[np.ndarray]:
    """Return the outputs of many models, the same bits as each model's own `predict`.

    Parameters
    ----------
    models : list of Sequential
        Which need not be compiled.
    x : array-like, or list of arrays
        Rows for all models; or a list with as many arrays or frames as there are models.
    num_threads : int, optional
        By default as many as this process may use.

    Returns
    -------
    list of ndarray, (rows, units)
    """
    models = _listed(models, "predict_many")
    threads = _threads(num_threads)
    shared: dict[Any, np.ndarray] = {}
    given = one_each(x, models, "x", 2) or [x] * len(models)
    nets, arrays, outs = [], [], []
    for i, model in enumerate(models):
        key = (id(given[i]), model.dtype)
        if key not in shared:
            shared[key] = converted(given[i], model.dtype)
        try:
            rows = model._features(shared[key], "x")
        except (ValueError, TypeError) as error:
            raise _named(error, i, model) from error
        net = model._ready(rows.shape[1]).net
        nets.append(net)
        arrays.append(rows)
        outs.append(np.empty((len(rows), net.outputs), rows.dtype))
    if len(nets) == 1:  # which may have all cores
        nets[0].predict(arrays[0], outs[0], threads)
    else:
        many_predictions.predict_many(nets, arrays, outs, threads)
    return outs


class _Together:
    """Fits that are trained together, and the others after them.

    Parameters
    ----------
    fits : list of Fit
        Prepared, each for whoever holds its model.
    threads : int
        0: as many as there are.
    level : int
        Of progress.
    """

    def __init__(self, fits: list[Fit], threads: int, level: int):
        self.fits = fits
        self.threads = threads
        self.bar = _Bar(len(fits), sum(fit.settings.last for fit in fits), level)
        self.errors: dict[int, Exception] = {}

    def run(self) -> dict[int, Exception]:
        """Train all; return the errors of those that failed, by number."""
        begun: list[int] = []
        together: list[int] = []
        apart: list[int] = []
        try:
            for i, fit in enumerate(self.fits):
                try:
                    fit.begin()
                except Exception as error:
                    self.errors[i] = error
                    continue
                begun.append(i)
                native = fit.has_epochs and not fit.by_epoch and not fit.training.calls_python
                (together if native else apart).append(i)
            self._native(together)
            for i in apart:
                begun.remove(i)
                self._guarded(i, self.fits[i].finish)
                self.bar.show(self._epochs, len(self.fits) - len(begun))
        finally:
            for i in begun:  # what was interrupted, too
                if self.fits[i].has_epochs:
                    self._guarded(i, self.fits[i].end)
        for i in together:
            if i not in self.errors:
                fit = self.fits[i]
                self._guarded(i, self._conclude, fit)
        self.bar.close(self._epochs(), len(self.errors))
        return self.errors

    def _native(self, numbers: list[int]) -> None:
        active = list(numbers)
        while active:
            if len(active) == 1:  # which may have all cores
                fit = self.fits[active[0]]
                self._guarded(active[0], fit._call, fit.settings.last, SLICE)
                touched = list(active)
            else:
                trainings = [self.fits[i].training for i in active[:AT_ONCE]]
                found = many.run_many(trainings, SLICE, self.threads)
                touched = [active[at] for at, _ in found]
                for at, error in found:
                    fit = self.fits[active[at]]
                    if error is not None:
                        self._guarded(active[at], fit.explain, error)
                    fit.engine.published()
            over = {
                i
                for i in touched
                if i in self.errors or self.fits[i].training.finished or self.fits[i].model.stop_training
            }
            active = [i for i in active if i not in over]
            self.bar.show(self._epochs, len(self.fits) - len(active))

    def _conclude(self, fit: Fit) -> None:
        fit.conclude(fit.last_logs())

    def _guarded(self, i: int, act: Callable[..., Any], *arguments: Any) -> None:
        """Do something for a fit; what it raises is the fit's error."""
        try:
            act(*arguments)
        except Exception as error:
            self.errors.setdefault(i, error)

    def _epochs(self) -> int:
        return sum(fit.training.epoch for fit in self.fits if fit.has_epochs and hasattr(fit, "training"))


class _Bar:
    """How much of many trainings is done."""

    def __init__(self, models: int, epochs: int, level: int):
        self.models, self.epochs, self.level = models, epochs, level
        self.began = time.perf_counter()
        self.drawn = 0.0
        self.open = False

    def show(self, epochs: Callable[[], int], done: int) -> None:
        """Draw the line over itself; ``epochs`` tells how many are done."""
        now = time.perf_counter()
        if self.level != 1 or not progress.is_interactive() or now - self.drawn < SLICE:
            return
        self.drawn, self.open = now, True
        share = epochs() / max(1, self.epochs)
        text = (
            f"{done}/{self.models} models, {share:.0%} of the epochs, {progress.remaining(now - self.began)}"
        )
        progress.write(f"\r{text:<{progress.terminal_width() - 1}}"[: progress.terminal_width()])

    def close(self, epochs: int, failed: int) -> None:
        """Print what was done."""
        if self.open:
            progress.write("\r")
        if self.level:
            seconds = time.perf_counter() - self.began
            text = f"{self.models} models - {epochs} epochs - {seconds:.1f}s"
            text += f" - {failed} failed" if failed else ""
            width = progress.terminal_width() - 1 if self.open else 0
            progress.write(f"{text:<{width}}\n")


def _each(given: Any, models: list[Any], name: str) -> list[Any]:
    if not isinstance(given, list | tuple | np.ndarray):
        return [given] * len(models)
    if len(given) != len(models):
        raise ValueError(f"{name} has {len(given)} items for {len(models)} models.")
    return list(given)


def _callbacks(given: Any, models: list[Any]) -> list[Any]:
    if callable(given):
        return [given(i) for i in range(len(models))]
    if isinstance(given, list | tuple) and given and all(isinstance(c, list | tuple) for c in given):
        if len(given) != len(models):
            raise ValueError(f"callbacks is a list of {len(given)} lists for {len(models)} models.")
        seen: dict[int, int] = {}
        for i, calls in enumerate(given):
            for call in calls:
                if seen.setdefault(id(call), i) != i:
                    raise ValueError(
                        f"callbacks[{i}] and callbacks[{seen[id(call)]}] share a {type(call).__name__}; each "
                        "model needs one of its own."
                    )
        return list(given)
    calls = check_callbacks(given)
    return [copy.deepcopy(calls) for _ in models]


def _listed(given: Any, what: str) -> list[Any]:
    """Return the models, checked."""
    if isinstance(given, Sequential) or not hasattr(given, "__iter__"):
        raise TypeError(f"{what} takes a list of models, got {given!r} of type {type(given).__name__}.")
    models = list(given)
    seen: dict[int, str] = {}
    for i, model in enumerate(models):
        if not isinstance(model, Sequential):
            raise TypeError(f"{what} takes a list of Sequential models, but models[{i}] is {model!r}.")
        first = seen.setdefault(id(model), f"models[{i}]")
        if first != f"models[{i}]":
            raise ValueError(f"models[{i}] is {first} again; clone_model makes another of its kind.")
    if what == "fit_many":
        for i, model in enumerate(models):
            if model.optimizer is not None:
                first = seen.setdefault(id(model.optimizer), f"models[{i}]")
                if first != f"models[{i}]":
                    raise ValueError(
                        f"{first} and models[{i}] were compiled with the same optimizer object; compile each "
                        "with one of its own, or with its name."
                    )
    return models


def _threads(num_threads: Any) -> int:
    if num_threads is None:
        return 0
    if isinstance(num_threads, bool) or not hasattr(num_threads, "__index__") or num_threads < 1:
        raise ValueError(f"num_threads must be a positive integer or None, got {num_threads!r}.")
    return int(num_threads)


def _named(error: Exception, i: int, model: Any) -> Exception:
    """Return an error of a model whose message says which model it is."""
    if type(error) not in (ValueError, TypeError, FloatingPointError, RuntimeError, NotImplementedError):
        return error
    return type(error)(f"models[{i}] ({model.name!r}): {error}")
