"""Callbacks of an estimator: what they are told between epochs, and what they have for a model."""

from typing import Any

import numpy as np

from fastnn.callbacks import CallbackList
from fastnn.estimators.networks import Trainer
from fastnn.hooks import BATCH_HOOKS, EPOCH_HOOKS, TEST_HOOKS, overrides


class TrainingOptimizer:
    """The ``model.optimizer`` of an estimator's callbacks.

    Attributes
    ----------
    learning_rate : float
        The present one. Can be assigned, unless it follows a schedule.
    iterations : int
    """

    def __init__(self, trainer: Trainer):
        self._trainer = trainer

    @property
    def learning_rate(self) -> float:
        return self._trainer.rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self._trainer.scheduled:
            raise TypeError("The learning rate follows a schedule, so no callback can set it.")
        self._trainer.rate = float(value)

    @property
    def iterations(self) -> int:
        return self._trainer.iterations


class TrainingModel:
    """The ``model`` of an estimator's callbacks: all of the estimator, and what callbacks of a model need.

    `fit` keeps the estimator's weights up to date for the callbacks, so that ``model.predict(X)`` or
    ``model.score(X, y)`` say how it does now.

    Attributes
    ----------
    estimator : MLPClassifier or MLPRegressor
    stop_training : bool
        Also the estimator's: whoever sets it to True ends the training after this epoch.
    optimizer : TrainingOptimizer
    """

    def __init__(self, estimator: Any, trainer: Trainer):
        self.estimator = estimator
        self.optimizer = TrainingOptimizer(trainer)
        self._trainer = trainer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "estimator":
            raise AttributeError(name)
        return getattr(self.estimator, name)

    @property
    def stop_training(self) -> bool:
        return self.estimator.stop_training

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        self.estimator.stop_training = value

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights: kernel, bias, and what a normalization has, layer by layer."""
        return self._trainer.arrays()

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Go on with other weights."""
        self._trainer.set_arrays(weights)

    def metric_direction(self, name: str) -> str | None:
        """Return whether small ("min") or large ("max") values are good."""
        return {"loss": "min", "score": "max"}.get(name)


class Watch:
    """The callbacks of one fit.

    Parameters
    ----------
    e : BaseMLP
    trainer : Trainer
    epochs : int
        At most.
    """

    def __init__(self, e: Any, trainer: Trainer, epochs: int):
        self._e, self._trainer, self._epochs = e, trainer, epochs
        self._callbacks = CallbackList(e.callbacks)
        for i, c in enumerate(self._callbacks.callbacks):
            if overrides(c, *BATCH_HOOKS, *TEST_HOOKS):
                raise ValueError(
                    f"callbacks[{i}], a {type(c).__name__}, has hooks of batches or tests, which estimators "
                    "do not call: they call on_train_begin, on_epoch_begin, on_epoch_end, on_train_end."
                )
        self.by_epoch = self._callbacks.overridden(*EPOCH_HOOKS)
        self._logs: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._callbacks.callbacks)

    def begin(self, steps: int) -> None:
        """Tell them that training begins."""
        if not self:
            return
        e = self._e
        e.stop_training = False
        self._callbacks.set_model(TrainingModel(e, self._trainer))
        self._callbacks.set_params({"verbose": int(e.verbose), "epochs": self._epochs, "steps": steps})
        self._callbacks.on_train_begin()
        self._callbacks.on_epoch_begin(0)

    def epoch(self, number: int, logs: dict[str, float]) -> bool:
        """Tell them of an epoch; return whether one of them ends the training."""
        self._logs = logs
        self._callbacks.on_epoch_end(number, logs)
        return self._e.stop_training

    def next(self, number: int) -> None:
        """Tell them that another epoch begins."""
        self._callbacks.on_epoch_begin(number)

    def end(self) -> None:
        """Tell them that training has ended, and by itself."""
        self._callbacks.on_train_end(self._logs)

    def leave(self) -> None:
        """Let go of the estimator, which they would take along where it is copied."""
        if self:
            self._callbacks.set_model(None)
            vars(self._e).pop("stop_training", None)
