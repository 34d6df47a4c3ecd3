"""Statistics of gradients while a model trains."""

from typing import Any

from fastnn.hooks import Callback


class GradientStatistics(Callback):
    """Records statistics of the gradients at the ends of epochs.

    Parameters
    ----------
    x, y, sample_weight
        The rows whose gradients are looked at: a few hundred are enough.
    every : int
        Look after every so many epochs.

    Attributes
    ----------
    epochs : list of int
        Numbers of the epochs looked at, from 0.
    found : list of GradientStatistics
        What ``model.gradient_statistics`` returned after each.
    history : dict of str to list of float
        For each weight's path, the norms of its gradient.
    """

    def __init__(self, x: Any, y: Any, sample_weight: Any = None, every: int = 1):
        super().__init__()
        if isinstance(every, bool) or not hasattr(every, "__index__") or every < 1:
            raise ValueError(
                f"GradientStatistics: every must be a whole number of at least 1, got {every!r}."
            )
        self.rows = (x, y, sample_weight)
        self.every = every
        self.epochs: list[int] = []
        self.found: list[Any] = []
        self.history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        self.epochs, self.found, self.history = [], [], {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if (epoch + 1) % self.every:
            return
        found = self.model.gradient_statistics(*self.rows)
        self.epochs.append(epoch)
        self.found.append(found)
        for w in found.weights:
            self.history.setdefault(w.path, []).append(w.norm)
