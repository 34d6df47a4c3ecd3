"""Networks from and to other frameworks, each only where that is installed."""

from fastnn.convert.keras_models import from_keras, to_keras
from fastnn.convert.onnx_graphs import from_onnx
from fastnn.convert.sklearn_networks import from_sklearn
from fastnn.convert.torch_modules import from_torch, to_torch

__all__ = ["from_keras", "from_onnx", "from_sklearn", "from_torch", "to_keras", "to_torch"]
