"""The losses as formulas, one value a row, and what their compiled routines are given.

Adding one is a function (in ``regression.py``, ``probabilistic.py`` or ``margins.py``) and an entry of
``TABLE`` here, a line in ``csrc/losses.def``, and (for an object with options) a class in ``classes.py``. The
functions are part of the interface (``keras.losses.mean_squared_error(y_true, y_pred)``).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.losses.align import align as align, align_classes as align_classes
from fastnn.losses.margins import categorical_hinge, dice, hinge, squared_hinge, tversky
from fastnn.losses.probabilistic import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from fastnn.losses.regression import (
    check_quantiles,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    quantile,
)

EPSILON = 1e-7  # which compiled losses clip at


def _none(units: int) -> tuple[float, ...]:
    return ()


class Declaration(NamedTuple):
    """What a loss is: see ``TABLE``."""

    function: Callable[..., np.ndarray]
    # "units": as many a row as the output has units; "class": one class number a row; "repeated": one for
    # each value of the option `quantiles`
    targets: str = "units"
    logits: bool = False  # whether it can take pre-activations, from_logits=True
    parameters: Callable[..., tuple[float, ...]] = _none  # of the line in losses.def, from units and options
    compiled: str = ""  # the line's name, where it is not the function's


def _smoothed(units: int, label_smoothing: float = 0.0) -> tuple[float, ...]:
    return (1 - label_smoothing, label_smoothing)


def _smoothed_to_half(units: int, label_smoothing: float = 0.0) -> tuple[float, ...]:
    return (1 - label_smoothing, 0.5 * label_smoothing)


def _binary_focal(
    units: int,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
) -> tuple[float, ...]:
    weight = (2 * alpha - 1, 1 - alpha) if apply_class_balancing else (0.0, 1.0)
    return (*_smoothed_to_half(units, label_smoothing), gamma, *weight)


def _categorical_focal(
    units: int, alpha: Any = 0.25, gamma: float = 2.0, label_smoothing: float = 0.0
) -> tuple[float, ...]:
    each = [float(a) for a in np.ravel(alpha)]
    if len(each) not in (1, units):
        raise ValueError(
            f"categorical_focal_crossentropy: alpha must be one number, or one for each of the {units} "
            f"classes, but there are {len(each)}."
        )
    return (*_smoothed(units, label_smoothing), gamma, *each)


def _ignored(units: int, ignore_class: int | None = None) -> tuple[float, ...]:
    return (float("nan") if ignore_class is None else float(ignore_class),)


def _quantiles(units: int, quantiles: Any = 0.5) -> tuple[float, ...]:
    found = check_quantiles(quantiles)
    if units % len(found):
        raise ValueError(
            f"quantile: {len(found)} quantiles need {len(found)} units for each target, but the last layer "
            f"has {units}."
        )
    return found


_CLASS = "class"
TABLE: dict[str, Declaration] = {
    d.function.__name__: d
    for d in (
        Declaration(mean_squared_error),
        Declaration(mean_absolute_error),
        Declaration(mean_absolute_percentage_error),
        Declaration(mean_squared_logarithmic_error),
        Declaration(huber, parameters=lambda units, delta=1.0: (delta,)),
        Declaration(log_cosh),
        Declaration(cosine_similarity),
        Declaration(quantile, "repeated", parameters=_quantiles),
        Declaration(binary_crossentropy, "units", True, _smoothed_to_half),
        Declaration(binary_focal_crossentropy, "units", True, _binary_focal),
        Declaration(categorical_crossentropy, "units", True, _smoothed),
        Declaration(categorical_focal_crossentropy, "units", True, _categorical_focal),
        Declaration(sparse_categorical_crossentropy, _CLASS, True, _ignored),
        Declaration(categorical_generalized_cross_entropy, _CLASS, parameters=lambda units, q: (q,)),
        Declaration(kl_divergence),
        Declaration(poisson),
        Declaration(hinge),
        Declaration(squared_hinge),
        Declaration(categorical_hinge),
        Declaration(
            tversky, parameters=lambda units, alpha=0.5, beta=0.5: (float(alpha), float(beta), EPSILON)
        ),
        # 2 I / (sum y + sum p + e) = I / (I + (sum y - I) / 2 + (sum p - I) / 2 + e / 2)
        Declaration(dice, parameters=lambda units: (0.5, 0.5, EPSILON / 2), compiled="tversky"),
    )
}
