"""The layers beside Dense: alone, in models, their configurations, and what is wrong with their arguments."""

import pickle

import numpy as np
import pytest
from support import state

import fastnn as keras
from fastnn import layers
from fastnn.layers import chance

# a maker of each layer, for five columns
LAYERS = {
    "Activation": lambda: layers.Activation("tanh"),
    "ActivityRegularization": lambda: layers.ActivityRegularization(0.1, 0.2),
    "AlphaDropout": lambda: layers.AlphaDropout(0.2, seed=1),
    "BatchNormalization": lambda: layers.BatchNormalization(momentum=0.5),
    "Dense": lambda: layers.Dense(5, activation="relu"),
    "Dropout": lambda: layers.Dropout(0.2, seed=1),
    "ELU": lambda: layers.ELU(alpha=0.5),
    "Flatten": layers.Flatten,
    "GaussianDropout": lambda: layers.GaussianDropout(0.2),
    "GaussianNoise": lambda: layers.GaussianNoise(0.2),
    "LayerNormalization": lambda: layers.LayerNormalization(epsilon=0.01),
    "LeakyReLU": lambda: layers.LeakyReLU(negative_slope=0.1),
    "Normalization": lambda: layers.Normalization(mean=[1, 2, 3, 4, 5], variance=[1, 4, 9, 0, 1]),
    "PReLU": lambda: layers.PReLU(alpha_initializer="ones"),
    "RMSNormalization": lambda: layers.RMSNormalization(epsilon=0.01),
    "ReLU": lambda: layers.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.1),
    "Rescaling": lambda: layers.Rescaling(0.5, offset=1.0),
    "Residual": lambda: layers.Residual([layers.Dense(3, activation="tanh"), layers.Dense(5)]),
    "Softmax": layers.Softmax,
}


def around(layer):
    return keras.Sequential([keras.Input((5,)), layers.Dense(5, activation="tanh"), layer, layers.Dense(2)])


def test_all_layers_are_here():
    assert set(LAYERS) | {"InputLayer"} == {c.__name__ for c in layers._CLASSES}


@pytest.mark.parametrize("name", LAYERS)
def test_in_a_model_as_alone(name, rng):
    layer = LAYERS[name]()
    model = around(layer)
    x = rng.normal(size=(11, 5)).astype("f4")
    inside = model.layers[0](x)
    want = model.layers[2](layer(inside))
    np.testing.assert_allclose(model.predict(x), want, rtol=1e-4, atol=1e-5)
    model.compile("adam", "mse")
    model.fit(x, rng.normal(size=(11, 2)), epochs=2, verbose=0)
    after = model.layers[2](layer(model.layers[0](x)))
    np.testing.assert_allclose(model.predict(x), after, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predictor()(x), after, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predictor(precision="bfloat16")(x), after, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("first", LAYERS)
def test_two_layers_of_few_columns_disturb_nothing_of_each_other(first, rng):
    """What one leaves in memory is nothing to the other: the same bits for every share of the work."""
    x, y = rng.normal(size=(11, 5)), rng.normal(size=(11, 2))
    for second in LAYERS:
        for optimizer in (keras.optimizers.Adam, keras.optimizers.Lamb):
            found = []
            for threads in (1, 2, 3):
                keras.set_num_threads(threads)
                keras.utils.set_random_seed(1)
                both = [LAYERS[first](), LAYERS[second](), layers.Dense(2)]
                model = keras.Sequential([keras.Input((5,)), *both])
                model.compile(optimizer(0.01, global_clipnorm=1.0), "mse")
                model.fit(x, y, batch_size=4, epochs=2, verbose=0)
                found.append(state(model))
            assert len(set(found)) == 1, second


# What passes rows on in another way in training.
IN_TRAINING = (chance.Chance, layers.BatchNormalization)


def require_right(model, loss, y, x):
    """Outputs, loss and gradients are those of the layers one after the other, by central differences."""
    out = x
    for layer in model.layers:
        out = layer(out)
    np.testing.assert_allclose(model.predict(x), out, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.predictor()(x), out, rtol=1e-6, atol=1e-9)
    model.compile(keras.optimizers.SGD(0.0), loss)
    want = keras.losses.get(loss)(y, out).mean() + sum(map(np.sum, model.losses))
    if not any(layer.activity_regularizer for layer in model.layers):
        np.testing.assert_allclose(model.evaluate(x, y, verbose=0), want, rtol=1e-6)
    if not any(isinstance(layer, IN_TRAINING) for layer in model.layers):
        np.testing.assert_allclose(model.train_on_batch(x, y), model.evaluate(x, y, verbose=0), rtol=1e-6)
    kernel, step = model.layers[0].kernel, 1e-6
    _, gradients = model.gradients(x, y, training=False)
    for at in ((0, 0), (2, 1)):
        ends = []
        for sign in (1, -1):
            moved = kernel.numpy()
            moved[at] += sign * step
            before = kernel.numpy()
            kernel.assign(moved)
            ends.append(model.evaluate(x, y, verbose=0))
            kernel.assign(before)
        found = np.asarray(next(iter(gradients)))[at]
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - {"Flatten", "Dense", "Normalization"}))
@pytest.mark.parametrize("more", [False, True])
def test_the_last_layer_behind_an_activation(name, more, rng):
    """Nothing is folded into a dense layer that has an activation of its own."""
    keras.config.set_floatx("float64")
    try:
        between = [layers.Activation("softplus")] if more else []
        stack = [keras.Input((4,)), layers.Dense(5, activation="tanh"), *between, LAYERS[name]()]
        model = keras.Sequential(stack)
        require_right(model, "mse", rng.normal(size=(7, 5)), rng.normal(size=(7, 4)))
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("first", ["linear", "relu", "sigmoid", "gelu", "softmax"])
@pytest.mark.parametrize(
    ("last", "loss"),
    [
        ("softmax", "categorical_crossentropy"),
        ("softmax", "mse"),
        ("sigmoid", "binary_crossentropy"),
        ("tanh", "mae"),
        ("gelu", "mse"),
        ("log_softmax", "mse"),
    ],
)
def test_two_activations_at_the_end(first, last, loss, rng):
    keras.config.set_floatx("float64")
    try:
        model = keras.Sequential(
            [keras.Input((4,)), layers.Dense(3, activation=first), layers.Activation(last)]
        )
        y = rng.dirichlet(np.ones(3), size=7)
        require_right(model, loss, y, rng.normal(size=(7, 4)))
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("name", LAYERS)
def test_configuration_and_copies(name, rng):
    model = around(LAYERS[name]())
    x = rng.normal(size=(4, 5)).astype("f4")
    again = keras.Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x), model.predict(x))
    assert again.get_config() == model.get_config()
    with pytest.raises(TypeError, match="nonsense"):
        type(model.layers[1])(**{**_required(name), "nonsense": 1})


def _required(name):
    return {
        "Activation": {"activation": "relu"},
        "Dense": {"units": 3},
        "GaussianNoise": {"stddev": 1.0},
        "Rescaling": {"scale": 1.0},
        "Residual": {"layers": [layers.Dense(5)]},
        **{key: {"rate": 0.1} for key in ("AlphaDropout", "Dropout", "GaussianDropout")},
    }.get(name, {})


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: layers.Dropout(1.5), ValueError, "rate"),
        (lambda: layers.Dropout("half"), TypeError, "rate"),
        (lambda: layers.Dropout(0.5, noise_shape=(1,)), NotImplementedError, "noise_shape"),
        (lambda: layers.AlphaDropout(1.0), ValueError, "rate"),
        (lambda: layers.GaussianDropout(1.0), ValueError, "rate"),
        (lambda: layers.GaussianNoise(-1.0), ValueError, "stddev"),
        (lambda: layers.GaussianNoise(None), TypeError, "stddev"),
        (lambda: layers.BatchNormalization(momentum=2), ValueError, "momentum"),
        (lambda: layers.LayerNormalization(axis=0), NotImplementedError, "axis"),
        (lambda: layers.LayerNormalization(rms_scaling=True), NotImplementedError, "RMSNormalization"),
        (lambda: layers.BatchNormalization(renorm=True), NotImplementedError, "renorm"),
        (lambda: layers.LayerNormalization(epsilon=-1), ValueError, "epsilon"),
        (lambda: layers.Normalization(mean=1.0), ValueError, "variance"),
        (lambda: layers.Normalization().adapt([1, 2, 3]), ValueError, "rows"),
        (lambda: layers.Normalization().adapt([[np.nan]]), ValueError, "NaN"),
        (lambda: layers.PReLU(shared_axes=[1]), NotImplementedError, "shared_axes"),
        (lambda: layers.Softmax(axis=0), NotImplementedError, "axis"),
        (lambda: layers.Flatten("channels_first"), NotImplementedError, "data_format"),
        (lambda: layers.Residual([]), ValueError, "empty"),
        (lambda: layers.Residual(layers.Dense(3)), TypeError, "list"),
        (lambda: layers.Residual([layers.Dense]), TypeError, "Dense"),
        (lambda: around(layers.Residual([layers.Dense(3)])), ValueError, "added"),
        (lambda: around(layers.Rescaling([1.0, 2.0])), ValueError, "5 columns"),
        (lambda: keras.Sequential([keras.Input((28, 28)), layers.Dense(3)]), ValueError, "Dense"),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_normalization_adapts(rng):
    x = rng.normal(3, 7, size=(200, 5)).astype("f4")
    layer = layers.Normalization()
    model = keras.Sequential([keras.Input((5,)), layer, layers.Dense(5, use_bias=False)])
    model.set_weights([np.eye(5)])
    with pytest.raises(ValueError, match="adapt"):
        model.predict(x)
    layer.adapt(x)
    found = model.predict(x)
    np.testing.assert_allclose(found, (x - x.mean(0)) / x.std(0), rtol=1e-4, atol=1e-4)
    layer.adapt(x * 2)  # the model follows
    np.testing.assert_allclose(model.predict(x * 2), found, rtol=1e-4, atol=1e-4)
    back = layers.Normalization(mean=x.mean(0), variance=x.var(0), invert=True)
    np.testing.assert_allclose(back(found), x, rtol=1e-3, atol=1e-3)


def test_images_are_flattened(rng):
    x = rng.integers(0, 256, size=(30, 4, 3)).astype("u1")
    y = rng.integers(0, 2, size=30)
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, verbose=0, validation_split=0.2)
    assert model.input_shape == (None, 4, 3)
    flat = keras.Sequential([keras.Input((12,)), *model.layers[2:]])
    np.testing.assert_allclose(
        model.predict(x), flat.predict(x.reshape(30, 12).astype("f4") / 255), rtol=1e-4, atol=1e-6
    )
    with pytest.raises(ValueError, match=r"\(4, 3\)"):
        model.predict(x[:, :3])


def test_chance_is_for_training_only(rng):
    x = np.ones((2000, 5), "f4")
    for name in ("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"):
        layer = LAYERS[name]()
        np.testing.assert_array_equal(layer(x), x)
        changed = layer(x, training=True)
        assert changed.dtype == np.float32
        assert not np.array_equal(changed, x)
        assert changed.mean() == pytest.approx(1 if name != "AlphaDropout" else changed.mean(), abs=0.05)
        model = around(layer)
        model.compile("sgd", "mse")
        before = model.predict(x[:3])
        np.testing.assert_array_equal(before, model.predict(x[:3]))


def test_dropout_follows_the_seed(rng):
    x, y = rng.normal(size=(100, 5)), rng.normal(size=(100, 2))
    found = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        model = around(layers.Dropout(0.5))
        model.compile("adam", "mse")
        found.append(model.fit(x, y, epochs=3, verbose=0, batch_size=32).history["loss"])
    assert found[0] == found[1] != found[2]


def test_symbols_of_what_goes_in_and_out():
    """As in Keras; a graph made of them is refused with a reason."""
    inner, last = layers.Dense(5, name="inner"), layers.Dense(2)
    with pytest.raises(AttributeError, match="inner has never been called and thus has no defined output"):
        _ = inner.output
    model = keras.Sequential([keras.Input((3,)), inner, layers.Dropout(0.1), last])
    assert (inner.input.shape, inner.output.shape, last.output.shape) == ((None, 3), (None, 5), (None, 2))
    assert (last.output.dtype, last.output.ndim) == ("float32", 2)
    assert model.inputs[0].name == model.inputs[0].name
    with pytest.raises(NotImplementedError, match="use Sequential"):
        keras.Model(model.inputs, inner.output)
    for call in (layers.Dense(2), model):
        with pytest.raises(NotImplementedError, match="Functional graphs of layers are not supported"):
            call(inner.output)
    with pytest.raises(AttributeError, match="Concatenate is not in fastnn yet: functional graphs"):
        _ = layers.Concatenate


def test_a_model_needs_a_dense_layer():
    model = keras.Sequential([keras.Input((5,)), layers.LayerNormalization()])
    with pytest.raises(NotImplementedError, match="Dense"):
        model.predict(np.ones((3, 5)))


def test_selu_network_keeps_its_scale_under_alpha_dropout(rng):
    """What alpha dropout is for: mean 0 and variance 1 stay, whatever is dropped."""
    x = rng.normal(size=(20000, 5))
    changed = layers.AlphaDropout(0.3, seed=0, dtype="float64")(x, training=True)
    assert abs(changed.mean()) < 0.02
    assert changed.var() == pytest.approx(1, abs=0.03)
