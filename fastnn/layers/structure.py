"""Layers that arrange others: a skip around some, and the end of many dimensions."""

import math
from collections.abc import Iterable
from typing import Any

from fastnn.layers.layer import Layer, Shape
from fastnn.registry import custom_object_scope
from fastnn.variables import Variable


class Flatten(Layer):
    """Rows of any shape, such as images, become rows of numbers: ``Flatten(input_shape=(28, 28))``.

    Parameters
    ----------
    data_format : {None, "channels_last"}
    **kwargs
        As for `Activation`.
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        if data_format not in (None, "channels_last"):
            raise NotImplementedError(f"Flatten: data_format={data_format!r} is not supported.")
        self.data_format = data_format

    def compute_output_shape(self, input_shape):
        sizes = input_shape[1:]
        return (input_shape[0], None if None in sizes else math.prod(sizes))

    def plan(self):
        return []

    def call(self, x):
        return x.reshape(len(x), -1)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format or "channels_last"}


class Nest(Layer):
    """Layers one after the other, whose weights are those of all."""

    _stack: list[Layer]

    @property
    def weights(self) -> list[Variable]:
        return [v for layer in self._stack for v in layer.weights]

    @property
    def trainable_weights(self) -> list[Variable]:
        return [v for layer in self._stack for v in layer.trainable_weights] if self._trainable else []

    def asked(self, trainable=True):
        inside = trainable and self._trainable
        return [settings for layer in self._stack for settings in layer.asked(inside)]

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self._stack:
            layer.trainable = value


class Residual(Nest):
    """``x + f(x)``, where f are the layers in the list, one after the other.

    Parameters
    ----------
    layers : list of Layer
        The last one returns as many columns as the first one takes.
    **kwargs
        As for `Activation`.

    Examples
    --------
    >>> Residual([Dense(64, activation="relu"), Dense(64)])

    References
    ----------
    He et al., "Deep residual learning for image recognition" (2015).
    """

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        if isinstance(layers, Layer | str) or not isinstance(layers, Iterable):
            raise TypeError(f"Residual takes a list of layers, got {layers!r}; write Residual([...]).")
        self.layers = self._stack = list(layers)
        if not self.layers:
            raise ValueError("Residual: the list of layers is empty.")
        for layer in self.layers:
            if isinstance(layer, type) or not isinstance(layer, Layer):
                raise TypeError(f"Residual takes layers, got {layer!r} of type {type(layer).__name__}.")
            if layer.dtype != self.dtype:
                raise ValueError(
                    f"Residual {self.name!r} has dtype {self.dtype}, but its layer {layer.name!r} has "
                    f"{layer.dtype}; all must have the same."
                )

    def check_input(self, input_shape):
        shape = tuple(input_shape)
        for layer in self.layers:
            layer.check_input(shape)
            shape = layer.compute_output_shape(shape)
        if shape[-1] is not None and input_shape[-1] is not None and shape[-1] != input_shape[-1]:
            raise ValueError(
                f"Residual {self.name!r} takes {input_shape[-1]} columns, but its layers return {shape[-1]}: "
                "they are added, so they must be as many."
            )

    def build(self, input_shape):
        shape: Shape = input_shape
        for layer in self.layers:
            layer.build_in(shape, self.path or self.name)
            shape = layer.compute_output_shape(shape)

    def plan(self):
        return [
            ("split",),
            *(operation for layer in self.layers for operation in layer.operations()),
            ("add",),
        ]

    def call(self, x):
        found = x
        for layer in self.layers:
            found = layer.call(found)
        return x + found

    def get_config(self) -> dict[str, Any]:
        from fastnn.layers import serialize

        return {**super().get_config(), "layers": [serialize(layer) for layer in self.layers]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        from fastnn.layers import deserialize

        with custom_object_scope(custom_objects):
            return cls(**{**config, "layers": [deserialize(c) for c in config["layers"]]})
