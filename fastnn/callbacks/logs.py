"""Callbacks that write down or pass on what happens."""

import csv
import os
from collections.abc import Callable, Iterable
from typing import Any

from fastnn.hooks import Callback


class CSVLogger(Callback):
    """Write a line for every epoch to a CSV file.

    Columns are ``epoch``, then the keys of the first epoch's logs in alphabetical order; where none of them
    is of validation, the ``val_`` ones are added, with ``NA`` where an epoch has none.

    Parameters
    ----------
    filename : str or path
    separator : str
        Between two values; one character.
    append : bool
        Go on with the file where it exists; otherwise it is written anew.
    """

    _file: Any = None
    _writer: Any = None

    def __init__(self, filename: Any, separator: str = ",", append: bool = False):
        super().__init__()
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"CSVLogger: separator must be one character, got {separator!r}.")
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append

    def on_train_begin(self, logs=None):
        self._close()
        self.append_header = not (
            self.append and os.path.exists(self.filename) and os.path.getsize(self.filename)
        )
        self._file = open(  # noqa: SIM115 - it stays open over the epochs
            self.filename, "a" if self.append else "w", newline="", encoding="utf-8"
        )

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self._writer is None:
            keys = sorted(logs)
            if not any(key.startswith("val_") for key in keys):
                keys += [f"val_{key}" for key in keys]
            self._writer = csv.DictWriter(
                self._file, ["epoch", *keys], restval="NA", extrasaction="ignore", delimiter=self.sep
            )
            if self.append_header:
                self._writer.writeheader()
        self._writer.writerow({"epoch": epoch, **{key: _cell(value) for key, value in logs.items()}})
        self._file.flush()

    def on_train_end(self, logs=None):
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None

    def __del__(self):
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_writer": None, "_model": None}


def _cell(value: Any) -> Any:
    several = isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1) != 0
    return f'"[{", ".join(map(str, value))}]"' if several else value


_HOOKS = tuple(hook for hook in dir(Callback) if hook.startswith("on_"))


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with ``(epoch, logs)``.
    on_train_begin, on_train_end : callable, optional
        Called with ``(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called with ``(batch, logs=logs)``.
    **kwargs
        Any other hook of `Callback`, by its name.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Callable[..., Any] | None,
    ):
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in given.items():
            if name not in _HOOKS:
                raise TypeError(
                    f"LambdaCallback: there is no hook {name!r}. There are: {', '.join(sorted(_HOOKS))}."
                )
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback: {name} must be a function, got {function!r}.")
            setattr(self, name, function)


class ProgbarLogger(Callback):
    """Accepted for Keras's sake, and does nothing: ``verbose`` of `fit` shows the progress."""
