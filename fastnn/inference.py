"""Predictors: snapshots of a model that answer fast, for calls in a loop, a server or a controller."""

from typing import Any

import numpy as np

from fastnn import data
from fastnn.kernels.inference import Inference
from fastnn.kernels.network import Network

__all__ = ["Predictor"]


class Predictor(Inference):
    """A model's outputs from its weights as they were when the predictor was made.

    Made by ``model.predictor()``. Calling it gives what ``model.predict`` gave at that moment, to the bit
    (``precision="bfloat16"``: nearly), without what surrounds the arithmetic there. It may be called from
    many threads at once, copied and pickled. It never changes, whatever becomes of the model.

    Parameters
    ----------
    network : Network
    batch_size : int
        Rows that a call usually has. Memory is laid out for them; a call may have fewer or more.
    precision : {None, "float32", "float64", "bfloat16"}
        None is the model's own. "bfloat16", for float32 models: kernels are kept in 16 bits, rounded to
        nearest, and widened as they are read; biases, inputs, sums and outputs stay float32.

    Attributes
    ----------
    batch_size : int
    precision : str
    input_shape, output_shape : tuple
        ``(None, features)`` and ``(None, units)``.
    dtype : numpy.dtype
        Of what it takes as it is, and of what it returns.
    nbytes : int
        Of its weights.

    Notes
    -----
    ``predictor(x, out=None)``: ``x`` of shape (rows, features) gives (rows, units), a single row of shape
    (features,) gives (units,). A C-contiguous array of `dtype` is read where it lies; anything else that
    ``predict`` takes is converted first. ``out``, a C-contiguous array of the result's shape and of `dtype`
    that does not share memory with ``x``, takes the result and is returned; then nothing is allocated.
    """

    __slots__ = ()

    def __new__(cls, network: Network, batch_size: int = 1, precision: str | None = None) -> "Predictor":
        if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__"):
            raise TypeError(f"batch_size must be an integer, got {batch_size!r}.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size!r}.")
        if precision not in (None, network.dtype, "bfloat16"):
            raise ValueError(
                f"precision must be None, 'bfloat16' or the model's own {network.dtype!r}, got {precision!r}."
            )
        if precision == "bfloat16" and network.dtype != "float32":
            raise ValueError(f"precision='bfloat16' is for float32 models; this one is {network.dtype}.")
        return super().__new__(cls, network, batch_size.__index__(), precision == "bfloat16")

    @property
    def precision(self) -> str:
        return "bfloat16" if self.bfloat16 else self.dtype.name

    def _convert(self, x: Any) -> np.ndarray:
        """Return ``x`` as rows, or one row, that can be read as they are."""
        columns = self.input_shape[1]
        a = data.array(x, "x")
        if a.ndim == 1 and len(a) == columns:
            return data.contiguous(a, self.dtype)
        if a.ndim == 1 and columns != 1:
            raise ValueError(
                f"x has shape {a.shape}, but the predictor takes ({columns},), one row, or (rows, {columns})."
            )
        return data.rows(x if a.ndim == 3 else a, "x", self.dtype, columns)

    def __repr__(self) -> str:
        return (
            f"<Predictor {self.input_shape} -> {self.output_shape}, precision {self.precision}, batch_size "
            f"{self.batch_size}, {self.nbytes} bytes of weights>"
        )

    def __reduce__(self) -> tuple:
        return _rebuilt, (type(self), self.specification, self.weights(), self.batch_size, self.precision)


def _rebuilt(cls: type, specification: tuple, weights: list, batch_size: int, precision: str) -> Any:
    network = Network(*specification)
    network.set_weights(weights)
    return cls(network, batch_size, precision)
