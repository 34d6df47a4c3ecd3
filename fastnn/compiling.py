"""What ``model.compile`` was told, and what of it the compiled network needs."""

from typing import Any, NamedTuple

from fastnn import losses, metrics, optimizers
from fastnn.losses.classes import Loss
from fastnn.metrics.classes import MeanMetric
from fastnn.optimizers import Optimizer


class Native(NamedTuple):
    """What ``Network.compile`` takes, and the names of what it then reports."""

    loss: str
    from_logits: bool
    metrics: tuple[str, ...]
    keys: tuple[str, ...]  # "loss", then one for each metric
    kind: str  # of targets: "units" or "class"


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
        self._loss = _resolve_loss(loss)
        self._metrics = _metric_list(metrics)
        self.native: Native | None = None

    def resolve(self, units: int, owner: str) -> Native:
        """Fill in what depends on the number of outputs of the last layer, which ``owner`` names."""
        if self._loss is None:
            raise ValueError("There is no loss to train for: compile the model with loss=.")
        name, from_logits = self._loss
        kind = losses.TABLE[name].targets
        if name == "categorical_crossentropy" and units == 1:
            raise ValueError(
                f"categorical_crossentropy needs an output for each class, but {owner} has 1 unit; for yes "
                "or no use 'binary_crossentropy'."
            )
        found, keys = [], ["loss"]
        for key, metric in self._metrics:
            native = metric or _accuracy(units, kind)
            if metrics.TABLE[native].targets != kind and units > 1:
                wants = {"class": "class numbers", "units": f"{units} targets a row"}
                raise ValueError(
                    f"metrics: {key!r} ({native}) takes {wants[metrics.TABLE[native].targets]}, but the "
                    f"loss {name} takes {wants[kind]}."
                )
            found.append(native)
            keys.append(_unused(key, keys))
        self.native = Native(name, from_logits, tuple(found), tuple(keys), kind)
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


def _resolve_loss(loss: Any) -> tuple[str, bool] | None:
    """Return (name of the compiled loss, from_logits)."""
    if isinstance(loss, list | tuple) and len(loss) == 1:
        loss = loss[0]
    if isinstance(loss, list | tuple) or (isinstance(loss, dict) and "class_name" not in loss):
        raise NotImplementedError(f"loss={loss!r}: models here have one output, so give one loss.")
    found = losses.get(loss)
    if found is None:
        return None
    if not isinstance(found, Loss):
        name = getattr(found, "__name__", "")
        if name in losses.TABLE and losses.TABLE[name].function is found:
            return name, False
        raise NotImplementedError(
            f"loss={found!r}: losses of your own are not supported yet; use one of {losses.LOSSES.listed()}."
        )
    function = getattr(type(found), "function", None)
    name = getattr(function, "__name__", "")
    if (
        name not in losses.TABLE
        or losses.TABLE[name].function is not function
        or type(found).call is not Loss.call
    ):
        raise NotImplementedError(f"loss={found!r}: losses of your own are not supported yet.")
    if found.reduction not in ("sum_over_batch_size", "mean"):
        raise NotImplementedError(
            f"loss {found.name!r}: reduction={found.reduction!r} is not supported in training yet."
        )
    options = found.options()
    from_logits = options.pop("from_logits", False)
    _defaults_only(found, options)
    return name, bool(from_logits)


# What options of losses and metrics must be for the compiled ones to compute the same.
_DEFAULTS = {"label_smoothing": 0, "axis": -1, "ignore_class": None, "threshold": 0.5, "from_logits": False}


def _defaults_only(thing: Any, options: dict[str, Any]) -> None:
    for key, value in options.items():
        if value != _DEFAULTS.get(key, value):
            raise NotImplementedError(
                f"{type(thing).__name__}({key}={value!r}) is not supported in training yet; leave it at "
                f"{_DEFAULTS[key]!r}."
            )


def _metric_list(given: Any) -> list[tuple[str, str]]:
    """Return (key, name of the compiled metric, or "" where that depends on the output) for each metric."""
    if not given:
        return []
    if isinstance(given, dict) or not isinstance(given, list | tuple):
        raise ValueError(f"metrics must be a list, as in metrics=['accuracy'], got {given!r}.")
    flat: list[Any] = []
    for m in given:
        flat.extend(m if isinstance(m, list | tuple) else [m])
    return [_metric(m) for m in flat]


def _metric(given: Any) -> tuple[str, str]:
    if isinstance(given, str) and given.lower() in ("accuracy", "acc"):
        return given, ""
    if isinstance(given, Loss):  # a loss serves as a metric
        name, from_logits = _resolve_loss(given) or ("", False)
        _defaults_only(given, {"from_logits": from_logits})
        return given.name, name
    found = metrics.get(given, "metrics")
    function = type(found).function if isinstance(found, MeanMetric) else found
    name = str(getattr(function, "__name__", ""))
    if name not in metrics.TABLE or metrics.TABLE[name].function is not function:
        raise NotImplementedError(
            f"metrics: {given!r}: metrics of your own are not supported yet; use one of accuracy, "
            f"{metrics.METRICS.listed()}."
        )
    if isinstance(found, MeanMetric):
        _defaults_only(found, found.options())
    key = given if isinstance(given, str) else getattr(found, "name", name)
    return key, name


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
