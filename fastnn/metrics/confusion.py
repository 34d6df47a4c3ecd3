"""Metrics of a confusion at thresholds: counts of true and false positives and negatives, and their ratios.

An output is positive where it is above the threshold; a target where it is not 0.
"""

from typing import Any

import numpy as np

from fastnn.config import epsilon
from fastnn.kernels.measures import QUANTITIES, Measure
from fastnn.losses.functions import align
from fastnn.metrics.metric import Metric

# The threshold of metrics with top_k: every output is above it but those that are not among the largest.
LOWEST = -1e10


def ratio(a: Any, b: Any) -> np.ndarray:
    """Return a / b, 0 where b is 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b != 0)


def parse_thresholds(thresholds: Any, default: float) -> list[float]:
    """Return a list of thresholds, checked."""
    if thresholds is None:
        return [default]
    given = list(thresholds) if isinstance(thresholds, list | tuple | np.ndarray) else [thresholds]
    wrong = [t for t in given if t is None or not 0 <= t <= 1]
    if wrong or not given:
        raise ValueError(f"thresholds must be in [0, 1], got {thresholds!r}.")
    return given


def divide_evenly(thresholds: Any) -> bool:
    """Whether there are 3 thresholds or more, at equal distances from 0 to 1."""
    n = len(thresholds)
    return n >= 3 and bool(np.allclose(thresholds, np.arange(n) / (n - 1), atol=epsilon()))


class Confusion(Metric):
    """Base of the metrics that count true and false, positive and negative outputs at thresholds.

    Attributes
    ----------
    thresholds : list of float
    true_positives, false_positives, true_negatives, false_negatives : State
        (thresholds,), or (thresholds, labels).
    """

    def _count_at(self, thresholds: Any, even: bool, top_k: int | None = None, class_id: int | None = None):
        self.thresholds = thresholds
        self._even = even
        self.top_k = top_k
        self.class_id = class_id
        self._add_counts((len(thresholds),))

    def _add_counts(self, shape: tuple[int, ...]) -> None:
        for name in QUANTITIES[:4]:
            setattr(self, name, self.add_variable(shape, dtype="float64", name=name))

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._take_in(y_true, y_pred, sample_weight)

    def _take_in(self, y_true, y_pred, sample_weight, separate=False, label_weights=None):
        y, p = align(y_true, y_pred)
        weight: np.ndarray = np.ones(p.shape)
        if sample_weight is not None:
            given = np.asarray(sample_weight, np.float64)
            given = given[..., None] if given.ndim and given.ndim == p.ndim - 1 else given
            weight = weight * given
        if label_weights is not None:
            weight = weight * label_weights
        if self.top_k is not None:
            order = np.argsort(-p, axis=-1, kind="stable")[..., : self.top_k]
            largest = np.zeros(p.shape, bool)
            np.put_along_axis(largest, order, True, axis=-1)
            p = np.where(largest, p, p.dtype.type(LOWEST))
        if self.class_id is not None:
            if p.ndim == 1 or not -p.shape[-1] <= self.class_id < p.shape[-1]:
                raise ValueError(
                    f"class_id={self.class_id}: there is no such unit in y_pred of shape {p.shape}."
                )
            y, p, weight = (a[..., self.class_id, None] for a in (y, p, weight))
        above = self._thresholds_below(p)
        if separate:
            y, above, weight = (a.reshape(-1, p.shape[-1]) for a in (y, above, weight))
        else:
            y, above, weight = y.ravel(), above.ravel(), weight.ravel()
        positive = above[None] > np.arange(len(self.thresholds)).reshape(-1, *[1] * above.ndim)
        label = y != 0
        for name, guess, truth in (
            ("true_positives", positive, label),
            ("false_positives", positive, ~label),
            ("true_negatives", ~positive, ~label),
            ("false_negatives", ~positive, label),
        ):
            getattr(self, name).assign_add(((guess & truth) * weight).sum(axis=1))

    def _thresholds_below(self, p: np.ndarray) -> np.ndarray:
        """Return how many thresholds each output is above; of evenly spaced ones, Keras computes it."""
        t = np.asarray(self.thresholds, np.float64)
        if self._even:
            intervals = p.dtype.type(len(t) - 1)
            return np.maximum(np.ceil(np.clip(p, 0, 1) * intervals), 1 if t[0] < 0 else 0).astype(int)
        # positions, so that thresholds in any order keep their own counts
        return np.where(p[..., None] > np.sort(t).astype(p.dtype), 1, 0).sum(axis=-1)

    def _measure(self, finish: str, options: tuple[float, ...], **more: Any) -> Measure:
        t = np.asarray(self.thresholds, np.float64)
        mode = 0 if not self._even else 2 if t[0] < 0 else 1
        given = {"vector": tuple(np.argsort(t, kind="stable").astype(float)), **more}
        return Measure(
            "confusion",
            (mode, self.top_k or 0, given.pop("logits", 0)),
            tuple(np.sort(t)),
            self.class_id,
            finish,
            options,
            **given,
        )

    def _quantity(self, name: str) -> np.ndarray:
        """Return the quantity at each threshold."""
        tp, fp, tn, fn = (getattr(self, count).value for count in QUANTITIES[:4])
        if name == "precision":
            found = ratio(tp, tp + fp)
        elif name == "recall":
            found = ratio(tp, tp + fn)
        elif name == "specificity":
            found = ratio(tn, tn + fp)
        else:
            found = getattr(self, name).value
        return found


class AtThresholds(Confusion):
    """Base of those that are one quantity, at one threshold or several.

    Parameters
    ----------
    thresholds : float or list of float
        In [0, 1]; 0.5 by default.
    name, dtype : str, optional
    """

    _what: str  # of QUANTITIES

    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(dtype, name)
        self.init_thresholds = thresholds
        parsed = parse_thresholds(thresholds, 0.5)
        self._count_at(parsed, divide_evenly(parsed))

    def result(self):
        found = self._quantity(self._what)
        if len(found) == 1:
            return float(found[0])
        places = np.argsort(self.thresholds, kind="stable")
        out = np.empty_like(found)
        out[places] = found
        return out

    def measure(self, units):
        return self._measure("thresholds", (QUANTITIES.index(self._what),))

    def get_config(self):
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(AtThresholds):
    """Number of positive outputs whose target is positive.

    Parameters
    ----------
    thresholds : float or list of float
        In [0, 1]; 0.5 by default.
    name, dtype : str, optional
    """

    _what = "true_positives"


class TrueNegatives(AtThresholds):
    """Number of outputs that are not positive, and nor is their target; arguments as of `TruePositives`."""

    _what = "true_negatives"


class FalsePositives(AtThresholds):
    """Number of positive outputs whose target is not; arguments as of `TruePositives`."""

    _what = "false_positives"


class FalseNegatives(AtThresholds):
    """Number of outputs that are not positive where their target is; arguments as of `TruePositives`."""

    _what = "false_negatives"


class _OfSome(AtThresholds):
    _direction = "up"

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        Metric.__init__(self, dtype, name)
        self.init_thresholds = thresholds
        parsed = parse_thresholds(thresholds, 0.5 if top_k is None else LOWEST)
        self._count_at(parsed, divide_evenly(parsed), top_k, class_id)

    def get_config(self):
        return {**super().get_config(), "top_k": self.top_k, "class_id": self.class_id}


class Precision(_OfSome):
    """Share of the positive outputs whose target is positive: tp / (tp + fp), 0 without any.

    Parameters
    ----------
    thresholds : float or list of float, optional
        In [0, 1]; 0.5 by default, none with ``top_k``.
    top_k : int, optional
        Only the so many largest outputs of a row can be positive.
    class_id : int, optional
        Look at this output alone.
    name, dtype : str, optional
    """

    _what = "precision"


class Recall(_OfSome):
    """Share of the positive targets whose output is positive: tp / (tp + fn); arguments as of `Precision`."""

    _what = "recall"


class AtBest(Confusion):
    """Base of those that are the best of one quantity where another one is large enough.

    Parameters
    ----------
    value : float
        In [0, 1]: what the other quantity must reach.
    num_thresholds : int
        So many thresholds, from 0 to 1, are tried.
    class_id : int, optional
        Look at this output alone.
    name, dtype : str, optional
    """

    _direction = "up"
    _argument: str  # Keras's name of `value`, and the quantity that is constrained
    _constrained: str
    _what: str

    def __init__(self, value, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(dtype, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{self._argument} must be in the range [0, 1], got {value!r}.")
        if num_thresholds <= 0:
            raise ValueError(f"num_thresholds must be an integer > 0, got {num_thresholds!r}.")
        self.value = value
        self.num_thresholds = num_thresholds
        n = num_thresholds
        thresholds = [0.5] if n == 1 else [0.0, *((i + 1) / (n - 1) for i in range(n - 2)), 1.0]
        self._count_at(thresholds, n > 1, None, class_id)

    def result(self):
        reached = self._quantity(self._constrained) >= self.value
        return float(np.max(np.where(reached, self._quantity(self._what), 0), initial=0))

    def measure(self, units):
        kinds = (QUANTITIES.index(self._constrained), QUANTITIES.index(self._what))
        return self._measure("best", (*kinds, self.value), vector=())

    def get_config(self):
        own = {"num_thresholds": self.num_thresholds, self._argument: self.value}
        return {**super().get_config(), "class_id": self.class_id, **own}


class SensitivityAtSpecificity(AtBest):
    """The largest sensitivity (recall) where specificity, tn / (tn + fp), is at least ``specificity``."""

    _argument, _constrained, _what = "specificity", "specificity", "recall"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity


class SpecificityAtSensitivity(AtBest):
    """The largest specificity at a threshold where sensitivity (recall) is at least ``sensitivity``."""

    _argument, _constrained, _what = "sensitivity", "recall", "specificity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity


class PrecisionAtRecall(AtBest):
    """The largest precision at a threshold where recall is at least ``recall``."""

    _argument, _constrained, _what = "recall", "recall", "precision"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall


class RecallAtPrecision(AtBest):
    """The largest recall at a threshold where precision is at least ``precision``."""

    _argument, _constrained, _what = "precision", "precision", "recall"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision
