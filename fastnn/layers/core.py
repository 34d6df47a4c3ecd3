"""``Input`` and ``Dense``."""

import numpy as np

from fastnn import activations, constraints, initializers, regularizers
from fastnn.kernels import dense_forward
from fastnn.layers.layer import KerasTensor, Layer, Shape, standard_shape
from fastnn.variables import Variable


class InputLayer(Layer):
    """States the shape of a model's input.

    Parameters
    ----------
    shape : tuple of int
        Of one row: ``(8,)`` for 8 columns.
    batch_size : int, optional
        Accepted for Keras's sake; models take any number of rows.
    dtype : str, optional
    batch_shape : tuple, optional
        ``(None, *shape)`` instead of ``shape``.
    name : str, optional
    """

    def __init__(
        self,
        shape=None,
        batch_size=None,
        dtype=None,
        sparse=None,
        ragged=None,
        batch_shape=None,
        input_tensor=None,
        optional=False,
        name=None,
        input_shape=None,
        input_dtype=None,
    ):
        if sparse or ragged or optional or input_tensor is not None:
            raise NotImplementedError("Input: sparse, ragged, optional and given tensors are not supported.")
        shape = input_shape if shape is None else shape
        if (shape is None) == (batch_shape is None):
            raise ValueError("Input takes one of shape=, as in Input(shape=(8,)), and batch_shape=.")
        if shape is None:
            batch_size, *shape = standard_shape(batch_shape, "Input: batch_shape")
        super().__init__(dtype=input_dtype if dtype is None else dtype, name=name)
        self.batch_shape: Shape = (batch_size, *standard_shape(shape, "Input: shape"))
        self._input_shape = self.batch_shape
        self.built = True
        self._tensor = KerasTensor(self.batch_shape, self.dtype, self)

    @property
    def output(self):
        return self._tensor

    def plan(self):
        return []

    def call(self, x):
        return x

    def get_config(self):
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": False,
        }


def Input(
    shape=None,
    batch_size=None,
    dtype=None,
    sparse=None,
    ragged=None,
    batch_shape=None,
    name=None,
    tensor=None,
    optional=False,
) -> KerasTensor:
    """State the shape of a model's input: ``Sequential([Input(shape=(8,)), Dense(1)])``.

    Parameters
    ----------
    shape : tuple of int
        Of one row.
    batch_size, dtype, sparse, ragged, batch_shape, name, tensor, optional
        As for `InputLayer`.
    """
    return InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name).output


class Dense(Layer):
    """``activation(x @ kernel + bias)``: every unit sees every input.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str or Activation, optional
        By default linear; see `fastnn.activations`.
    use_bias : bool
    kernel_initializer, bias_initializer : str, Initializer or array
    kernel_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
        See `fastnn.regularizers`; of the weights, and of the outputs.
    kernel_constraint, bias_constraint : str, Constraint or function, optional
        See `fastnn.constraints`.
    lora_rank, lora_alpha, quantization_config : None
        Keras's; not supported.
    **kwargs
        ``name``, ``dtype``, ``trainable``, and on a model's first layer ``input_dim`` or ``input_shape``.

    Attributes
    ----------
    kernel : Variable, (inputs, units)
    bias : Variable, (units,), or None
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        lora_rank=None,
        lora_alpha=None,
        quantization_config=None,
        **kwargs,
    ):
        if isinstance(units, bool | np.bool_) or not hasattr(units, "__index__"):
            raise TypeError(
                f"Dense: units must be a whole number, got {units!r} of type {type(units).__name__}."
            )
        if units < 1:
            raise ValueError(f"Dense: units must be positive, got {units}.")
        for name, value in (
            ("lora_rank", lora_rank),
            ("lora_alpha", lora_alpha),
            ("quantization_config", quantization_config),
        ):
            if value is not None:
                raise NotImplementedError(f"Dense: {name} is not supported; leave it at None.")
        activation = activations.for_layer(activation, "Dense: activation")
        kernel_initializer = initializers.get(kernel_initializer, "Dense: kernel_initializer")
        bias_initializer = initializers.get(bias_initializer, "Dense: bias_initializer")
        kernel_regularizer = regularizers.get(kernel_regularizer, "Dense: kernel_regularizer")
        bias_regularizer = regularizers.get(bias_regularizer, "Dense: bias_regularizer")
        kernel_constraint = constraints.get(kernel_constraint, "Dense: kernel_constraint")
        bias_constraint = constraints.get(bias_constraint, "Dense: bias_constraint")
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = int(units)
        self.activation = activation
        self.use_bias = bool(use_bias)
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer
        self.kernel_constraint, self.bias_constraint = kernel_constraint, bias_constraint
        self._kernel: Variable | None = None
        self.bias: Variable | None = None

    def build(self, input_shape):
        self._kernel = self.add_weight(
            (input_shape[-1], self.units),
            self.kernel_initializer,
            "kernel",
            self._trainable,
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                "bias",
                self._trainable,
                self.bias_regularizer,
                self.bias_constraint,
            )

    @property
    def kernel(self) -> Variable:
        if self._kernel is None:
            raise AttributeError(
                f"Layer {self.name!r} has no kernel before it is built: at the first data, or by "
                "build(input_shape)."
            )
        return self._kernel

    def check_input(self, input_shape):
        self.require_columns(input_shape)
        if self._kernel is not None and input_shape[-1] != self._kernel.shape[0]:
            raise ValueError(
                f"Layer {self.name!r} takes {self._kernel.shape[0]} columns, but gets {input_shape[-1]}."
            )

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def plan(self):
        if isinstance(self.activation, activations.Custom):
            return [(self.units, "linear", self.use_bias), self.activation.operation]
        return [(self.units, self.activation.specification, self.use_bias)]

    def call(self, x):
        own = isinstance(self.activation, activations.Custom)
        out = dense_forward(
            x,
            self.kernel.value,
            None if self.bias is None else self.bias.value,
            "linear" if own else self.activation.specification,
        )
        return self.activation(out).astype(x.dtype, copy=False) if own else out

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "quantization_config": None,
        }
