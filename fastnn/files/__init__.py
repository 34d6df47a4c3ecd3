"""Model files: everything of a model, or its weights alone, in safetensors files; see docs/files.md."""

from fastnn.files import checkpoints
from fastnn.files.models import load_model, save_model
from fastnn.files.weights import load_weights, save_weights

__all__ = ["checkpoints", "load_model", "load_weights", "save_model", "save_weights"]
