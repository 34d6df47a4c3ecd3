"""Losses as metrics, their mean over the rows: those that Keras has a class for; others go by function."""

from collections.abc import Callable

import numpy as np

from fastnn.losses import functions as losses
from fastnn.metrics import functions
from fastnn.metrics.reductions import MeanMetricWrapper, mean_of

MeanSquaredError = mean_of("MeanSquaredError", losses.mean_squared_error)
MeanAbsoluteError = mean_of("MeanAbsoluteError", losses.mean_absolute_error)
MeanAbsolutePercentageError = mean_of("MeanAbsolutePercentageError", losses.mean_absolute_percentage_error)
MeanSquaredLogarithmicError = mean_of("MeanSquaredLogarithmicError", losses.mean_squared_logarithmic_error)
LogCoshError = mean_of("LogCoshError", losses.log_cosh, "logcosh")
KLDivergence = mean_of("KLDivergence", losses.kl_divergence)
Poisson = mean_of("Poisson", losses.poisson)
Hinge = mean_of("Hinge", losses.hinge)
SquaredHinge = mean_of("SquaredHinge", losses.squared_hinge)
CategoricalHinge = mean_of("CategoricalHinge", losses.categorical_hinge)


class BinaryCrossentropy(MeanMetricWrapper):
    """See `keras.losses.binary_crossentropy`."""

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0):
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(losses.binary_crossentropy, name, dtype, **options)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing


class CategoricalCrossentropy(MeanMetricWrapper):
    """See `keras.losses.categorical_crossentropy`."""

    def __init__(
        self, name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0, axis=-1
    ):
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(losses.categorical_crossentropy, name, dtype, **options)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """See `keras.losses.sparse_categorical_crossentropy`."""

    def __init__(
        self,
        name="sparse_categorical_crossentropy",
        dtype=None,
        from_logits=False,
        ignore_class=None,
        axis=-1,
    ):
        options = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, **options)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def update_state(self, y_true, y_pred, sample_weight=None):  # type: ignore[override]
        """Add rows. As in Keras, those of the class to ignore count as 0, and with weights not at all."""
        if self.ignore_class is not None and sample_weight is not None:
            kept = np.asarray(y_true).reshape(-1) != self.ignore_class
            sample_weight = kept * np.asarray(sample_weight).reshape(-1)
        return super().update_state(y_true, y_pred, sample_weight)


class _AlongAxis(MeanMetricWrapper):
    _direction = "up"
    _function: Callable[..., np.ndarray]

    def __init__(self, name=None, dtype=None, axis=-1):
        super().__init__(self._function, name or self._function.__name__, dtype, axis=axis)
        self.axis = axis


class CosineSimilarity(_AlongAxis):
    """Mean over the rows of `cosine_similarity`, which see: 1 is the same direction, as the loss's -1 is."""

    _function = staticmethod(functions.cosine_similarity)

    def get_config(self):
        config = super().get_config()
        del config["axis"]  # as Keras does
        return config


class PearsonCorrelation(_AlongAxis):
    """Mean over the rows of `pearson_correlation`, which see."""

    _function = staticmethod(functions.pearson_correlation)


class ConcordanceCorrelation(_AlongAxis):
    """Mean over the rows of `concordance_correlation`, which see."""

    _function = staticmethod(functions.concordance_correlation)
