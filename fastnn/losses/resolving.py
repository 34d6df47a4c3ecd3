"""From what ``compile(loss=...)`` was given to what the compiled network takes."""

import functools
from typing import Any, NamedTuple

import numpy as np

from fastnn import losses
from fastnn.kernels.own_loss import OwnLoss
from fastnn.losses.functions import TABLE, Declaration
from fastnn.losses.loss import Loss

HOW_TO = (
    "fastnn cannot differentiate a Python function. Write the gradient beside it: class MyLoss(losses.Loss): "
    "def loss(self, y_true, y_pred), which returns one number a row, and def gradient(self, y_true, y_pred), "
    "its derivative, shaped as y_pred, both in NumPy; then loss=MyLoss()."
)


class Together(Loss):
    """A loss of all rows of a batch together: a function and its arguments."""

    def __init__(self, function: Any, arguments: dict[str, Any], reduction: str):
        super().__init__("together", reduction)
        self.of = functools.partial(function, **arguments)

    def call(self, y_true: Any, y_pred: Any) -> np.ndarray:
        return self.of(y_true, y_pred)


class Resolved(NamedTuple):
    """A loss, or a loss that serves as a metric.

    ``own`` is a loss of the user's own, whose ``name`` is not in ``TABLE``. ``together``: the rows of a batch
    are judged together, as Keras's Dice does.
    """

    name: str
    from_logits: bool = False
    options: dict[str, Any] = {}  # noqa: RUF012 never changed
    reduction: str = "mean"
    own: Any = None
    together: bool = False

    @property
    def declaration(self) -> Declaration:
        return TABLE[self.name]

    def specification(self, units: int) -> Any:
        """Return what ``fastnn.kernels`` take: a name, with the parameters if there are any."""
        if self.own is not None:
            return "mean_squared_error"  # which `own` takes the place of
        declaration = self.declaration
        name = declaration.compiled or self.name
        parameters = declaration.parameters(units, **self.options)
        return (name, parameters) if parameters else name

    @property
    def arguments(self) -> dict[str, Any]:
        """What the function in NumPy is given."""
        logits = {"from_logits": True} if self.from_logits else {}
        axis = {} if self.name not in ("dice", "tversky") else {"axis": None if self.together else -1}
        return {**self.options, **logits, **axis}

    def metric(self, units: int) -> Any:
        """Return the same as a metric's, whose form from logits has a name of its own."""
        found = self.specification(units)
        name, parameters = (found, None) if isinstance(found, str) else found
        name += "_logits" if self.from_logits else ""
        return name if parameters is None else (name, parameters)

    @property
    def targets(self) -> str | int:
        """What y has: "units", "class", "repeated", or (of a user's own loss) a number of columns."""
        return self.own.targets if self.own is not None else self.declaration.targets

    def columns(self, units: int) -> int:
        """Return how many columns y has."""
        if self.targets == "class":
            return 1
        if self.targets == "repeated":
            return units // max(1, np.size(self.options.get("quantiles", 0.5)))
        return units if self.targets == "units" else int(self.targets)

    def shape_of_targets(self, units: int) -> str:
        """Return what y has, in words."""
        return shape_of_targets(self.targets, self.columns(units))

    @property
    def apart(self) -> bool:
        """Whether the loss comes between forward and backward, and is evaluated here and not natively."""
        return self.own is not None or self.together

    def native_own(self, units: int) -> OwnLoss | None:
        """Return what the network calls of a loss of the user's own; None for another."""
        if self.own is None:
            return None
        return OwnLoss(
            self.own.call, self.own.gradient, self.name, self.columns(units), self.targets == "class"
        )

    def judged(self, y: np.ndarray, p: np.ndarray, weight: np.ndarray | None, batch_size: int) -> float:
        """Return a loss that is apart: the mean over batches, each counted with its rows.

        Parameters
        ----------
        y, p : ndarray, (rows, columns) and (rows, units)
        weight : ndarray, (rows,), optional
        batch_size : int
            0 is all rows.
        """
        loss = self.own or Together(self.declaration.function, self.arguments, self.reduction)
        total, size = 0.0, batch_size or len(y)
        for start in range(0, len(y), size):
            rows = slice(start, start + size)
            its = y[rows, 0].astype(np.int64) if self.targets == "class" else y[rows]
            total += loss(its, p[rows], None if weight is None else weight[rows]) * len(its)
        return total / len(y)

    @property
    def ignored(self) -> int | None:
        """The class that counts for nothing."""
        return self.options.get("ignore_class")


def shape_of_targets(targets: str | int, columns: int) -> str:
    """Return what y has, in words, for messages."""
    if targets == "class":
        return "class numbers"
    return f"{columns} target{'' if columns == 1 else 's'} a row"


def resolve(loss: Any) -> Resolved | None:
    """Return what a name, function, `Loss` or config stands for; None for None.

    Raises
    ------
    NotImplementedError
        For a Python function without a gradient, an axis that is not the last, or ``reduction="none"``.
    ValueError, TypeError
        For a name that is none, or options that cannot be.
    """
    if isinstance(loss, list | tuple) or (isinstance(loss, dict) and "class_name" not in loss):
        raise NotImplementedError(f"loss={loss!r}: models here have one output, so give one loss.")
    found = losses.get(loss)
    if found is None:
        return None
    if isinstance(found, Loss):
        return _of_object(found)
    options: dict[str, Any] = {}
    function = found
    if isinstance(found, functools.partial) and not found.args:
        function, options = found.func, dict(found.keywords)
    name = getattr(function, "__name__", "")
    if name not in TABLE or TABLE[name].function is not function:
        raise NotImplementedError(f"loss={found!r}: {HOW_TO}")
    return _of_options(name, options, "sum_over_batch_size", name)


def _of_object(loss: Loss) -> Resolved:
    if loss.reduction in ("none", None):
        raise ValueError(
            f"loss {loss.name!r}: reduction={loss.reduction!r} leaves one number a row, but training needs "
            "one number for the batch: use 'sum_over_batch_size', or 'sum'."
        )
    reduction = str(loss.reduction)
    function = getattr(type(loss), "function", None)
    name = getattr(function, "__name__", "")
    known = name in TABLE and TABLE[name].function is function and type(loss).call is Loss.call
    if callable(getattr(loss, "gradient", None)):
        return Resolved(loss.name, reduction=reduction, own=_checked(loss))
    if not known or hasattr(loss, "loss"):
        raise NotImplementedError(
            f"loss={loss!r}: class {type(loss).__name__} has no method gradient(y_true, y_pred). {HOW_TO}"
        )
    return _of_options(name, loss.options(), reduction, loss.name)


def _checked(loss: Loss) -> Loss:
    targets = type(loss).targets
    whole = isinstance(targets, int) and not isinstance(targets, bool) and targets > 0
    if targets not in ("units", "class") and not whole:
        raise ValueError(
            f"loss {loss.name!r}: targets must be 'units', 'class' or a number of columns, got {targets!r}."
        )
    if not hasattr(loss, "loss") and type(loss).call is Loss.call:
        raise NotImplementedError(
            f"loss={loss!r}: class {type(loss).__name__} has a gradient, but no method loss(y_true, y_pred), "
            "which returns one number a row."
        )
    return loss


def _of_options(name: str, options: dict[str, Any], reduction: str, label: str) -> Resolved:
    options = dict(options)
    from_logits = bool(options.pop("from_logits", False))
    declaration = TABLE[name]
    if from_logits and not declaration.logits:
        raise TypeError(f"loss {name!r} takes no from_logits.")
    together = False
    if "axis" in options or name in ("dice", "tversky"):
        axis = options.pop("axis", None)
        together = axis is None
        axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
        if axes not in ((-1,), (1,)) and not (together and name in ("dice", "tversky")):
            raise NotImplementedError(
                f"loss {label!r}: axis={axis!r}: outputs here are rows of numbers, so training takes a loss "
                "along the last axis, -1"
                + (", or of all rows together, None." if name in ("dice", "tversky") else ".")
            )
    try:
        declaration.parameters(1, **{k: v for k, v in options.items() if k not in ("alpha", "quantiles")})
    except TypeError as error:
        raise TypeError(f"loss {label!r}: {str(error).partition('() ')[2] or error}.") from None
    return Resolved(name, from_logits, options, reduction, together=together)
