"""Layers (``keras.layers``)."""

from typing import Any

from fastnn.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from fastnn.layers.chance import AlphaDropout, Dropout, GaussianDropout, GaussianNoise
from fastnn.layers.core import Dense, Input, InputLayer
from fastnn.layers.layer import Layer
from fastnn.layers.normalization import (
    BatchNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
)
from fastnn.layers.regularization import ActivityRegularization
from fastnn.layers.structure import Flatten, Residual
from fastnn.registry import Registry, serialize as _serialize

_CLASSES = (
    Activation,
    ActivityRegularization,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    ELU,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    InputLayer,
    LayerNormalization,
    LeakyReLU,
    Normalization,
    PReLU,
    RMSNormalization,
    ReLU,
    Rescaling,
    Residual,
    Softmax,
)
__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Normalization",
    "PReLU",
    "RMSNormalization",
    "ReLU",
    "Rescaling",
    "Residual",
    "Softmax",
    "deserialize",
    "serialize",
]

LAYERS = Registry(
    "layer",
    "keras.layers",
    {c.__name__: c for c in _CLASSES},
    later="""add average concatenate embedding groupnormalization
    identity lambda multiply permute repeatvector reshape subtract
    unitnormalization""",
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
