"""Losses as objects: a function and its options."""

from typing import Any

import numpy as np

from fastnn.losses import functions
from fastnn.losses.align import align_classes
from fastnn.losses.loss import Loss as Loss


def _of(name: str, function: Any, default_name: str = "") -> type[Loss]:
    """Make the class of a loss without options."""
    key = default_name or function.__name__

    def __init__(self, reduction="sum_over_batch_size", name=key, dtype=None):
        Loss.__init__(self, name, reduction, dtype)

    body = {
        "__init__": __init__,
        "__doc__": f"See `{function.__name__}`; ``reduction`` as for `Loss`.",
        "function": staticmethod(function),
        "__module__": __name__,
    }
    return type(name, (Loss,), body)


MeanSquaredError = _of("MeanSquaredError", functions.mean_squared_error)
MeanAbsoluteError = _of("MeanAbsoluteError", functions.mean_absolute_error)
MeanAbsolutePercentageError = _of("MeanAbsolutePercentageError", functions.mean_absolute_percentage_error)
MeanSquaredLogarithmicError = _of("MeanSquaredLogarithmicError", functions.mean_squared_logarithmic_error)
LogCosh = _of("LogCosh", functions.log_cosh)
Hinge = _of("Hinge", functions.hinge)
SquaredHinge = _of("SquaredHinge", functions.squared_hinge)
CategoricalHinge = _of("CategoricalHinge", functions.categorical_hinge)
KLDivergence = _of("KLDivergence", functions.kl_divergence)
Poisson = _of("Poisson", functions.poisson)


def _between(value: Any, what: str, low: float, high: float) -> Any:
    if not low <= value <= high:
        raise ValueError(f"{what} must be in [{low:g}, {high:g}], got {value!r}.")
    return value


def _not_negative(value: Any, what: str) -> Any:
    if not value >= 0:
        raise ValueError(f"{what} must be at least 0, got {value!r}.")
    return value


class CosineSimilarity(Loss):
    """Direction of vectors, whatever their length; see `cosine_similarity`."""

    function = staticmethod(functions.cosine_similarity)

    def __init__(self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None):
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def options(self):
        return {"axis": self.axis}


class Huber(Loss):
    """Squared near the target, absolute far from it; see `huber`. Keras forgets ``delta`` in its config."""

    function = staticmethod(functions.huber)

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        super().__init__(name, reduction, dtype)
        if not delta > 0:
            raise ValueError(f"delta must be above 0, got {delta!r}.")
        self.delta = delta

    def options(self):
        return {"delta": self.delta}


class Quantile(Loss):
    """Pinball loss, for one quantile or several at once; see `quantile` for the order of the outputs."""

    function = staticmethod(functions.quantile)

    def __init__(self, quantiles=0.5, reduction="sum_over_batch_size", name="quantile", dtype=None):
        super().__init__(name, reduction, dtype)
        found = functions.check_quantiles(quantiles)
        self.quantiles = found[0] if np.ndim(quantiles) == 0 else list(found)

    def options(self):
        return {"quantiles": self.quantiles}


class _Crossentropy(Loss):
    def __init__(self, from_logits, label_smoothing, axis, reduction, name, dtype):
        super().__init__(name, reduction, dtype)
        self.from_logits = bool(from_logits)
        self.label_smoothing = _between(label_smoothing, "label_smoothing", 0, 1)
        self.axis = axis

    def options(self):
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing, "axis": self.axis}


class BinaryCrossentropy(_Crossentropy):
    """Crossentropy of independent yes-or-no outputs; see `binary_crossentropy`."""

    function = staticmethod(functions.binary_crossentropy)

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)


class BinaryFocalCrossentropy(_Crossentropy):
    """Binary crossentropy that looks at what is hard; see `binary_focal_crossentropy`."""

    function = staticmethod(functions.binary_focal_crossentropy)

    def __init__(
        self,
        apply_class_balancing=False,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_focal_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha = alpha
        self.gamma = _not_negative(gamma, "gamma")

    def options(self):
        return {
            **super().options(),
            "apply_class_balancing": self.apply_class_balancing,
            "alpha": self.alpha,
            "gamma": self.gamma,
        }


class CategoricalCrossentropy(_Crossentropy):
    """Crossentropy of one class out of several, targets one-hot; see `categorical_crossentropy`."""

    function = staticmethod(functions.categorical_crossentropy)

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)


class CategoricalFocalCrossentropy(_Crossentropy):
    """Categorical crossentropy that looks at what is hard; see `categorical_focal_crossentropy`."""

    function = staticmethod(functions.categorical_focal_crossentropy)

    def __init__(
        self,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_focal_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.alpha = alpha if np.ndim(alpha) == 0 else [float(a) for a in alpha]
        self.gamma = _not_negative(gamma, "gamma")

    def options(self):
        return {**super().options(), "alpha": self.alpha, "gamma": self.gamma}


class SparseCategoricalCrossentropy(Loss):
    """Crossentropy of one class out of several, given by number; see `sparse_categorical_crossentropy`."""

    function = staticmethod(functions.sparse_categorical_crossentropy)

    def __init__(
        self,
        from_logits=False,
        ignore_class=None,
        reduction="sum_over_batch_size",
        axis=-1,
        name="sparse_categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(name, reduction, dtype)
        self.from_logits = bool(from_logits)
        self.ignore_class = ignore_class
        self.axis = axis

    def options(self):
        return {"from_logits": self.from_logits, "ignore_class": self.ignore_class, "axis": self.axis}

    def counted(self, y_true, y_pred):
        if self.ignore_class is None:
            return None
        return align_classes(y_true, y_pred, self.ignore_class)[0] != self.ignore_class

    def get_config(self):
        config = super().get_config()
        del config["axis"]  # Keras leaves it out
        return config


class CategoricalGeneralizedCrossEntropy(Loss):
    """Between crossentropy and absolute error; see `categorical_generalized_cross_entropy`."""

    function = staticmethod(functions.categorical_generalized_cross_entropy)

    def __init__(
        self,
        q=0.5,
        reduction="sum_over_batch_size",
        name="categorical_generalized_cross_entropy",
        dtype=None,
    ):
        super().__init__(name, reduction, dtype)
        if not 0 < q < 1:
            raise ValueError(f"q must be between 0 and 1, got {q!r}.")
        self.q = q

    def options(self):
        return {"q": self.q}


class Dice(Loss):
    """Overlap of targets and predictions, of all rows together or (``axis=-1``) of each; see `dice`."""

    function = staticmethod(functions.dice)

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def options(self):
        return {"axis": self.axis}


class Tversky(Loss):
    """Overlap with a weight of its own for each kind of error; see `tversky`. ``axis`` as for `Dice`."""

    function = staticmethod(functions.tversky)

    def __init__(
        self, alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name="tversky", axis=None, dtype=None
    ):
        super().__init__(name, reduction, dtype)
        self.alpha = alpha
        self.beta = beta
        self.axis = axis

    def options(self):
        return {"alpha": self.alpha, "beta": self.beta, "axis": self.axis}


CLASSES = (
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
