"""Several callbacks called as one."""

from collections.abc import Iterable
from typing import Any

from fastnn.history import History
from fastnn.hooks import Callback, overrides


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
