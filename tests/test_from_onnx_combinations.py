"""from_onnx recognises what others put together of several nodes: PyTorch, TensorFlow's converter."""

import io
import math
import warnings

import pytest

from fastnn.convert import from_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402  (after importorskip)
from onnx_drawing import Drawing, agree, rows  # noqa: E402

# ---- combinations of operators, as others write them ---------------------------------------------------


def _torch_gelu(d, x):
    e = d("Add", d("Erf", d("Div", x, math.sqrt(2))), 1.0)
    return d("Mul", d("Mul", x, e), 0.5)


def _tf_gelu(d, x):
    e = d("Add", 1.0, d("Erf", d("Mul", x, math.sqrt(0.5))))
    return d("Mul", d("Mul", 0.5, x), e)


def _torch_gelu_tanh(d, x):
    cube = d("Mul", 0.044715, d("Mul", x, d("Mul", x, x)))
    t = d("Tanh", d("Mul", 0.7978845834732056, d("Add", x, cube)))
    return d("Mul", 0.5, d("Mul", x, d("Add", 1.0, t)))


def _tf_gelu_tanh(d, x):
    cube = d("Mul", d("Pow", x, 3.0), 0.044715)
    t = d("Tanh", d("Mul", d("Add", cube, x), 0.7978845834732056))
    return d("Mul", d("Mul", x, 0.5), d("Add", t, 1.0))


def _torch_soft_shrink(d, x):
    above = d("Where", d("Greater", x, 0.3), d("Sub", x, 0.3), 0.0)
    return d("Add", above, d("Where", d("Less", x, -0.3), d("Add", x, 0.3), 0.0))


def _new_torch_soft_shrink(d, x):
    outside = d("Sub", x, d("Mul", d("Sign", x), 0.3))
    return d("Where", d("Greater", d("Abs", x), 0.3), outside, d("Mul", x, 0.0))


def _torch_hard_shrink(d, x):
    outside = [
        d("Cast", d(op, x, bound), to=TensorProto.BOOL) for op, bound in (("Greater", 0.3), ("Less", -0.3))
    ]
    return d("Where", d("Or", *outside), x, 0.0)


def _tf_where(d, test, yes, no):
    chosen = d("Mul", d("Cast", test, to=TensorProto.FLOAT), yes)
    return d("Add", chosen, d("Mul", no, d("Cast", d("Not", test), to=TensorProto.FLOAT)))


def _tf_zeros(d, x):
    return d("ConstantOfShape", d("Shape", x), value=helper.make_tensor("value", TensorProto.FLOAT, [1], [0]))


def _tf_hard_shrink(d, x):
    return _tf_where(d, d("Greater", d("Abs", x), 0.3), x, _tf_zeros(d, x))


def _tf_sparse_plus(d, x):
    curve = d("Mul", 0.25, d("Pow", d("Add", x, 1.0), 2.0))
    inner = _tf_where(d, d("Less", x, 1.0), curve, x)
    return _tf_where(d, d("LessOrEqual", x, -1.0), _tf_zeros(d, x), inner)


def _tf_sparse_sigmoid(d, x):
    inner = _tf_where(d, d("GreaterOrEqual", x, 1.0), 1.0, d("Mul", 0.5, d("Add", x, 1.0)))
    return _tf_where(d, d("LessOrEqual", x, -1.0), 0.0, inner)


def _torch_softplus(d, x):
    return d("Where", d("Greater", x, 20.0), x, d("Softplus", x))


def _torch_softplus_2(d, x):
    scaled = d("Mul", x, 2.0)
    return d("Where", d("Greater", scaled, 20.0), x, d("Div", d("Softplus", scaled), 2.0))


def _tf_prelu(d, x):
    negative = d("Mul", d("Relu", d("Neg", x)), [-0.1, 0.2, -0.3])
    return d("Add", d("Relu", x), negative)


def _tf_layer_norm(d, x):
    mean = d("ReduceMean", x, axes=[1], keepdims=1)
    rest = d("Sub", x, mean)
    variance = d("ReduceMean", d("Mul", rest, rest), axes=[1], keepdims=1)
    factor = d("Mul", d("Reciprocal", d("Sqrt", d("Add", variance, 1e-3))), [[0.5, 1.0, 2.0]])
    moved = d("Add", d("Mul", d("Neg", mean), factor), [[0.1, 0.2, 0.3]])
    return d("Add", d("Mul", x, factor), moved)


def _torch_layer_norm(d, x):
    rest = d("Sub", x, d("ReduceMean", x, axes=[-1]))
    variance = d("ReduceMean", d("Pow", rest, 2.0), axes=[-1])
    normal = d("Div", rest, d("Sqrt", d("Add", variance, 1e-5)))
    return d("Add", d("Mul", normal, [0.5, 1.0, 2.0]), [0.1, 0.2, 0.3])


def _tf_rms_norm(d, x):
    mean = d("ReduceMean", d("Mul", x, x), axes=[1], keepdims=1)
    root = d("Reciprocal", d("Sqrt", d("Add", mean, 1e-6)))
    return d("Mul", x, d("Mul", root, [0.5, 1.0, 2.0]))


def _torch_rms_norm(d, x):
    mean = d("ReduceMean", d("Pow", x, 2.0), axes=[-1], keepdims=1)
    normal = d("Mul", x, d("Reciprocal", d("Sqrt", d("Add", mean, 1e-6))))
    return d("Mul", normal, [0.5, 1.0, 2.0])


COMBINATIONS = {
    "PyTorch, gelu": (_torch_gelu, "gelu"),
    "TensorFlow, gelu": (_tf_gelu, "gelu"),
    "PyTorch, gelu_tanh": (_torch_gelu_tanh, "gelu"),
    "TensorFlow, gelu_tanh": (_tf_gelu_tanh, "gelu"),
    "silu": (lambda d, x: d("Mul", d("Sigmoid", x), x), "silu"),
    "mish": (lambda d, x: d("Mul", x, d("Tanh", d("Softplus", x))), "mish"),
    "PyTorch, log_sigmoid": (lambda d, x: d("Log", d("Sigmoid", x)), "log_sigmoid"),
    "TensorFlow, log_sigmoid": (lambda d, x: d("Neg", d("Softplus", d("Neg", x))), "log_sigmoid"),
    "log_softmax": (lambda d, x: d("Log", d("Softmax", x, axis=1)), "log_softmax"),
    "PyTorch, softsign": (lambda d, x: d("Div", x, d("Add", d("Abs", x), 1.0)), "softsign"),
    "tanh_shrink": (lambda d, x: d("Sub", x, d("Tanh", x)), "tanh_shrink"),
    "PyTorch, soft_shrink": (_torch_soft_shrink, "soft_shrink"),
    "PyTorch anew, soft_shrink": (_new_torch_soft_shrink, "soft_shrink"),
    "PyTorch, hard_shrink": (_torch_hard_shrink, "hard_shrink"),
    "TensorFlow, hard_shrink": (_tf_hard_shrink, "hard_shrink"),
    "TensorFlow, sparse_plus": (_tf_sparse_plus, "sparse_plus"),
    "TensorFlow, sparse_sigmoid": (_tf_sparse_sigmoid, "sparse_sigmoid"),
    "threshold": (lambda d, x: d("Where", d("Greater", x, 0.2), x, -1.0), "threshold"),
    "PyTorch anew, softplus": (_torch_softplus, "softplus"),
    "PyTorch anew, softplus(beta=2)": (_torch_softplus_2, "softplus"),
    "TensorFlow, hard_tanh": (lambda d, x: d("Max", d("Min", x, 1.0), -1.0), "hard_tanh"),
    "TensorFlow, hard_sigmoid": (
        lambda d, x: d("Mul", d("Clip", d("Add", x, 3.0), 0.0, 6.0), 1 / 6),
        "hard_sigmoid",
    ),
    "PyTorch, hard_swish": (lambda d, x: d("Mul", x, d("HardSigmoid", x, alpha=1 / 6)), "hard_silu"),
    "TensorFlow, hard_silu": (
        lambda d, x: d("Mul", x, d("Mul", d("Clip", d("Add", x, 3.0), 0.0, 6.0), 1 / 6)),
        "hard_silu",
    ),
    "TensorFlow, squareplus": (
        lambda d, x: d("Mul", d("Add", x, d("Sqrt", d("Add", d("Mul", x, x), 4.0))), 0.5),
        "squareplus",
    ),
    "TensorFlow, prelu": (_tf_prelu, "PReLU"),
    "TensorFlow, layer_norm": (_tf_layer_norm, "LayerNormalization"),
    "PyTorch, layer_norm": (_torch_layer_norm, "LayerNormalization"),
    "TensorFlow, rms_norm": (_tf_rms_norm, "RMSNormalization"),
    "PyTorch, rms_norm": (_torch_rms_norm, "RMSNormalization"),
}


@pytest.mark.parametrize("case", COMBINATIONS)
def test_combinations(case, rng):
    draw, wanted = COMBINATIONS[case]
    drawing = Drawing()
    draw(drawing, drawing.dense(rng))
    # ONNX Runtime's logarithm of a small sigmoid is the worse of the two
    x = rows(rng) / (8 if draw is COMBINATIONS["PyTorch, log_sigmoid"][0] else 1)
    first, *others = agree(drawing.model(), x.astype("float32")).layers
    names = [getattr(layer, "activation", layer).__name__ for layer in others if hasattr(layer, "activation")]
    assert wanted in (first.activation.__name__, *names, *(type(layer).__name__ for layer in others))
    assert len(others) <= (3 if "beta" in case else 1)


def test_one_activation_after_the_other(rng):
    """Each takes its own nodes only."""
    drawing = Drawing()
    x = drawing.dense(rng)
    for draw, _ in COMBINATIONS.values():
        x = draw(drawing, x)
    drawing("Gemm", x, rng.normal(size=(3, 2)))
    found = from_onnx(drawing.model())
    assert len(found.layers) >= len(COMBINATIONS) - 1


# ---- PyTorch's own files -------------------------------------------------------------------------------


def _torch_modules(nn):
    plain = [
        *(
            "ReLU",
            "ReLU6",
            "SELU",
            "SiLU",
            "Mish",
            "Sigmoid",
            "Tanh",
            "Softplus",
            "Softsign",
            "GELU",
            "RReLU",
        ),
        *("Hardsigmoid", "Hardswish", "Hardtanh", "LogSigmoid", "Tanhshrink", "Softshrink", "Hardshrink"),
    ]
    return {
        **{name: getattr(nn, name)() for name in plain},
        "LeakyReLU": nn.LeakyReLU(0.1),
        "PReLU": nn.PReLU(),
        "PReLU of columns": nn.PReLU(5),
        "ELU": nn.ELU(0.5),
        "CELU": nn.CELU(0.5),
        "GELU, tanh": nn.GELU(approximate="tanh"),
        "Softplus, scaled": nn.Softplus(beta=2),
        "Softmax": nn.Softmax(-1),
        "LogSoftmax": nn.LogSoftmax(1),
        "LayerNorm": nn.LayerNorm(5),
        "BatchNorm1d": nn.BatchNorm1d(5),
        "Dropout": nn.Dropout(0.2),
    }


@pytest.mark.parametrize("opset", [12, 17, 20])
def test_what_pytorch_exports(opset, rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    for name, module in _torch_modules(torch.nn).items():
        network = torch.nn.Sequential(torch.nn.Linear(3, 5), module, torch.nn.Linear(5, 2)).eval()
        if name == "BatchNorm1d":
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
        content = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                torch.zeros(2, 3),
                content,
                dynamo=False,
                opset_version=opset,
                input_names=["x"],
                dynamic_axes={"x": {0: "rows"}},
            )
        agree(onnx.load_from_string(content.getvalue()), rows(rng))
