"""fastnn.activations: Keras's functions on arrays, with their arguments, in layers, and as configs."""

import copy
import functools
import inspect
import pickle

import numpy as np
import oracle
import pytest

import fastnn as keras
from fastnn import activations
from fastnn.layers import Dense

# Keras's names, arguments and defaults
SIGNATURES = {
    "relu": {"negative_slope": 0.0, "max_value": None, "threshold": 0.0},
    "leaky_relu": {"negative_slope": 0.2},
    "relu6": {},
    "softmax": {"axis": -1},
    "elu": {"alpha": 1.0},
    "selu": {},
    "softplus": {},
    "softsign": {},
    "soft_shrink": {"threshold": 0.5},
    "sparse_plus": {},
    "silu": {},
    "squareplus": {"b": 4},
    "gelu": {"approximate": False},
    "celu": {"alpha": 1.0},
    "glu": {"axis": -1},
    "tanh": {},
    "tanh_shrink": {},
    "hard_tanh": {},
    "hard_shrink": {"threshold": 0.5},
    "threshold": {"threshold": inspect.Parameter.empty, "default_value": inspect.Parameter.empty},
    "sigmoid": {},
    "exponential": {},
    "hard_sigmoid": {},
    "log_sigmoid": {},
    "sparse_sigmoid": {},
    "hard_silu": {},
    "linear": {},
    "mish": {},
    "log_softmax": {"axis": -1},
    "sparsemax": {"axis": -1},
}
# (function, arguments, the oracle's specification)
CASES = [
    ("relu", {}, "relu"),
    ("relu", {"max_value": 6}, ("relu_max", (6.0,))),
    ("relu", {"negative_slope": 0.1}, ("leaky_relu", (0.1,))),
    (
        "relu",
        {"negative_slope": 0.1, "max_value": 1.5, "threshold": 0.25},
        ("relu_general", (0.1, 0.0, 1.5, 0.25)),
    ),
    ("relu", {"threshold": -0.5}, ("relu_general", (0.0, -np.inf, np.inf, -0.5))),
    ("relu", {"negative_slope": -0.2}, ("relu_general", (-0.2, -np.inf, np.inf, 0.0))),
    ("relu", {"max_value": 2, "threshold": -0.5}, ("relu_general", (0.0, 0.0, 2.0, -0.5))),
    ("leaky_relu", {}, ("leaky_relu", (0.2,))),
    ("leaky_relu", {"negative_slope": 0}, "relu"),
    ("relu6", {}, ("relu_max", (6.0,))),
    ("elu", {}, ("elu", (1.0,))),
    ("elu", {"alpha": 0.3}, ("elu", (0.3,))),
    ("celu", {"alpha": 0.3}, ("celu", (0.3,))),
    ("gelu", {}, "gelu"),
    ("gelu", {"approximate": True}, "gelu_tanh"),
    ("squareplus", {"b": 1}, ("squareplus", (1.0,))),
    ("soft_shrink", {"threshold": 0.2}, ("soft_shrink", (0.2,))),
    ("hard_shrink", {}, ("hard_shrink", (0.5,))),
    ("threshold", {"threshold": 0.5, "default_value": -1}, ("threshold", (0.5, -1.0))),
    *((name, {}, name) for name in sorted(SIGNATURES) if name in oracle.ACTIVATIONS and not SIGNATURES[name]),
    *((name, {}, name) for name in ("softmax", "log_softmax", "sparsemax")),
]
NAMES = [f"{name} {arguments}" for name, arguments, _ in CASES]


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_of_keras(name):
    function = getattr(activations, name)
    found = inspect.signature(function).parameters
    assert list(found) == ["x", *SIGNATURES[name]]
    assert {p: found[p].default for p in SIGNATURES[name]} == SIGNATURES[name]
    assert function.__name__ == name
    assert name in activations.__all__
    assert "f(x)" in function.__doc__ or name in ("tanh", "linear")


def test_every_function_is_listed():
    assert set(activations.FUNCTIONS) == set(SIGNATURES)
    assert activations.swish is activations.silu is activations.get("swish")
    assert activations.hard_swish is activations.hard_silu is activations.get("hard_swish")
    assert activations.get(None) is activations.linear
    for name in SIGNATURES:
        assert activations.get(name) is getattr(activations, name)


@pytest.mark.parametrize(("name", "arguments", "specification"), CASES, ids=NAMES)
def test_on_arrays(name, arguments, specification, dtype, rng):
    forward, backward = oracle.activation(specification)
    z, da = rng.normal(size=(9, 5)).astype(dtype) * 2, rng.normal(size=(9, 5)).astype(dtype)
    function = getattr(activations, name)
    tolerance = {"rtol": 100 * np.finfo(dtype).eps, "atol": 100 * np.finfo(dtype).eps}
    got = function(z, **arguments)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, forward(z.astype(float)), **tolerance)
    np.testing.assert_array_equal(function(z, *arguments.values()) if len(arguments) == 3 else got, got)
    bound = function.with_arguments(**arguments)
    np.testing.assert_array_equal(bound(z), got)
    np.testing.assert_allclose(
        bound.backward(z, da), backward(z.astype(float), da.astype(float)), **tolerance
    )
    if name not in ("softmax", "log_softmax", "sparsemax"):
        assert np.shape(function(np.float64(0.3), **arguments)) == ()
        np.testing.assert_allclose(
            function([0.3, -1], **arguments), forward(np.array([0.3, -1.0])), rtol=1e-12
        )


@pytest.mark.parametrize(("name", "arguments", "specification"), CASES, ids=NAMES)
def test_in_a_layer(name, arguments, specification, rng):
    """By name, by function, as a partial: all the same layer, which pickles and has a config."""
    function, x = getattr(activations, name), rng.normal(size=(6, 4)).astype("f4")
    ways = [functools.partial(function, **arguments), function.with_arguments(**arguments)]
    ways += [] if arguments else [name, function]
    for way in ways:
        layer = Dense(7, activation=way)
        want = (specification, ()) if isinstance(specification, str) else specification
        assert (layer.activation.name, layer.activation.parameters) == want
        assert layer.activation.specification == specification
        y = layer(x)
        z = x @ layer.kernel.numpy() + layer.bias.numpy()
        np.testing.assert_allclose(
            y, oracle.activation(specification)[0](z.astype(float)), rtol=1e-4, atol=1e-5
        )
        again = Dense.from_config(layer.get_config())
        assert again.activation == layer.activation
        assert hash(again.activation) == hash(layer.activation)
        for copied in (pickle.loads(pickle.dumps(layer.activation)), copy.deepcopy(layer.activation)):
            assert copied == layer.activation
            assert copied.specification == specification
        assert layer.get_config()["activation"] == name or arguments


def test_a_model_trains_predicts_and_pickles_with_arguments(rng):
    x = rng.normal(size=(50, 4)).astype("f4")
    y = np.abs(x[:, :1])
    keras.utils.set_random_seed(1)
    layers = [
        Dense(9, activation=functools.partial(activations.elu, alpha=0.5)),
        Dense(6, activation="mish"),
        Dense(1, activation=functools.partial(activations.relu, negative_slope=0.1, max_value=3.0)),
    ]
    model = keras.Sequential(layers)
    model.compile(optimizer="sgd", loss="mse")
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    a = x
    for layer in layers:
        a = layer(a)
    np.testing.assert_array_equal(model.predict(x, verbose=0), a)
    np.testing.assert_array_equal(model.predictor()(x), a)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model.predictor()))(x), a)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sparsemax"])
def test_other_axes(name, rng):
    function, z, da = getattr(activations, name), rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5))
    for axis in (0, 1, 2, -2):
        want = np.apply_along_axis(lambda row: oracle.ACTIVATIONS[name][0](row), axis, z)
        np.testing.assert_allclose(function(z, axis=axis), want, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(function(z, axis), function(z, axis=axis))
        turned = [np.moveaxis(v, axis, -1) for v in (z, da)]
        want = np.moveaxis(oracle.ACTIVATIONS[name][1](*turned), -1, axis)
        got = function.with_arguments(axis=axis).backward(z, da)
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-14)
    assert Dense(3, activation=function.with_arguments(axis=1)).activation.name == name
    with pytest.raises(NotImplementedError, match="axis"):
        Dense(3, activation=functools.partial(function, axis=0))


def test_glu(rng):
    z, da, h = rng.normal(size=(5, 6)), rng.normal(size=(5, 3)), 1e-6
    want = z[:, :3] / (1 + np.exp(-z[:, 3:]))
    np.testing.assert_allclose(activations.glu(z), want, rtol=1e-12)
    np.testing.assert_allclose(activations.glu(z.T, axis=0), want.T, rtol=1e-12)
    got = activations.glu.backward(z, da)
    for j in range(6):
        step = np.zeros(6)
        step[j] = h
        slope = (activations.glu(z + step) - activations.glu(z - step)) / (2 * h)
        np.testing.assert_allclose(got[:, j], (slope * da).sum(axis=1), rtol=1e-6, atol=1e-9)
    with pytest.raises(ValueError, match="even size: got 5"):
        activations.glu(z[:, :5])
    for way in ("glu", activations.glu, functools.partial(activations.glu, axis=-1)):
        with pytest.raises(NotImplementedError, match=r"glu.*halves.*activations\.glu\(x\)"):
            Dense(4, activation=way)


def test_equality():
    relu, elu = activations.relu, activations.elu
    assert relu.with_arguments(max_value=6) == relu.with_arguments(max_value=6.0)
    assert relu.with_arguments(max_value=None) == relu
    assert relu.with_arguments(max_value=5) != relu.with_arguments(max_value=6)
    assert relu.with_arguments(max_value=6) != activations.relu6
    assert elu != relu
    assert elu != "elu"
    assert len({relu, relu.with_arguments(), elu, elu.with_arguments(alpha=1.0)}) == 2
    assert repr(relu) == "<activation relu>"
    assert repr(relu.with_arguments(max_value=6)) == "<activation relu(max_value=6)>"


def test_configs():
    partial = functools.partial(activations.celu, alpha=0.5)
    config = activations.serialize(partial)
    assert config["config"] == {"name": "celu", "arguments": {"alpha": 0.5}}
    assert activations.deserialize(config) == activations.get(partial) == activations.get(config)
    assert activations.serialize(activations.silu) == "silu"
    assert activations.deserialize("swish") is activations.silu
    keras_form = {
        "module": "builtins",
        "class_name": "function",
        "config": "mish",
        "registered_name": "function",
    }
    assert activations.deserialize(keras_form) is activations.mish
    own = activations.Custom(np.sin, np.cos)
    assert activations.deserialize(activations.serialize(own), {"sin": own}) is own
    for bad in ({"class_name": "Activation", "config": {"name": "nothing"}}, "Activation"):
        with pytest.raises(ValueError, match="config"):
            activations.deserialize(bad)
    with pytest.raises(TypeError, match="alpa"):
        activations.deserialize(
            {"class_name": "Activation", "config": {"name": "elu", "arguments": {"alpa": 1}}}
        )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: activations.relu([1.0], max_value="six"),
            TypeError,
            ["relu", "max_value", "number", "'six'"],
        ),
        (lambda: activations.relu([1.0], max_value=-1), ValueError, ["relu", "max_value", "negative", "-1"]),
        (lambda: activations.relu([1.0], alpha=1), TypeError, ["relu", "alpha", "negative_slope"]),
        (lambda: activations.relu([1.0], 1, 2, 3, 4), TypeError, ["relu", "4"]),
        (lambda: activations.tanh([1.0], 1), TypeError, ["tanh", "1"]),
        (lambda: activations.tanh.with_arguments(b=1), TypeError, ["tanh", "b", "none"]),
        (lambda: activations.elu([1.0], alpha=-0.5), ValueError, ["elu", "alpha", "-0.5"]),
        (lambda: activations.elu([1.0], alpha=True), TypeError, ["elu", "alpha", "True"]),
        (lambda: activations.elu([1.0], alpha=float("nan")), ValueError, ["elu", "alpha", "nan"]),
        (lambda: activations.celu([1.0], alpha=0), ValueError, ["celu", "alpha", "positive", "0"]),
        (lambda: activations.squareplus([1.0], b=0), ValueError, ["squareplus", "b", "positive"]),
        (
            lambda: activations.soft_shrink([1.0], threshold=-1),
            ValueError,
            ["soft_shrink", "threshold", "-1"],
        ),
        (
            lambda: activations.hard_shrink([1.0], threshold=-1),
            ValueError,
            ["hard_shrink", "threshold", "-1"],
        ),
        (lambda: activations.gelu([1.0], approximate="tanh"), TypeError, ["gelu", "approximate", "'tanh'"]),
        (lambda: activations.softmax([[1.0]], axis=0.5), TypeError, ["softmax", "axis", "0.5"]),
        (
            lambda: activations.threshold([1.0]),
            ValueError,
            ["threshold", "default_value", "functools.partial"],
        ),
        (
            lambda: Dense(2, activation="threshold"),
            ValueError,
            ["threshold", "default_value", "functools.partial"],
        ),
        (lambda: Dense(2, activation="geluu"), ValueError, ["Dense: activation", "geluu", "gelu"]),
        (lambda: Dense(2, activation=3), TypeError, ["Dense: activation", "3"]),
        (
            lambda: Dense(2, activation=lambda x: activations.relu(x, max_value=6)),
            NotImplementedError,
            ["Dense: activation", "functools.partial(activations.relu, max_value=6)", "ReLU(max_value=6)"],
        ),
        (
            lambda: Dense(2, activation=functools.partial(activations.relu, 0.1)),
            TypeError,
            ["relu", "by name"],
        ),
        (lambda: activations.Custom(np.sin, None), TypeError, ["df", "None"]),
        (lambda: activations.Custom(np.sin, np.cos, reads="z"), ValueError, ["reads", "'z'"]),
        (lambda: activations.Custom(np.sin, np.cos)([1.0], 2), TypeError, ["sin"]),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_custom(rng):
    z, da = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    square = activations.Custom(lambda z: z**2, lambda z: 2 * z, name="square")
    np.testing.assert_array_equal(square(z), z**2)
    np.testing.assert_array_equal(square.backward(z, da), 2 * z * da)
    bell = activations.Custom(np.exp, np.positive, reads="output")
    np.testing.assert_array_equal(bell.backward(z, da), np.exp(z) * da)
    assert (bell.name, bell.parameters) == ("exp", ())
    assert activations.get(square) is square
    assert pickle.loads(pickle.dumps(bell)) == bell
    assert bell != square
    assert repr(square) == "<activation square>"


def test_an_object_may_stand_for_an_activation():
    class Layer:
        def as_activation(self):
            return activations.relu.with_arguments(max_value=2)

    assert Dense(2, activation=Layer()).activation.specification == ("relu_max", (2.0,))
