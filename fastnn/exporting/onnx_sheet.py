"""Nodes and constants of an ONNX graph, gathered one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np


class Sheet:
    """Called with an operator and its inputs, it adds the node and returns the name of what comes out.

    Inputs are names, or numbers and arrays, which become constants: floating-point ones in ``dtype``. An
    input that is left out is ``""``.

    Parameters
    ----------
    dtype : numpy.dtype
        float32 or float64.

    Attributes
    ----------
    columns : int
        Of the rows where the next node goes.
    nodes : list of (name, operator, inputs, outputs, attributes)
    constants : dict of str to ndarray
    """

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype
        self.columns = 0
        self.nodes: list[tuple[str, str, list[str], list[str], dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names: dict[tuple, str] = {}  # of constants that are there already
        self._step = ""
        self._inside = 0

    def begin(self, step: str) -> None:
        """Name the nodes that follow after this step."""
        self._step, self._inside = step, 0

    def end(self) -> None:
        """Give the last node the name of the step, of which it is the outcome."""
        _, *rest = self.nodes[-1]
        self.nodes[-1] = (self._step, *rest)  # type: ignore[assignment]

    def __call__(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        name = f"{self._step}.{operator.lower()}{self._inside}"
        self._inside += 1
        named = [i if isinstance(i, str) else self._constant(i) for i in inputs]
        # the rank of what TopK returns comes with it
        outputs = [f"{name}:{i}" for i in range(2 if operator == "TopK" else 1)]
        self.nodes.append((name, operator, named, outputs, attributes))
        return outputs[0]

    def size(self) -> Any:
        """Return the number of columns as operators take it."""
        return np.array([self.columns], np.int64)

    def ranks(self) -> Any:
        """Return 1, 2, ... for the columns."""
        return np.arange(1, self.columns + 1, dtype=np.float64)

    def _constant(self, value: Any) -> str:
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(self.dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"constant_{len(self._names)}"
            self.constants[self._names[key]] = array
        return self._names[key]
