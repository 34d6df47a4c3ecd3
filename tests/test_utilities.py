"""Copies of models, JSON, names of one's own, small helpers, and the initializers that came last."""

import json

import numpy as np
import pytest
from support import mlp, state

import fastnn as keras
from fastnn import activations, initializers, layers, losses, metrics, models, optimizers, utils
from fastnn.names import snake_case
from fastnn.registry import _names, _registered


@pytest.fixture(autouse=True)
def nothing_registered():
    yield
    _registered.clear()
    _names.clear()


def compiled():
    return mlp(
        4,
        (5, "tanh"),
        (2, "softmax"),
        optimizer=keras.optimizers.SGD(0.1, momentum=0.5),
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy", "mse"],
    )


# ---- clone_model -----------------------------------------------------------------------------------


def test_a_clone_has_the_same_layers_and_other_weights():
    model = compiled()
    clone = models.clone_model(model)
    assert type(clone) is keras.Sequential
    assert clone.get_config() == model.get_config()
    assert clone.name == model.name
    assert not clone.compiled
    assert not np.array_equal(clone.get_weights()[0], model.get_weights()[0])
    assert all(a is not b for a, b in zip(clone.layers, model.layers, strict=True))
    clone.compile("sgd", "mse")
    before = state(model)
    clone.fit(np.ones((3, 4)), np.ones((3, 2)), verbose=0)
    assert state(model) == before


def test_a_clone_with_a_function_of_each_layer():
    model, seen = compiled(), []

    def wider(layer):
        seen.append(layer.name)
        config = layer.get_config()
        return layers.Dense.from_config({**config, "units": config["units"] * 2})

    clone = models.clone_model(model, clone_function=wider)
    assert [layer.units for layer in clone.layers] == [10, 4]
    assert seen == [layer.name for layer in model.layers]


def test_clones_of_unbuilt_models_and_bad_arguments():
    model = keras.Sequential([layers.Dense(3)])
    assert models.clone_model(model).layers[0].units == 3
    with pytest.raises(TypeError, match="clone_model takes a model, got 'm'"):
        models.clone_model("m")
    with pytest.raises(NotImplementedError, match="input_tensors"):
        models.clone_model(model, input_tensors=[1])
    with pytest.raises(NotImplementedError, match="call_function"):
        models.clone_model(model, call_function=print)
    with pytest.raises(TypeError, match="must return a layer"):
        models.clone_model(model, clone_function=lambda layer: None)
    with pytest.raises(TypeError, match="clone_function must be a function"):
        models.clone_model(model, clone_function=3)


# ---- JSON --------------------------------------------------------------------------------------------


def test_a_model_through_json():
    model = compiled()
    text = model.to_json(indent=1)
    again = models.model_from_json(text)
    assert again.get_config() == model.get_config()
    assert again.get_compile_config() == model.get_compile_config()
    assert json.loads(again.to_json()) == json.loads(text)
    x, y = np.ones((6, 4)), np.eye(2)[[0, 1] * 3]
    again.set_weights(model.get_weights())
    ours, theirs = (m.fit(x, y, epochs=3, shuffle=False, verbose=0).history for m in (again, model))
    assert ours == theirs


def test_a_model_that_is_not_compiled_or_built_through_json():
    for model in (mlp(4, (2, None)), keras.Sequential([layers.Dense(3)], name="a")):
        again = models.model_from_json(model.to_json())
        assert not again.compiled
        assert again.built == model.built
        assert again.get_config() == model.get_config()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{", ["json_string", "JSON"]),
        ("[]", ["json_string", "class_name"]),
        ('{"class_name": "Sequential"}', ["layers"]),
        ('{"class_name": "Sequentiall", "config": {}}', ["Sequentiall", "Sequential"]),
        (
            '{"class_name": "Sequential", "config": {"layers": [{"class_name": "os", "config": {}}]}}',
            ["'os'"],
        ),
        (5, ["json_string", "int"]),
    ],
)
def test_json_that_is_no_model(text, names):
    with pytest.raises((ValueError, TypeError)) as caught:
        models.model_from_json(text)
    assert all(name in str(caught.value) for name in names)


# ---- names of one's own --------------------------------------------------------------------------------


class Halves(initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return np.full(shape, 0.5, dtype)


def test_custom_objects():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer=Halves())])
    text = model.to_json()
    with pytest.raises(ValueError, match="Halves"):
        models.model_from_json(text)
    assert models.model_from_json(text, {"Halves": Halves}).get_weights()[0][0, 0] == 0.5
    for scope in (utils.custom_object_scope, utils.CustomObjectScope, keras.saving.custom_object_scope):
        with scope({"Halves": Halves}):
            assert models.model_from_json(text).get_weights()[0][0, 0] == 0.5
            assert isinstance(initializers.get("Halves"), Halves)
    with pytest.raises(ValueError, match="Halves"):
        models.model_from_json(text)


def test_registered_objects():
    keras.utils.register_keras_serializable("mine")(Halves)
    assert utils.get_registered_name(Halves) == "mine>Halves"
    assert utils.get_registered_object("mine>Halves") is Halves
    assert utils.get_registered_object("Halves") is None
    assert utils.get_registered_object("Halves", {"Halves": Halves}) is Halves
    assert utils.get_custom_objects() == {"mine>Halves": Halves}
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer=Halves())])
    config = json.loads(model.to_json())
    inner = config["config"]["layers"][1]["config"]["kernel_initializer"]
    assert inner["registered_name"] == "mine>Halves"
    assert models.model_from_json(model.to_json()).get_weights()[0][0, 0] == 0.5
    utils.get_custom_objects().clear()
    with pytest.raises(ValueError, match="Halves"):
        models.model_from_json(model.to_json())


def test_registering_bad_things():
    with pytest.raises(TypeError, match="called before it decorates"):
        utils.register_keras_serializable(Halves)
    with pytest.raises(ValueError, match="no get_config"):
        utils.register_keras_serializable()(type("Bare", (), {}))

    @utils.register_keras_serializable(name="f")
    def function():
        pass

    assert utils.get_registered_name(function) == "Custom>f"


THINGS = {
    "activation": (activations, activations.relu),
    "initializer": (initializers, initializers.HeNormal(seed=3)),
    "layer": (layers, layers.Dense(3, name="a")),
    "loss": (losses, losses.BinaryCrossentropy(from_logits=True)),
    "metric": (metrics, metrics.BinaryAccuracy(threshold=0.3)),
    "optimizer": (optimizers, optimizers.Adam(0.3)),
}


@pytest.mark.parametrize("kind", sorted(THINGS))
def test_every_module_serialises_and_gets(kind):
    module, thing = THINGS[kind]
    for there, back in (
        (module.serialize, module.deserialize),
        (utils.serialize_keras_object, utils.deserialize_keras_object),
        (keras.saving.serialize_keras_object, keras.saving.deserialize_keras_object),
    ):
        form = there(thing)
        assert json.loads(json.dumps(form)) == json.loads(json.dumps(there(back(form))))
        assert type(back(form)) is type(thing)
    if kind != "layer":
        assert module.get(thing) is thing
        with pytest.raises(TypeError):
            module.get(3.5)


@pytest.mark.parametrize(
    ("module", "bases"),
    [
        ("regularizers", "Regularizer"),
        ("constraints", "Constraint"),
        ("initializers", "Initializer"),
        ("losses", "Loss"),
        ("optimizers", "Optimizer"),
        ("metrics", "Metric MeanMetricWrapper"),
        ("layers", "Layer"),
    ],
)
def test_messages_offer_no_classes_to_derive_from(module, bases):
    """Some are found by name, as in Keras, but are not what a typing error meant."""
    known = getattr(keras, module)
    for base in bases.split():
        with pytest.raises(ValueError, match="There are: ") as caught:
            known.deserialize({"class_name": base[:-1] + "z", "config": {}})
        hint, _, offered = str(caught.value).partition("There are: ")
        offered = offered.rstrip(".").split(", ")
        assert len(offered) > 3
        assert not {base, snake_case(base)} & set(offered)
        assert f"{base!r}" not in hint
        assert f"{snake_case(base)!r}" not in hint
    if module in ("regularizers", "constraints"):
        assert type(known.get(bases.lower())) is getattr(known, bases)


def test_serialising_what_is_nothing():
    assert utils.serialize_keras_object([1, {"a": "b"}, None]) == [1, {"a": "b"}, None]
    assert utils.deserialize_keras_object([1, {"a": "b"}, None]) == [1, {"a": "b"}, None]
    with pytest.raises(TypeError, match="no get_config"):
        utils.serialize_keras_object(object())
    with pytest.raises(ValueError, match=r"'os\.system'"):
        utils.deserialize_keras_object({"module": "os", "class_name": "os.system", "config": {}})


# ---- helpers -------------------------------------------------------------------------------------------


def test_normalize(rng):
    x = rng.normal(size=(5, 3))
    x[2] = 0
    for order in (1, 2, np.inf):
        for axis in (-1, 0, 1):
            norm = np.linalg.norm(x, order, axis, keepdims=True)
            np.testing.assert_allclose(utils.normalize(x, axis, order), x / np.where(norm == 0, 1, norm))
    assert not utils.normalize(x)[2].any()
    np.testing.assert_allclose(utils.normalize([[3, 4]]), [[0.6, 0.8]])
    np.testing.assert_allclose(utils.normalize([3.0, 4.0]), [0.6, 0.8])
    with pytest.raises(ValueError, match="axis=2"):
        utils.normalize(x, 2)
    with pytest.raises(TypeError, match="numbers"):
        utils.normalize(["a"])


@pytest.mark.parametrize(
    ("sizes", "left", "right"),
    [
        ({"left_size": 0.8}, 8, 2),
        ({"right_size": 0.25}, 8, 2),
        ({"left_size": 3}, 3, 7),
        ({"left_size": 3, "right_size": 2}, 3, 2),
        ({"left_size": 0.5, "right_size": 0.2}, 5, 2),
        ({"left_size": np.int64(4)}, 4, 6),
    ],
)
def test_split_dataset(sizes, left, right):
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    first, last = utils.split_dataset((x, y), **sizes)
    assert np.array_equal(first[0], x[:left])
    assert np.array_equal(first[1], y[:left])
    assert np.array_equal(last[1], y[10 - right :])
    assert np.shares_memory(first[0], x)
    alone, _ = utils.split_dataset(x, **sizes)
    assert np.array_equal(alone, x[:left])
    mixed, rest = utils.split_dataset([x, y], shuffle=True, seed=4, **sizes)
    again, _ = utils.split_dataset([x, y], shuffle=True, seed=4, **sizes)
    assert np.array_equal(mixed[0], again[0])
    assert np.array_equal(mixed[0][:, 0], 2 * mixed[1]), "rows stay together"
    assert len(set(mixed[1]) | set(rest[1])) == left + right


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        ({}, ["left_size or right_size"]),
        ({"left_size": 1.5}, ["left_size", "1.5"]),
        ({"left_size": 0}, ["left_size", "0"]),
        ({"left_size": 10}, ["left_size", "10"]),
        ({"left_size": 0.01}, ["left_size", "0.01"]),
        ({"left_size": 6, "right_size": 5}, ["6", "5", "10"]),
        ({"left_size": "most"}, ["left_size", "most"]),
        ({"left_size": 2, "preferred_backend": "torch"}, ["preferred_backend", "torch"]),
    ],
)
def test_split_dataset_bad_sizes(sizes, names):
    with pytest.raises((ValueError, TypeError, NotImplementedError)) as caught:
        utils.split_dataset(np.arange(10), **sizes)
    assert all(name in str(caught.value) for name in names)
    with pytest.raises(ValueError, match="equal, positive"):
        utils.split_dataset([np.arange(10), np.arange(9)], left_size=2)


def test_packing():
    assert utils.pack_x_y_sample_weight(1) == 1
    assert utils.pack_x_y_sample_weight([1]) == ([1],)
    assert utils.pack_x_y_sample_weight(1, 2) == (1, 2)
    assert utils.unpack_x_y_sample_weight((1, 2)) == (1, 2, None)
    assert utils.unpack_x_y_sample_weight(1) == (1, None, None)
    with pytest.raises(ValueError, match="length 4"):
        utils.unpack_x_y_sample_weight((1, 2, 3, 4))


# ---- initializers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 4), (4, 1), (2, 3, 4)])
def test_orthogonal(shape):
    values = initializers.Orthogonal(gain=2.0, seed=1)(shape, "float64").reshape(-1, shape[-1])
    small = values.T @ values if values.shape[0] >= values.shape[1] else values @ values.T
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)
    assert np.array_equal(initializers.Orthogonal(2.0, 1)(shape, "float64").reshape(values.shape), values)


def test_orthogonal_is_uniform_over_signs():
    """Without R's signs, the first entry of Q would be negative always."""
    firsts = [initializers.Orthogonal(seed=s)((3, 3))[0, 0] for s in range(200)]
    assert 60 < sum(value > 0 for value in firsts) < 140


def test_identity():
    assert initializers.Identity(3.0)((2, 3), "float32").tolist() == [[3, 0, 0], [0, 3, 0]]
    assert initializers.Identity()((2, 2)).dtype == np.float32
    for kind in (initializers.Identity(), initializers.Orthogonal()):
        with pytest.raises(ValueError, match="matrices"):
            kind((3,))


@pytest.mark.parametrize(
    "name", ["identity", "Identity", "IdentityInitializer", "orthogonal", "OrthogonalInitializer"]
)
def test_late_initializers_by_name(name):
    found = initializers.get(name)
    assert isinstance(found, getattr(initializers, name))
    assert initializers.deserialize(initializers.serialize(found)).get_config() == found.get_config()
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3, kernel_initializer=name)])
    assert abs(np.linalg.det(model.get_weights()[0])) == pytest.approx(1)


def test_an_initializer_that_is_refused():
    with pytest.raises(NotImplementedError, match="stft"):
        initializers.get("stft")
    with pytest.raises(AttributeError, match="STFT is not in fastnn on purpose: it makes the kernels"):
        _ = initializers.STFT
