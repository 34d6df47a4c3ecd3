"""What is known of an ONNX graph's values while its nodes are gone through."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnn.convert.onnx_pieces import Number, Piece
from fastnn.convert.onnx_reading import Graph, Node

# Stands for the number of rows where a graph computes with its shapes: a prime that nobody's layer has.
ROWS = 999_983

Shape = tuple[int | None, ...]  # of one row; () once columns were squeezed away


class Cannot(Exception):
    """Why a node cannot be taken."""


class Taken(NamedTuple):
    """What a node does to the value that it takes."""

    source: str
    pieces: list[Piece]
    shape: Shape | None = None  # of what comes out; None: as before


class Values:
    """What is known of a graph's values while its nodes are gone through.

    Attributes
    ----------
    shapes : dict of str to tuple
        Of a row, for the values that layers lead to.
    dtype : numpy.dtype
        float32 or float64: of all numbers.
    """

    def __init__(self, graph: Graph, dtype: np.dtype):
        self.graph = graph
        self.dtype = dtype
        self.shapes: dict[str, Shape] = {graph.input: graph.shape}

    def source(self, node: Node, number: int = 0) -> str:
        """Return the name of an input that layers lead to."""
        name = node.input(number)
        if name not in self.shapes:
            what = (
                "is a constant" if name in self.graph.constants else "comes from nodes that cannot be taken"
            )
            raise Cannot(f"its input {name!r} {what}")
        return name

    def rows(self, node: Node, number: int = 0) -> tuple[str, int | None]:
        """Return the same, where it is rows of columns, and how many."""
        name = self.source(node, number)
        shape = self.shapes[name]
        if len(shape) != 1:
            raise Cannot(f"it works on rows of shape {shape}, not on flat ones")
        return name, shape[0]

    def constant(self, node: Node, number: int, what: str) -> np.ndarray:
        """Return an input that is a constant."""
        name = node.input(number)
        if name not in self.graph.constants:
            raise Cannot(f"{what} is {'missing' if not name else f'not a constant ({name!r})'}")
        return self.graph.constants[name]

    def optional(self, node: Node, number: int, what: str) -> np.ndarray | None:
        """Return the same, or None where it is left out."""
        return self.constant(node, number, what) if node.input(number) else None

    def vector(self, array: np.ndarray, columns: int | None, what: str) -> np.ndarray:
        """Return one number a column."""
        found = self.numbers(array, (columns,), what)
        return np.broadcast_to(np.asarray(found), (columns or np.size(found),)).astype(self.dtype)

    def numbers(self, array: np.ndarray, shape: Shape, what: str) -> Number:
        """Return a constant as one number, or one for each column of rows of this shape."""
        if array.dtype.kind not in "fiu" or (array.dtype.kind == "f" and array.dtype != self.dtype):
            raise Cannot(f"{what} is of type {array.dtype}, not {self.dtype}")
        if array.size == 1:
            return decimal(array.reshape(-1)[0])
        fits = len(shape) == 1 and array.shape[-1] == array.size and shape[0] in (None, array.size)
        if not fits or array.ndim > 2:
            raise Cannot(
                f"{what}, of shape {array.shape}, is not one number or one for each column of {shape}"
            )
        return array.reshape(-1).astype(np.float64)

    def number(self, node: Node, number: int, name: str, default: float) -> float:
        """Return a single number, an input or (in early versions) an attribute."""
        if node.input(number):
            array = self.constant(node, number, name)
            if array.size != 1:
                raise Cannot(f"{name} has shape {array.shape}; one number is taken")
            return decimal(array.reshape(-1)[0])
        return attribute(node, name, default)


def decimal(value: Any) -> float:
    """Return a number as it was meant: 0.2, not 0.20000000298, where it is 0.2 in single precision."""
    return float(str(value)) if isinstance(value, np.float32) else float(value)


def attribute(node: Node, name: str, default: float) -> float:
    """Return a number that is an attribute: those are float32."""
    value = node.attribute(name)
    return default if value is None else decimal(np.float32(value))
