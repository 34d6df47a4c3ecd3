"""Networks from and to other frameworks, each only where that is installed."""

from fastnn.convert.onnx_graphs import from_onnx as from_onnx
