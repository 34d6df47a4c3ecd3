"""Model: building, layers, names, weights, counts, summary, initializers."""

import numpy as np
import pytest
from support import digest, mlp

import fastnn as keras
from fastnn.layers import Dense, Input


def test_the_names_under_which_people_import():
    import fastnn
    import fastnn as tf

    assert fastnn.keras is fastnn
    assert tf.keras.Sequential is fastnn.Sequential
    assert tf.keras.models.Sequential is fastnn.Sequential
    assert keras.layers.Dense is Dense
    assert keras.Input is Input
    for module, names in {
        "layers": "Dense Input",
        "losses": "MeanSquaredError MeanAbsoluteError BinaryCrossentropy CategoricalCrossentropy "
        "SparseCategoricalCrossentropy",
        "optimizers": "SGD Adam",
        "metrics": "BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy MeanSquaredError "
        "MeanAbsoluteError",
        "callbacks": "Callback EarlyStopping History",
        "initializers": "GlorotUniform GlorotNormal HeUniform HeNormal LecunUniform LecunNormal Zeros Ones",
        "activations": "linear relu sigmoid tanh softmax",
        "utils": "set_random_seed",
        "config": "set_floatx floatx",
    }.items():
        found = getattr(tf.keras, module)
        assert found.__name__ == f"fastnn.{module}"
        for name in names.split():
            assert callable(getattr(found, name)), f"{module}.{name}"
    assert issubclass(fastnn.FormatError, ValueError)
    assert issubclass(fastnn.TrainingWarning, UserWarning)
    assert fastnn.__version__


def test_import_statements_of_keras_scripts():
    lines = """
        from fastnn.models import Sequential
        from fastnn.layers import Dense, Input
        from fastnn.optimizers import SGD, Adam
        from fastnn.callbacks import EarlyStopping
        from fastnn.utils import set_random_seed
        from fastnn import activations, callbacks, initializers, layers, losses, metrics
        from fastnn import models, optimizers, utils
        from fastnn import keras
        import fastnn as tf; tf.keras.layers.Dense(3, activation=tf.keras.activations.relu)
    """
    for line in lines.strip().splitlines():
        exec(line.strip(), {})


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.Sequential([Dense(5, input_dim=4, activation="relu"), Dense(2)]),
        lambda: keras.Sequential([Dense(5, input_shape=(4,), activation="relu"), Dense(2)]),
        lambda: keras.Sequential([Input((4,)), Dense(5, activation="relu"), Dense(2)]),
        lambda: keras.Sequential([Input(shape=(4,)), Dense(5, "relu"), Dense(2)]),
        lambda: keras.Sequential(layers=[Dense(5, "relu"), Dense(2)]),
    ],
    ids=["input_dim", "input_shape", "Input", "Input keyword", "first data"],
)
def test_ways_to_say_the_input_shape(make, rng):
    keras.utils.set_random_seed(3)
    model = make()
    if model.built:
        assert [w.shape for w in model.get_weights()] == [(4, 5), (5,), (5, 2), (2,)]
        assert model.input_shape == (None, 4)
        assert model.output_shape == (None, 2)
    assert model.predict(rng.normal(size=(7, 4)), verbose=0).shape == (7, 2)
    assert model.built
    assert [layer.units for layer in model.layers] == [5, 2]


def test_the_weights_do_not_depend_on_how_the_input_shape_was_said(rng):
    digests = set()
    for make in (
        lambda: keras.Sequential([Dense(5, input_dim=4), Dense(2)]),
        lambda: keras.Sequential([Input((4,)), Dense(5), Dense(2)]),
    ):
        keras.utils.set_random_seed(3)
        digests.add(digest(make().get_weights()))
    assert len(digests) == 1


def test_add(rng):
    model = keras.Sequential()
    model.add(Input((4,)))
    model.add(Dense(3, activation="relu"))
    model.add(Dense(2))
    assert len(model.layers) == 2
    assert model.predict(rng.normal(size=(3, 4)), verbose=0).shape == (3, 2)
    model.add(Dense(7))
    assert model.predict(rng.normal(size=(3, 4)), verbose=0).shape == (3, 7)
    assert model.count_params() == 15 + 8 + 21


def test_adding_a_layer_keeps_the_weights_before_it(rng):
    x = rng.normal(size=(20, 4))
    model = mlp(4, (3, "tanh"), (1, None), optimizer="sgd", loss="mse")
    model.fit(x, x[:, :1], epochs=2, verbose=0)
    before = digest(model.get_weights())
    model.add(Dense(2))
    assert digest(model.get_weights()[:4]) == before


def test_build():
    model = keras.Sequential([Dense(3), Dense(2)])
    assert not model.built
    model.build((None, 4))
    assert model.built
    assert model.count_params() == 15 + 8


def test_wrong_layers():
    with pytest.raises((TypeError, ValueError)):
        keras.Sequential([Dense(3), "relu"])
    with pytest.raises((TypeError, ValueError)):
        keras.Sequential([Dense(3)]).add(5)
    with pytest.raises((TypeError, ValueError)):
        keras.Sequential().add(None)


def test_names():
    model = keras.Sequential([Dense(3, name="first"), Dense(2), Dense(2)], name="mine")
    assert model.name == "mine"
    names = [layer.name for layer in model.layers]
    assert names[0] == "first"
    assert len(set(names)) == 3
    assert all(name.startswith("dense") for name in names[1:])
    assert keras.Sequential().name != keras.Sequential().name


def test_two_layers_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same"):
        keras.Sequential([Dense(3, name="same"), Dense(2, name="same")])


def test_get_layer():
    model = keras.Sequential([Input((4,)), Dense(3, name="first"), Dense(2, name="second")])
    assert model.get_layer("second") is model.layers[1]
    assert model.get_layer(name="first") is model.layers[0]
    assert model.get_layer(index=1) is model.layers[1]
    with pytest.raises(ValueError, match="third") as caught:
        model.get_layer("third")
    assert "first" in str(caught.value)
    with pytest.raises(ValueError, match="7") as caught:
        model.get_layer(index=7)
    assert "2" in str(caught.value)
    with pytest.raises(ValueError, match="name"):
        model.get_layer()


def test_layer_attributes_and_config():
    layer = Dense(3, activation="relu", use_bias=False, kernel_initializer="he_normal", name="x")
    config = layer.get_config()
    assert config["units"] == 3
    assert config["activation"] == "relu"
    assert config["use_bias"] is False
    assert config["name"] == "x"
    again = Dense.from_config(config)
    assert again.get_config() == config
    assert layer.activation.__name__ == "relu"
    assert Dense(3).activation.__name__ == "linear"


def test_count_params_and_summary(capsys):
    model = keras.Sequential(
        [Input((4,)), Dense(30, name="first"), Dense(2, use_bias=False, name="last")], name="mine"
    )
    assert model.count_params() == 150 + 60
    assert model.layers[0].count_params() == 150
    model.summary()
    text = capsys.readouterr().out
    for part in (
        'Model: "mine"',
        "first (Dense)",
        "last (Dense)",
        "(None, 30)",
        "(None, 2)",
        "150",
        "60",
        "Total params: 210 (840.00 B)",
        "Trainable params: 210",
        "Non-trainable params: 0",
        "Layer (type)",
        "Output Shape",
        "Param #",
    ):
        assert part in text, part
    lines = []
    model.summary(print_fn=lines.append)
    assert capsys.readouterr().out == ""
    assert "Total params: 210" in "\n".join(map(str, lines))


def test_summary_counts_bytes_of_the_dtype(capsys):
    model = keras.Sequential([Input((99,)), Dense(100, dtype="float64")])
    model.summary()
    assert "Total params: 10,000 (78.12 KB)" in capsys.readouterr().out


def test_summary_of_an_unbuilt_model(capsys):
    keras.Sequential([Dense(3), Dense(2)]).summary()
    assert "unbuilt" in capsys.readouterr().out
    with pytest.raises(ValueError, match="build"):
        keras.Sequential([Dense(3)]).count_params()


@pytest.mark.parametrize(
    ("name", "limit", "deviation"),
    [
        ("glorot_uniform", np.sqrt(6 / 500), None),
        ("he_uniform", np.sqrt(6 / 300), None),
        ("lecun_uniform", np.sqrt(3 / 300), None),
        ("glorot_normal", None, np.sqrt(2 / 500)),
        ("he_normal", None, np.sqrt(2 / 300)),
        ("lecun_normal", None, np.sqrt(1 / 300)),
        (None, np.sqrt(6 / 500), None),
    ],
)
def test_initializers(name, limit, deviation):
    keras.utils.set_random_seed(0)
    options = {} if name is None else {"kernel_initializer": name}
    kernel, bias = keras.Sequential([Dense(200, input_dim=300, **options)]).get_weights()
    assert not bias.any()
    assert abs(kernel.mean()) < 5 * kernel.std() / np.sqrt(kernel.size)
    if limit is not None:
        assert np.abs(kernel).max() <= limit * (1 + 1e-6)
        assert np.abs(kernel).max() > 0.999 * limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    else:
        # Truncated at two deviations of the normal that, so truncated, has the wanted one.
        assert kernel.std() == pytest.approx(deviation, rel=0.02)
        assert np.abs(kernel).max() <= 2 * deviation / 0.87962566 * (1 + 1e-6)
    values = np.sort(kernel.ravel())
    assert len(np.unique(values)) > 0.99 * len(values)


def test_initializer_objects_and_seeds():
    he = keras.initializers.HeNormal(seed=3)
    one, two = (
        keras.Sequential([Dense(5, input_dim=4, kernel_initializer=keras.initializers.HeNormal(seed=3))])
        for _ in range(2)
    )
    assert digest(one.get_weights()) == digest(two.get_weights())
    assert np.asarray(he((4, 5))).shape == (4, 5)
    ones = keras.Sequential(
        [Dense(5, input_dim=4, kernel_initializer="zeros", bias_initializer="ones")]
    ).get_weights()
    assert not ones[0].any()
    assert (ones[1] == 1).all()
    model = keras.Sequential([Dense(5, input_dim=5), Dense(5)])
    kernels = model.get_weights()[::2]
    assert not np.array_equal(*kernels), "two layers drew the same weights"


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [np.zeros((4, 3))],
        [np.zeros((3, 4)), np.zeros(3), np.zeros((3, 2)), np.zeros(2)],
        [np.zeros((4, 3)), np.zeros(3), np.zeros((3, 2)), np.zeros(2), np.zeros(2)],
        [np.zeros((4, 3)), np.zeros(3), np.zeros((3, 2)), np.zeros((2, 1))],
        [np.ones((4, 3)), np.ones(3), np.ones((3, 2)), np.array(["a", "b"])],
        [np.ones((4, 3)), np.ones(3), np.ones((3, 2)), None],
        "abcd",
        None,
    ],
)
def test_bad_weights_leave_the_old_ones(bad):
    model = mlp(4, (3, "relu"), (2, None))
    before = digest(model.get_weights())
    with pytest.raises((ValueError, TypeError)):
        model.set_weights(bad)
    assert digest(model.get_weights()) == before


def test_the_message_for_wrong_weights_says_what_came_and_what_was_expected():
    model = mlp(4, (3, "relu"), (2, None))
    with pytest.raises(ValueError, match="4") as caught:
        model.set_weights([np.zeros((4, 3))])
    assert "1" in str(caught.value)
    with pytest.raises(ValueError, match=r"\(3, 4\)") as caught:
        model.set_weights([np.zeros((3, 4)), np.zeros(3), np.zeros((3, 2)), np.zeros(2)])
    assert "(4, 3)" in str(caught.value)


def test_layer_weights():
    model = mlp(4, (3, "relu"), (2, None))
    layer = model.layers[1]
    layer.set_weights([np.ones((3, 2)), np.zeros(2)])
    assert (model.get_weights()[2] == 1).all()
    assert [w.shape for w in layer.get_weights()] == [(3, 2), (2,)]
    x = np.ones((2, 4), "f4")
    model.predict(x)
    layer.kernel.assign_sub(np.full((3, 2), 0.75))
    layer.bias.assign_add([1, 2]).assign_add(1)
    np.testing.assert_array_equal(layer.get_weights()[0], np.full((3, 2), 0.25, "f4"))
    np.testing.assert_array_equal(layer.get_weights()[1], np.array([2, 3], "f4"))
    hidden = model.layers[0](x)
    np.testing.assert_allclose(model.predict(x), hidden @ np.full((3, 2), 0.25) + [2, 3], rtol=1e-6)
    np.testing.assert_array_equal(model.call(x), model.predict(x))
    with pytest.raises(ValueError, match="has shape"):
        layer.bias.assign_add([1, 2, 3])
