"""Losses, by name, function or object (``keras.losses``)."""

from typing import Any

from fastnn.losses.classes import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from fastnn.losses.functions import (
    TABLE,
    binary_crossentropy,
    categorical_crossentropy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from fastnn.registry import Registry, serialize as _serialize

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "deserialize",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "serialize",
    "sparse_categorical_crossentropy",
]

_CLASSES = (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
LOSSES = Registry(
    "loss",
    "keras.losses",
    {
        **{name: declaration.function for name, declaration in TABLE.items()},
        **{c.__name__: c for c in _CLASSES},
        **dict.fromkeys(("mse", "MSE"), mean_squared_error),
        **dict.fromkeys(("mae", "MAE"), mean_absolute_error),
        **dict.fromkeys(("bce", "BCE"), binary_crossentropy),
    },
    later="""crossentropy ce mean_absolute_percentage_error mape mean_squared_logarithmic_error msle
    cosine_similarity log_cosh huber hinge squared_hinge categorical_hinge kl_divergence kld poisson
    binary_focal_crossentropy categorical_focal_crossentropy dice tversky circle ctc
    meanabsolutepercentageerror meansquaredlogarithmicerror cosinesimilarity logcosh squaredhinge
    categoricalhinge kldivergence binaryfocalcrossentropy categoricalfocalcrossentropy""",
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
