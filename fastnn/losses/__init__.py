"""Losses, by name, function or object (``keras.losses``). Which to choose: docs/losses.md."""

from typing import Any

from fastnn.losses.classes import (
    CLASSES,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from fastnn.losses.functions import (
    TABLE as TABLE,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    cosine_similarity,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    quantile,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from fastnn.registry import Registry, serialize as _serialize

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "Quantile",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "cosine_similarity",
    "deserialize",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "quantile",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

LOSSES = Registry(
    "loss",
    "keras.losses",
    {
        **{name: declaration.function for name, declaration in TABLE.items()},
        **{c.__name__: c for c in CLASSES},
        "categorical_generalized_cross_entropy": CategoricalGeneralizedCrossEntropy,  # q has no default
        **dict.fromkeys(("mse", "MSE"), mean_squared_error),
        **dict.fromkeys(("mae", "MAE"), mean_absolute_error),
        **dict.fromkeys(("mape", "MAPE"), mean_absolute_percentage_error),
        **dict.fromkeys(("msle", "MSLE"), mean_squared_logarithmic_error),
        **dict.fromkeys(("bce", "BCE"), binary_crossentropy),
        **dict.fromkeys(("kld", "KLD", "kullback_leibler_divergence"), kl_divergence),
        "logcosh": log_cosh,
        "pinball": quantile,
    },
    later="circle ctc Circle CTC",
)


def get(identifier: Any, argument: str = "loss") -> Any:
    """Return the function or `Loss` that a name, class, config or object stands for; None for None."""
    if identifier is None:
        return None
    if isinstance(identifier, str | dict):
        return LOSSES.make(identifier, argument)
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if isinstance(identifier, Loss) or callable(identifier):
        return identifier
    raise TypeError(
        f"{argument} must be a name, a function or a Loss, got {identifier!r} of type "
        f"{type(identifier).__name__}."
    )


def serialize(loss: Any) -> Any:
    """Return Keras's serialised form of a loss."""
    return _serialize(loss, LOSSES)


def deserialize(name: Any, custom_objects: dict | None = None) -> Any:
    """Return the loss of a serialised form."""
    return LOSSES.make(name, "loss", custom_objects)
