"""Activations as layers of their own."""

from typing import Any

import numpy as np

from fastnn import activations, constraints, initializers, regularizers
from fastnn.layers.layer import Layer
from fastnn.variables import Variable


class Activation(Layer):
    """An activation by itself; behind a linear ``Dense`` it costs what ``Dense(activation=...)`` does.

    Parameters
    ----------
    activation : str or activation
        See `fastnn.activations`.
    **kwargs
        ``name``, ``dtype``, ``trainable``, and on a model's first layer ``input_dim`` or ``input_shape``.
    """

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = activations.for_layer(activation, "Activation: activation")

    def plan(self):
        return [self.activation.operation]

    def call(self, x):
        return self.activation(x).astype(x.dtype, copy=False)

    def get_config(self):
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class Parametric(Layer):
    """Base class of activations with arguments of their own; `as_activation` is what it computes.

    Also for ``Dense(activation=LeakyReLU(0.1))``, as Keras allows it.
    """

    def as_activation(self) -> Any:
        """Return the activation with this layer's arguments."""
        raise NotImplementedError

    def plan(self):
        return [activations.for_layer(self.as_activation(), type(self).__name__).operation]

    def call(self, x):
        return self.as_activation()(x).astype(x.dtype, copy=False)


class ReLU(Parametric):
    """``max(x, 0)``, with a slope, a ceiling and a threshold; see `fastnn.activations.relu`.

    Parameters
    ----------
    max_value : float, optional
        The largest value, at least 0.
    negative_slope : float
        Of inputs below the threshold.
    threshold : float
    **kwargs
        As for `Activation`.
    """

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold
        self.as_activation()

    def as_activation(self):
        return activations.relu.with_arguments(
            negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold
        )

    def get_config(self):
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(Parametric):
    """``x`` where it is positive, else ``negative_slope * x``.

    Parameters
    ----------
    negative_slope : float
    **kwargs
        As for `Activation`.
    """

    def __init__(self, negative_slope=0.3, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = negative_slope
        self.as_activation()

    def as_activation(self):
        return activations.leaky_relu.with_arguments(negative_slope=self.negative_slope)

    def get_config(self):
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(Parametric):
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float
    **kwargs
        As for `Activation`.
    """

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.as_activation()

    def as_activation(self):
        return activations.elu.with_arguments(alpha=self.alpha)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(Layer):
    """``exp(x_j) / sum_k exp(x_k)`` over the columns of each row.

    Parameters
    ----------
    axis : int
        -1, the columns.
    **kwargs
        As for `Activation`.
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if axis not in (-1, 1, [-1], (-1,), [1], (1,)):
            raise NotImplementedError(
                f"Softmax: axis={axis!r} is not supported; rows are normalised, axis=-1."
            )
        self.axis = axis

    def plan(self):
        return [("activation", "softmax")]

    def call(self, x):
        return activations.softmax(x)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


class PReLU(Layer):
    """``x`` where it is positive, else ``alpha * x``, with a trained ``alpha`` for each column.

    Parameters
    ----------
    alpha_initializer : str, Initializer or array
    alpha_regularizer : str or Regularizer, optional
    alpha_constraint : str, Constraint or function, optional
    shared_axes : None
        Not supported.
    **kwargs
        As for `Activation`.

    Attributes
    ----------
    alpha : Variable, (columns,)

    References
    ----------
    He et al., "Delving deep into rectifiers" (2015).
    """

    def __init__(
        self,
        alpha_initializer="Zeros",
        alpha_regularizer=None,
        alpha_constraint=None,
        shared_axes=None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if shared_axes is not None:
            raise NotImplementedError(
                f"PReLU: shared_axes={shared_axes!r} is not supported; there is one alpha for each column."
            )
        self.alpha_regularizer = regularizers.get(alpha_regularizer, "PReLU: alpha_regularizer")
        self.alpha_constraint = constraints.get(alpha_constraint, "PReLU: alpha_constraint")
        self.alpha_initializer = initializers.get(alpha_initializer, "PReLU: alpha_initializer")
        self.alpha: Variable | None = None

    def check_input(self, input_shape):
        self.require_columns(input_shape)

    def build(self, input_shape):
        self.alpha = self.add_weight(
            (input_shape[-1],),
            self.alpha_initializer,
            "alpha",
            self._trainable,
            self.alpha_regularizer,
            self.alpha_constraint,
        )

    def plan(self):
        return [("prelu",)]

    def call(self, x):
        assert self.alpha is not None
        return np.maximum(x, 0) + self.alpha.value * np.minimum(x, 0)

    def get_config(self):
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": None,
        }
