"""What ``model.compile`` was told, and what of it the compiled network needs."""

import functools
from typing import Any, NamedTuple

from fastnn import losses, metrics, optimizers
from fastnn.losses.classes import Loss
from fastnn.losses.resolving import Resolved, resolve, shape_of_targets
from fastnn.metrics.classes import MeanMetric, Metric
from fastnn.metrics.of_losses import loss_metric
from fastnn.optimizers import Optimizer


class Native(NamedTuple):
    """What ``Network.compile`` takes, and the names of what it then reports."""

    loss: str  # its name
    from_logits: bool
    metrics: tuple[Any, ...]  # each a name, or a name and its parameters
    objects: tuple[Metric, ...]
    keys: tuple[str, ...]  # "loss", then one for each metric
    kind: str  # of targets: "units" or "class"
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
        if weighted_metrics:
            raise NotImplementedError(
                "weighted_metrics is not supported yet; metrics= are unweighted means, as in Keras."
            )
        self.optimizer: Optimizer = optimizers.get(optimizer)
        self.loss = loss
        self.metrics = metrics
        self.hints = hints or {}
        if precision is not None and precision not in ("float32", "float64", "bfloat16"):
            raise ValueError(
                f"precision must be None (the model's dtype), 'bfloat16', 'float32' or 'float64', got "
                f"{precision!r}."
            )
        self.precision = precision
        self._loss = resolve(loss)
        self._metrics = _metric_list(metrics)
        self.native: Native | None = None

    def resolve(self, units: int, owner: str) -> Native:
        """Fill in what depends on the number of outputs of the last layer, which ``owner`` names."""
        if self._loss is None:
            raise ValueError("There is no loss to train for: compile the model with loss=.")
        loss = self._loss
        name = loss.name
        kind = "class" if loss.targets == "class" else "units"
        if name in ("categorical_crossentropy", "categorical_focal_crossentropy") and units == 1:
            raise ValueError(
                f"{name} needs an output for each class, but {owner} has 1 unit; for yes "
                "or no use 'binary_crossentropy'."
            )
        found: list[Any] = []
        objects: list[Metric] = []
        keys = ["loss"]
        for key, metric in self._metrics:
            native = metric or _accuracy(units, kind)
            if isinstance(native, Resolved):
                label, wanted = native.name, native.shape_of_targets(units)
            else:
                label, wanted = native, shape_of_targets(metrics.TABLE[native].targets, units)
            if wanted != loss.shape_of_targets(units) and units > 1:
                raise ValueError(
                    f"metrics: {key!r} ({label}) takes {wanted}, but the loss {name} takes "
                    f"{loss.shape_of_targets(units)}."
                )
            keys.append(_unused(key, keys))
            if isinstance(native, Resolved):
                found.append(native.metric(units))
                objects.append(loss_metric(native.declaration.function, native.arguments, keys[-1]))
                continue
            found.append(native)
            objects.append(metrics.get(native))
            objects[-1].name = keys[-1]
        self.native = Native(
            name,
            loss.from_logits,
            tuple(found),
            tuple(objects),
            tuple(keys),
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
        names = self.metrics and [
            m if isinstance(m, str) else metrics.serialize(metrics.get(m)) for m in self.metrics
        ]
        return {
            "optimizer": optimizers.serialize(self.optimizer),
            "loss": loss,
            "loss_weights": None,
            "metrics": names,
            "weighted_metrics": None,
            "precision": self.precision,
            **self.hints,
        }


# What options of losses and metrics must be for the compiled ones to compute the same.
_DEFAULTS = {"threshold": 0.5}


def _defaults_only(thing: Any, options: dict[str, Any]) -> None:
    for key, value in options.items():
        if value != _DEFAULTS.get(key, value):
            raise NotImplementedError(
                f"{type(thing).__name__}({key}={value!r}) is not supported in training yet; leave it at "
                f"{_DEFAULTS[key]!r}."
            )


def _metric_list(given: Any) -> list[tuple[str, Any]]:
    """Return (key, compiled metric) for each: its name, or a loss, or "" where that depends on the output."""
    if not given:
        return []
    if isinstance(given, dict) or not isinstance(given, list | tuple):
        raise ValueError(f"metrics must be a list, as in metrics=['accuracy'], got {given!r}.")
    flat: list[Any] = []
    for m in given:
        flat.extend(m if isinstance(m, list | tuple) else [m])
    return [_metric(m) for m in flat]


def _metric(given: Any) -> tuple[str, Any]:
    if isinstance(given, str) and given.lower() in ("accuracy", "acc"):
        return given, ""
    if isinstance(given, Loss):
        return given.name, _loss_metric(given, given.name)
    if isinstance(given, str) and given in losses.LOSSES and given not in metrics.METRICS:
        return given, _loss_metric(given, given)
    if isinstance(given, functools.partial):
        return str(getattr(given.func, "__name__", "")), _loss_metric(given, repr(given))
    found = metrics.get(given, "metrics")
    function = type(found).function if isinstance(found, MeanMetric) else found
    name = str(getattr(function, "__name__", ""))
    if name not in metrics.TABLE or metrics.TABLE[name].function is not function:
        raise NotImplementedError(
            f"metrics: {given!r}: metrics of your own are not supported yet; use one of accuracy, "
            f"{metrics.METRICS.listed()}."
        )
    key = given if isinstance(given, str) else getattr(found, "name", name)
    if name in losses.TABLE:
        options = found.options() if isinstance(found, MeanMetric) else {}
        return key, _loss_metric(functools.partial(function, **options), key)
    if isinstance(found, MeanMetric):
        _defaults_only(found, found.options())
    return key, name


def _loss_metric(loss: Any, label: str) -> Resolved:
    """Return a loss that serves as a metric: its mean over the rows."""
    found = resolve(loss)
    if found is None or found.own is not None or found.together or found.ignored is not None:
        raise NotImplementedError(
            f"metrics: {label!r} is no mean over rows, or of your own; evaluate it on model.predict(x)."
        )
    if found.reduction not in ("sum_over_batch_size", "mean"):
        raise NotImplementedError(
            f"metrics: {label!r}: reduction={found.reduction!r}: a loss serves as a metric by its mean over "
            "the rows; leave it at its default."
        )
    return found


def _accuracy(units: int, kind: str) -> str:
    if units == 1:
        return "binary_accuracy"
    return "sparse_categorical_accuracy" if kind == "class" else "categorical_accuracy"


def _unused(key: str, keys: list[str]) -> str:
    number, name = 0, key
    while name in keys:
        number += 1
        name = f"{key}_{number}"
    return name
