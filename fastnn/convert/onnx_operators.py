"""ONNX's operators, one function each: from a node to what it adds to a stack of layers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastnn import layers
from fastnn.convert.onnx_pieces import Number, Piece, activation, clip, dense, rescaling
from fastnn.convert.onnx_reading import Node
from fastnn.convert.onnx_values import ROWS, Cannot, Shape, Taken, Values, attribute

# ---- products and sums ---------------------------------------------------------------------------------


def _kernel(values: Values, node: Node, transposed: bool) -> tuple[str, np.ndarray]:
    source, columns = values.rows(node)
    kernel = values.constant(node, 1, "its matrix")
    if kernel.ndim != 2 or kernel.dtype != values.dtype:
        raise Cannot(f"its matrix has shape {kernel.shape} and type {kernel.dtype}")
    kernel = kernel.T if transposed else kernel
    if columns not in (None, kernel.shape[0]) or 0 in kernel.shape:
        raise Cannot(f"its matrix, {kernel.shape} (inputs, outputs), does not fit rows of {columns} columns")
    return source, kernel


def gemm(values: Values, node: Node) -> Taken:
    if node.attribute("transA", 0):
        raise Cannot("transA=1 transposes the rows")
    source, kernel = _kernel(values, node, bool(node.attribute("transB", 0)))
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    bias = values.optional(node, 2, "its bias")
    if alpha != 1:
        kernel = (alpha * kernel.astype(np.float64)).astype(values.dtype)
    if bias is not None:
        bias = values.vector(bias, kernel.shape[1], "its bias")
        bias = bias if beta == 1 else (beta * bias.astype(np.float64)).astype(values.dtype)
    return Taken(source, [dense(kernel, bias)], (kernel.shape[1],))


def matmul(values: Values, node: Node) -> Taken:
    source, kernel = _kernel(values, node, False)
    return Taken(source, [dense(kernel, None)], (kernel.shape[1],))


def _with_constant(values: Values, node: Node) -> tuple[str, Number, bool]:
    """Return the value, the numbers, and whether these come first."""
    if len(node.inputs) != 2:
        raise Cannot(f"it has {len(node.inputs)} inputs; two are taken")
    first = node.input(0) in values.graph.constants
    source = values.source(node, int(first))
    if node.input(int(not first)) in values.shapes:
        raise Cannot("it joins two values, and is no residual sum, x + f(x), nor an activation that is known")
    constant = values.constant(node, int(not first), "its other input")
    return source, values.numbers(constant, values.shapes[source], "its constant"), first


def add(values: Values, node: Node) -> Taken:
    source, numbers, _ = _with_constant(values, node)
    return Taken(source, [rescaling(1.0, numbers)])


def sub(values: Values, node: Node) -> Taken:
    source, numbers, first = _with_constant(values, node)
    return Taken(source, [rescaling(-1.0, numbers) if first else rescaling(1.0, -numbers)])


def mul(values: Values, node: Node) -> Taken:
    source, numbers, _ = _with_constant(values, node)
    return Taken(source, [rescaling(numbers)])


def div(values: Values, node: Node) -> Taken:
    source, numbers, first = _with_constant(values, node)
    if first:
        raise Cannot("it divides a constant by a value")
    if np.any(np.equal(numbers, 0)):
        raise Cannot("it divides by 0")
    return Taken(source, [rescaling(1 / numbers)])


def neg(values: Values, node: Node) -> Taken:
    return Taken(values.source(node), [rescaling(-1.0)])


def scaler(values: Values, node: Node) -> Taken:
    """scikit-learn's, of the domain ai.onnx.ml."""
    source, columns = values.rows(node)
    offset, scale = (
        values.numbers(np.asarray(node.attribute(name, default), values.dtype), (columns,), name)
        for name, default in (("offset", [0.0]), ("scale", [1.0]))
    )
    return Taken(source, [rescaling(1.0, -offset), rescaling(scale)])


# ---- activations ---------------------------------------------------------------------------------------


def plain(name: str, *parameters: tuple[str, float]) -> Callable[[Values, Node], Taken]:
    """Return what takes an operator that is an activation; parameters are attributes and their defaults."""

    def taken(values: Values, node: Node) -> Taken:
        numbers = [attribute(node, key, default) for key, default in parameters]
        return Taken(values.source(node), [activation(name, *numbers)])

    return taken


def over_rows(name: str) -> Callable[[Values, Node], Taken]:
    """Return what takes softmax and log-softmax."""

    def taken(values: Values, node: Node) -> Taken:
        source, _ = values.rows(node)
        axis = node.attribute("axis", -1 if values.graph.opset.get("", 1) >= 13 else 1)
        if axis not in (-1, 1):
            raise Cannot(f"axis={axis} is not the columns'")
        return Taken(source, [activation(name)])

    return taken


def selu(values: Values, node: Node) -> Taken:
    alpha, gamma = attribute(node, "alpha", 1.6732632), attribute(node, "gamma", 1.050701)
    usual = math.isclose(alpha, 1.6732632, rel_tol=1e-6) and math.isclose(gamma, 1.050701, rel_tol=1e-6)
    pieces = [activation("selu")] if usual else [activation("elu", alpha), rescaling(gamma)]
    return Taken(values.source(node), pieces)


def hard_sigmoid(values: Values, node: Node) -> Taken:
    alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    usual = math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5
    pieces = [activation("hard_sigmoid")] if usual else [rescaling(alpha, beta), activation("relu_max", 1.0)]
    return Taken(values.source(node), pieces)


def gelu(values: Values, node: Node) -> Taken:
    approximate = node.attribute("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise Cannot(f"approximate={approximate!r} is neither 'none' nor 'tanh'")
    return Taken(values.source(node), [activation("gelu" if approximate == "none" else "gelu_tanh")])


def shrink(values: Values, node: Node) -> Taken:
    threshold, bias = attribute(node, "lambd", 0.5), attribute(node, "bias", 0.0)
    if bias not in (0, threshold):
        raise Cannot(f"bias={bias} is neither 0 (hard_shrink) nor lambd={threshold} (soft_shrink)")
    return Taken(values.source(node), [activation("soft_shrink" if bias else "hard_shrink", threshold)])


def thresholded_relu(values: Values, node: Node) -> Taken:
    return Taken(values.source(node), [activation("threshold", attribute(node, "alpha", 1.0), 0.0)])


def clipped(values: Values, node: Node) -> Taken:
    low = values.number(node, 1, "min", -math.inf)
    high = values.number(node, 2, "max", math.inf)
    if not low <= high:
        raise Cannot(f"its bounds are {low} and {high}")
    # Clip as it was without bounds: those of float32
    low, high = (math.copysign(math.inf, v) if abs(v) >= 3.4028234e38 else v for v in (low, high))
    return Taken(values.source(node), clip(low, high))


def bounded(bounds: Callable[[float], tuple[float, float]]) -> Callable[[Values, Node], Taken]:
    """Return what takes Min and Max with one number."""

    def taken(values: Values, node: Node) -> Taken:
        source, number, _ = _with_constant(values, node)
        if not isinstance(number, float):
            raise Cannot("it compares columns with numbers of their own; one number for all is taken")
        return Taken(source, clip(*bounds(number)))

    return taken


def prelu(values: Values, node: Node) -> Taken:
    source, columns = values.rows(node)
    slope = values.vector(values.constant(node, 1, "its slope"), columns, "its slope")
    return Taken(source, [Piece(layers.PReLU, {}, [slope])])


# ---- normalisation -------------------------------------------------------------------------------------


def _parameters(values: Values, node: Node, *what: str) -> list[np.ndarray]:
    _, columns = values.rows(node)
    return [values.vector(values.constant(node, i + 1, w), columns, w) for i, w in enumerate(what)]


def batch_normalization(values: Values, node: Node) -> Taken:
    if node.attribute("training_mode", 0):
        raise Cannot("training_mode=1 normalises by the rows at hand")
    weights = _parameters(values, node, "its scale", "its bias", "its mean", "its variance")
    options = {"epsilon": attribute(node, "epsilon", 1e-5), "momentum": attribute(node, "momentum", 0.9)}
    return Taken(values.source(node), [Piece(layers.BatchNormalization, options, weights)])


def _require_columns(node: Node) -> None:
    if node.attribute("axis", -1) not in (-1, 1):
        raise Cannot(f"axis={node.attribute('axis')} is not the columns'")


def layer_normalization(values: Values, node: Node) -> Taken:
    _require_columns(node)
    center = bool(node.input(2))
    weights = _parameters(values, node, "its scale", *(["its bias"] if center else []))
    options = {"epsilon": attribute(node, "epsilon", 1e-5), "center": center}
    return Taken(values.source(node), [Piece(layers.LayerNormalization, options, weights)])


def rms_normalization(values: Values, node: Node) -> Taken:
    _require_columns(node)
    options = {"epsilon": attribute(node, "epsilon", 1e-5)}
    return Taken(
        values.source(node), [Piece(layers.RMSNormalization, options, _parameters(values, node, "its scale"))]
    )


# ---- shapes, and what does nothing ---------------------------------------------------------------------


def identity(values: Values, node: Node) -> Taken:
    return Taken(values.source(node), [])


def dropout(values: Values, node: Node) -> Taken:
    training = values.optional(node, 2, "training_mode")
    if training is not None and training.any():
        raise Cannot("training_mode is on")
    rate = values.number(node, 1, "ratio", 0.5)
    return Taken(values.source(node), [Piece(layers.Dropout, {"rate": rate}, [])])


def cast(values: Values, node: Node) -> Taken:
    from onnx import helper

    source = values.source(node)
    kind = helper.tensor_dtype_to_np_dtype(node.attribute("to"))
    if kind != values.dtype:
        raise Cannot(f"it casts to {kind} in the middle of a graph of {values.dtype}")
    return Taken(source, [])


def _columns(shape: Shape) -> int | None:
    return None if None in shape else math.prod(n for n in shape if n is not None)


def flatten(values: Values, node: Node) -> Taken:
    source = values.source(node)
    shape = values.shapes[source]
    if node.attribute("axis", 1) != 1 or not shape:
        raise Cannot(f"axis={node.attribute('axis', 1)} does not leave one row for each row")
    return Taken(source, [] if len(shape) == 1 else [Piece(layers.Flatten, {}, [])], (_columns(shape),))


def reshape(values: Values, node: Node) -> Taken:
    source = values.source(node)
    shape = values.shapes[source]
    columns, wanted = _columns(shape), values.constant(node, 1, "its shape").tolist()
    sizes = [int(n) for n in wanted] if isinstance(wanted, list) else []
    if sizes == [-1] and columns == 1:
        return Taken(source, [], ())
    same_rows = bool(sizes) and sizes[0] in (ROWS, -1, 0)
    if len(sizes) == 2 and same_rows and shape:
        fits = sizes[1] == columns if sizes[0] == -1 else sizes[1] in (-1, columns)
        if columns is not None and (fits or (sizes[1] == 0 and len(shape) == 1)):
            return Taken(source, [] if len(shape) == 1 else [Piece(layers.Flatten, {}, [])], (columns,))
    raise Cannot(f"it makes {sizes or wanted} of rows of shape {shape}; (rows, {columns}) is taken")


def squeeze(values: Values, node: Node) -> Taken:
    source = values.source(node)
    shape = values.shapes[source]
    given = values.optional(node, 1, "its axes")
    axes = node.attribute("axes") if given is None else given.ravel().tolist()
    if shape != (1,) or axes is None or list(axes) not in ([1], [-1]):
        raise Cannot(f"it squeezes axes {axes} of rows of shape {shape}; a single column is taken")
    return Taken(source, [], ())


OPERATORS: dict[str, Callable[[Values, Node], Taken]] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Add": add,
    "Sum": add,
    "Sub": sub,
    "Mul": mul,
    "Div": div,
    "Neg": neg,
    "Relu": plain("relu"),
    "LeakyRelu": plain("leaky_relu", ("alpha", 0.01)),
    "PRelu": prelu,
    "Elu": plain("elu", ("alpha", 1.0)),
    "Selu": selu,
    "Celu": plain("celu", ("alpha", 1.0)),
    "Sigmoid": plain("sigmoid"),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": plain("hard_silu"),
    "Tanh": plain("tanh"),
    "Softplus": plain("softplus"),
    "Softsign": plain("softsign"),
    "Gelu": gelu,
    "Mish": plain("mish"),
    "ThresholdedRelu": thresholded_relu,
    "Shrink": shrink,
    "Clip": clipped,
    "Min": bounded(lambda number: (-math.inf, number)),
    "Max": bounded(lambda number: (number, math.inf)),
    "Exp": plain("exponential"),
    "Softmax": over_rows("softmax"),
    "LogSoftmax": over_rows("log_softmax"),
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "Identity": identity,
    "Dropout": dropout,
    "Cast": cast,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
}
OF_SCIKIT_LEARN = {"Scaler": scaler}  # of the domain ai.onnx.ml
