"""from_keras and to_keras: layers, settings of compile, graphs, dtypes, and what is refused."""

import functools

import numpy as np
import pytest
from support import run_python

import fastnn
from fastnn.convert import from_keras, to_keras

keras = pytest.importorskip("keras")
KL, L = keras.layers, fastnn.layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")


def outputs(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def agree(ours, theirs, x, rtol=1e-6):
    got, want = ours.predict(x), outputs(theirs, x)
    assert np.abs(got - want).max() <= rtol * np.abs(want).max()


@pytest.fixture
def x(rng):
    """Usual rows, and one of hundreds."""
    found = rng.normal(size=(7, 4)).astype("float32")
    found[-1] *= 100
    return found


# ---- layers and graphs -----------------------------------------------------------------------------------


def test_names_settings_and_weights(x):
    theirs = keras.Sequential(
        [
            keras.Input((4,)),
            KL.Dense(
                6,
                "relu",
                kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02),
                bias_constraint="non_neg",
                activity_regularizer="l2",
                kernel_initializer="he_normal",
                name="first",
            ),
            KL.BatchNormalization(momentum=0.8, epsilon=1e-4, name="norm"),
            KL.Dropout(0.3, seed=7),
            KL.Dense(2, use_bias=False, kernel_constraint=keras.constraints.MaxNorm(1.5, axis=0)),
        ],
        name="whole",
    )
    ours = from_keras(theirs)
    assert (ours.name, [layer.name for layer in ours.layers]) == (
        "whole",
        [layer.name for layer in theirs.layers],
    )
    first, norm, dropout, last = ours.layers
    assert first.kernel_regularizer.get_config() == pytest.approx({"l1": 0.01, "l2": 0.02})
    assert type(first.bias_constraint).__name__ == "NonNeg"
    assert first.activity_regularizer is not None
    assert type(first.kernel_initializer).__name__ == "HeNormal"
    assert (norm.momentum, norm.epsilon) == (0.8, 1e-4)
    assert (dropout.rate, dropout.seed) == (0.3, 7)
    assert (last.kernel_constraint.max_value, last.bias) == (1.5, None)
    for got, want in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    agree(ours, theirs, x)
    back = to_keras(ours)
    for got, want in zip(back.layers, theirs.layers, strict=True):
        mine, its = got.get_config(), want.get_config()
        assert {k: v for k, v in mine.items() if "axis" not in k} == {
            k: v for k, v in its.items() if "axis" not in k
        }


def test_two_activations_at_the_end(x):
    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(3, "tanh"), KL.Softmax()])
    ours = from_keras(theirs)
    agree(ours, theirs, x)
    agree(ours, to_keras(ours), x)


def test_models_within_are_taken_apart(x):
    inner = keras.Sequential([KL.Dense(3, "tanh", name="a"), keras.Sequential([KL.Dense(3, name="b")])])
    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(4, name="a"), inner, KL.Identity(), KL.Dense(1)])
    ours = from_keras(theirs)
    assert [layer.name for layer in ours.layers][:3] == ["a", "a_1", "b"]
    agree(ours, theirs, x)


def test_a_functional_chain(x):
    start = keras.Input((4,))
    middle = keras.Input((3,))
    inner = keras.Model(middle, KL.Dense(5, "elu")(middle))
    theirs = keras.Model(start, KL.Dense(2)(inner(KL.Dense(3, "relu")(start))))
    ours = from_keras(theirs)
    assert [layer.units for layer in ours.layers] == [3, 5, 2]
    agree(ours, theirs, x)


@pytest.mark.parametrize(
    "add",
    [
        lambda x, f: KL.Add()([x, f]),
        lambda x, f: KL.Add()([f, x]),
        lambda x, f: x + f,
        lambda x, f: keras.ops.add(f, x),
    ],
    ids=["layer", "turned", "operator", "operation"],
)
def test_additions_become_residuals(add, x):
    start = keras.Input((4,))
    h = KL.Dense(5)(start)
    f = KL.Dense(5, "relu")(KL.LayerNormalization()(h))
    f = add(f, KL.Dense(5, "tanh")(f))
    theirs = keras.Model(start, KL.Dense(2)(add(h, f)))
    ours = from_keras(theirs)
    assert [type(layer).__name__ for layer in ours.layers] == ["Dense", "Residual", "Dense"]
    assert [type(layer).__name__ for layer in ours.layers[1].layers] == [
        "LayerNormalization",
        "Dense",
        "Residual",
    ]
    agree(ours, theirs, x)
    back = to_keras(ours)
    assert isinstance(back, keras.Model)
    agree(ours, back, x)
    again = from_keras(back)
    assert [layer.name for layer in again.layers] == [layer.name for layer in ours.layers]


def test_a_residuals_settings_go_with_it():
    block = L.Residual([L.Dense(4, "relu")], activity_regularizer="l2", trainable=False, name="block")
    ours = fastnn.Sequential([fastnn.Input((4,)), block, L.Dense(1)])
    again = from_keras(to_keras(ours)).layers[0]
    assert (again.name, again.trainable) == ("block", False)
    assert again.get_config()["activity_regularizer"] == block.get_config()["activity_regularizer"]


def test_what_is_trained():
    frozen = keras.Sequential([KL.Dense(3, name="inner")], trainable=False)
    theirs = keras.Sequential(
        [keras.Input((4,)), KL.Dense(4, trainable=False, name="whole"), KL.Dense(4, name="part"), frozen]
    )
    theirs.layers[1].kernel.trainable = False
    ours = from_keras(theirs)
    assert [v.path.partition("/")[2] for v in ours.trainable_weights] == ["part/bias"]
    back = to_keras(ours)
    assert [v.path.partition("/")[2] for v in back.trainable_weights] == ["part/bias"]
    for residual in (False, True):
        stack = [L.Residual([L.Dense(4)])] if residual else [L.Dense(4)]
        ours = fastnn.Sequential([fastnn.Input((4,)), *stack], trainable=False)
        assert to_keras(ours).trainable_weights == []
        assert from_keras(to_keras(ours)).trainable_weights == []


@pytest.mark.parametrize(
    ("make", "name", "parameters"),
    [
        (lambda: KL.LeakyReLU(0.1), "leaky_relu", (0.1,)),
        (lambda: KL.ELU(0.5), "elu", (0.5,)),
        (lambda: KL.ReLU(max_value=3.0), "relu_max", (3.0,)),
        (lambda: KL.Softmax(), "softmax", ()),
        (lambda: KL.Activation("gelu"), "gelu", ()),
        (lambda: keras.activations.swish, "silu", ()),
        (lambda: "hard_silu", "hard_silu", ()),
        (lambda: functools.partial(keras.activations.gelu, approximate=True), "gelu_tanh", ()),
        (lambda: functools.partial(keras.activations.relu, negative_slope=0.2), "leaky_relu", (0.2,)),
        (lambda: None, "linear", ()),
    ],
)
def test_ways_to_give_an_activation(make, name, parameters, x):
    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(3, activation=make())])
    ours = from_keras(theirs)
    found = ours.layers[0].activation
    assert found.name == name
    assert found.parameters == pytest.approx(parameters)
    agree(ours, theirs, x)
    agree(ours, to_keras(ours), x)


def test_models_with_keras_layers_for_activations_can_be_saved_by_keras(tmp_path, x):
    stack = [L.Dense(5, fastnn.activations.elu.with_arguments(alpha=0.4)), L.LeakyReLU(0.1), L.Dense(1)]
    ours = fastnn.Sequential([fastnn.Input((4,)), *stack])
    to_keras(ours).save(tmp_path / "model.keras")
    agree(ours, keras.saving.load_model(tmp_path / "model.keras"), x)


@pytest.mark.parametrize("case", ["adapted", "given", "one", "all", "inverse"])
def test_normalization(case, x):
    layer = {
        "adapted": lambda: KL.Normalization(),
        "given": lambda: KL.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 0.0, 2.0]),
        "one": lambda: KL.Normalization(mean=0.5, variance=2.0),
        "all": lambda: KL.Normalization(axis=None),
        "inverse": lambda: KL.Normalization(axis=1, invert=True),
    }[case]()
    if case not in ("given", "one"):
        layer.adapt(3 * x[:-1] + 1)
    theirs = keras.Sequential([keras.Input((4,)), layer, KL.Dense(3)])
    ours = from_keras(theirs)
    agree(ours, theirs, x)
    back = to_keras(ours)
    agree(ours, back, x)
    assert from_keras(back).layers[0].mean == pytest.approx(ours.layers[0].mean)


def test_images(rng):
    x = rng.uniform(0, 255, size=(5, 3, 4)).astype("float32")
    each = KL.Normalization(axis=(1, 2))
    each.adapt(x / 255)
    stack = [KL.Rescaling(1 / 255), each, KL.Flatten(), KL.Dense(2)]
    theirs = keras.Sequential([keras.Input((3, 4)), *stack])
    ours = from_keras(theirs)
    assert ours.input_shape == (None, 3, 4)
    agree(ours, theirs, x)
    agree(ours, to_keras(ours), x)


def test_rescaling_by_columns(x):
    arrays = np.array([0.1, 2.0, 0.5, 1.0]), np.array([0.0, 1.0, 2.0, -1.0])
    theirs = keras.Sequential([keras.Input((4,)), KL.Rescaling(*arrays), KL.Dense(2)])
    ours = from_keras(theirs)
    agree(ours, theirs, x)
    agree(ours, to_keras(ours), x)


def test_an_initializer_of_ones_own_is_left_out(x):
    @keras.saving.register_keras_serializable("test_convert_keras")
    class Own(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return keras.ops.full(shape, 0.3, dtype)

    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(2, kernel_initializer=Own())])
    ours = from_keras(theirs)
    assert type(ours.layers[0].kernel_initializer).__name__ == "GlorotUniform"
    np.testing.assert_array_equal(ours.layers[0].kernel.numpy(), np.full((4, 2), 0.3, "f4"))


# ---- dtypes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_is_taken_as_float32_where_that_is_said(policy, rng):
    x = rng.normal(size=(5, 4)).astype("float32")
    stack = [KL.Dense(3, "relu", dtype=policy), KL.Dense(2, dtype="float32")]
    theirs = keras.Sequential([keras.Input((4,)), *stack])
    with pytest.raises(
        ValueError, match=rf"layer 'dense\w*' \(Dense\) computes in {policy}.*dtype='float32'"
    ):
        from_keras(theirs)
    ours = from_keras(theirs, dtype="float32")
    assert ours.dtype == "float32"
    agree(ours, theirs, x, rtol=0.02)
    np.testing.assert_array_equal(
        ours.layers[0].kernel.numpy(), np.asarray(theirs.get_weights()[0], "float32")
    )


def test_several_dtypes(x):
    stack = [KL.Dense(3, dtype="float32", name="a"), KL.Activation("tanh", dtype="float64", name="b")]
    theirs = keras.Sequential([keras.Input((4,)), *stack])
    with pytest.raises(
        ValueError, match=r"layer 'b' .* computes in float64, but layer 'a' \(Dense\) in float32"
    ):
        from_keras(theirs)
    assert from_keras(theirs, dtype="float64").dtype == "float64"
    with pytest.raises(ValueError, match="dtype='float16'"):
        from_keras(theirs, dtype="float16")


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX alone")
def test_float64_on_jax_without_it():
    import jax

    if jax.config.jax_enable_x64:
        pytest.skip("JAX was started with float64")
    ours = fastnn.Sequential([fastnn.Input((4,)), L.Dense(2, dtype="float64", name="wide")])
    with (
        pytest.warns(UserWarning, match="float64"),
        pytest.raises(ValueError, match=r"'wide'.*JAX_ENABLE_X64=1"),
    ):
        to_keras(ours)


# ---- what the model was compiled with --------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda o: o.SGD(0.05, momentum=0.5, nesterov=True, weight_decay=0.01),
    "adam": lambda o: o.Adam(0.002, beta_1=0.8, clipnorm=1.0, amsgrad=True),
    "adamw": lambda o: o.AdamW(0.001, use_ema=True, ema_momentum=0.9),
    "schedule": lambda o: o.RMSprop(o.schedules.ExponentialDecay(0.01, 5, 0.7)),
    "muon": lambda o: o.Muon(0.01),
    "ftrl": lambda o: o.Ftrl(0.01, l1_regularization_strength=0.1),
    "lion": lambda o: o.Lion(0.001, gradient_accumulation_steps=2),
}


def close(mine, its):
    """The same settings, in which Keras keeps rates as float32."""
    assert mine.keys() == its.keys()
    for key, value in its.items():
        if isinstance(value, dict):
            close(mine[key], value)
        elif isinstance(value, float):
            assert mine[key] == pytest.approx(value, rel=1e-6), key
        else:
            assert mine[key] == value, key


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_optimizers(case):
    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(1)])
    theirs.compile(OPTIMIZERS[case](keras.optimizers), "mse")
    ours = from_keras(theirs)
    assert type(ours.optimizer).__name__ == type(theirs.optimizer).__name__
    close(ours.optimizer.get_config(), theirs.optimizer.get_config())
    back = to_keras(ours)
    close(back.optimizer.get_config(), theirs.optimizer.get_config())


def test_a_rate_is_the_number_that_was_written():
    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(1)])
    theirs.compile(keras.optimizers.Adam(0.001), "mse")
    assert float(from_keras(theirs).optimizer.learning_rate) == 0.001
    theirs.compile(keras.optimizers.Adam(1 / 3), "mse")
    assert np.float32(from_keras(theirs).optimizer.learning_rate) == np.float32(1 / 3)


LOSSES = {
    "name": ("mse", ["mae"], None),
    "class": (lambda k: k.losses.Huber(delta=0.1), ["mae", "mse"], None),
    "function": (
        lambda k: k.losses.mean_absolute_error,
        lambda k: [k.metrics.RootMeanSquaredError(name="e")],
        None,
    ),
    "options": (
        lambda k: k.losses.BinaryCrossentropy(label_smoothing=0.1),
        lambda k: ["accuracy", k.metrics.AUC(num_thresholds=20)],
        ["mse"],
    ),
}


@pytest.mark.parametrize("case", LOSSES)
def test_losses_and_metrics(case, rng):
    """Both evaluate to the same, under the same names, and the model that came back too."""
    x, y = rng.normal(size=(20, 4)).astype("f4"), rng.integers(0, 2, (20, 1)).astype("f4")
    loss, metrics, weighted = (v(keras) if callable(v) else v for v in LOSSES[case])
    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(1, "sigmoid")])
    theirs.compile("sgd", loss, metrics=metrics, weighted_metrics=weighted)
    ours = from_keras(theirs)
    wanted = theirs.evaluate(x, y, verbose=0, return_dict=True)
    for model in (ours, to_keras(ours)):
        found = model.evaluate(x, y, verbose=0, return_dict=True)
        assert {key: float(v) for key, v in found.items()} == pytest.approx(
            {key: float(v) for key, v in wanted.items()}, rel=1e-5
        )


def test_training_goes_the_same_way(rng):
    x, y = rng.normal(size=(40, 4)).astype("f4"), rng.normal(size=(40, 1)).astype("f4")
    stack = [KL.Dense(5, "tanh", kernel_regularizer="l2"), KL.BatchNormalization(), KL.Dense(1)]
    theirs = keras.Sequential([keras.Input((4,)), *stack])
    theirs.compile(keras.optimizers.SGD(0.05, momentum=0.5), "mse", metrics=["mae"])
    ours = from_keras(theirs)
    how = {"epochs": 3, "batch_size": 10, "shuffle": False, "verbose": 0}
    found, wanted = ours.fit(x, y, **how).history, theirs.fit(x, y, **how).history
    for key, values in wanted.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-4)
    np.testing.assert_allclose(ours.predict(x), outputs(theirs, x), rtol=1e-3, atol=1e-5)


def test_compile_false_and_models_that_are_not_compiled():
    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(1)])
    assert not from_keras(theirs).compiled
    theirs.compile("adam", "mse")
    assert from_keras(theirs).compiled
    assert not from_keras(theirs, compile=False).compiled
    assert not to_keras(from_keras(theirs), compile=False).compiled


def test_settings_that_there_are_not_here():
    theirs = keras.Sequential([keras.Input((4,)), KL.Dense(1)])
    theirs.compile("adam", lambda y, p: keras.ops.mean(y - p))
    with pytest.warns(UserWarning, match="lambda"), pytest.raises(ValueError, match="compile=False"):
        from_keras(theirs)
    ours = fastnn.Sequential([fastnn.Input((4,)), L.Dense(2)])
    ours.compile("adam", fastnn.losses.Quantile([0.1, 0.9]))
    with pytest.raises(ValueError, match=r"^to_keras: what the model was compiled with.*compile=False"):
        to_keras(ours)


# ---- what is refused -------------------------------------------------------------------------------------


class OwnLayer(KL.Dense):
    pass


class OwnModel(keras.Model):
    def call(self, x):
        return x


def functional(build, *shapes):
    starts = [keras.Input(shape) for shape in shapes or [(4,)]]
    return keras.Model(starts if len(starts) > 1 else starts[0], build(*starts))


def sequential(*layers, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *layers])


def shared():
    dense = KL.Dense(4, name="twice")
    return functional(lambda x: dense(dense(x)))


def own_model():
    model = OwnModel(name="mine")
    model.build((None, 4))
    return model


REFUSED = {
    "layer": (
        lambda: sequential(KL.Dense(3), KL.Reshape((3, 1), name="turn"), KL.Conv1D(2, 1)),
        r"layer 'turn' \(Reshape\) cannot be taken: fastnn has no such layer",
    ),
    "own layer": (
        lambda: sequential(OwnLayer(3, name="mine")),
        r"layer 'mine' \(OwnLayer\) cannot be taken: it is of",
    ),
    "within": (
        lambda: sequential(keras.Sequential([KL.UnitNormalization(name="unit")]), KL.Dense(1)),
        "'unit'",
    ),
    "own model": (own_model, r"model 'mine' is a OwnModel, whose own call\(\)"),
    "own activation": (
        lambda: sequential(KL.Dense(3, keras.ops.tanh, name="d")),
        "'d' .* none of keras.activations",
    ),
    "prelu as activation": (
        lambda: sequential(KL.Dense(3, KL.PReLU(), name="d")),
        "'d' .*put it behind this one",
    ),
    "positional": (
        lambda: sequential(KL.Dense(3, functools.partial(keras.activations.relu, 0.1), name="d")),
        "'d' .*by name",
    ),
    "glu": (lambda: sequential(KL.Dense(4), KL.Activation("glu", name="g")), "'g' .*halves"),
    "axis": (lambda: sequential(KL.Dense(3), KL.Softmax(axis=0, name="s")), "'s' .*axis=0"),
    "prelu axes": (lambda: sequential(KL.Dense(3), KL.PReLU(shared_axes=[1], name="p")), "'p' .*shared_axes"),
    "noise shape": (
        lambda: sequential(KL.Dense(3), KL.Dropout(0.1, noise_shape=(1, 3), name="n")),
        "'n' .*noise_shape",
    ),
    "sequences": (lambda: sequential(KL.Dense(3, name="d"), shape=(5, 4)), "'d' .*shape"),
    "image columns": (
        lambda: sequential(KL.Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0], name="n"), shape=(3, 2)),
        "'n' .*behind Flatten",
    ),
    "inputs": (
        lambda: functional(lambda a, b: KL.Dense(2)(KL.Concatenate()([a, b])), (2,), (3,)),
        "2 inputs",
    ),
    "outputs": (lambda: functional(lambda x: [KL.Dense(1)(x), KL.Dense(1)(x)]), "2 outputs"),
    "branches": (
        lambda: functional(lambda x: KL.Concatenate(name="c")([KL.Dense(1)(x), KL.Dense(1)(x)])),
        r"layer 'c' \(Concatenate\) takes 2 tensors",
    ),
    "sum of two": (
        lambda: functional(lambda x: KL.Add(name="a")([KL.Dense(2)(x), KL.Dense(2)(x)])),
        "'a' .*neither of which is made of the other",
    ),
    "twofold": (lambda: functional(lambda x: KL.Add(name="a")([x, x])), "'a' .*neither"),
    "broadcast": (lambda: functional(lambda x: KL.Dense(1)(x) + x), "neither"),
    "shared": (shared, "'twice' .*more than once"),
    "training": (
        lambda: functional(lambda x: KL.Dense(1)(KL.Dropout(0.5, name="always")(x, training=True))),
        "'always' .*training=True",
    ),
    "not built": (lambda: keras.Sequential([KL.Dense(3)], name="raw"), "model 'raw' has no weights yet"),
    "empty": (lambda: keras.Sequential(name="none"), "model 'none' has no weights yet"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_taken_is_named(case):
    make, words = REFUSED[case]
    with pytest.raises(ValueError, match=f"^from_keras: .*{words}"):
        from_keras(make())


class OwnDense(L.Dense):
    pass


OURS = {
    "own activation": (
        lambda: [L.Dense(2, fastnn.activations.Custom(np.sin, np.cos, name="sine"), name="waves")],
        "layer 'waves' .*'sine' is of your own",
    ),
    "own layer": (lambda: [OwnDense(2, name="mine")], r"layer 'mine' \(OwnDense\) .*not one of fastnn's"),
    "not adapted": (lambda: [L.Dense(3), L.Normalization(name="n")], "layer 'n' .*call adapt"),
}


@pytest.mark.parametrize("case", OURS)
def test_what_keras_cannot_have_is_named(case):
    make, words = OURS[case]
    with pytest.raises(ValueError, match=f"^to_keras: .*{words}"):
        to_keras(fastnn.Sequential([fastnn.Input((3,)), *make()]))


def test_bad_arguments():
    with pytest.raises(TypeError, match=r"from_keras takes a keras\.Model, got builtins\.str"):
        from_keras("model.keras")
    with pytest.raises(TypeError, match=r"from_keras takes a keras\.Model, got fastnn"):
        from_keras(fastnn.Sequential())
    with pytest.raises(TypeError, match=r"to_keras takes a fastnn\.Sequential, got keras"):
        to_keras(keras.Sequential())
    with pytest.raises(ValueError, match="has no weights yet"):
        to_keras(fastnn.Sequential([L.Dense(3)]))


def test_without_keras_a_sentence_says_so():
    said = run_python(
        "import sys\n"
        "sys.modules['keras'] = None\n"
        "import fastnn\n"
        "for call in (fastnn.convert.from_keras, fastnn.convert.to_keras):\n"
        "    try:\n"
        "        call(fastnn.Sequential())\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    assert said.count("needs keras") == said.count("pip install keras") == 2
