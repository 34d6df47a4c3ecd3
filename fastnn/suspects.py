"""Where a training plainly fails: what to look at first (`TrainingWarning`, and the words of divergence).

It looks only at trainings that began with fresh weights, only where the history shows that nothing was
learned, and then at a few rows: whoever trains without trouble pays two comparisons.
"""

import math
from typing import Any

import numpy as np

from fastnn.errors import TrainingWarning, warn

LOOK_ROWS = 256  # rows looked at
LEAST_EPOCHS = 5  # of fewer, nothing is said
GREW = 10.0  # times what fresh weights could cost: the loss has plainly grown
FLAT = 1e-3  # relative to its first value: the loss has not moved
NOTHING = 0.9  # of what the best constant answer costs: whoever is above it has learned nothing
LARGE = 1000.0  # columns beyond that are not scaled


def look(model: Any, loss: str, losses: np.ndarray, train: Any) -> None:
    """Warn, naming the first suspect, where the losses of a fresh model show that training failed."""
    if len(losses) < LEAST_EPOCHS:
        return
    first, last = float(losses[0]), float(losses[-1])
    if not (math.isfinite(first) and math.isfinite(last)) or first == 0:
        return
    if last > GREW * max(abs(first) if last > first else 0.0, _untrained(loss, train)):
        suspect = _unscaled(train) or " First suspect: the learning rate is too high."
        warn(
            f"The loss is {last:.3g} after {len(losses)} epochs, more than before the first.{suspect}",
            TrainingWarning,
        )
    elif (
        abs(last - first) <= FLAT * abs(first)
        and np.ptp(losses) <= FLAT * abs(first)
        and last > NOTHING * _constant(loss, train)
    ):
        suspect = _dead(model, train) or _unscaled(train)
        if suspect:
            warn(f"The loss stayed at {last:.3g} for {len(losses)} epochs.{suspect}", TrainingWarning)


def of_divergence(train: Any) -> str:
    """Return a sentence that names what to look at first where the loss became infinite or NaN."""
    return _unscaled(train)


def _sample(a: np.ndarray) -> np.ndarray:
    step = max(1, len(a) // LOOK_ROWS)
    return np.asarray(a[::step][:LOOK_ROWS], dtype=np.float64)


def _untrained(loss: str, train: Any) -> float:
    """Return about what fresh weights cost at most, going by the data; infinity where that is unknown."""
    if train.sample_weight is not None:
        return math.inf
    square = 1.0 + float(np.square(_sample(train.x)).mean()) + float(np.square(_sample(train.y)).mean())
    kinds = {"mean_squared_error": square, "mean_absolute_error": math.sqrt(square)}
    if loss.endswith("crossentropy"):  # of more classes than anybody has, by logits of the data's order
        return 10 + math.sqrt(1.0 + float(np.square(_sample(train.x)).mean()))
    return kinds.get(loss, math.inf)


def _constant(loss: str, train: Any) -> float:
    """Return what the best constant answer costs, infinite where that is unknown."""
    y = _sample(train.y)
    if train.sample_weight is not None:
        return math.inf
    if loss == "mean_squared_error":
        return float(y.var(axis=0).mean())
    if loss == "mean_absolute_error":
        return float(np.abs(y - np.median(y, axis=0)).mean())
    if loss == "binary_crossentropy":
        shares = np.clip(y.mean(axis=0), 1e-7, 1 - 1e-7)
        return float(-(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).mean())
    if loss.endswith("categorical_crossentropy"):
        sparse = loss.startswith("sparse")
        shares = np.unique(y, return_counts=True)[1] / len(y) if sparse else y.mean(axis=0)
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum())
    return math.inf


def _unscaled(train: Any) -> str:
    for name, a in (("x", train.x), ("y", train.y)):
        largest = np.abs(_sample(a)).max(axis=0)
        column = int(largest.argmax())
        if np.isfinite(largest).all() and largest[column] > LARGE:
            where = f"column {column} of {name}" if a.shape[1] > 1 else name
            return (
                f" First suspect: {where} holds values up to {largest[column]:.3g}; scale the data to about "
                "-1 to 1, for instance by (a - a.mean(axis=0)) / a.std(axis=0)."
            )
    return ""


def _dead(model: Any, train: Any) -> str:
    """Return a sentence where a layer gives the same for all rows, though these differ."""
    rows = _sample(train.x).astype(train.x.dtype)
    if len(rows) < 2 or (rows == rows[0]).all():
        return ""
    for layer in model.layers:
        if not hasattr(layer, "activation") or getattr(layer.activation, "__name__", "") != "relu":
            if type(layer).__name__ != "Dense":
                return ""  # what it does in training is not what it does here
            rows = layer(rows)
            continue
        rows = layer(rows)
        if not rows.any():
            return (
                f" First suspect: all units of layer {layer.name!r} are dead, 0 for every row. Try a smaller "
                "learning rate, scaled inputs, kernel_initializer='he_normal', or activation='leaky_relu'."
            )
    return ""
