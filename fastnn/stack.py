"""The stack of layers that a model is: adding, building, shapes, weights, and its configuration."""

import math
from collections.abc import Iterable
from typing import Any

from fastnn import layers as layer_kinds
from fastnn.layers.core import InputLayer
from fastnn.layers.layer import KerasTensor, Layer, Shape, standard_shape
from fastnn.layers.structure import Nest
from fastnn.registry import custom_object_scope


class Stack(Nest):
    """Layers, each of which takes what the one before it returns.

    Parameters
    ----------
    layers : list of Layer, optional
    trainable : bool
    name : str, optional
    """

    def __init__(self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None):
        super().__init__(trainable=trainable, name=name)
        self._input: InputLayer | None = None
        self._stack: list[Layer] = []
        if isinstance(layers, Layer | KerasTensor | str) or not isinstance(layers, Iterable | None):
            raise TypeError(
                f"A model takes a list of layers, got {layers!r}; write {type(self).__name__}([...])."
            )
        for layer in layers or ():
            self._append(layer)
        self._build_if_known()

    # For subclasses -----------------------------------------------------------------------------------------

    def _require_idle(self, what: str) -> None:
        """Raise RuntimeError while the stack must not change."""

    def _changed(self) -> None:
        """Called when the layers are others than before."""

    # The layers ---------------------------------------------------------------------------------------------

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer on top of the stack; with a known number of columns it is built at once."""
        before = self._input, list(self._stack)
        try:
            self._append(layer)
            self._build_if_known()
        except BaseException:
            self._input, self._stack = before
            raise

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer off the stack and return it."""
        if not self._stack:
            raise ValueError(f"Model {self.name!r} has no layers to take off.")
        self._require_idle("pop")
        layer = self._stack.pop()
        self.built = False
        self._changed()
        self._build_if_known()
        return layer

    def _append(self, layer: Any) -> None:
        if isinstance(layer, KerasTensor) and layer.layer is not None:
            layer = layer.layer
        if isinstance(layer, type) and issubclass(layer, Layer):
            raise TypeError(f"{layer.__name__} is a class; a model takes objects: {layer.__name__}(...).")
        if not isinstance(layer, Layer):
            raise TypeError(f"A model takes layers, got {layer!r} of type {type(layer).__name__}.")
        if isinstance(layer, Stack):
            raise NotImplementedError(
                f"Model {layer.name!r} cannot be a layer of {self.name!r}; pass its layers: "
                "Sequential([*inner.layers, ...])."
            )
        self._require_idle("add")
        if isinstance(layer, InputLayer):
            if self._input is not None or self._stack:
                raise ValueError(
                    f"Model {self.name!r} has an input already; Input goes before all layers, once."
                )
            self._input = layer
            return
        if type(layer).plan is Layer.plan:
            layer.plan()  # raises, saying what can be done
        if layer in self._stack:
            raise NotImplementedError(
                f"Layer {layer.name!r} is in model {self.name!r} already; a layer can be used once."
            )
        if any(layer.name == other.name for other in self._stack):
            raise ValueError(
                f"Model {self.name!r} has a layer {layer.name!r} already; give this one another name=."
            )
        dtype = self._stack[0].dtype if self._stack else layer.dtype
        if layer.dtype != dtype:
            raise ValueError(
                f"Layer {layer.name!r} has dtype {layer.dtype}, but the layers before it have {dtype}; all "
                "must have the same."
            )
        given = self._input
        if given is None and not self._stack:
            if layer.input_shape_argument is not None:
                given = InputLayer(layer.input_shape_argument, dtype=dtype)
            elif layer.built and layer.input_shape is not None:  # shared with another model
                given = InputLayer(batch_shape=layer.input_shape, dtype=dtype)
        if given is not None:
            layer.check_input(self._shape_above() if self._stack else given.batch_shape)
        self._input = given
        self._stack.append(layer)
        self.built = False
        self._changed()

    def _shape_above(self) -> Shape:
        """Return the shape that the last layer returns, with None for what is not known yet."""
        shape: Shape = (None, None) if self._input is None else self._input.batch_shape
        for layer in self._stack:
            shape = layer.compute_output_shape(shape)
        return shape

    def build(self, input_shape: Any = None) -> None:
        """Create the weights for inputs of shape ``(None, columns)``."""
        if not self._stack:
            raise ValueError(f"Model {self.name!r} has no layers; add some before it is built.")
        known = self._input
        if input_shape is not None:
            shape = standard_shape(input_shape, "input_shape")
            if known is not None and shape[1:] != known.batch_shape[1:]:
                raise ValueError(
                    f"Model {self.name!r} takes inputs of shape {known.batch_shape}, not {shape}."
                )
            if known is None:
                self._stack[0].check_input(shape)
                self._input = InputLayer(batch_shape=(None, *shape[1:]), dtype=self._stack[0].dtype)
        elif known is None:
            raise ValueError("build needs input_shape=(None, columns).")
        try:
            self._build_if_known()
        except BaseException:
            self._input = known
            raise

    def _build_if_known(self) -> None:
        if self._input is None or not self._stack:
            return
        shape = self._input.batch_shape
        for layer in self._stack:
            layer.build_in(shape, self.name)
            shape = layer.compute_output_shape(shape)
        self.built = True

    @property
    def layers(self) -> list[Layer]:
        return list(self._stack)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return the layer of this name, or at this place."""
        if (name is None) == (index is None):
            raise ValueError("get_layer takes one of name= and index=.")
        if index is not None:
            if not -len(self._stack) <= index < len(self._stack):
                raise ValueError(f"index={index}: model {self.name!r} has {len(self._stack)} layers.")
            return self._stack[index]
        for layer in self._stack:
            if layer.name == name:
                return layer
        raise ValueError(
            f"There is no layer {name!r}; there are: {', '.join(layer.name for layer in self._stack)}."
        )

    # Shapes and weights ------------------------------------------------------------------------------------

    @property
    def input_shape(self) -> Shape:
        return self._known_input("input_shape").batch_shape

    @property
    def output_shape(self) -> Shape:
        self._known_input("output_shape")
        return self._shape_above()

    @property
    def inputs(self) -> list[KerasTensor]:
        return [self._known_input("inputs").output]

    @property
    def outputs(self) -> list[KerasTensor]:
        return [KerasTensor(self.output_shape, self.dtype)]

    def _columns(self) -> int | None:
        """Return how many numbers a row has, once Flatten has been through it; None if not known."""
        if self._input is None or None in self._input.batch_shape[1:]:
            return None
        return math.prod(n for n in self._input.batch_shape[1:] if n is not None)

    def _known_input(self, attribute: str) -> InputLayer:
        if self._input is None:
            raise AttributeError(
                f"Model {self.name!r} has no {attribute} before it is built: at the first data, or by "
                "build()."
            )
        return self._input

    @property
    def dtype(self) -> str:
        return self._stack[0].dtype if self._stack else self._dtype

    # Configuration ------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` makes the model of: its layers and their options, not the weights."""
        stack = self._stack if self._input is None else [self._input, *self._stack]
        config = {**super().get_config(), "layers": [layer_kinds.serialize(layer) for layer in stack]}
        if self._input is not None:
            config["build_input_shape"] = self._input.batch_shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Return a new model, with new weights, from what `get_config` (or Keras's) returned."""
        if not isinstance(config, dict) or "layers" not in config:
            raise ValueError(
                f"The configuration of a model is a dict with 'name' and 'layers', got {config!r}."
            )
        with custom_object_scope(custom_objects):
            layers = [layer_kinds.deserialize(c) for c in config["layers"]]
        model = cls(layers, trainable=config.get("trainable", True), name=config.get("name"))
        if not model.built and config.get("build_input_shape"):
            model.build(config["build_input_shape"])
        return model
