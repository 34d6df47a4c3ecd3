"""Metrics, by name, function or object (``keras.metrics``)."""

from typing import Any

from fastnn.losses.functions import (
    binary_crossentropy,
    categorical_crossentropy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from fastnn.metrics.classes import (
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanMetric,
    MeanSquaredError,
    Metric,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
)
from fastnn.metrics.functions import (
    TABLE as TABLE,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
)
from fastnn.names import snake_case
from fastnn.registry import Registry, serialize as _serialize

__all__ = [
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "MeanAbsoluteError",
    "MeanMetric",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "deserialize",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
]

_CLASSES = (
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
)
METRICS = Registry(
    "metric",
    "keras.metrics",
    {
        **{snake_case(c.__name__): c for c in _CLASSES},
        **{c.__name__: c for c in _CLASSES},
        **dict.fromkeys(("mse", "MSE"), MeanSquaredError),
        **dict.fromkeys(("mae", "MAE"), MeanAbsoluteError),
        **dict.fromkeys(("bce", "BCE"), BinaryCrossentropy),
    },
    later="""crossentropy ce mape msle mean sum auc precision recall f1_score f1score fbeta_score fbetascore
    r2_score r2score root_mean_squared_error rootmeansquarederror top_k_categorical_accuracy
    topkcategoricalaccuracy true_positives truepositives true_negatives truenegatives false_positives
    falsepositives false_negatives falsenegatives hinge squared_hinge squaredhinge categorical_hinge
    categoricalhinge kl_divergence kldivergence kld poisson log_cosh_error logcosherror cosine_similarity
    cosinesimilarity mean_absolute_percentage_error meanabsolutepercentageerror mean_squared_logarithmic_error
    meansquaredlogarithmicerror sparse_top_k_categorical_accuracy sparsetopkcategoricalaccuracy io_u iou
    mean_io_u meaniou
    binary_io_u binaryiou sensitivity_at_specificity specificity_at_sensitivity precision_at_recall
    recall_at_precision huber""",
)


def get(identifier: Any, argument: str = "metric") -> Any:
    """Return the function or `Metric` that a name, class, config or object stands for; None for None."""
    if identifier is None:
        return None
    if isinstance(identifier, str | dict):
        return METRICS.make(identifier, argument)
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if isinstance(identifier, Metric) or callable(identifier):
        return identifier
    raise TypeError(
        f"{argument} must be a name, a function or a Metric, got {identifier!r} of type "
        f"{type(identifier).__name__}."
    )


def serialize(metric: Any) -> Any:
    """Return Keras's serialised form of a metric."""
    return _serialize(metric, METRICS)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the metric of a serialised form."""
    return METRICS.make(config, "metric", custom_objects)
