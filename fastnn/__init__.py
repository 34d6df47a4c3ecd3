"""Small neural networks on the CPU: Keras's interface over compiled training loops.

``import fastnn as keras`` or ``import fastnn as tf`` (for ``tf.keras``), and go on as with Keras 3.
"""

import sys as _sys
from functools import partial as _partial
from importlib import import_module as _import_module
from typing import Any as _Any

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
    saving,
    utils,
    vocabulary as _vocabulary,
    wrappers,
)
from fastnn.callbacks import Callback
from fastnn.errors import FormatError, TrainingWarning
from fastnn.initializers import Initializer
from fastnn.kernels.threads import get_num_threads, set_num_threads
from fastnn.layers import Input, Layer
from fastnn.layers.layer import KerasTensor
from fastnn.losses import Loss
from fastnn.many import fit_many, predict_many
from fastnn.metrics import Metric
from fastnn.models import Model, Sequential
from fastnn.optimizers import Optimizer
from fastnn.regularizers import Regularizer

__all__ = [
    "Callback",
    "FormatError",
    "Initializer",
    "Input",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "TrainingWarning",
    "__version__",
    "activations",
    "callbacks",
    "config",
    "constraints",
    "fit_many",
    "get_num_threads",
    "initializers",
    "keras",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "predict_many",
    "regularizers",
    "saving",
    "set_num_threads",
    "utils",
    "wrappers",
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
    "saving",
    "utils",
):
    _sys.modules[f"{__name__}.keras.{_name}"] = _module = _sys.modules[f"{__name__}.{_name}"]
    # Of names that Keras has and fastnn has not, the error says why.
    vars(_module)["__getattr__"] = _partial(_vocabulary.refuse, _module.__name__)
_sys.modules[f"{__name__}.keras.wrappers"] = wrappers  # which has a __getattr__ of its own


# What is not always needed, such as all that imports scikit-learn, is imported when it is asked for: of each
# module, the names that stand here too.
_LAZY = {
    "convert": (),
    "estimators": ("MLPClassifier", "MLPEnsembleClassifier", "MLPEnsembleRegressor", "MLPRegressor"),
    "model_selection": (),
}


def __getattr__(name: str) -> _Any:
    for module, names in _LAZY.items():
        if name == module or name in names:
            found = _import_module(f"{__name__}.{module}")
            return found if name == module else getattr(found, name)
    _vocabulary.refuse(__name__, name)
