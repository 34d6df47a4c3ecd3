"""What ``model.compile`` was told, and what of it the compiled network needs."""

from typing import Any, NamedTuple

import numpy as np

from fastnn import losses, metric_list, metrics, optimizers
from fastnn.losses.resolving import Resolved, resolve
from fastnn.metric_list import Judge
from fastnn.optimizers import Optimizer


class Native(NamedTuple):
    """What ``Network.compile`` takes, and the names of what it then reports."""

    loss: str  # its name
    from_logits: bool
    judges: tuple[Judge, ...]
    keys: tuple[str, ...]  # "loss", then one for each metric
    kind: str  # of targets: "units", "class" or "repeated"
    resolved: Resolved
    specification: Any  # of the loss: its compiled name, with parameters if there are any
    targets: int  # columns of y
    own: Any  # OwnLoss of a loss of the user's own, else None


class Compiled:
    """The arguments of ``compile``, checked.

    Raises what is wrong with them when it is made, so that a model with earlier settings keeps those.
    """

    def __init__(
        self,
        optimizer: Any,
        loss: Any,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        hints: dict[str, Any] | None = None,
        precision: str | None = None,
    ):
        if loss_weights is not None:
            raise NotImplementedError(
                "loss_weights: models here have one output and one loss; scale sample_weight instead."
            )
        self.optimizer: Optimizer = optimizers.get(optimizer)
        if isinstance(loss, list | tuple) and len(loss) == 1:  # Keras's way for models of several outputs
            loss = loss[0]
        self.loss = loss
        self.metrics = metrics
        self.weighted_metrics = weighted_metrics
        self.hints = hints or {}
        if precision is not None and precision not in ("float32", "float64", "bfloat16"):
            raise ValueError(
                f"precision must be None (the model's dtype), 'bfloat16', 'float32' or 'float64', got "
                f"{precision!r}."
            )
        self.precision = precision
        # whether the loss is one of several, by the outputs and the first targets, and still to be chosen
        self.by_targets = isinstance(loss, str) and loss.lower() in metric_list.CROSSENTROPY
        self.chosen: str | None = None  # by those targets
        self._loss = None if self.by_targets else resolve(loss)
        self._metrics = metric_list.listed(metrics, "metrics")
        self._weighted = metric_list.listed(weighted_metrics, "weighted_metrics")
        self.native: Native | None = None

    def decide(self, units: int, y: Any) -> None:
        """Choose the loss, for good, as Keras does: by the outputs and the shape of the first targets."""
        if units > 1 and y is None:
            raise ValueError(
                f"loss={self.loss!r} is chosen by the first targets that are given as an array; without, say "
                "'categorical_crossentropy' or 'sparse_categorical_crossentropy'."
            )
        shape = np.shape(y)
        sparse = len(shape) == 1 or shape[-1:] == (1,)
        self.choose(metric_list.crossentropy(units, sparse))

    def choose(self, loss: str) -> None:
        """Make one loss of several the one, for good."""
        self._loss = resolve(loss)
        self.chosen = loss
        self.by_targets = False

    def resolve(self, units: int, owner: str) -> Native:
        """Fill in what depends on the number of outputs of the last layer, which ``owner`` names."""
        if self.by_targets:
            self.decide(units, None)
        if self._loss is None:
            raise ValueError("There is no loss to train for: compile the model with loss=.")
        loss = self._loss
        name = loss.name
        kind = loss.targets
        if not isinstance(kind, str):  # columns, of a loss of the user's own
            kind = "units" if kind == units else "repeated"
        if name in ("categorical_crossentropy", "categorical_focal_crossentropy") and units == 1:
            raise ValueError(
                f"{name} needs an output for each class, but {owner} has 1 unit; for yes "
                "or no use 'binary_crossentropy'."
            )
        judges = metric_list.resolve(self._metrics, self._weighted, units, kind, loss.columns(units), name)
        keys = ("loss", *(judge.key for judge in judges))
        self.native = Native(
            name,
            loss.from_logits,
            judges,
            keys,
            kind,
            loss,
            loss.specification(units),
            loss.columns(units),
            loss.native_own(units),
        )
        return self.native

    def require_precision(self, dtype: str) -> None:
        """Raise where a model of this dtype cannot be trained in the precision asked for."""
        if self.precision in (None, dtype):
            return
        if self.precision != "bfloat16":
            raise ValueError(
                f"precision={self.precision!r}: the model's dtype is {dtype!r}. Make its layers with "
                f"dtype={self.precision!r}, or leave precision at None."
            )
        if dtype != "float32":
            raise ValueError(
                "precision='bfloat16' needs a model of dtype 'float32', whose weights stay float32; this "
                f"one's is {dtype!r}."
            )

    def config(self) -> dict[str, Any]:
        """Return the arguments in Keras's serialised form."""
        loss = self.loss if isinstance(self.loss, str) else losses.serialize(losses.get(self.loss))
        return {
            "optimizer": optimizers.serialize(self.optimizer),
            "loss": loss,
            "loss_weights": None,
            "metrics": _serialized(self.metrics, self._metrics),
            "weighted_metrics": _serialized(self.weighted_metrics, self._weighted),
            "precision": self.precision,
            **self.hints,
        }


def _serialized(given: Any, flat: list[Any]) -> Any:
    return given and [m if isinstance(m, str) else metrics.serialize(metrics.get(m)) for m in flat]
