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
        self.activation = activations.get(activation, "Activation: activation")

    def plan(self):
        return [("activation", self.activation.name)]

    def call(self, x):
        return self.activation(x).astype(x.dtype, copy=False)

    def get_config(self):
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


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
    alpha_regularizer, alpha_constraint, shared_axes : None
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
        regularizers.get(alpha_regularizer, "PReLU: alpha_regularizer")
        constraints.get(alpha_constraint, "PReLU: alpha_constraint")
        self.alpha_initializer = initializers.get(alpha_initializer, "PReLU: alpha_initializer")
        self.alpha: Variable | None = None

    def check_input(self, input_shape):
        self.require_columns(input_shape)

    def build(self, input_shape):
        self.alpha = self.add_weight((input_shape[-1],), self.alpha_initializer, "alpha", self._trainable)

    def plan(self):
        return [("prelu",)]

    def call(self, x):
        assert self.alpha is not None
        return np.maximum(x, 0) + self.alpha.value * np.minimum(x, 0)

    def get_config(self):
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": None,
            "alpha_constraint": None,
            "shared_axes": None,
        }
