"""ONNX Runtime: inference of the network as one graph of Gemm and activations, optimized at load."""

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench.peers import Base

OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}


class Peer(Base):
    name = "onnxruntime"

    @staticmethod
    def versions():
        return f"onnxruntime {onnxruntime.__version__}"

    @classmethod
    def why_not(cls, spec):
        return None if spec.inference else "does inference only"

    @classmethod
    def settings(cls, spec, threads):
        # One row is sometimes done sooner by one thread than by all.
        return [{"team": threads}, {"team": 1}] if threads > 1 else [{}]

    def __init__(self, spec, x, y, threads=1, team=None):
        self.x = x
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = team or threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(
            graph(spec).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def predict(self, x):
        return self.session.run(["y"], {"x": x})[0]


def graph(spec):
    """The network as an ONNX model with input ``x`` and output ``y``."""
    weights = spec.initial_weights()
    nodes, at = [], "x"
    for i, (_, activation) in enumerate(spec.layers):
        last = i == len(spec.layers) - 1
        linear = activation == "linear"
        out = "y" if last and linear else f"z{i}"
        nodes.append(helper.make_node("Gemm", [at, f"w{i}", f"b{i}"], [out]))
        at = out
        if not linear:
            at = "y" if last else f"a{i}"
            nodes.append(helper.make_node(OPERATORS[activation], [out], [at]))
    constants = [numpy_helper.from_array(w, f"{'wb'[i % 2]}{i // 2}") for i, w in enumerate(weights)]
    made = helper.make_graph(
        nodes,
        spec.key,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, spec.inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, spec.widths[-1]])],
        constants,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
