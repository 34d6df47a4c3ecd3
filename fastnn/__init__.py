"""Small neural networks on the CPU: Keras's interface over compiled training loops.

``import fastnn as keras`` or ``import fastnn as tf`` (for ``tf.keras``), and go on as with Keras 3.
"""

import sys as _sys

from fastnn import kernels  # first: it says what to do where nothing has been built
from fastnn._version import __version__

from fastnn import (  # isort: skip
    activations,
    callbacks,
    config,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    utils,
)
from fastnn.callbacks import Callback
from fastnn.errors import FormatError, TrainingWarning
from fastnn.initializers import Initializer
from fastnn.kernels.threads import get_num_threads, set_num_threads
from fastnn.layers import Input, Layer
from fastnn.losses import Loss
from fastnn.metrics import Metric
from fastnn.models import Model, Sequential
from fastnn.optimizers import Optimizer

__all__ = [
    "Callback",
    "FormatError",
    "Initializer",
    "Input",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Sequential",
    "TrainingWarning",
    "__version__",
    "activations",
    "callbacks",
    "config",
    "constraints",
    "get_num_threads",
    "initializers",
    "keras",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "set_num_threads",
    "utils",
]

# fastnn.keras is fastnn itself, for every way of importing from it: without these entries `from
# fastnn.keras.layers import Dense` would load a second copy of the module.
keras = _sys.modules[__name__]
_sys.modules[f"{__name__}.keras"] = keras
for _name in (
    "activations",
    "callbacks",
    "config",
    "constraints",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "utils",
):
    _sys.modules[f"{__name__}.keras.{_name}"] = _sys.modules[f"{__name__}.{_name}"]
