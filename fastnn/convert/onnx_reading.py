"""ONNX files as far as they have nothing to do with layers: loading, constants, and what can be folded."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from fastnn.errors import FormatError

# Operators that are computed where their inputs are constants, and how many numbers they may make in all:
# a file of a few lines can ask for more than any memory holds.
FOLDED = {
    *(
        "Add",
        "Cast",
        "Concat",
        "Div",
        "Exp",
        "Gather",
        "Identity",
        "Mul",
        "Neg",
        "Pow",
        "Reciprocal",
        "Reshape",
    ),
    *("Shape", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
}
MOST_FOLDED = 2**26


class Node:
    """One node, read without surprises: what is not there is None, or the default."""

    def __init__(self, proto: Any):
        from onnx import helper

        self.proto = proto
        self.name: str = proto.name
        self.operator: str = proto.op_type
        self.domain: str = "" if proto.domain == "ai.onnx" else proto.domain
        self.inputs = list(proto.input)
        self.output: str = proto.output[0] if proto.output else ""
        self._attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute, text as str."""
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def input(self, number: int) -> str:
        """Return the name of an input; ``""`` where there is none."""
        return self.inputs[number] if number < len(self.inputs) else ""

    def __str__(self) -> str:
        which = repr(self.name) if self.name else f"without a name that returns {self.output!r}"
        where = f" of domain {self.domain!r}" if self.domain else ""
        return f"node {which} (operator {self.operator}{where})"


class Graph:
    """An ONNX graph with one input.

    Parameters
    ----------
    model : onnx.ModelProto
    output : str, optional
        Which output is wanted, where there are several.

    Attributes
    ----------
    nodes : list of Node
    constants : dict of str to ndarray
        Initializers; whoever walks through the nodes adds what `folded` returns.
    input, output : str
    shape : tuple of int or None
        Of a row that goes in; None where a number is not known.
    kind : numpy.dtype
        Of the input.
    """

    def __init__(self, model: Any, output: str | None):
        from onnx import helper

        graph = model.graph
        self.name: str = graph.name
        self.opset = {o.domain or "": o.version for o in model.opset_import}
        self.properties = {p.key: p.value for p in model.metadata_props}
        self.constants = {i.name: _array(i) for i in graph.initializer}
        self.nodes = [Node(n) for n in graph.node]
        self._left = MOST_FOLDED
        inputs = [i for i in graph.input if i.name not in self.constants]
        if len(inputs) != 1:
            listed = ", ".join(repr(i.name) for i in inputs) or "none"
            raise ValueError(f"from_onnx takes graphs with one input; this one has {len(inputs)}: {listed}.")
        names = [o.name for o in graph.output]
        if output is None and len(names) != 1:
            raise ValueError(
                f"from_onnx: the graph has {len(names)} outputs: {', '.join(map(repr, names))}. Pass "
                "output= with the name of one."
            )
        if output is not None and output not in names:
            raise ValueError(
                f"from_onnx: output={output!r} is none of the graph's: {', '.join(map(repr, names))}."
            )
        self.input: str = inputs[0].name
        self.output: str = names[0] if output is None else output
        tensor = inputs[0].type.tensor_type
        if not tensor.elem_type or not tensor.HasField("shape") or len(tensor.shape.dim) < 2:
            raise ValueError(
                f"from_onnx: input {self.input!r} must be a tensor of known rank, (rows, columns) or more."
            )
        self.kind = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        self.shape = tuple(d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim[1:])

    def needed(self) -> set[str]:
        """Return the names of the values that the wanted output depends on, itself included."""
        wanted = {self.output}
        for node in reversed(self.nodes):
            if wanted & set(node.proto.output):
                wanted |= set(node.inputs)
        return wanted

    def folded(self, node: Node) -> dict[str, np.ndarray] | None:
        """Return what a node makes of constants; None where it takes others, or is none to be folded."""
        if node.operator == "Constant" and not node.domain:
            return {node.output: self._constant(node)}
        given = [name for name in node.inputs if name]
        known = all(name in self.constants for name in given)
        if node.domain or node.operator not in FOLDED or not given or not known:
            return None
        from onnx import TensorProto, helper, reference

        self._left -= _size_of_result(node, [self.constants[name] for name in given])
        if self._left < 0:
            return None
        inputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in set(given)]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.proto.output
        ]
        graph = helper.make_graph([node.proto], "folded", inputs, outputs)
        opsets = [helper.make_opsetid("", self.opset.get("", 1))]
        try:
            with np.errstate(all="ignore"):
                evaluator = reference.ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets))
                found = evaluator.run(None, {name: self.constants[name] for name in given})
        except Exception:  # whatever is wrong with it, it cannot be folded, and will be named
            return None
        return dict(zip(node.proto.output, map(np.asarray, found), strict=True))

    def filled_with(self, node: Node) -> np.ndarray:
        """Return the one number that a ConstantOfShape repeats."""
        value = node.attribute("value")
        return np.zeros((), np.float32) if value is None else _array(value).reshape(())

    def _constant(self, node: Node) -> np.ndarray:
        for name, kind in (
            ("value_float", np.float32),
            ("value_floats", np.float32),
            ("value_int", np.int64),
            ("value_ints", np.int64),
        ):
            value = node.attribute(name)
            if value is not None:
                return np.asarray(value, kind)
        value = node.attribute("value")
        if value is None:
            raise ValueError(f"from_onnx: {node} has a value of a kind that is not taken; numbers are.")
        return _array(value)


def _size_of_result(node: Node, arrays: list[np.ndarray]) -> int:
    """Return how many numbers a node makes of constants, at most."""
    if node.operator == "Gather":
        return math.prod(a.size for a in arrays)
    if node.operator in ("Add", "Sub", "Mul", "Div", "Pow"):
        widest = max(a.ndim for a in arrays)
        shapes = [(1,) * (widest - a.ndim) + a.shape for a in arrays]
        return math.prod(map(max, zip(*shapes, strict=True)))
    return sum(a.size for a in arrays)


def load(path_or_model: Any) -> Any:
    """Return the ``onnx.ModelProto`` of a file, or the one that was given, with its functions written out.

    Raises
    ------
    ImportError
        Without the package onnx.
    FormatError
        For a file that is none, or damaged.
    """
    try:
        import onnx
        from onnx import checker, inliner
    except ImportError:
        raise ImportError(
            "from_onnx needs the package onnx, which is not installed: pip install 'fastnn-cpu[onnx]'"
        ) from None
    what = "from_onnx: the model"
    if isinstance(path_or_model, onnx.ModelProto):
        model = path_or_model
    elif isinstance(path_or_model, str | os.PathLike):
        what = f"from_onnx: {os.fspath(path_or_model)!r}"
        with open(path_or_model, "rb"):
            pass  # a file that is not there is an OSError of the usual kind
        try:
            model = onnx.load(path_or_model)
        except Exception as error:  # protobuf's, or those of weights kept in other files
            raise FormatError(f"{what} cannot be read as ONNX: {error}") from None
    else:
        raise TypeError(f"from_onnx takes a path or an onnx.ModelProto, got {type(path_or_model).__name__}.")
    if not model.HasField("graph") or not model.graph.output:
        raise FormatError(f"{what} is not ONNX: it holds no graph.")
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        checker.check_model(_with_shapes(model))
    except Exception as error:
        if "No Op registered" not in str(error):  # an operator of others, which will be named
            raise FormatError(f"{what} is damaged: {error}") from None
    return model


def _with_shapes(model: Any) -> Any:
    """Return the model as onnx's checker wants it: outputs have a shape, which runtimes do not ask for."""
    without = [
        i
        for i, o in enumerate(model.graph.output)
        if o.type.HasField("tensor_type") and not o.type.tensor_type.HasField("shape")
    ]
    if without:
        from onnx import ModelProto

        copy = ModelProto()
        copy.CopyFrom(model)
        for i in without:
            copy.graph.output[i].type.tensor_type.shape.SetInParent()
        return copy
    return model


def _array(tensor: Any) -> np.ndarray:
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:
        raise FormatError(f"from_onnx: the numbers of {tensor.name!r} cannot be read: {error}") from None
