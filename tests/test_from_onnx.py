"""fastnn.convert.from_onnx: models out of graphs, as many make them, and what is said of the others."""

import numpy as np
import oracle
import pytest

import fastnn
from fastnn import layers
from fastnn.convert import from_onnx
from fastnn.exporting import steps
from fastnn.exporting.onnx_model import onnx_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402  (after importorskip)
from onnx_drawing import Drawing, agree, rows, run  # noqa: E402

SPECIFICATIONS = [s for s in oracle.SPECIFICATIONS if s != "linear"]


# ---- what fastnn wrote itself --------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_every_activation_comes_back(specification, columns, dtype):
    name, parameters = (specification, ()) if isinstance(specification, str) else specification
    kernel = np.eye(columns)
    written = onnx_model(
        steps.Program(
            [steps.Multiply(kernel, None), steps.Activate(name, parameters)],
            columns,
            columns,
            dtype,
            "m",
            None,
        )
    )
    (layer,) = from_onnx(written).layers
    wanted = ("elu", (1.0,)) if specification == ("celu", (1.0,)) else specification  # which are the same
    assert layer.operations() == [(columns, wanted, False)]
    assert layer.dtype == dtype


def test_every_layer_comes_back(dtype, rng, tmp_path):
    fastnn.config.set_floatx(dtype.name)
    model = fastnn.Sequential(
        [
            layers.Input((5,)),
            layers.Normalization(mean=np.arange(5.0), variance=np.arange(1.0, 6)),
            layers.Dense(6, "gelu"),
            layers.LayerNormalization(),
            layers.Residual([layers.Dense(4, "relu", use_bias=False), layers.Dense(6)]),
            layers.RMSNormalization(),
            layers.PReLU(),
            layers.Dense(3, "softmax"),
        ],
        name="all_of_them",
    )
    model.set_weights([rng.uniform(0.2, 1.5, v.shape) for v in model.weights])
    model.export(tmp_path / "model.onnx")
    back = from_onnx(tmp_path / "model.onnx")
    kinds = [type(layer).__name__ for layer in back.layers]
    wanted = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Rescaling", *wanted[1:]]
    assert [type(layer).__name__ for layer in back.layers[3].layers] == ["Dense", "Dense"]
    assert back.name == "all_of_them"
    assert back.layers[1].name == "dense_1"
    for ours, theirs in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    x = rng.normal(size=(30, 5)).astype(dtype)
    np.testing.assert_allclose(back.predict(x), model.predict(x), rtol=1e-6)


def test_it_can_be_trained(rng, tmp_path):
    model = fastnn.Sequential([layers.Input((3,)), layers.Dense(8, "mish"), layers.Dense(1)])
    model.export(tmp_path / "model.onnx")
    back = from_onnx(tmp_path / "model.onnx")
    x = rows(rng)
    for each in (model, back):
        each.compile("sgd", "mse")
        each.fit(x, x[:, :1], epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_names_of_columns_come_back(rng, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows(rng), columns=["a", "b", "c"])
    model = fastnn.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(frame, np.zeros(len(frame)), verbose=0)
    model.export(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="another order"):
        from_onnx(tmp_path / "model.onnx").predict(frame[["b", "a", "c"]])


# ---- single operators ----------------------------------------------------------------------------------

# operator -> attributes, further inputs, opset, and what it becomes: the activation's name, or a layer's
OPERATORS = {
    "Relu": ({}, (), 17, "relu"),
    "LeakyRelu": ({"alpha": 0.3}, (), 17, "leaky_relu"),
    "LeakyRelu, default": ({}, (), 17, "leaky_relu"),
    "PRelu": ({}, ([0.1, -0.2, 0.3],), 17, "PReLU"),
    "PRelu, one": ({}, ([0.2],), 17, "PReLU"),
    "Elu": ({"alpha": 0.6}, (), 17, "elu"),
    "Selu": ({}, (), 17, "selu"),
    "Selu, other": ({"alpha": 1.2, "gamma": 1.1}, (), 17, "elu"),
    "Celu": ({"alpha": 0.7}, (), 17, "celu"),
    "Sigmoid": ({}, (), 17, "sigmoid"),
    "HardSigmoid": ({"alpha": 1 / 6, "beta": 0.5}, (), 17, "hard_sigmoid"),
    "HardSigmoid, default": ({}, (), 17, "Rescaling"),
    "HardSigmoid, other": ({"alpha": 0.3, "beta": 0.4}, (), 17, "Rescaling"),
    "HardSwish": ({}, (), 17, "hard_silu"),
    "Tanh": ({}, (), 17, "tanh"),
    "Softplus": ({}, (), 17, "softplus"),
    "Softsign": ({}, (), 17, "softsign"),
    "Gelu": ({}, (), 20, "gelu"),
    "Gelu, tanh": ({"approximate": "tanh"}, (), 20, "gelu"),
    "Mish": ({}, (), 18, "mish"),
    "ThresholdedRelu": ({"alpha": 0.4}, (), 17, "threshold"),
    "Shrink": ({"lambd": 0.4, "bias": 0.4}, (), 17, "soft_shrink"),
    "Shrink, hard": ({"lambd": 0.4}, (), 17, "hard_shrink"),
    "Clip, six": ({}, (0.0, 6.0), 17, "relu6"),
    "Clip, low": ({}, (0.0,), 17, "relu"),
    "Clip, unit": ({}, (-1.0, 1.0), 17, "hard_tanh"),
    "Clip, any": ({}, (-0.5, 1.3), 17, "Rescaling"),
    "Clip, high": ({}, ("", 0.7), 17, "Rescaling"),
    "Clip, neither": ({}, (), 17, "linear"),
    "Clip, early": ({"min": 0.0, "max": 6.0}, (), 6, "relu6"),
    "Clip, early, low": ({"min": 0.0}, (), 6, "relu"),
    "Max": ({}, (0.0,), 17, "relu"),
    "Min": ({}, (0.3,), 17, "Rescaling"),
    "Exp": ({}, (), 17, "exponential"),
    "Softmax": ({}, (), 17, "softmax"),
    "Softmax, early": ({}, (), 11, "softmax"),
    "Softmax, axis": ({"axis": 1}, (), 17, "softmax"),
    "LogSoftmax": ({"axis": -1}, (), 17, "log_softmax"),
    "Add": ({}, ([0.1, 0.2, 0.3],), 17, "linear"),
    "Add, one": ({}, (0.5,), 17, "linear"),
    "Add, a row": ({}, ([[0.1, 0.2, 0.3]],), 17, "linear"),
    "Sub": ({}, ([0.1, 0.2, 0.3],), 17, "linear"),
    "Mul": ({}, ([0.1, -0.2, 0.3],), 17, "Rescaling"),
    "Div": ({}, (0.3,), 17, "Rescaling"),
    "Neg": ({}, (), 17, "Rescaling"),
    "Identity": ({}, (), 17, "linear"),
    "Dropout": ({}, (), 17, "Dropout"),
    "Dropout, ratio": ({}, (0.2,), 17, "Dropout"),
    "Dropout, early": ({"ratio": 0.2}, (), 7, "Dropout"),
    "Cast": ({"to": TensorProto.FLOAT}, (), 17, "linear"),
    "Flatten": ({}, (), 17, "linear"),
    "Reshape": ({}, (np.array([-1, 3]),), 17, "linear"),
    "Reshape, open": ({}, (np.array([0, -1]),), 17, "linear"),
    "LayerNormalization": ({}, ([0.5, 1.0, 2.0], [0.1, 0.2, 0.3]), 17, "LayerNormalization"),
    "LayerNormalization, scale": ({"epsilon": 0.1}, ([0.5, 1.0, 2.0],), 17, "LayerNormalization"),
    "RMSNormalization": ({"epsilon": 0.01}, ([0.5, 1.0, 2.0],), 23, "RMSNormalization"),
    "BatchNormalization": (
        {"epsilon": 0.01},
        ([0.5, 1.0, 2.0], [0.1, 0.2, 0.3], [0.3, -0.3, 0.0], [1.0, 2.0, 0.1]),
        17,
        "BatchNormalization",
    ),
}


@pytest.mark.parametrize("case", OPERATORS)
def test_operators(case, rng):
    attributes, inputs, opset, wanted = OPERATORS[case]
    drawing = Drawing(opset=opset)
    drawing.at = drawing("MatMul", "in", rng.normal(size=(3, 3)))
    drawing(case.partition(",")[0], drawing.at, *inputs, **attributes)
    found = agree(drawing.model(), rows(rng))
    first, *others = found.layers
    assert wanted in (first.activation.__name__, *(type(layer).__name__ for layer in others))
    assert (len(others) == 0) == (wanted == first.activation.__name__ and case != "Selu, other")


@pytest.mark.parametrize("operator", ["Sub", "Add", "Mul"])
def test_constants_that_come_first(operator, rng):
    drawing = Drawing()
    drawing(operator, [0.5, 1.5, -2.0], drawing.dense(rng))
    agree(drawing.model(), rows(rng))


@pytest.mark.parametrize(
    ("attributes", "bias"),
    [
        ({}, None),
        ({"transB": 1}, [0.1, 0.2, 0.3, 0.4]),
        ({"alpha": 0.7}, [0.1, 0.2, 0.3, 0.4]),
        ({"alpha": 0.7, "beta": 1.3, "transB": 1}, [[0.1, 0.2, 0.3, 0.4]]),
        ({"beta": 0.0}, 3.0),
        ({}, [0.7]),
    ],
    ids=str,
)
def test_gemm(attributes, bias, dtype, rng):
    drawing = Drawing(dtype=dtype.name)
    kernel = rng.normal(size=(4, 3) if "transB" in attributes else (3, 4))
    drawing("Gemm", "in", kernel, *([] if bias is None else [np.asarray(bias)]), **attributes)
    (layer,) = agree(drawing.model(), rows(rng, dtype=dtype)).layers
    assert layer.use_bias == (bias is not None)


def test_a_bias_goes_into_the_product(rng):
    drawing = Drawing()
    drawing("Add", drawing("MatMul", "in", rng.normal(size=(3, 5)), name="hidden"), rng.normal(size=5))
    drawing("Relu", drawing.at)
    (layer,) = agree(drawing.model(), rows(rng)).layers
    assert (layer.name, layer.use_bias, layer.activation.__name__) == ("hidden", True, "relu")


def test_columns_are_moved_before_they_are_scaled(rng):
    """As the graph does: in one go, what is left of columns far from 0 would be rounded away."""
    drawing = Drawing()
    mean, deviation = np.array([1e3, -2e3, 0.0]), np.array([0.1, 0.3, 1.0])
    drawing("Div", drawing("Sub", "in", mean), deviation)
    drawing.dense(rng)
    x = (mean + deviation * rng.normal(size=(50, 3))).astype("float32")
    found = agree(drawing.model(), x)
    assert [type(layer).__name__ for layer in found.layers] == ["Rescaling", "Rescaling", "Dense"]


def test_batch_normalization_keeps_its_statistics(rng):
    drawing = Drawing()
    numbers = [rng.uniform(0.5, 2, 3).astype("float32") for _ in range(4)]
    drawing("BatchNormalization", drawing.dense(rng), *numbers, epsilon=1e-5, momentum=0.8, name="norm")
    _, layer = agree(drawing.model(), rows(rng)).layers
    assert (layer.name, layer.epsilon, layer.momentum) == ("norm", 1e-5, 0.8)
    for found, number in zip(layer.get_weights(), numbers, strict=True):
        np.testing.assert_array_equal(found, number)


def test_scikit_learns_scaler(rng):
    drawing = Drawing()
    drawing("Scaler", "in", domain="ai.onnx.ml", offset=[100.0, 0.0, -5.0], scale=[10.0, 1.0, 0.5])
    drawing.dense(rng)
    agree(drawing.model(), (rows(rng) / 10 + [100, 0, -5]).astype("float32"))


@pytest.mark.parametrize("kind", ["int64", "float32"])
def test_an_input_that_is_cast_first(kind, rng):
    drawing = Drawing(dtype="float64", kind=kind)
    drawing("Cast", "in", to=TensorProto.DOUBLE)
    drawing.dense(rng)
    x = rng.integers(-5, 5, size=(20, 3)).astype(kind)
    found = from_onnx(drawing.model())
    assert found.dtype == "float64"
    np.testing.assert_allclose(found.predict(x), run(drawing.model(), x), rtol=1e-12, atol=1e-12)


def test_the_number_of_columns_may_be_open(rng):
    drawing = Drawing(shape=["columns"])
    drawing.dense(rng)
    assert from_onnx(drawing.model()).input_shape == (None, 3)


# ---- several nodes


@pytest.mark.parametrize("swapped", [False, True])
def test_residual_sums(swapped, rng):
    drawing = Drawing()
    x = drawing.dense(rng)
    inner = drawing("Relu", drawing("Gemm", x, rng.normal(size=(3, 5))))
    inner = drawing("Gemm", inner, rng.normal(size=(5, 3)), rng.normal(size=3))
    again = drawing("Add", inner, drawing("Tanh", inner), name="small")
    drawing("Add", *((again, x) if swapped else (x, again)), name="skip")
    first, block = agree(drawing.model(), rows(rng)).layers
    assert (first.name, block.name) == ("first", "skip")
    assert [type(layer).__name__ for layer in block.layers] == ["Dense", "Dense", "Residual"]


def test_a_value_twice(rng):
    drawing = Drawing()
    drawing("Add", *[drawing.dense(rng)] * 2)
    agree(drawing.model(), rows(rng))


@pytest.mark.parametrize("how", ["Flatten", "Reshape", "view"])
def test_images(how, rng):
    drawing = Drawing(shape=(2, 3))
    drawing("Div", "in", 255.0)
    if how == "Flatten":
        drawing("Flatten", drawing.at)
    elif how == "Reshape":
        drawing("Reshape", drawing.at, np.array([-1, 6]))
    else:  # x.view(x.size(0), -1)
        count = drawing("Gather", drawing("Shape", "v0"), np.array(0), axis=0)
        drawing(
            "Reshape",
            "v0",
            drawing("Concat", drawing("Unsqueeze", count, np.array([0])), np.array([-1]), axis=0),
        )
    drawing.dense(rng, 6)
    x = rng.integers(0, 255, size=(9, 2, 3)).astype("float32")
    assert agree(drawing.model(), x).input_shape == (None, 2, 3)


@pytest.mark.parametrize("how", ["Squeeze", "Reshape"])
def test_a_single_column_may_be_squeezed_away_at_the_end(how, rng):
    drawing = Drawing()
    x = drawing.dense(rng, 3, 1)
    drawing(how, x, np.array([-1]))
    drawing("Sigmoid", drawing.at)
    agree(drawing.model(), rows(rng))


def test_constants_are_computed(rng):
    """What exporters leave to the runtime: kernels and biases out of other constants."""
    drawing = Drawing()
    kernel = drawing("Transpose", rng.normal(size=(4, 3)), perm=[1, 0])
    drawing.at = drawing("MatMul", "in", drawing("Identity", kernel))
    one = helper.make_tensor("value", TensorProto.FLOAT, [4], [0.1, 0.2, 0.3, 0.4])
    drawing("Add", "v2", drawing("Mul", drawing("Constant", value=one), 2.0))
    drawing("Mul", drawing.at, drawing("Constant", value_float=0.5))
    agree(drawing.model(), rows(rng))


def test_functions_of_the_file_are_written_out(rng):
    drawing = Drawing()
    drawing("Mine", drawing.dense(rng), domain="own")
    body = [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["a", "s"], ["b"])]
    function = helper.make_function("own", "Mine", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    model = drawing.model(functions=[function])
    (layer,) = agree(model, rows(rng)).layers
    assert layer.activation.__name__ == "silu"


def test_one_of_several_outputs(rng):
    drawing = Drawing()
    hidden = drawing.dense(rng)
    chosen = drawing("ArgMax", hidden, axis=1)
    probabilities = drawing("Softmax", hidden)
    model = drawing.model(chosen, probabilities)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    x = rows(rng)
    np.testing.assert_allclose(
        from_onnx(model, output=probabilities).predict(x), run(model, x, probabilities), rtol=1e-6, atol=1e-6
    )
    with pytest.raises(ValueError, match=r"has 2 outputs: 'v1', 'v2'. Pass output="):
        from_onnx(model)
    with pytest.raises(ValueError, match=r"output='v3' is none of the graph's: 'v1', 'v2'"):
        from_onnx(model, "v3")
    with pytest.raises(
        ValueError, match=r"first node that cannot be taken is node 'argmax1' \(operator ArgMax\)"
    ):
        from_onnx(model, "v1")


def test_names_that_cannot_be_a_layers(rng):
    drawing = Drawing()
    fastnn.utils.clear_session()
    for name in ("/0/Gemm", "", "twice", "twice", "dense", "dense_1"):  # which would be automatic ones
        drawing("Gemm", drawing.at, rng.normal(size=(3, 3)), name=name)
    names = [layer.name for layer in from_onnx(drawing.model()).layers]
    assert names == ["dense_2", "dense_3", "twice", "dense_4", "dense", "dense_1"]


# ---- what cannot be taken ------------------------------------------------------------------------------


def _after_mish(d, x):
    d("Relu", d("Sin", d("Mul", x, d("Tanh", d("Softplus", x))), name="wave"))


def _own_domain(d, x):
    d("Relu", x, name="theirs", domain="com.example")


def _half(d, x):
    d("Cast", x, to=TensorProto.FLOAT16, name="wave")


REFUSED = {
    "an operator": (
        lambda d, x: d("Relu", d("Sin", x, name="wave")),
        "'wave' (operator Sin): it is no operator",
    ),
    "after a combination": (_after_mish, "'wave' (operator Sin)"),
    "half of a combination": (lambda d, x: d("Mul", x, d("Erf", x, name="wave")), "'wave' (operator Erf)"),
    "another domain": (_own_domain, "'theirs' (operator Relu of domain 'com.example')"),
    "no name": (lambda d, x: d("Sin", x, name=""), "node without a name that returns 'v1' (operator Sin)"),
    "transA": (
        lambda d, x: d("Gemm", x, np.ones((9, 2)), transA=1, name="wave"),
        "'wave' (operator Gemm): transA=1",
    ),
    "two values": (
        lambda d, x: d("Mul", x, d("Relu", x), name="wave"),
        "'wave' (operator Mul): it joins two values",
    ),
    "matrices of values": (
        lambda d, x: d("MatMul", x, d("Transpose", x), name="wave"),
        "(operator Transpose)",
    ),
    "a matrix first": (
        lambda d, x: d("MatMul", np.ones((2, 9)), x, name="wave"),
        "'wave' (operator MatMul): its input 'c2' is a constant",
    ),
    "a matrix that does not fit": (
        lambda d, x: d("MatMul", x, np.ones((5, 2)), name="wave"),
        "'wave' (operator MatMul): its matrix, (5, 2) (inputs, outputs), does not fit rows of 3 columns",
    ),
    "a divided constant": (
        lambda d, x: d("Div", 1.0, x, name="wave"),
        "'wave' (operator Div): it divides a constant",
    ),
    "the rows' axis": (
        lambda d, x: d("Softmax", x, axis=0, name="wave"),
        "'wave' (operator Softmax): axis=0",
    ),
    "training": (
        lambda d, x: d("BatchNormalization", x, *[np.ones(3)] * 4, training_mode=1, outputs=3, name="wave"),
        "'wave' (operator BatchNormalization): training_mode=1",
    ),
    "dropout in training": (
        lambda d, x: d("Dropout", x, 0.5, np.array(True), name="wave"),
        "'wave' (operator Dropout): training_mode is on",
    ),
    "numbers that do not fit": (
        lambda d, x: d("Add", x, np.ones((7, 3)), name="wave"),
        "'wave' (operator Add): its constant, of shape (7, 3), is not one number or one for each column",
    ),
    "another type": (_half, "'wave' (operator Cast): it casts to float16 in the middle"),
    "another shrink": (
        lambda d, x: d("Shrink", x, lambd=0.5, bias=0.1, name="wave"),
        "'wave' (operator Shrink): bias=0.1 is neither",
    ),
    "a negative alpha": (
        lambda d, x: d("Elu", x, alpha=-1.0, name="wave"),
        "'wave' (operator Elu): elu: alpha must not be negative",
    ),
    "columns reshaped to rows": (
        lambda d, x: d("Reshape", x, np.array([-1, 1]), name="wave"),
        "'wave' (operator Reshape): it makes [-1, 1] of rows of shape (3,); (rows, 3) is taken",
    ),
    "rows flattened away": (
        lambda d, x: d("Flatten", x, axis=0, name="wave"),
        "'wave' (operator Flatten): axis=0",
    ),
    "squeezed columns": (
        lambda d, x: d("Squeeze", x, np.array([0]), name="wave"),
        "'wave' (operator Squeeze): it squeezes axes [0] of rows of shape (3,)",
    ),
    "columns compared": (
        lambda d, x: d("Max", x, [0.1, 0.2, 0.3], name="wave"),
        "'wave' (operator Max): it compares columns",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_first_node_that_cannot_be_taken_is_named(case, rng):
    draw, said = REFUSED[case]
    drawing = Drawing()
    draw(drawing, drawing.dense(rng))
    drawing("Cos", drawing.at, name="later")
    with pytest.raises(ValueError, match="the first node that cannot be taken is") as error:
        from_onnx(drawing.model())
    assert said in str(error.value)
    assert "later" not in str(error.value)
    assert "Taken are Gemm, MatMul, Add," in str(error.value)
    assert not isinstance(error.value, fastnn.FormatError)


def test_graphs_that_are_no_stack(rng):
    drawing = Drawing()
    drawing("Relu", "in")
    with pytest.raises(ValueError, match=r"no product with a matrix \(Gemm, MatMul\)"):
        from_onnx(drawing.model())
    drawing = Drawing(shape=(2, "w"))
    drawing("Flatten", "in")
    drawing.dense(rng, 6)
    with pytest.raises(ValueError, match=r"rows of shape \(2, None\)|number of columns"):
        from_onnx(drawing.model())
    drawing = Drawing()
    model = drawing.model(drawing("Add", drawing.dense(rng), "more"))
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n", 3]))
    with pytest.raises(ValueError, match="graphs with one input; this one has 2: 'in', 'more'"):
        from_onnx(model)
    for shape in ([], ["n"]):
        drawing = Drawing()
        drawing.dense(rng)
        drawing.shape = shape
        with pytest.raises(ValueError, match=r"'in' must be a tensor of known rank"):
            from_onnx(drawing.model())


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT64])
def test_other_types(kind):
    drawing = Drawing()
    drawing("Relu", "in")
    drawing.kind = kind
    with pytest.raises(ValueError, match="takes float32 and float64; input 'in' of this graph is"):
        from_onnx(drawing.model())


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match=r"takes a path or an onnx.ModelProto, got int"):
        from_onnx(3)
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "nowhere.onnx")


# ---- damaged files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"no model", bytes(range(256)), b"\x00" * 100, b'{"a": 1}'])
def test_files_that_are_no_onnx(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(fastnn.FormatError, match=r"model\.onnx"):
        from_onnx(path)
    assert issubclass(fastnn.FormatError, ValueError)


def test_damaged_files_raise_value_errors_only(rng, tmp_path):
    model = fastnn.Sequential(
        [layers.Input((3,)), layers.Dense(4, "gelu"), layers.LayerNormalization(), layers.Dense(2)]
    )
    path = tmp_path / "model.onnx"
    model.export(path)
    whole = path.read_bytes()
    damaged = [whole[:cut] for cut in range(0, len(whole), 97)]
    for _ in range(150):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), size=rng.integers(1, 4)):
            broken[place] = rng.integers(256)
        damaged.append(bytes(broken))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            from_onnx(path)
        except ValueError:
            refused += 1
    assert refused >= len(range(0, len(whole), 97)) - 2


@pytest.mark.parametrize("operator", ["Concat", "Add", "Gather"])
def test_small_files_that_ask_for_much_memory(operator, rng):
    """What would take 10**12 numbers or more is not computed, but refused."""
    drawing = Drawing()
    hidden = drawing.dense(rng)
    many = np.ones((2, 10**6))
    if operator == "Concat":
        at = drawing.constant(np.ones(1000))
        for _ in range(40):
            at = drawing("Concat", at, at, axis=0)
    elif operator == "Add":
        at = drawing("Add", many[:1], many[:1].T)
    else:
        at = drawing("Gather", many, np.zeros(10**6, np.int64), axis=0)
    drawing("Add", hidden, at)
    with pytest.raises(ValueError, match=rf"the first node that cannot be taken is .*operator {operator}"):
        from_onnx(drawing.model())


def test_weights_in_another_file(rng, tmp_path):
    drawing = Drawing(columns=64)
    drawing.dense(rng, 64, 64)
    model = drawing.model()
    onnx.save(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="m.weights", size_threshold=100
    )
    x = rows(rng, 64)
    np.testing.assert_allclose(
        from_onnx(tmp_path / "m.onnx").predict(x), run(drawing.model(), x), rtol=1e-5, atol=1e-4
    )
    (tmp_path / "m.weights").unlink()
    with pytest.raises(fastnn.FormatError, match=r"m\.onnx"):
        from_onnx(tmp_path / "m.onnx")
