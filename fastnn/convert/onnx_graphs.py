"""Models out of ONNX graphs: `from_onnx`.

A graph is gone through from its input on. Each node adds to what is known of the values: the layers that lead
to it, kept as a link to the value before. A node that ends a known combination of several (a template) is
taken with all of them; those in between are then nobody's business any more, as if they were one operator.
Where this does not arrive at the output, the first node on the way that nothing took is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastnn import layers
from fastnn.convert import onnx_pieces as made
from fastnn.convert.onnx_operators import OF_SCIKIT_LEARN, OPERATORS
from fastnn.convert.onnx_pieces import Piece
from fastnn.convert.onnx_reading import Graph, Node, load
from fastnn.convert.onnx_templates import Match, Search
from fastnn.convert.onnx_values import ROWS, Cannot, Shape, Taken, Values, decimal
from fastnn.exporting.onnx_model import INPUT_NAMES
from fastnn.models import Sequential

TABLES: dict[str, dict[str, Any]] = {"": OPERATORS, "ai.onnx.ml": OF_SCIKIT_LEARN}
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def from_onnx(path_or_model: Any, output: str | None = None) -> Sequential:
    """Return a model that computes what an ONNX graph does; needs the package onnx.

    The graph is a stack of what fastnn has: products with matrices, activations, normalisation, residual
    sums; docs/export.md lists the operators. The model is built and has the graph's weights, in float32 or
    float64 as the graph; to train it, compile it.

    Parameters
    ----------
    path_or_model : str, path-like or onnx.ModelProto
    output : str, optional
        The name of the output that is wanted, where the graph has several.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        For a graph that is something else; it names the first node that cannot be taken.
    FormatError
        For a file that is not ONNX, or damaged.
    ImportError
        Without the package onnx.
    OSError
        Where the file cannot be read.

    Examples
    --------
    >>> model = fastnn.convert.from_onnx("mlp.onnx")
    >>> model.predict(x)
    """
    graph = Graph(load(path_or_model), output)
    walk = _Walk(graph)
    pieces = walk.through()
    shape = _row_shape(graph, pieces)
    stack = made.stack(pieces, walk.values.dtype)
    named = graph.name if graph.name and "/" not in graph.name else None
    model = Sequential([layers.Input(shape, dtype=walk.values.dtype.name), *stack], name=named)
    model.set_weights(made.weights(pieces))
    model.column_names = _column_names(graph, shape)
    return model


class _Link(NamedTuple):
    """How a value comes about: of which one, by which layers."""

    source: str | None
    pieces: list[Piece]


class _Walk:
    """The way from a graph's input to its output."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.values = Values(graph, _dtype(graph))
        self._links: dict[str, _Link] = {graph.input: _Link(None, [])}
        self._search = Search(graph)
        self._covered: set[str] = set()  # what nodes that were taken return
        self._reasons: dict[str, str] = {}

    def through(self) -> list[Piece]:
        """Return the layers that lead to the output."""
        wanted = self.graph.needed()
        nodes = [node for node in self.graph.nodes if wanted & set(node.proto.output)]
        for node in nodes:
            folded = self._of_shape(node) or self.graph.folded(node)
            if folded is not None:
                self.graph.constants.update(folded)
                self._covered.update(folded)
                continue
            try:
                self._take(node)
            except Cannot as reason:
                self._reasons[node.output] = str(reason)
        if self.graph.output not in self._links:
            self._refuse(nodes)
        return made.tidied(self._since(self.graph.output, None) or [])

    def _take(self, node: Node) -> None:
        for match in self._search.matches(node):
            if match.source in self._links:
                taken = self._of_match(match)
                if taken is not None:
                    self._link(node, taken)
                    self._covered |= match.nodes
                    return
        self._link(node, self._residual(node) or self._single(node))
        self._covered.add(node.output)

    def _link(self, node: Node, taken: Taken) -> None:
        pieces = [p if p.name else p._replace(name=node.name) for p in taken.pieces]
        shape = self.values.shapes[taken.source] if taken.shape is None else taken.shape
        self._links[node.output] = _Link(taken.source, pieces)
        self.values.shapes[node.output] = shape

    def _single(self, node: Node) -> Taken:
        table = TABLES.get(node.domain, {})
        if node.operator not in table:
            raise Cannot("it is no operator of a stack of layers, nor part of a known combination")
        if node.operator == "Cast" and node.input(0) == self.graph.input:
            kind = node.attribute("to")
            if _named(kind) == self.values.dtype:  # predict casts what it is given, too
                return Taken(self.graph.input, [])
        try:
            return table[node.operator](self.values, node)
        except (ValueError, TypeError) as error:  # a layer's own words about its arguments
            raise Cannot(str(error)) from None

    def _of_match(self, match: Match) -> Taken | None:
        """Return what was recognised, if it is what it seems: numbers that fit."""
        shape = self.values.shapes[match.source]
        single = np.dtype(self.values.dtype).type
        numbers: list[Any] = [decimal(single(p)) if isinstance(p, float) else p for p in match.parameters]
        try:
            if match.name in ("layer_norm", "rms_norm"):
                return Taken(match.source, [self._normalization(match.name, shape, *numbers)])
            if match.name.startswith("prelu"):
                slope = self.values.vector(numbers[0], *self._flat(shape), "its slope")
                sign = -1 if match.name == "prelu_negative" else 1
                return Taken(match.source, [Piece(layers.PReLU, {}, [sign * slope])])
            if match.name == "softplus_scaled":
                (beta,) = numbers
                pieces = [made.rescaling(beta), made.activation("softplus"), made.rescaling(1 / beta)]
                return Taken(match.source, pieces)
            if match.name in ("softmax", "log_softmax", "sparsemax"):
                self._flat(shape)
            return Taken(match.source, [made.activation(match.name, *numbers)])
        except (Cannot, ValueError, TypeError, ZeroDivisionError):
            return None

    def _flat(self, shape: Shape) -> tuple[int | None]:
        if len(shape) != 1:
            raise Cannot(f"rows of shape {shape} are not flat")
        return (shape[0],)

    def _normalization(self, name: str, shape: Shape, epsilon: float, *given: np.ndarray) -> Piece:
        (columns,) = self._flat(shape)
        if columns is None:
            raise Cannot("the number of columns is not known")
        if name == "rms_norm":
            scale = self.values.vector(given[0], columns, "its scale") if given else np.ones(columns)
            return Piece(layers.RMSNormalization, {"epsilon": epsilon}, [scale])
        options = {"epsilon": epsilon, "scale": bool(given), "center": bool(given)}
        weights = [self.values.vector(a, columns, "its scale and bias") for a in given]
        return Piece(layers.LayerNormalization, options, weights)

    def _residual(self, node: Node) -> Taken | None:
        """Return ``x + f(x)`` as one layer, where the node is such a sum."""
        if node.domain or node.operator not in ("Add", "Sum") or len(node.inputs) != 2:
            return None
        first, second = node.inputs
        if first not in self._links or second not in self._links:
            return None
        if first == second:
            return Taken(first, [made.rescaling(2.0)])
        for source, end in ((first, second), (second, first)):
            inner = self._since(end, source)
            if inner is not None and self.values.shapes[source] == self.values.shapes[end]:
                inner = made.tidied(inner) or [made.activation("linear")]
                return Taken(source, [Piece(layers.Residual, {"layers": inner}, [])])
        return None

    def _since(self, end: str, source: str | None) -> list[Piece] | None:
        """Return the pieces between two values, or from the input on; None where none lead there."""
        found: list[Piece] = []
        at: str | None = end
        while at != source:
            if at is None:
                return None
            link = self._links[at]
            found, at = link.pieces + found, link.source
        return found

    def _of_shape(self, node: Node) -> dict[str, np.ndarray] | None:
        """Return the shape of a value that layers lead to, and what is everywhere the same in such a shape.

        Graphs compute with it to flatten rows, and make zeros of it.
        """
        if node.domain:
            return None
        shape = self.values.shapes.get(node.input(0))
        if node.operator == "Shape" and shape is not None and None not in shape:
            return {node.output: np.array([ROWS, *shape], np.int64)}
        made_of = self.graph.constants.get(node.input(0))
        if (
            node.operator == "ConstantOfShape"
            and made_of is not None
            and made_of.ravel()[:1].tolist() == [ROWS]
        ):
            return {node.output: self.graph.filled_with(node)}
        return None

    def _refuse(self, nodes: list[Node]) -> None:
        for node in nodes:
            if node.output not in self._covered:
                reason = self._reasons.get(node.output, "nothing leads to it")
                raise ValueError(
                    f"from_onnx: the first node that cannot be taken is {node}: {reason}. Taken are "
                    f"{', '.join(OPERATORS)}, and what docs/export.md lists."
                )
        raise ValueError(f"from_onnx: no node returns the output {self.graph.output!r}.")


def _dtype(graph: Graph) -> np.dtype:
    """Return the type that a graph computes in: its input's, or where that is no such type its matrices'."""
    kinds = [graph.kind, *(a.dtype for a in graph.constants.values() if a.ndim == 2)]
    casts = [n for n in graph.nodes if n.operator == "Cast" and n.input(0) == graph.input]
    kinds = [*(_named(n.attribute("to")) for n in casts), *kinds]
    found = next((kind for kind in kinds if kind in FLOATS), None)
    if found is None:
        raise ValueError(
            f"from_onnx takes float32 and float64; input {graph.input!r} of this graph is {graph.kind}."
        )
    return found


def _named(kind: Any) -> np.dtype:
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(kind))


def _row_shape(graph: Graph, pieces: list[Piece]) -> tuple[int, ...]:
    """Return the shape of a row that goes in; where the graph does not say, its first matrix does."""
    kernel = next(_kernels(pieces), None)
    if kernel is None:
        raise ValueError(
            "from_onnx: the graph has no product with a matrix (Gemm, MatMul), and fastnn's models have at "
            "least one Dense layer."
        )
    if None not in graph.shape:
        return tuple(n for n in graph.shape if n is not None)
    if len(graph.shape) > 1:
        raise ValueError(
            f"from_onnx: input {graph.input!r} has rows of shape {graph.shape}, of which only the number of "
            "rows may be open."
        )
    return (kernel.shape[0],)


def _kernels(pieces: list[Piece]) -> Iterator[np.ndarray]:
    for piece in pieces:
        if piece.kind is layers.Residual:
            yield from _kernels(piece.options["layers"])
        elif piece.kind is layers.Dense:
            yield piece.weights[0]


def _column_names(graph: Graph, shape: tuple[int, ...]) -> list[str] | None:
    """Return the names of the columns, which fastnn writes into its files."""
    try:
        names = json.loads(graph.properties.get(INPUT_NAMES, "null"))
    except ValueError:
        return None
    fits = isinstance(names, list) and (len(names),) == shape and all(isinstance(n, str) for n in names)
    return names if fits else None
