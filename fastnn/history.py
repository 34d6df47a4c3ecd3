"""What ``fit`` returns: every metric of every epoch."""

import weakref
from typing import Any

import numpy as np

from fastnn.hooks import Callback


class History(Callback):
    """The record of a training.

    Attributes
    ----------
    history : dict of str to list of float
        One value an epoch for ``"loss"`` and each metric, and for those of validation, ``"val_..."``.
    epoch : list of int
        Numbers of the epochs, from 0.
    params : dict
        ``{"verbose": ..., "epochs": ..., "steps": ...}``.
    model : Sequential or None
        The trained model; None when nothing else holds it any more.
    """

    def __init__(self):
        super().__init__()
        self._history: dict[str, list[float]] = {}
        self._epoch: list[int] = []
        # An epoch of a tiny network takes less time than its entries in two lists, so epochs that come as
        # arrays wait here until somebody looks.
        self._arrays: list[dict[str, np.ndarray]] = []
        self._ranges: list[range] = []

    @property
    def history(self) -> dict[str, list[float]]:
        arrays, self._arrays = self._arrays, []
        for columns in arrays:
            for key, values in columns.items():
                self._history.setdefault(key, []).extend(
                    values.tolist() if values.ndim == 1 else list(values)
                )
        return self._history

    @history.setter
    def history(self, history: dict[str, list[float]]) -> None:
        self._history, self._arrays = history, []

    @property
    def epoch(self) -> list[int]:
        ranges, self._ranges = self._ranges, []
        for numbers in ranges:
            self._epoch += numbers
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: list[int]) -> None:
        self._epoch, self._ranges = epoch, []

    # The model holds its history, so the history must not hold the model: it would live until the garbage
    # collector comes.
    @property
    def model(self) -> Any:
        return None if self._model is None else self._model()

    def set_model(self, model):
        self._model = None if model is None else weakref.ref(model)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_history": self.history,
            "_epoch": self.epoch,
            "_arrays": [],
            "_ranges": [],
            "_model": None,
        }

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)

    def extend(self, first: int, columns: dict[str, np.ndarray]) -> None:
        """Take in several epochs at once, an array of values for each key, not changed afterwards."""
        self._arrays.append(columns)
        self._ranges.append(range(first, first + len(next(iter(columns.values())))))

    def plot(self, metrics: Any = None) -> Any:
        """Draw loss and metrics, of training and validation, over the epochs.

        Parameters
        ----------
        metrics : list of str, optional
            Keys without ``val_``; by default all.

        Returns
        -------
        matplotlib.figure.Figure
            One plot for each metric. ``figure.savefig("history.png")`` writes it; a notebook shows it.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            Where there is nothing to draw, or no such metric.
        """
        from fastnn.plotting import plot_history

        return plot_history(self.history, self.epoch, metrics)

    def __repr__(self) -> str:
        return f"<History of {len(self.epoch)} epochs: {', '.join(self.history)}>"
