"""Losses for targets that are classes, probabilities or counts, one value a row."""

import numpy as np

from fastnn.activations import sigmoid, softmax
from fastnn.config import epsilon
from fastnn.losses.align import align, align_along, align_classes, clip, last_axis


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """``-mean(y log p + (1 - y) log(1 - p), axis)``, each output a yes or no of its own.

    Parameters
    ----------
    y_true : array-like
        Targets in [0, 1], fractions included.
    y_pred : array-like
        Probabilities, clipped to [1e-7, 1 - 1e-7]; with ``from_logits`` the values before the sigmoid.
    from_logits : bool
    label_smoothing : float
        ``s`` in [0, 1]: targets become ``y * (1 - s) + s / 2``.
    axis : int
        Along which the mean is taken.
    """
    y, p = align_along(y_true, y_pred, axis)
    y = y * (1 - label_smoothing) + 0.5 * label_smoothing
    return _binary(y, p, from_logits).mean(axis=-1)


def _binary(y, p, from_logits):
    if from_logits:
        return np.maximum(p, 0) - p * y + np.log1p(np.exp(-np.abs(p)))
    p = clip(p)
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


def binary_focal_crossentropy(
    y_true,
    y_pred,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
):
    """Binary crossentropy in which outputs that are nearly right count less: times ``(1 - p_t)**gamma``.

    ``p_t = y p + (1 - y) (1 - p)`` is the probability given to what is true.

    Parameters
    ----------
    y_true, y_pred, from_logits, label_smoothing, axis
        As for `binary_crossentropy`.
    apply_class_balancing : bool
        Whether an output also counts ``alpha`` for class 1 and ``1 - alpha`` for class 0.
    alpha : float
    gamma : float
        At least 0; 0 is the binary crossentropy.

    Notes
    -----
    Lin et al., "Focal loss for dense object detection" (2017).
    """
    y, p = align_along(y_true, y_pred, axis)
    y = y * (1 - label_smoothing) + 0.5 * label_smoothing
    rows = _binary(y, p, from_logits)
    off = y * sigmoid(-p) + (1 - y) * sigmoid(p) if from_logits else y * (1 - p) + (1 - y) * p
    rows = np.maximum(off, 0) ** gamma * rows
    if apply_class_balancing:
        rows = (y * alpha + (1 - y) * (1 - alpha)) * rows
    return rows.mean(axis=-1)


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """``-sum(y log p, axis)`` for targets that are one-hot or probabilities.

    Parameters
    ----------
    y_true, y_pred : array-like, (N, classes)
        Predictions are divided by their sum and clipped to [1e-7, 1 - 1e-7]; with ``from_logits`` they are
        the values before the softmax.
    from_logits : bool
    label_smoothing : float
        ``s`` in [0, 1]: targets become ``y * (1 - s) + s / classes``.
    axis : int
        Of the classes.
    """
    y, p = align_along(y_true, y_pred, axis)
    y = y * (1 - label_smoothing) + label_smoothing / y.shape[-1]
    return -(y * _log_probabilities(p, from_logits)).sum(axis=-1)


def _log_probabilities(p: np.ndarray, from_logits: bool) -> np.ndarray:
    if from_logits:
        shifted = p - p.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.log(clip(p / p.sum(axis=-1, keepdims=True)))


def categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    """``sum(alpha (1 - p)**gamma * -y log p, axis)``: classes that are nearly right count less.

    Parameters
    ----------
    y_true, y_pred, from_logits, label_smoothing, axis
        As for `categorical_crossentropy`.
    alpha : float, or sequence of one for each class
    gamma : float
        At least 0.

    Notes
    -----
    Lin et al., "Focal loss for dense object detection" (2017).
    """
    y, p = align_along(y_true, y_pred, axis)
    y = y * (1 - label_smoothing) + label_smoothing / y.shape[-1]
    logs = _log_probabilities(p, from_logits)
    share = softmax(p) if from_logits else np.exp(logs)
    return -(np.asarray(alpha, p.dtype) * (1 - share) ** gamma * y * logs).sum(axis=-1)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """Categorical crossentropy for targets given as class numbers: ``-log p[y]``.

    Parameters
    ----------
    y_true : array-like of whole numbers, (N,) or (N, 1)
        From 0 to classes - 1.
    y_pred : array-like, (N, classes)
    from_logits : bool
        As in `categorical_crossentropy`.
    ignore_class : int, optional
        Rows of this class, which may be any number, cost 0. A mean over rows, and training, leave them out.
    axis : int
        -1.
    """
    last_axis(axis)
    y, p = align_classes(y_true, y_pred, ignore_class)
    ignored = None if ignore_class is None else y == ignore_class
    y = y if ignored is None else np.where(ignored, 0, y)
    rows = -np.take_along_axis(_log_probabilities(p, from_logits), y[..., None], axis=-1)[..., 0]
    return rows if ignored is None else np.where(ignored, p.dtype.type(0), rows)


def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """``(1 - p[y]**q) / q``: from crossentropy (q near 0) to absolute error (q = 1); wrong labels pull less.

    Parameters
    ----------
    y_true : array-like of whole numbers, (N,) or (N, 1)
        Class numbers, from 0 to classes - 1.
    y_pred : array-like, (N, classes)
        Probabilities.
    q : float
        Between 0 and 1.

    Notes
    -----
    Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels"
    (2018).
    """
    y, p = align_classes(y_true, y_pred)
    right = np.take_along_axis(p, y[..., None], axis=-1)[..., 0]
    return (1 - right**q) / q


def kl_divergence(y_true, y_pred):
    """``sum(y log(y / p), axis=-1)``, both clipped to [1e-7, 1]: how far off a distribution is."""
    y, p = align(y_true, y_pred)
    y, p = np.clip(y, epsilon(), 1), np.clip(p, epsilon(), 1)
    return (y * np.log(y / p)).sum(axis=-1)


def poisson(y_true, y_pred):
    """``mean(p - y log(p + 1e-7), axis=-1)``, for counts; outputs are the expected count, above 0."""
    y, p = align(y_true, y_pred)
    return (p - y * np.log(p + p.dtype.type(epsilon()))).mean(axis=-1)
