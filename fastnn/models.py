"""Models: ``Sequential``, a stack of layers that is compiled, trained, evaluated and asked."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn import data, losses, metrics, optimizers, progress, seeds
from fastnn.callbacks import CallbackList, check_callbacks
from fastnn.compiling import Compiled, Native
from fastnn.engine import Engine
from fastnn.history import History
from fastnn.hooks import PREDICT_HOOKS
from fastnn.layers.core import KerasTensor
from fastnn.stack import Stack
from fastnn.summary import summary
from fastnn.training_loop import BATCH_SIZE, Data, Fit, evaluate, settings, whole

__all__ = ["Model", "Sequential"]


class Model(Stack):
    """Base class of the models; of itself it cannot be made, since graphs of layers are not supported."""

    def __new__(cls, *args, **kwargs):
        if not issubclass(cls, Sequential):
            raise NotImplementedError(
                "Models of your own and functional ones, Model(inputs, outputs), are not supported: use Sequential."
            )
        return super().__new__(cls)


class Sequential(Model):
    """A stack of layers, each of which takes what the one before it returns.

    Parameters
    ----------
    layers : list of Layer, optional
        May begin with ``Input(shape=(columns,))``; otherwise the first layer's ``input_dim=`` or the first data decide
        the number of columns.
    trainable : bool
    name : str, optional
        By default ``sequential``, ``sequential_1``, ...

    Attributes
    ----------
    layers : list of Layer
        Without ``Input``.
    optimizer : Optimizer or None
    loss : str, function or Loss
        As `compile` was told.
    history : History or None
        Of the last `fit`.
    stop_training : bool
        Set by a callback, or from another thread, to end `fit`.
    seed : int
        Drawn when the model was made; shuffles follow it.

    Notes
    -----
    `predict` and `evaluate` may be called from any thread, also during `fit`: they see the weights as they last were at
    the end of an epoch or of a slice of 0.05 s. A second `fit` of the same model raises RuntimeError.
    """

    def __init__(self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None):
        self.seed = seeds.draw()
        self.optimizer: Any = None
        self.loss: Any = None
        self.history: History | None = None
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self._compiled: Compiled | None = None
        self._engine: Engine | None = None
        self._lock_up()
        super().__init__(layers, trainable, name)

    def _lock_up(self) -> None:
        self._making = threading.Lock()
        self._training = threading.Lock()

    # Compiling -----------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how the model is trained and judged; on an error the earlier settings stay.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str, function or Loss
        loss_weights, weighted_metrics : None
            Not supported yet.
        metrics : list of str, function or Metric
            ``"accuracy"`` is the binary, categorical or sparse categorical one, by output and loss.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Hints about Keras's execution, accepted and ignored.
        """
        self._require_idle("compile")
        hints = {
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        compiled = Compiled(optimizer, loss, loss_weights, metrics, weighted_metrics, hints)
        self._refuse_frozen()
        if self._stack and loss is not None:
            compiled.resolve(self._units(), self._last())
        self._compiled = compiled
        self.optimizer = compiled.optimizer
        self.loss = loss

    @property
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self._compiled is not None

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns: ``"loss"`` and the metrics."""
        return list(self._native("metrics_names").keys)

    @property
    def metrics(self) -> list[Any]:
        """One Metric object for each metric that the model was compiled with."""
        native = self._native("metrics")
        return [metrics.get(n)(name=k) if isinstance(metrics.get(n), type) else _named(n, k) for n, k in _pairs(native)]

    def metric_direction(self, name: str) -> str | None:
        """Return whether small ("min") or large ("max") values of a metric are good; None for an unknown name."""
        if name == "loss":
            return "min"
        native = self._native("metric_direction")
        kinds = dict(zip(native.keys[1:], native.metrics, strict=True))
        if name not in kinds:
            return None
        return "max" if metrics.TABLE[kinds[name]].better == "up" else "min"

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return what `compile_from_config` compiles a model with."""
        return None if self._compiled is None else self._compiled.config()

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with what `get_compile_config` returned."""
        given = dict(config)
        given["optimizer"] = optimizers.get(given["optimizer"])
        given["loss"] = losses.get(given["loss"]) if isinstance(given["loss"], dict) else given["loss"]
        self.compile(**given)

    def reset_metrics(self) -> None:
        """Do nothing: metrics start anew in each call."""
