"""model.export("m.onnx"): what ONNX Runtime makes of the file is what predict returns."""

import json
import sys

import numpy as np
import oracle
import pytest

import fastnn
from fastnn import layers
from fastnn.convert.onnx_pieces import activation as piece
from fastnn.exporting import steps
from fastnn.exporting.onnx_model import onnx_model
from fastnn.kernels import activation_forward

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# Of values that do not come of cancellation. float64 is held to more than is promised, 1e-6.
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
ROWWISE = ("softmax", "log_softmax", "sparsemax")
SPECIFICATIONS = [s for s in oracle.SPECIFICATIONS if s != "linear"]


def run(model, x):
    """What ONNX Runtime returns, as anybody would call it."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def exported(model, folder):
    model.export(folder / "model.onnx")
    return (folder / "model.onnx").read_bytes()


def split(specification):
    return (specification, ()) if isinstance(specification, str) else specification


def inputs(name, dtype, rng):
    """Numbers of every size up to 100, 0 of both signs and NaN, in one column; rows for rowwise ones."""
    if name in ROWWISE:
        x = rng.normal(size=(600, 3)) * rng.choice([0.01, 1, 30, 100], size=(600, 1))
        x[7, 1] = np.nan
        return x.astype(dtype)
    sizes = np.logspace(-6, 2, 300)
    x = np.concatenate([np.linspace(-20, 20, 2001), sizes, -sizes, [0.0, -0.0, 100, -100, np.nan]])
    return x.astype(dtype)[:, None]


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_every_activation(specification, dtype, rng):
    name, parameters = split(specification)
    x = inputs(name, dtype, rng)
    columns = x.shape[1]
    program = steps.Program([steps.Activate(name, parameters)], columns, columns, dtype, "m", None)
    got, want = run(onnx_model(program), x), activation_forward(name, x, parameters=parameters)
    assert got.dtype == dtype
    assert np.isnan(want).any()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    scale = np.abs(want)
    if name in ROWWISE:  # differences of a row's largest
        scale = scale.max(axis=1, keepdims=True)
    elif name == "tanh_shrink":  # a difference, too
        scale = np.abs(x)
    # e**-w is as exact as w: where w is large, its last digit shows; and e**-88 is 0 or not.
    w = {"gelu": x * x / 2, "gelu_tanh": 1.6 * np.abs(x) + 0.0714 * np.abs(x) ** 3}.get(name, 0)
    allowed = scale * np.maximum(TOLERANCE[dtype.name], 2 * np.finfo(dtype).eps * w) + 1e-35
    good = np.isnan(want) | (got == want)  # infinity is infinity
    assert (good | (np.abs(np.where(good, 0, got) - np.where(good, 0, want)) <= allowed)).all()


@pytest.mark.parametrize("columns", [1, 2, 7])
@pytest.mark.parametrize("name", ROWWISE)
def test_rowwise_activations_of_other_widths(name, columns, dtype, rng):
    x = rng.normal(size=(50, columns)).astype(dtype)
    program = steps.Program([steps.Activate(name, ())], columns, columns, dtype, "m", None)
    got, want = run(onnx_model(program), x), activation_forward(name, x)
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[dtype.name] * max(1, np.abs(want).max()))


def test_every_compiled_activation_is_written():
    from fastnn.exporting.onnx_activations import WRITERS

    compiled = {name for name, form in fastnn.activations.FORMS.items() if form.compiled}
    assert set(WRITERS) == compiled - {"linear"}


LAYERS = {
    "BatchNormalization": lambda: layers.BatchNormalization(),
    "BatchNormalization, bare": lambda: layers.BatchNormalization(center=False, scale=False, epsilon=1e-5),
    "LayerNormalization": lambda: layers.LayerNormalization(),
    "LayerNormalization, bare": lambda: layers.LayerNormalization(center=False, scale=False, epsilon=1e-5),
    "LayerNormalization, beta": lambda: layers.LayerNormalization(scale=False),
    "RMSNormalization": lambda: layers.RMSNormalization(),
    "Normalization": lambda: layers.Normalization(mean=0.7, variance=2.0),
    "Normalization, inverse": lambda: layers.Normalization(mean=0.7, variance=2.0, invert=True),
    "Rescaling": lambda: layers.Rescaling(0.3),
    "Rescaling, moved": lambda: layers.Rescaling(1.0, -0.4),
    "Rescaling, both": lambda: layers.Rescaling(0.3, -0.4),
    "Rescaling, zero": lambda: layers.Rescaling(0.0, 0.5),
    "PReLU": lambda: layers.PReLU(),
    "LeakyReLU": lambda: layers.LeakyReLU(0.2),
    "ReLU": lambda: layers.ReLU(2.0, 0.1, 0.5),
    "ELU": lambda: layers.ELU(0.7),
    "Softmax": lambda: layers.Softmax(),
    "Activation": lambda: layers.Activation("mish"),
    "Dropout": lambda: layers.Dropout(0.5),
    "AlphaDropout": lambda: layers.AlphaDropout(0.5),
    "GaussianDropout": lambda: layers.GaussianDropout(0.5),
    "GaussianNoise": lambda: layers.GaussianNoise(0.5),
    "ActivityRegularization": lambda: layers.ActivityRegularization(0.1),
    "Flatten": lambda: layers.Flatten(),
    "Dense, no bias": lambda: layers.Dense(5, use_bias=False),
    "Residual": lambda: layers.Residual(
        [layers.Dense(4, "tanh"), layers.Residual([layers.Activation("relu")])]
    ),
}


def randomized(model, rng):
    values = []
    for v in model.weights:
        low = 0.3 if v.name in ("moving_variance", "gamma", "scale") else -1.0
        values.append(rng.uniform(low, 1.5, v.shape))
    model.set_weights(values)
    return model


@pytest.mark.parametrize("columns", [1, 5, 16])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer(kind, columns, dtype, rng, tmp_path):
    fastnn.config.set_floatx(dtype.name)
    layer = LAYERS[kind]()
    if kind == "Residual":
        layer = layers.Residual([*layer.layers, layers.Dense(columns)])
    model = randomized(fastnn.Sequential([layers.Input((columns,)), layer, layers.Dense(3)]), rng)
    x = rng.normal(size=(40, columns)).astype(dtype)
    got, want = run(exported(model, tmp_path), x), model.predict(x)
    assert got.dtype == want.dtype == dtype
    # sums of products cancel: relative to the row's largest, but where the whole row is near 0
    scale = np.maximum(np.abs(want).max(axis=1, keepdims=True), 0.3)
    assert (np.abs(got - want) <= TOLERANCE[dtype.name] * scale).all()


@pytest.mark.parametrize("kind", ["Normalization", "BatchNormalization"])
def test_columns_far_from_zero(kind, dtype, rng, tmp_path):
    """Where scaling before moving would lose what counts.

    predict is no measure for batch normalisation, which it folds into one factor and one offset.
    """
    fastnn.config.set_floatx(dtype.name)
    x = rng.normal([1000.0, -50.0, 0.0, 3e4], [0.1, 2.0, 1.0, 5.0], size=(60, 4)).astype(dtype)
    mean, variance = (v.astype(dtype).astype(float) for v in (x.mean(axis=0), x.var(axis=0)))
    if kind == "Normalization":
        layer = layers.Normalization(mean=mean, variance=variance)
    else:
        layer = layers.BatchNormalization()
    model = fastnn.Sequential([layers.Input((4,)), layer, layers.Dense(4, use_bias=False)])
    found = {"moving_mean": mean, "moving_variance": variance, "kernel": np.eye(4)}
    model.set_weights([found.get(v.name, v.numpy()) for v in model.weights])
    want = model.predict(x) if kind == "Normalization" else (x - mean) / np.sqrt(variance + 1e-3)
    assert 0.3 < want.std() < 2
    np.testing.assert_allclose(run(exported(model, tmp_path), x), want, rtol=1e-6, atol=1e-6)


def plain(rng, dtype="float32"):
    model = fastnn.Sequential(
        [
            layers.Input((3,), dtype=dtype),
            layers.Dense(4, "gelu", dtype=dtype),
            layers.Dense(2, "softmax", dtype=dtype),
        ],
        name="small",
    )
    return randomized(model, rng)


def test_what_the_file_says(rng, tmp_path, dtype):
    model = plain(rng, dtype.name)
    content = exported(model, tmp_path)
    read = onnx.load_from_string(content)
    onnx.checker.check_model(read, full_check=True)
    assert (read.producer_name, read.producer_version) == ("fastnn", fastnn.__version__)
    assert [(o.domain, o.version) for o in read.opset_import] == [("", 17)]
    assert read.graph.name == "small"
    for value, columns in ((read.graph.input[0], 3), (read.graph.output[0], 2)):
        rows, width = value.type.tensor_type.shape.dim
        assert (rows.dim_param, width.dim_value) == ("rows", columns)
    assert [read.graph.input[0].name, read.graph.output[0].name] == ["input", "output"]
    names = [node.name for node in read.graph.node]
    assert len(set(names)) == len(names)
    assert {"dense_0", "gelu_1", "dense_2", "softmax_3"} <= set(names)
    kernel = next(i for i in read.graph.initializer if list(i.dims) == [3, 4])
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(kernel), model.get_weights()[0])


def test_the_same_model_gives_the_same_bytes(rng, tmp_path):
    model = plain(rng)
    assert exported(model, tmp_path) == exported(model, tmp_path)
    again = plain(np.random.default_rng(20240607))
    assert exported(again, tmp_path) == exported(model, tmp_path)


def test_names_of_columns_are_written(rng, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rng.normal(size=(20, 3)), columns=["a", "b", "größe"])
    model = plain(rng)
    model.compile("sgd", "mse")
    assert not onnx.load_from_string(exported(model, tmp_path)).metadata_props
    model.fit(frame, np.zeros((20, 2)), verbose=0)
    (kept,) = onnx.load_from_string(exported(model, tmp_path)).metadata_props
    assert kept.key == "input_names"
    assert json.loads(kept.value) == ["a", "b", "größe"]


def test_images_go_in_flat(rng, tmp_path):
    model = fastnn.Sequential([layers.Input((4, 3)), layers.Flatten(), layers.Dense(2)])
    x = rng.normal(size=(5, 4, 3)).astype("float32")
    np.testing.assert_allclose(
        run(exported(model, tmp_path), x.reshape(5, 12)), model.predict(x), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_any_number_of_rows(rows, rng, tmp_path):
    model = plain(rng)
    x = rng.normal(size=(rows, 3)).astype("float32")
    np.testing.assert_allclose(run(exported(model, tmp_path), x), model.predict(x), rtol=0, atol=1e-6)


def test_a_model_that_does_nothing(rng, tmp_path):
    model = fastnn.Sequential([layers.Input((3,)), layers.Dropout(0.5)])
    x = rng.normal(size=(4, 3)).astype("float32")
    np.testing.assert_array_equal(run(exported(model, tmp_path), x), x)


@pytest.mark.parametrize("ending", ["linear", "residual", "relu"])
def test_the_last_step_is_the_output(ending, rng, tmp_path):
    last = {"linear": layers.Dense(3), "residual": layers.Residual([layers.Dense(3)])}
    model = fastnn.Sequential([layers.Input((3,)), last.get(ending, layers.Dense(3, "relu"))])
    x = rng.normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(run(exported(model, tmp_path), x), model.predict(x), rtol=1e-6, atol=1e-6)


def test_what_cannot_be_written_leaves_the_old_file(rng, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    own = fastnn.activations.Custom(np.sin, np.cos)
    model = fastnn.Sequential([layers.Input((3,)), layers.Dense(2, own, name="mine")])
    with pytest.raises(ValueError, match=r"'mine' has an activation of your own"):
        model.export(path)
    with pytest.raises(ValueError, match=r"has no weights yet"):
        fastnn.Sequential([layers.Dense(2)]).export(path)
    assert path.read_bytes() == b"old"
    with pytest.raises(FileNotFoundError):
        plain(rng).export(tmp_path / "nowhere" / "model.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_without_onnx(rng, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"Writing ONNX needs the package onnx.*pip install"):
        plain(rng).export(tmp_path / "model.onnx")
    with pytest.raises(ImportError, match=r"from_onnx needs the package onnx.*pip install"):
        fastnn.convert.from_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_activations_of_layers_reach_the_file(specification, rng, tmp_path):
    """The whole way once: from a layer's argument to the file, not only from a step on."""
    activation = piece(*[split(specification)[0], *split(specification)[1]]).options["activation"]
    assert activation.operation == ("activation", specification)
    model = fastnn.Sequential([layers.Input((3,)), layers.Dense(4, activation)])
    x = rng.normal(size=(30, 3)).astype("float32")
    want = model.predict(x)
    scale = np.maximum(np.abs(want).max(axis=1, keepdims=True), 0.3)
    assert (np.abs(run(exported(model, tmp_path), x) - want) <= 1e-6 * scale).all()
