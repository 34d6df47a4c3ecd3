"""Layers (``keras.layers``)."""

from typing import Any

from fastnn.layers.core import Dense, Input, InputLayer
from fastnn.layers.layer import Layer
from fastnn.registry import Registry, serialize as _serialize

__all__ = ["Dense", "Input", "InputLayer", "Layer", "deserialize", "serialize"]

LAYERS = Registry(
    "layer",
    "keras.layers",
    {c.__name__: c for c in (Dense, InputLayer)},
    later="""activation activityregularization add alphadropout average batchnormalization concatenate dropout
    elu embedding flatten gaussiandropout gaussiannoise groupnormalization identity lambda layernormalization
    leakyrelu multiply normalization permute
    prelu relu repeatvector rescaling reshape rmsnormalization softmax subtract unitnormalization""",
)


def serialize(layer: Layer) -> Any:
    """Return Keras's serialised form of a layer."""
    config = _serialize(layer, LAYERS)
    if layer.get_build_config() is not None and not isinstance(layer, InputLayer):
        config["build_config"] = layer.get_build_config()
    return config


def deserialize(config: Any, custom_objects: dict | None = None) -> Layer:
    """Return the layer of a serialised form; it is not built."""
    return LAYERS.make(config, "layer", custom_objects)


def __getattr__(name: str) -> Any:
    later = f" Keras's {name} is not in fastnn yet." if name.lower() in LAYERS.later else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{later}")
