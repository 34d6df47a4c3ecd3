"""Metrics, by name, function or object (``keras.metrics``). docs/metrics.md has the formulas."""

from typing import Any

from fastnn import losses
from fastnn.losses.classes import Loss
from fastnn.losses.functions import (
    TABLE as _LOSSES,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from fastnn.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastnn.metrics.auc import AUC
from fastnn.metrics.confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from fastnn.metrics.functions import (
    TABLE as TABLE,
    binary_accuracy,
    categorical_accuracy,
    concordance_correlation,
    pearson_correlation,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from fastnn.metrics.iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from fastnn.metrics.metric import Metric
from fastnn.metrics.of_losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from fastnn.metrics.reductions import Mean, MeanMetricWrapper, RootMeanSquaredError, Sum
from fastnn.metrics.scores import F1Score, FBetaScore, R2Score
from fastnn.names import snake_case
from fastnn.registry import Registry, serialize as _serialize

CLASSES: tuple[type[Metric], ...] = (
    CategoricalHinge,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Poisson,
    SquaredHinge,
    AUC,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    BinaryIoU,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    ConcordanceCorrelation,
    CosineSimilarity,
    F1Score,
    FBetaScore,
    FalseNegatives,
    FalsePositives,
    IoU,
    Mean,
    MeanAbsoluteError,
    MeanIoU,
    MeanMetricWrapper,
    MeanSquaredError,
    OneHotIoU,
    OneHotMeanIoU,
    PearsonCorrelation,
    Precision,
    PrecisionAtRecall,
    R2Score,
    Recall,
    RecallAtPrecision,
    RootMeanSquaredError,
    SensitivityAtSpecificity,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity,
    Sum,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
)
METRICS = Registry(
    "metric",
    "keras.metrics",
    {
        # losses that have no class here serve by their names too; Keras takes those as functions only
        **{name: declaration.function for name, declaration in _LOSSES.items()},
        **{snake_case(c.__name__): c for c in CLASSES},
        **{c.__name__: c for c in CLASSES},
        **dict.fromkeys(("mse", "MSE"), MeanSquaredError),
        **dict.fromkeys(("mae", "MAE"), MeanAbsoluteError),
        **dict.fromkeys(("bce", "BCE"), BinaryCrossentropy),
        **dict.fromkeys(("mape", "MAPE"), MeanAbsolutePercentageError),
        **dict.fromkeys(("msle", "MSLE"), MeanSquaredLogarithmicError),
    },
    bases="mean_metric_wrapper MeanMetricWrapper",
)

__all__ = [
    *(c.__name__ for c in CLASSES),
    "Metric",
    "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "squared_hinge",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "concordance_correlation",
    "deserialize",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "pearson_correlation",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def get(identifier: Any, argument: str = "metric") -> Any:
    """Return the function or `Metric` that a name, class, config or object stands for; None for None."""
    if identifier is None:
        return None
    if isinstance(identifier, dict) and identifier.get("module") == losses.LOSSES.module:
        return losses.get(identifier, argument)
    if isinstance(identifier, str | dict):
        return METRICS.make(identifier, argument)
    if isinstance(identifier, type) and issubclass(identifier, Metric | Loss):
        return identifier()
    if isinstance(identifier, Metric) or callable(identifier):
        return identifier
    raise TypeError(
        f"{argument} must be a name, a function or a Metric, got {identifier!r} of type "
        f"{type(identifier).__name__}."
    )


def serialize(metric: Any) -> Any:
    """Return Keras's serialised form of a metric, or of a loss that is taken for one."""
    return losses.serialize(metric) if isinstance(metric, Loss) else _serialize(metric, METRICS)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the metric of a serialised form."""
    return METRICS.make(config, "metric", custom_objects)
