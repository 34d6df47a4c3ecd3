"""ONNX graphs drawn node by node, and what ONNX Runtime makes of them."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fastnn.convert import from_onnx

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}


def run(model, x, output=None):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([output] if output else None, {session.get_inputs()[0].name: x})[0]


class Drawing:
    """A graph, node by node; numbers and arrays are constants of its type."""

    def __init__(self, columns=3, dtype="float32", opset=17, shape=None, kind=None):
        self.dtype, self.opset, self.at = np.dtype(dtype), opset, "in"
        self.nodes, self.constants = [], []
        self.shape = ["n", *((columns,) if shape is None else shape)]
        self.kind = TYPES[kind or dtype]

    def __call__(self, operator, *inputs, name=None, outputs=1, domain="", **attributes):
        found = f"v{len(self.nodes)}"
        names = [found, *(f"{found}_{i}" for i in range(1, outputs))]
        given = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        name = f"{operator.lower()}{len(self.nodes)}" if name is None else name
        self.nodes.append(helper.make_node(operator, given, names, name, domain=domain, **attributes))
        self.at = found
        return found

    def constant(self, value):
        array = np.asarray(value)
        array = array.astype(self.dtype) if array.dtype.kind == "f" else array
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def dense(self, rng, inputs=3, units=3):
        return self("Gemm", self.at, rng.normal(size=(inputs, units)), rng.normal(size=units), name="first")

    def model(self, *outputs, **more):
        kind = TYPES[self.dtype.name]
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("in", self.kind, self.shape)],
            [helper.make_tensor_value_info(o, kind, None) for o in (outputs or [self.at])],
            self.constants,
        )
        domains = {node.domain for node in self.nodes if node.domain}
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(d, 3) for d in sorted(domains))]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, **more)


def agree(model, x, want=None, tolerance=1e-6):
    """from_onnx's model predicts what ONNX Runtime does; it is returned."""
    want = run(model, x) if want is None else want
    found = from_onnx(model)
    got = found.predict(x)
    assert got.dtype == want.dtype
    want = want.reshape(got.shape)
    # relative to a row's largest; beside 0, where sums cancel, to what they are sums of
    scale = np.maximum(np.abs(want).max(axis=1, keepdims=True), 1.0)
    assert (np.abs(got - want) <= tolerance * scale).all(), np.abs(got - want).max()
    return found


def rows(rng, columns=3, dtype="float32", count=60):
    return (2 * rng.normal(size=(count, columns))).astype(dtype)
