"""The gradient of a loss of the user's own, compared with central differences of the loss."""

from typing import Any

import numpy as np

from fastnn.errors import TrainingWarning, warn

ROWS = 16  # looked at
STEP = 1e-4  # relative to the output, at least so much
TOLERANCE = 1e-3


def first_use(native: Any, net: Any, part: Any) -> None:
    """Look at the gradient of a loss of the user's own, once in the life of the loss.

    Parameters
    ----------
    native : Native
        What the model was compiled for.
    net : Network
    part : Data
    """
    loss = native.resolved.own
    if loss is None or getattr(loss, "_gradient_checked", False):
        return
    check_gradient(native.own, loss.name, part.y[:ROWS], net.predict(part.x[:ROWS]))
    loss._gradient_checked = True


def differences(loss: Any, y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how steep the loss of each row is in each of its outputs, below and above where they are."""
    below, above = np.empty_like(p), np.empty_like(p)
    here = np.asarray(loss(y, p.copy()), np.float64)
    for j in range(p.shape[1]):
        h = STEP * np.maximum(1.0, np.abs(p[:, j]))
        for side, out in ((-h, below), (h, above)):
            moved = p.copy()
            moved[:, j] += side
            out[:, j] = (np.asarray(loss(y, moved), np.float64) - here) / side
    return below, above


def check_gradient(own: Any, name: str, y: np.ndarray, p: np.ndarray) -> bool:
    """Warn, naming the worst element, where a gradient is not that of its loss; return whether it is.

    A gradient between the slopes on both sides passes: at a kink every number between them serves.

    Parameters
    ----------
    own : OwnLoss
    name : str
        For the message.
    y, p : ndarray, (rows, targets) and (rows, units)
        Some targets and outputs.
    """
    y, p = y[:ROWS].astype(np.float64), p[:ROWS].astype(np.float64)
    _, got = own.call(y, p)
    targets = y[:, 0].astype(np.int64) if own.classes else y
    with np.errstate(all="ignore"):
        below, above = differences(own.loss, targets, p)
        low, high = np.minimum(below, above), np.maximum(below, above)
        off = np.maximum(low - got, got - high)
        wrong = off / (np.abs(below) + np.abs(above) + np.abs(got) + 1e-3)
    wrong = np.where(np.isfinite(wrong), wrong, np.where(np.isfinite(low + high), np.inf, 0))
    i, j = np.unravel_index(int(wrong.argmax()), wrong.shape)
    if wrong[i, j] <= TOLERANCE:
        return True
    warn(
        f"loss {name!r}: its gradient is not the derivative of its loss. Worst is row {i}, output {j}, for "
        f"y_pred = {p[i, j]:.6g}: gradient says {got[i, j]:.6g}, but the loss changes by "
        f"{(below[i, j] + above[i, j]) / 2:.6g} for each unit of the output. It must return the derivative "
        "of each row's loss, not divided by the number of rows.",
        TrainingWarning,
    )
    return False
