"""F scores and the coefficient of determination."""

import numpy as np

from fastnn.config import epsilon
from fastnn.errors import warn
from fastnn.kernels.measures import Measure
from fastnn.losses.functions import align
from fastnn.metrics.metric import Metric, State, number

# In the order of scores.Average in the kernels.
F_AVERAGES = (None, "macro", "weighted", "micro")
R2_AVERAGES = (None, "uniform_average", "variance_weighted_average")


def _two_dimensions(name: str, y: np.ndarray, p: np.ndarray) -> None:
    if y.ndim != 2 or p.ndim != 2:
        raise ValueError(
            f"{name} expects y_true and y_pred of shape (rows, units), got {y.shape} and {p.shape}."
        )


class FBetaScore(Metric):
    """``(1 + beta**2) * precision * recall / (beta**2 * precision + recall)``, of each unit.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None is the score of each unit, an array; else one number: of all units counted as one, the mean, or
        the mean weighted by the sums of targets.
    beta : float
        How many times recall matters as much as precision.
    threshold : float, optional
        In (0, 1]: outputs above it are positive. By default the row's largest output is.
    name, dtype : str, optional
    """

    _direction = "up"

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(dtype, name)
        if average not in F_AVERAGES:
            raise ValueError(f"average={average!r}: must be one of {', '.join(map(repr, F_AVERAGES))}.")
        if not isinstance(beta, float) or beta <= 0:
            raise ValueError(f"beta must be a float > 0, got {beta!r} of type {type(beta).__name__}.")
        if threshold is not None and (not isinstance(threshold, float) or not 0 < threshold <= 1):
            raise ValueError(f"threshold must be None or a float with 0 < threshold <= 1, got {threshold!r}.")
        self.average = average
        self.beta = beta
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        y, p = align(y_true, y_pred)
        _two_dimensions(type(self).__name__, y, p)
        if not self._variables:
            for name in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
                shape = () if self.average == "micro" else p.shape[1:]
                setattr(self, name, self.add_variable(shape, dtype="float64", name=name))
        if self.threshold is None:
            guess = (p >= p.max(axis=-1, keepdims=True)) & (np.abs(p) > 1e-9)
        else:
            guess = p > p.dtype.type(self.threshold)
        guess = guess.astype(np.float64)
        weight = 1.0 if sample_weight is None else np.asarray(sample_weight, np.float64).reshape(len(p), 1)
        axis = None if self.average == "micro" else 0
        for variable, value in zip(
            self._variables, (guess * y, guess * (1 - y), (1 - guess) * y, y), strict=True
        ):
            variable.assign_add((value * weight).sum(axis=axis))

    def result(self):
        if not self._variables:
            return 0.0
        tp, fp, fn, weights = (v.value for v in self._variables)
        eps, square = epsilon(), self.beta**2
        precision, recall = tp / (tp + fp + eps), tp / (tp + fn + eps)
        score = precision * recall / (square * precision + recall + eps) * (1 + square)
        if self.average == "weighted":
            return float((score * (weights / (weights.sum() + eps))).sum())
        return number(score if self.average is None else score.mean())

    def measure(self, units):
        options = (F_AVERAGES.index(self.average), self.beta**2)
        return Measure("f_score", (self.threshold or 0.0,), finish="f_score", options=options)

    def get_config(self):
        own = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **own}


class F1Score(FBetaScore):
    """The `FBetaScore` with ``beta=1``: the harmonic mean of precision and recall."""

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self):
        config = super().get_config()
        del config["beta"]
        return config


class R2Score(Metric):
    """Coefficient of determination of each unit, ``1 - sum((y - p)**2) / sum((y - mean(y))**2)``.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        How the units' scores become one number; None keeps them, an array.
    num_regressors : int
        Of the adjusted score, ``1 - (1 - R2) (n - 1) / (n - num_regressors - 1)`` with n the number of
        targets; 0 does not adjust.
    name, dtype : str, optional
    """

    _direction = "up"
    squared_sum: State
    sum: State
    total_mse: State
    count: State

    def __init__(self, class_aggregation="uniform_average", num_regressors=0, name="r2_score", dtype=None):
        super().__init__(dtype, name)
        if class_aggregation not in R2_AVERAGES:
            raise ValueError(
                f"class_aggregation={class_aggregation!r}: must be one of "
                f"{', '.join(map(repr, R2_AVERAGES))}."
            )
        if num_regressors < 0:
            raise ValueError(f"num_regressors must be at least 0, got {num_regressors!r}.")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), dtype="float64", name="num_samples")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y, p = align(y_true, y_pred)
        _two_dimensions("R2Score", y, p)
        y, p = y.astype(np.float64), p.astype(np.float64)
        if len(self._variables) == 1:
            for name in ("squared_sum", "sum", "total_mse", "count"):
                setattr(self, name, self.add_variable(p.shape[1:], dtype="float64", name=name))
        weight = np.ones(y.shape)
        if sample_weight is not None:
            weight = weight * np.asarray(sample_weight, np.float64).reshape(len(y), -1)
        self.sum.assign_add((weight * y).sum(axis=0))
        self.squared_sum.assign_add((weight * y * y).sum(axis=0))
        self.total_mse.assign_add((weight * np.square(y - p)).sum(axis=0))
        self.count.assign_add(weight.sum(axis=0))
        self.num_samples.assign_add(y.size)

    def result(self):
        if len(self._variables) == 1:
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            total = self.squared_sum.value - self.sum.value * (self.sum.value / self.count.value)
            scores = 1 - self.total_mse.value / total
            scores = np.where(np.isinf(scores), 0.0, scores)
            if self.class_aggregation == "uniform_average":
                scores = scores.mean()
            elif self.class_aggregation == "variance_weighted_average":
                scores = (total * scores).sum() / total.sum()
        n, p = float(self.num_samples), self.num_regressors
        if p == 0:
            return number(scores)
        if p >= n - 1:
            warn(
                f"R2Score: {p} regressors leave nothing to adjust by with {n:.0f} targets; this is the score "
                "without adjustment.",
                UserWarning,
            )
            return number(scores)
        return number(1 - (1 - scores) * (n - 1) / (n - p - 1))

    def measure(self, units):
        options = (R2_AVERAGES.index(self.class_aggregation), self.num_regressors)
        return Measure("r2_score", finish="r2", options=options)

    def get_config(self):
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **own}
