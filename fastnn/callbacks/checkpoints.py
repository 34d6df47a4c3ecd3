"""Callbacks that write a model to files while it trains."""

import os
from typing import Any

from fastnn.callbacks.stopping import Monitor
from fastnn.errors import warn
from fastnn.files import checkpoints
from fastnn.hooks import Callback
from fastnn.progress import write


class Saving(Callback):
    """What both do: act after each epoch, or each so many batches.

    The hook of batches is an attribute of those that need it: a class that overrides it would want a native
    call for each step, whatever ``save_freq`` says.
    """

    epoch = 0

    def _act_at(self, save_freq: Any) -> None:
        kind = type(self).__name__
        if save_freq != "epoch":
            whole = hasattr(save_freq, "__index__") and not isinstance(save_freq, bool)
            if not whole or save_freq < 1:
                raise ValueError(
                    f"{kind}: save_freq must be 'epoch' or a number of batches, got {save_freq!r}."
                )
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]
        self.save_freq = save_freq
        self._batches = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._act(epoch, None, logs or {})

    def _after_batch(self, batch, logs=None):
        self._batches += 1
        if self._batches % self.save_freq == 0:
            self._act(self.epoch, batch, logs or {})

    def _act(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        raise NotImplementedError


class ModelCheckpoint(Saving, Monitor):
    """Write the model to a file after each epoch, or only where it is the best so far.

    Parameters
    ----------
    filepath : str or path-like
        May name the epoch and what was measured, ``"{epoch:02d}-{val_loss:.2f}.safetensors"``; epochs and
        batches count from 1. Keras's endings, ``.keras`` and ``.weights.h5``, may stand there; the content is
        fastnn's. A folder that is not there is made.
    monitor : str
        A key of the history.
    verbose : {0, 1}
        1 prints what is saved, and why not.
    save_best_only : bool
        Whether to write only where ``monitor`` is better than at the last time.
    save_weights_only : bool
        Whether to write as `Model.save_weights` does, not as `Model.save`.
    mode : {"auto", "min", "max"}
        Whether small or large is good; "auto" knows it for losses and the metrics of this package.
    save_freq : {"epoch"} or int
        After each epoch, or each so many batches, which takes a native call for each step.
    initial_value_threshold : float, optional
        What the first value has to be better than.

    Attributes
    ----------
    best : float or None

    Raises
    ------
    KeyError
        Where ``filepath`` names what is not measured.
    OSError
        Where a file cannot be written: ``fit`` ends with it.
    """

    def __init__(
        self,
        filepath,
        monitor="val_loss",
        verbose=0,
        save_best_only=False,
        save_weights_only=False,
        mode="auto",
        save_freq="epoch",
        initial_value_threshold=None,
    ):
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = bool(save_best_only)
        self.save_weights_only = bool(save_weights_only)
        threshold = initial_value_threshold
        self.best = None if threshold is None else self._number("initial_value_threshold", threshold)
        self._act_at(save_freq)

    def direction(self, model):
        # what is not looked at needs no direction
        return super().direction(model) if self.save_best_only else "min"

    def _act(self, epoch, batch, logs):
        if self.save_best_only and not self._is_best(epoch, logs):
            return
        path = self._path(epoch, batch, logs)
        if not self.save_best_only and self.verbose:
            write(f"\nEpoch {epoch + 1}: saving model to {path}\n")
        elif self.verbose:
            write(f" saving model to {path}\n")
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path)

    def _is_best(self, epoch: int, logs: dict[str, Any]) -> bool:
        value, before = logs.get(self.monitor), self.best
        if value is None:
            warn(
                f"ModelCheckpoint: monitor={self.monitor!r} is not there, so nothing is saved; there are: "
                f"{', '.join(logs)}.",
                UserWarning,
            )
            return False
        better = self.improves(value, before, self.direction(self.model))
        if better:
            self.best = value
        if self.verbose:
            start = f"\nEpoch {epoch + 1}: {self.monitor}"
            old = "None" if before is None else f"{before:.5f}"
            write(
                f"{start} improved from {old} to {value:.5f},"
                if better
                else f"{start} did not improve from {old}\n"
            )
        return better

    def _path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        counts = {"epoch": epoch + 1} if batch is None else {"epoch": epoch + 1, "batch": batch + 1}
        try:
            return self.filepath.format(**{**logs, **counts})
        except KeyError as error:
            raise KeyError(
                f"ModelCheckpoint: filepath={self.filepath!r} names {error}, but there are: "
                f"{', '.join([*counts, *logs])}."
            ) from None


class BackupAndRestore(Saving):
    """Write the training's state to a file, and go on from there where a training was interrupted.

    The same program, run again after a crash, trains from the epoch that the backup is of, with the same
    bits as if nothing had happened: weights, the optimizer's state and learning rate, the order of rows and
    all chance. (What other callbacks remember, such as an `EarlyStopping`'s patience, begins anew, and so
    does a generator that brings the batches.)

    Parameters
    ----------
    backup_dir : str or path-like
        A folder for this training alone; made if need be.
    save_freq : {"epoch"} or int
        After each epoch, or each so many batches. An epoch that was not finished is begun again, from the
        weights of the backup, as in Keras: only with "epoch" are the bits the same.
    double_checkpoint : bool
        Accepted for Keras's sake: a backup is replaced whole or not at all.
    delete_checkpoint : bool
        Whether the backup is deleted when the training has come to its end.

    Raises
    ------
    ValueError
        Where the backup is of another model or optimizer.
    FormatError
        Where it is damaged.
    """

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        super().__init__()
        if not os.fspath(backup_dir):
            raise ValueError("BackupAndRestore: backup_dir is empty; name a folder.")
        self.backup_dir = os.fspath(backup_dir)
        self.path = os.path.join(self.backup_dir, "latest.safetensors")
        self.double_checkpoint = bool(double_checkpoint)
        self.delete_checkpoint = bool(delete_checkpoint)
        self._act_at(save_freq)

    def on_train_begin(self, logs=None):
        os.makedirs(self.backup_dir, exist_ok=True)
        if os.path.exists(self.path):
            self.model.initial_epoch = checkpoints.restore(self.model, self.path)

    def on_train_end(self, logs=None):
        if self.delete_checkpoint and os.path.exists(self.path):
            os.remove(self.path)

    def _act(self, epoch, batch, logs):
        checkpoints.save(self.model, self.path, epoch + 1 if batch is None else epoch)
