"""Functions that ONNX graphs put together of several nodes, recognised by their shape.

A template is written as the graph was: by a function of `fastnn.exporting.onnx_activations`, or one of those
below, called on a `Sketch` instead of a sheet.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastnn.convert.onnx_reading import Graph, Node
from fastnn.exporting.onnx_activations import WRITERS

COMMUTATIVE = frozenset(("Add", "Mul", "Max", "Min"))
TOLERANCE = 1e-5  # of constants, which others write in single precision or as decimals
# Attributes that templates name and nodes may leave out
DEFAULTS = {"keepdims": 1, "largest": 1, "sorted": 1, "axis": -1, "beta": 0.5}


class Source:
    """What a template is a function of."""


X = Source()


@dataclass(frozen=True)
class Unknown:
    """A number that a template leaves open, times a factor."""

    index: int
    factor: float = 1.0

    def __neg__(self) -> Unknown:
        return self * -1.0

    def __mul__(self, factor: float) -> Unknown:
        return Unknown(self.index, self.factor * factor)

    def __truediv__(self, divisor: float) -> Unknown:
        return self * (1 / divisor)


@dataclass(frozen=True)
class Columns:
    """An array, or a single number, that a template leaves open."""

    index: int


@dataclass(frozen=True)
class Counting:
    """The array 1, 2, ..., or the number of columns alone."""

    single: bool


class LastAxis:
    """The axis of the columns, as an input."""


class Part(NamedTuple):
    """A node of a template."""

    operator: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]


class Sketch:
    """What templates are written on, in the place of a sheet."""

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype)

    def __call__(self, operator: str, *inputs: Any, **attributes: Any) -> Part:
        return Part(operator, inputs, attributes)

    def size(self) -> Counting:
        return Counting(True)

    def ranks(self) -> Counting:
        return Counting(False)


class Template(NamedTuple):
    """``root`` computes ``name`` with these parameters: an activation's compiled name, or a layer's."""

    name: str
    parameters: tuple[Any, ...]
    root: Part


class Match(NamedTuple):
    """Where a template was found: of which value, with which parameters, in which nodes."""

    name: str
    source: str
    parameters: tuple[Any, ...]
    nodes: frozenset[str]  # what they return


A, B = Unknown(0), Unknown(1)
ARGUMENTS: dict[str, list[tuple]] = {
    "relu_max": [(A,)],
    "relu_general": [(A, -math.inf, math.inf, B), (A, 0.0, B, Unknown(2))],
    "leaky_relu": [(A,)],
    "elu": [(1.0,), (A,)],
    "celu": [(1.0,), (A,)],
    "squareplus": [(A,)],
    "soft_shrink": [(A,)],
    "hard_shrink": [(A,)],
    "threshold": [(A, B)],
}


# ---- as others write them: (o, x) -> the ways, each with its parameters if there are any ---------------


def _gelu(o: Sketch) -> Iterator[Part]:
    for inner in (o("Div", X, math.sqrt(2)), o("Mul", X, math.sqrt(0.5))):
        e = o("Add", o("Erf", inner), 1.0)
        yield from _half_of_product(o, e)


def _gelu_tanh(o: Sketch) -> Iterator[Part]:
    square = o("Mul", X, X)
    for cube in (o("Mul", X, square), o("Pow", X, 3.0)):
        inner = o("Mul", o("Add", X, o("Mul", cube, 0.044715)), math.sqrt(2 / math.pi))
        yield from _half_of_product(o, o("Add", o("Tanh", inner), 1.0))


def _half_of_product(o: Sketch, y: Part) -> Iterator[Part]:
    """``x * y / 2``."""
    for half in (lambda v: o("Mul", v, 0.5), lambda v: o("Div", v, 2.0)):
        yield half(o("Mul", X, y))
        yield o("Mul", half(X), y)
        yield o("Mul", X, half(y))


def _hard_silu(o: Sketch) -> Iterator[Part]:
    clipped = o("Clip", o("Add", X, 3.0), 0.0, 6.0)
    yield o("Mul", X, o("Mul", clipped, 1 / 6))
    yield o("Div", o("Mul", X, clipped), 6.0)
    yield o("Mul", o("Mul", X, clipped), 1 / 6)
    yield o("Mul", X, o("HardSigmoid", X, alpha=1 / 6, beta=0.5))


def _chosen(o: Sketch, test: Part, yes: Any, no: Any) -> Part:
    """``Where``, as TensorFlow's converter writes it."""
    return o("Add", o("Mul", o("Cast", test), yes), o("Mul", o("Cast", o("Not", test)), no))


def _soft_shrink(o: Sketch) -> Iterator[Part]:
    above = o("Where", o("Greater", X, A), o("Sub", X, A), 0.0)
    yield o("Add", above, o("Where", o("Less", X, -A), o("Add", X, A), 0.0))
    below = _chosen(o, o("Less", X, -A), o("Add", X, A), 0.0)
    yield _chosen(o, o("Greater", X, A), o("Sub", X, A), below)
    # PyTorch's newer exporter
    outside = o("Sub", X, o("Mul", o("Sign", X), A))
    yield o("Where", o("Greater", o("Abs", X), A), outside, o("Mul", X, 0.0))


def _sparse_plus(o: Sketch) -> Iterator[Part]:
    curve = o("Mul", o("Pow", o("Add", X, 1.0), 2.0), 0.25)
    yield _chosen(o, o("LessOrEqual", X, -1.0), 0.0, _chosen(o, o("Less", X, 1.0), curve, X))


def _sparse_sigmoid(o: Sketch) -> Iterator[Part]:
    above = _chosen(o, o("GreaterOrEqual", X, 1.0), 1.0, o("Mul", o("Add", X, 1.0), 0.5))
    yield _chosen(o, o("LessOrEqual", X, -1.0), 0.0, above)


def _hard_shrink(o: Sketch) -> Iterator[Part]:
    outside = [o("Greater", X, A), o("Less", X, -A)]
    for pair in (outside, [o("Cast", test) for test in outside]):
        yield o("Where", o("Or", *pair), X, 0.0)
    yield _chosen(o, o("Greater", o("Abs", X), A), X, 0.0)


def _squareplus(o: Sketch) -> Iterator[Part]:
    total = o("Add", X, o("Sqrt", o("Add", o("Mul", X, X), A)))
    yield from (o("Mul", total, 0.5), o("Div", total, 2.0))


FOREIGN: dict[str, Callable[[Sketch], Any]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda o: [o("Mul", X, o("Sigmoid", X))],
    "sigmoid": lambda o: [o("Div", 1.0, o("Add", o("Exp", o("Neg", X)), 1.0))],
    "mish": lambda o: [o("Mul", X, o("Tanh", o("Softplus", X)))],
    "softplus": lambda o: [
        o("Log", o("Add", o("Exp", X), 1.0)),
        o("Where", o("Greater", X, 20.0), X, o("Softplus", X)),
    ],
    "log_sigmoid": lambda o: [o("Log", o("Sigmoid", X)), o("Neg", o("Softplus", o("Neg", X)))],
    "log_softmax": lambda o: [o("Log", o("Softmax", X, axis=axis)) for axis in (-1, 1)],
    "softsign": lambda o: [o("Div", X, o("Add", o("Abs", X), 1.0))],
    "hard_silu": _hard_silu,
    "hard_sigmoid": lambda o: [o("Mul", o("Clip", o("Add", X, 3.0), 0.0, 6.0), 1 / 6)],
    "hard_tanh": lambda o: [o("Max", o("Min", X, 1.0), -1.0), o("Min", o("Max", X, -1.0), 1.0)],
    "squareplus": _squareplus,
    "soft_shrink": _soft_shrink,
    "hard_shrink": _hard_shrink,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "threshold": lambda o: [o("Where", o("Greater", X, A), X, B)],
}


def _softplus_scaled(o: Sketch) -> Part:
    """PyTorch's with another beta, A: ``log(1 + exp(A x)) / A``."""
    scaled = o("Mul", X, A)
    return o("Where", o("Greater", scaled, 20.0), X, o("Div", o("Softplus", scaled), A))


# ---- layers: names of their own ------------------------------------------------------------------------


def _means(o: Sketch, x: Any) -> Iterator[Part]:
    """Over the columns: the axis is an attribute, or from version 18 on an input."""
    yield o("ReduceMean", x, axes=[-1], keepdims=1)
    yield o("ReduceMean", x, LastAxis(), keepdims=1)


def _deviations(o: Sketch, rest: Any) -> Iterator[Part]:
    for square in (o("Mul", rest, rest), o("Pow", rest, 2.0)):
        for variance in _means(o, square):
            yield o("Sqrt", o("Add", variance, A))


def _normalized(o: Sketch) -> Iterator[tuple[str, Part]]:
    """Rows by their own mean and variance: parameters are epsilon, and gamma and beta if there are any."""
    for mean in _means(o, X):
        rest = o("Sub", X, mean)
        for deviation in _deviations(o, rest):
            yield "layer_norm", o("Div", rest, deviation)
            # Keras by way of TensorFlow: x f + (beta - mean f), f = gamma / deviation
            factor = o("Mul", o("Reciprocal", deviation), Columns(1))
            moved = o("Add", o("Mul", o("Neg", mean), factor), Columns(2))
            yield "layer_norm", o("Add", o("Mul", X, factor), moved)
    for root in _deviations(o, X):
        yield "rms_norm", o("Div", X, root)
        yield "rms_norm", o("Mul", X, o("Reciprocal", root))
        yield "rms_norm", o("Mul", X, o("Mul", o("Reciprocal", root), Columns(1)))


def _prelu(o: Sketch) -> Iterator[Part]:
    yield o("Where", o("Less", X, 0.0), o("Mul", X, Columns(1)), X)
    # Keras by way of TensorFlow; here alpha's sign is changed
    yield o("Add", o("Relu", X), o("Mul", o("Relu", o("Neg", X)), Columns(1)))


@functools.cache
def templates() -> dict[str, list[Template]]:
    """Return all templates by the operator of their last node, large ones first."""
    found: list[Template] = []
    for dtype in ("float32", "float64"):
        o = Sketch(dtype)
        for name, writer in WRITERS.items():
            for parameters in ARGUMENTS.get(name, [()]):
                found.append(Template(name, parameters, writer(o, X, *parameters)))
    for name, ways in FOREIGN.items():
        parameters = {"threshold": (A, B)}.get(name, (A,) if name in ARGUMENTS else ())
        found += [Template(name, parameters, root) for root in ways(o)]
    found.append(Template("softplus_scaled", (A,), _softplus_scaled(o)))
    first, second = _prelu(o)
    found += [Template("prelu", (Columns(1),), first), Template("prelu_negative", (Columns(1),), second)]
    for name, root in _normalized(o):
        # those with gamma and beta inside have them; behind the others they are nodes of their own
        inside = tuple(c for c in (Columns(1), Columns(2)) if _holds(root, c))
        found.append(Template(name, (A, *inside), root))
    found = [t for t in found if any(isinstance(i, Part) for i in t.root.inputs)]
    found.sort(key=lambda t: -_size(t.root))
    ordered: dict[str, list[Template]] = {}
    for template in found:
        ordered.setdefault(template.root.operator, []).append(template)
    return ordered


def _holds(part: Any, wanted: Any) -> bool:
    return part == wanted or (isinstance(part, Part) and any(_holds(i, wanted) for i in part.inputs))


def _size(part: Any) -> int:
    return 1 + sum(map(_size, part.inputs)) if isinstance(part, Part) else 0


# ---- looking for them ----------------------------------------------------------------------------------


class Search:
    """Finds templates in a graph.

    Parameters
    ----------
    graph : Graph
        Its constants may grow in between.
    """

    def __init__(self, graph: Graph):
        self._graph = graph
        self._makers = {node.output: node for node in graph.nodes}

    def matches(self, node: Node) -> Iterator[Match]:
        """Return all templates that end in this node, the largest first."""
        if node.domain:
            return
        for template in templates().get(node.operator, []):
            for bound in self._same(template.root, node.output, {}):
                parameters = tuple(_value(p, bound) for p in template.parameters)
                nodes = frozenset(key for key, of in bound.items() if of is True)
                yield Match(template.name, bound[X], parameters, nodes)
                break

    def _same(self, part: Any, value: str, bound: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        """Return the ways in which ``value`` is what the template says, with what is then known."""
        if isinstance(part, Part):
            yield from self._same_node(part, value, bound)
        elif part is X:
            if value and bound.get(X, value) == value:
                yield {**bound, X: value}
        elif part == "":
            if not value:
                yield bound
        else:
            constant = self._graph.constants.get(value)
            if constant is not None and constant.size and constant.dtype.kind in "fiub":
                yield from _same_constant(part, constant, bound)

    def _same_node(self, part: Part, value: str, bound: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        node = self._makers.get(value)
        if node is None or node.domain or node.operator != part.operator:
            return
        for key, wanted in part.attributes.items():
            if not _same_attribute(node.attribute(key, DEFAULTS.get(key)), wanted):
                return
        given = node.inputs + [""] * (len(part.inputs) - len(node.inputs))
        if len(given) != len(part.inputs):
            return
        orders = [given]
        if part.operator in COMMUTATIVE and len(given) == 2 and given[0] != given[1]:
            orders.append(given[::-1])
        for order in orders:
            yield from self._same_inputs(part.inputs, order, {**bound, node.output: True})

    def _same_inputs(self, parts: Any, values: list[str], bound: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        if not parts:
            yield bound
            return
        for more in self._same(parts[0], values[0], bound):
            yield from self._same_inputs(parts[1:], values[1:], more)


def _same_attribute(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):  # axes: of two
        return found is not None and list(found) in ([-1], [1])
    if isinstance(wanted, float):
        return found is not None and math.isclose(found, wanted, rel_tol=TOLERANCE)
    return found == wanted


def _same_constant(part: Any, constant: np.ndarray, bound: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    if isinstance(part, Columns):
        if part not in bound or np.array_equal(bound[part], constant):
            yield {**bound, part: constant}
    elif isinstance(part, LastAxis):
        if constant.ravel().tolist() in ([-1], [1]):
            yield bound
    elif isinstance(part, Counting):
        counted = np.arange(1, constant.size + 1)
        if part.single if constant.dtype.kind == "i" else np.array_equal(constant.ravel(), counted):
            yield bound
    elif isinstance(part, Unknown):
        if constant.size == 1:
            value = float(constant.reshape(-1)[0]) / part.factor
            if math.isclose(bound.get(part.index, value), value, rel_tol=TOLERANCE):
                yield {**bound, part.index: value}
    elif constant.size == np.size(part) and np.allclose(constant, part, rtol=TOLERANCE, atol=0):
        yield bound


def _value(parameter: Any, bound: dict[Any, Any]) -> Any:
    """Return the number or the array that a parameter turned out to be."""
    if isinstance(parameter, Unknown):
        return bound[parameter.index]
    return bound[parameter] if isinstance(parameter, Columns) else parameter
