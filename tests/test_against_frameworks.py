"""The same networks in Keras and PyTorch, where installed: same weights, same data, same results."""

import functools
import inspect

import numpy as np
import pytest
from support import mlp

import fastnn

LAYERS = ((7, "relu"), (6, "tanh"))
CASES = {
    "mse sgd": (2, None, "mse", lambda k: k.optimizers.SGD(0.05), lambda r: r.normal(size=(50, 2))),
    "mae nesterov": (
        2,
        None,
        "mae",
        lambda k: k.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        lambda r: r.normal(size=(50, 2)),
    ),
    "bce adam": (
        1,
        "sigmoid",
        "binary_crossentropy",
        lambda k: k.optimizers.Adam(0.01),
        lambda r: r.integers(0, 2, (50, 1)).astype("f4"),
    ),
    "cce momentum": (
        3,
        "softmax",
        "categorical_crossentropy",
        lambda k: k.optimizers.SGD(0.05, momentum=0.9),
        lambda r: np.eye(3, dtype="f4")[r.integers(0, 3, 50)],
    ),
    "scce adam": (
        3,
        "softmax",
        "sparse_categorical_crossentropy",
        lambda k: k.optimizers.Adam(0.01),
        lambda r: r.integers(0, 3, 50),
    ),
}


OPTIMIZERS = {
    "sgd decaying": lambda o: o.SGD(0.05, momentum=0.9, weight_decay=0.1),
    "sgd clipped": lambda o: o.SGD(0.05, clipvalue=0.02),
    "rmsprop": lambda o: o.RMSprop(0.01),
    "rmsprop momentum": lambda o: o.RMSprop(0.01, rho=0.8, momentum=0.7, epsilon=1e-3),
    "rmsprop centered": lambda o: o.RMSprop(0.01, centered=True, epsilon=1e-3),
    "rmsprop both": lambda o: o.RMSprop(0.01, momentum=0.5, centered=True, epsilon=1e-3),
    "amsgrad": lambda o: o.Adam(0.01, beta_2=0.8, amsgrad=True),
    "adamw": lambda o: o.AdamW(0.01, weight_decay=0.2),
    "adamax": lambda o: o.Adamax(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
    "nadam": lambda o: o.Nadam(0.01),
    "nadam both": lambda o: o.Nadam(0.01, beta_1=0.8, weight_decay=0.1, clipvalue=0.05),
    "adagrad": lambda o: o.Adagrad(0.1, initial_accumulator_value=0.2, epsilon=1e-3),
    "adadelta": lambda o: o.Adadelta(2.0, rho=0.9, epsilon=1e-4),
    "lion": lambda o: o.Lion(0.003, beta_1=0.8, beta_2=0.95),
    "ftrl": lambda o: o.Ftrl(0.1),
    "ftrl regularized": lambda o: o.Ftrl(
        0.2,
        learning_rate_power=-0.4,
        initial_accumulator_value=0.3,
        l1_regularization_strength=0.01,
        l2_regularization_strength=0.02,
        l2_shrinkage_regularization_strength=0.03,
        beta=0.1,
    ),
    "exponential": lambda o: o.SGD(o.schedules.ExponentialDecay(0.1, 3, 0.8)),
    "staircase": lambda o: o.Adam(o.schedules.InverseTimeDecay(0.05, 3, 0.5, staircase=True)),
    "polynomial": lambda o: o.SGD(o.schedules.PolynomialDecay(0.1, 32, 0.02, power=1.5), weight_decay=0.1),
    "piecewise": lambda o: o.Nadam(o.schedules.PiecewiseConstantDecay([2, 7], [0.01, 0.02, 0.005])),
    "cosine": lambda o: o.RMSprop(o.schedules.CosineDecay(0.001, 9, 0.1, warmup_target=0.02, warmup_steps=4)),
    "restarts": lambda o: o.SGD(o.schedules.CosineDecayRestarts(0.1, 3.5, t_mul=1.5, m_mul=0.8)),
}


@pytest.mark.parametrize("case", sorted(OPTIMIZERS))
def test_keras_optimizers(case, rng):
    keras = pytest.importorskip("keras")
    make = OPTIMIZERS[case]
    x, y = rng.normal(size=(50, 4)).astype("f4"), rng.normal(size=(50, 2)).astype("f4")
    model = mlp(4, (7, "tanh"), (2, None), optimizer=make(fastnn.optimizers), loss="mse")
    layers = [keras.layers.Dense(7, activation="tanh"), keras.layers.Dense(2)]
    twin = keras.Sequential([keras.Input((4,)), *layers])
    twin.compile(optimizer=make(keras.optimizers), loss="mse")
    twin.set_weights(model.get_weights())
    for epochs in (2, 3):  # the second fit goes on
        arguments = {"epochs": epochs, "batch_size": 16, "shuffle": False, "verbose": 0}
        ours, theirs = model.fit(x, y, **arguments).history, twin.fit(x, y, **arguments).history
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-4, atol=1e-6)
    assert int(model.optimizer.iterations) == int(twin.optimizer.iterations)
    for got, want in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)
    rate = float(np.asarray(twin.optimizer.learning_rate))
    assert float(model.optimizer.learning_rate) == pytest.approx(rate, rel=1e-5)
    mine, its = model.optimizer.get_config(), twin.optimizer.get_config()
    assert mine.keys() == its.keys()
    for key in set(mine) - {"learning_rate", "name"}:
        assert mine[key] == its[key], key


def test_optimizers_and_schedules_have_the_arguments_of_keras():
    keras = pytest.importorskip("keras")
    found = 0
    for ours, theirs in (
        (fastnn.optimizers, keras.optimizers),
        (fastnn.optimizers.schedules, keras.optimizers.schedules),
    ):
        for name in set(ours.__all__) & set(dir(theirs)):
            if not inspect.isclass(getattr(ours, name)) or name in ("Optimizer", "LearningRateSchedule"):
                continue
            mine, its = (inspect.signature(getattr(m, name)).parameters for m in (ours, theirs))
            assert [(k, p.default) for k, p in mine.items()] == [(k, p.default) for k, p in its.items()], name
            found += 1
    assert found == 19


SCHEDULES = {
    "exponential": lambda s: s.ExponentialDecay(0.1, 70, 0.9),
    "exponential staircase": lambda s: s.ExponentialDecay(0.1, 70, 0.9, staircase=True),
    "inverse time": lambda s: s.InverseTimeDecay(0.1, 70, 0.5),
    "inverse time staircase": lambda s: s.InverseTimeDecay(0.1, 70, 0.5, staircase=True),
    "polynomial": lambda s: s.PolynomialDecay(0.1, 1000, 0.01, power=2.5),
    "polynomial cycle": lambda s: s.PolynomialDecay(0.1, 128, 0.01, power=0.5, cycle=True),
    "piecewise": lambda s: s.PiecewiseConstantDecay([0, 500, 1000], [0.4, 0.3, 0.2, 0.1]),
    "cosine": lambda s: s.CosineDecay(0.1, 1000, alpha=0.05),
    "cosine warm-up": lambda s: s.CosineDecay(0.01, 1000, 0.1, warmup_target=0.2, warmup_steps=170),
    "restarts": lambda s: s.CosineDecayRestarts(0.1, 100.3),
    "restarts of one length": lambda s: s.CosineDecayRestarts(0.1, 100.3, 1.0, 0.9, 0.1),
    "restarts, longer": lambda s: s.CosineDecayRestarts(0.1, 100.3, 1.3, 0.8),
}


@pytest.mark.parametrize("case", sorted(SCHEDULES))
def test_keras_schedules(case):
    keras = pytest.importorskip("keras")
    ours, theirs = (SCHEDULES[case](m.optimizers.schedules) for m in (fastnn, keras))
    assert ours.get_config() == theirs.get_config()
    steps = range(0, 2000, 37)
    wanted = [float(theirs(step)) for step in steps]
    # theirs is float32, and a restart's number comes from a quotient of logarithms
    np.testing.assert_allclose([ours(step) for step in steps], wanted, rtol=2e-4, atol=1e-6)
    compiled = ours.native_rates()
    np.testing.assert_allclose([compiled(step) for step in steps], wanted, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("case", sorted(CASES))
def test_keras(case, rng):
    keras = pytest.importorskip("keras")
    outputs, activation, loss, optimizer, target = CASES[case]
    x, y = rng.normal(size=(50, 4)).astype("f4"), target(rng)
    weight = rng.uniform(0, 2, size=50).astype("f4")
    model = mlp(
        4, *LAYERS, (outputs, activation), optimizer=optimizer(fastnn), loss=loss, metrics=["accuracy"]
    )
    layers = [keras.layers.Dense(units, activation=name) for units, name in (*LAYERS, (outputs, activation))]
    twin = keras.Sequential([keras.Input((4,)), *layers])
    twin.compile(optimizer=optimizer(keras), loss=loss, metrics=["accuracy"])
    twin.set_weights(model.get_weights())
    arguments = {
        "epochs": 4,
        "batch_size": 16,
        "shuffle": False,
        "verbose": 0,
        "validation_split": 0.2,
        "sample_weight": weight,
    }
    ours, theirs = model.fit(x, y, **arguments).history, twin.fit(x, y, **arguments).history
    assert list(ours) == list(theirs)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    for got, want in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), twin.evaluate(x, y, verbose=0), rtol=1e-4)
    np.testing.assert_allclose(model.predict(x, verbose=0), twin.predict(x, verbose=0), rtol=1e-3, atol=1e-4)


def test_keras_config_of_a_layer():
    keras = pytest.importorskip("keras")
    ours = fastnn.layers.Dense(3, activation="relu", name="a").get_config()
    theirs = keras.layers.Dense(3, activation="relu", name="a").get_config()
    assert {name: ours[name] for name in ("units", "activation", "use_bias", "name")} == {
        name: theirs[name] for name in ("units", "activation", "use_bias", "name")
    }


def test_torch(rng):
    torch = pytest.importorskip("torch")
    x, y = rng.normal(size=(40, 4)), rng.integers(0, 3, 40)
    model = mlp(
        4,
        (7, "tanh"),
        (3, "softmax"),
        dtype="float64",
        optimizer=fastnn.optimizers.Adam(0.01, epsilon=1e-9),
        loss="sparse_categorical_crossentropy",
    )
    twin = torch.nn.Sequential(torch.nn.Linear(4, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)).double()
    weights = model.get_weights()
    with torch.no_grad():
        for layer, kernel, bias in ((twin[0], *weights[:2]), (twin[2], *weights[2:])):
            layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01, eps=1e-9)
    xt, yt = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(5):
        for start in range(0, 40, 16):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(twin(xt[start : start + 16]), yt[start : start + 16]).backward()
            optimizer.step()
    model.fit(x, y, epochs=5, batch_size=16, shuffle=False, verbose=0)
    # Where epsilon is added differs between the two: it is small here.
    np.testing.assert_allclose(
        model.get_weights()[0], twin[0].weight.detach().numpy().T, rtol=1e-4, atol=1e-6
    )


def test_scikit_learn_loss(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    x, y = rng.normal(size=(40, 4)), rng.integers(0, 3, 40)
    model = mlp(
        4,
        (3, "softmax"),
        dtype="float64",
        optimizer="sgd",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    loss, accuracy = model.evaluate(x, y, verbose=0)
    p = model.predict(x, verbose=0)
    assert loss == pytest.approx(metrics.log_loss(y, p, labels=[0, 1, 2]), rel=1e-6)
    assert accuracy == pytest.approx(metrics.accuracy_score(y, p.argmax(axis=1)))


STACKS = {
    "batch normalisation": lambda k: [
        k.layers.Dense(7),
        k.layers.BatchNormalization(momentum=0.8),
        k.layers.Activation("relu"),
        k.layers.Dense(6, activation="tanh"),
        k.layers.BatchNormalization(center=False, epsilon=0.1),
        k.layers.Dense(2),
    ],
    "layer normalisation": lambda k: [
        k.layers.LayerNormalization(),
        k.layers.Dense(9, activation="tanh"),
        k.layers.LayerNormalization(scale=False, epsilon=0.05),
        k.layers.Dense(2),
        k.layers.RMSNormalization(),
        k.layers.Softmax(),
    ],
    "prelu": lambda k: [k.layers.Dense(5), k.layers.PReLU(alpha_initializer="ones"), k.layers.Dense(2)],
    "scaled": lambda k: [
        k.layers.Rescaling(0.5, offset=-1.0),
        k.layers.Normalization(mean=[1.0, 2.0, 0.0, 1.0], variance=[1.0, 4.0, 0.5, 0.0]),
        k.layers.Dense(5, activation="tanh"),
        k.layers.Flatten(),
        k.layers.Dense(2, activation="linear"),
        k.layers.Activation("sigmoid"),
    ],
    "at the end": lambda k: [
        k.layers.Dense(5, activation="relu"),
        k.layers.Dense(2),
        k.layers.BatchNormalization(),
    ],
    "nothing dropped": lambda k: [
        k.layers.Dropout(0.0),
        k.layers.Dense(5, activation="relu"),
        k.layers.GaussianNoise(0.0),
        k.layers.Dense(2),
    ],
}


@pytest.mark.parametrize("name", sorted(STACKS))
def test_keras_layers(name, rng):
    keras = pytest.importorskip("keras")
    x, y = rng.normal(size=(60, 4)).astype("f4"), rng.normal(size=(60, 2)).astype("f4")
    found = []
    model = fastnn.Sequential([fastnn.Input((4,)), *STACKS[name](fastnn)])
    twin = keras.Sequential([keras.Input((4,)), *STACKS[name](keras)])
    weights = [rng.uniform(0.5, 1.5, size=w.shape) for w in model.get_weights()]
    for one, its in ((model, fastnn), (twin, keras)):
        one.compile(its.optimizers.SGD(0.05), "mse")
    # Normalization has weights of its own in Keras, before all others here
    place = [
        i for i, w in enumerate(twin.get_weights()) if name != "scaled" or i >= len(twin.get_weights()) - 4
    ]
    theirs = twin.get_weights()
    for i, w in zip(place, weights, strict=True):
        theirs[i] = w.astype("f4")
    model.set_weights(weights)
    twin.set_weights(theirs)
    arguments = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0, "validation_split": 0.2}
    for one in (model, twin):
        found.append(one.fit(x, y, **arguments).history)
    for key in found[1]:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=1e-3, atol=1e-5)
    after = twin.get_weights()
    for got, i in zip(model.get_weights(), place, strict=True):
        np.testing.assert_allclose(got, after[i], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.predict(x, verbose=0), twin.predict(x, verbose=0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", sorted(STACKS))
def test_keras_configurations_of_layers(name):
    """What Keras writes of a layer, fastnn reads, and the other way round."""
    keras = pytest.importorskip("keras")
    for ours, theirs in zip(STACKS[name](fastnn), STACKS[name](keras), strict=True):
        given = theirs.get_config()
        assert set(given) == set(ours.get_config()), type(ours).__name__
        type(ours).from_config(given)
        type(theirs).from_config(ours.get_config())


# (function, arguments): every one of Keras's but sparsemax (below), and arguments that change what is
# computed
ACTIVATIONS = [
    *((name, {}) for name in sorted(fastnn.activations.FUNCTIONS) if name not in ("threshold", "sparsemax")),
    ("threshold", {"threshold": 0.3, "default_value": -1.2}),
    ("relu", {"negative_slope": 0.1}),
    ("relu", {"max_value": 1.5}),
    ("relu", {"threshold": 0.4}),
    ("relu", {"threshold": -0.4}),
    ("relu", {"negative_slope": 0.1, "max_value": 2.0, "threshold": 0.4}),
    ("relu", {"negative_slope": 0.1, "max_value": 2.0, "threshold": -0.4}),
    ("relu", {"negative_slope": -0.3}),
    ("relu", {"negative_slope": 0.2, "max_value": 6}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("elu", {"alpha": 0.4}),
    ("celu", {"alpha": 0.4}),
    ("gelu", {"approximate": True}),
    ("squareplus", {"b": 0.1}),
    ("soft_shrink", {"threshold": 1.0}),
    ("hard_shrink", {"threshold": 1.0}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {"axis": 0}),
    ("glu", {"axis": 0}),
]


@pytest.mark.parametrize(("name", "arguments"), ACTIVATIONS, ids=str)
def test_activations_of_keras(name, arguments, rng):
    """On arrays, and through the compiled routine, with gradients by JAX where that is Keras's backend."""
    keras = pytest.importorskip("keras")
    z = (3 * rng.normal(size=(10, 8))).astype("f4")
    theirs, ours = getattr(keras.activations, name), getattr(fastnn.activations, name)
    want = np.asarray(theirs(z, **arguments))
    np.testing.assert_allclose(ours(z, **arguments), want, rtol=1e-5, atol=2e-6)
    bound = ours.with_arguments(**arguments)
    compiled = bound.form.compiled and "axis" not in arguments
    if compiled:
        got = fastnn.kernels.activation_forward(bound.name, z, parameters=bound.parameters)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-6)
    if keras.backend.backend() != "jax":
        return
    import jax

    da = rng.normal(size=want.shape).astype("f4")
    dz = np.asarray(jax.grad(lambda z: (theirs(z, **arguments) * da).sum())(z))
    np.testing.assert_allclose(bound.backward(z, da), dz, rtol=1e-4, atol=1e-5)
    if compiled:
        read = z if bound.form.reads == "input" else got
        back = fastnn.kernels.activation_backward(bound.name, read, da, parameters=bound.parameters)
        np.testing.assert_allclose(back, dz, rtol=1e-4, atol=1e-5)


def test_keras_has_no_other_activations():
    keras = pytest.importorskip("keras")
    theirs = {name for name in dir(keras.activations) if not name.startswith("_")}
    assert theirs <= set(fastnn.activations.__all__)
    for name in theirs - {"get", "serialize", "deserialize"}:
        found = inspect.signature(getattr(fastnn.activations, name)).parameters
        want = inspect.signature(getattr(keras.activations, name)).parameters
        assert [(p, v.default) for p, v in found.items()] == [(p, v.default) for p, v in want.items()], name


@pytest.mark.parametrize(
    ("name", "arguments"),
    [case for case in ACTIVATIONS if case[0] not in ("glu", "sparsemax") and "axis" not in case[1]],
    ids=str,
)
def test_training_with_each_activation_as_keras_does(name, arguments, rng):
    keras = pytest.importorskip("keras")
    x, y = rng.normal(size=(40, 5)).astype("f4"), rng.normal(size=(40, 2)).astype("f4")

    def layers_of(activations):
        own = functools.partial(getattr(activations, name), **arguments)
        # one behind the other, these two soon leave the range of numbers
        return (9, own), (6, "tanh" if name in ("exponential", "log_softmax") else own), (2, None)

    model = mlp(5, *layers_of(fastnn.activations), optimizer=fastnn.optimizers.SGD(0.01), loss="mse")
    layers = [keras.layers.Dense(units, activation=f) for units, f in layers_of(keras.activations)]
    twin = keras.Sequential([keras.Input((5,)), *layers])
    twin.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    twin.set_weights(model.get_weights())
    options = {"epochs": 4, "batch_size": 16, "shuffle": False, "verbose": 0, "validation_split": 0.2}
    ours, theirs = model.fit(x, y, **options).history, twin.fit(x, y, **options).history
    assert set(ours) == set(theirs)
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-3, atol=1e-5)
    for got, want in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


def test_sparsemax_differs_from_keras_only_where_that_gives_no_probabilities(rng):
    """Keras 3 adds up all partial sums of the support, not the last alone: most rows do not sum to 1."""
    keras = pytest.importorskip("keras")
    z = (3 * rng.normal(size=(300, 8))).astype("f4")
    theirs, ours = np.asarray(keras.activations.sparsemax(z)), fastnn.activations.sparsemax(z)
    np.testing.assert_allclose(ours.sum(axis=1), 1, rtol=1e-6)
    right = np.abs(theirs.sum(axis=1) - 1) < 1e-5
    assert 20 < right.sum() < 300
    np.testing.assert_allclose(ours[right], theirs[right], rtol=1e-5, atol=2e-6)
