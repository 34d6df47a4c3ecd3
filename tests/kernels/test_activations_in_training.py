"""Every activation in whole trainings, on every path: against the oracle, and the same bits everywhere."""

import pickle

import numpy as np
import oracle
import pytest
from oracle import SPECIFICATIONS, Net
from support import (
    central_differences,
    compiled,
    digest,
    gradient_case,
    instruction_set,
    random_weights,
    train,
)

import fastnn.kernels as k
from fastnn.kernels import runtime

UNBOUNDED = ("exponential", "log_softmax")  # which training soon leads beyond all numbers

# inputs, units of the hidden layers, outputs, rows, batch; the activation under test stands where None does
PATHS = {
    "one call a step": (3, [(7, None)], 1, 30, 10),
    "tiny first layer": (5, [(19, None), (9, "tanh")], 2, 45, 16),
    "tiny, behind": (6, [(11, "relu"), (8, None)], 3, 33, 33),
    "wide": (20, [(70, None), (33, None)], 4, 61, 30),
    "narrow": (80, [(5, None), (24, "tanh"), (2, None)], 9, 50, 32),
    "last layer": (7, [(12, "tanh")], None, 40, 16),
    "last layer of few units": (7, [(12, "tanh")], "two", 40, 16),
    "blocks of rows": (4, [(21, None)], 3, 600, 600),
}


def network(path, specification):
    inputs, hidden, outputs, rows, batch = PATHS[path]
    layers = [
        (units, specification if what is None else what, i != 1) for i, (units, what) in enumerate(hidden)
    ]
    last = {None: (17, specification, True), "two": (2, specification, True)}
    layers.append(last.get(outputs) or (outputs, "linear", True))
    rng = np.random.default_rng(8)
    return layers, inputs, rng.normal(size=(rows, inputs)), rng.normal(size=(rows, layers[-1][0])), batch


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_against_the_oracle(specification, path):
    """On the best instruction set: the next test says that the others give the same bits."""
    layers, inputs, x, y, batch = network(path, specification)
    rate, scale = (1e-4, 0.3) if specification in UNBOUNDED else (0.02, 1.0)
    weights = random_weights(layers, inputs, np.random.default_rng(4), scale=scale)
    net = compiled(layers, inputs, np.float64, weights, "mean_squared_error", learning_rate=rate)
    np.testing.assert_allclose(net.predict(x), Net(layers, weights).predict(x), rtol=1e-9, atol=1e-12)
    for rows in (1, 3):
        np.testing.assert_allclose(
            net.predict(x[:rows]), Net(layers, weights).predict(x[:rows]), rtol=1e-9, atol=1e-12
        )
    epochs = 3
    training = train(net, x, y, epochs=epochs, batch_size=batch)
    twin = Net(layers, weights)
    orders = [np.arange(len(x))] * epochs
    logs = twin.fit("mean_squared_error", oracle.SGD(rate), x, y, batch_size=batch, orders=orders)
    np.testing.assert_allclose(training.logs, logs, rtol=1e-8, atol=1e-10)
    for got, want in zip(net.weights(), twin.weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_same_bits_for_every_thread_count_and_instruction_set(specification, path, dtype):
    layers, inputs, x, y, batch = network(path, specification)
    weights = random_weights(layers, inputs, np.random.default_rng(4), dtype)
    x, y = x.astype(dtype), y.astype(dtype)
    found = {}
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            for threads in (1, 3):
                net = compiled(layers, inputs, dtype, weights, "mean_squared_error", optimizer="adam")
                training = train(net, x, y, epochs=2, batch_size=batch, shuffle=True, num_threads=threads)
                found[isa, threads] = digest(
                    [*net.weights(), training.logs, net.predict(x), net.predict(x[:1])]
                )
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error"])
@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_gradients_against_central_differences(specification, loss, isa):
    layers, weights, x, y = gradient_case(
        "linear", loss, False, hidden=(specification, "tanh", specification)
    )
    net = Net(layers, weights)
    want = central_differences(lambda: net.loss(loss, False, x, y), net.weights)
    trained = compiled(layers, x.shape[1], np.float64, weights, loss, learning_rate=1.0)
    train(trained, x, y, epochs=1, batch_size=len(x))
    for before, after, g in zip(weights, trained.weights(), want, strict=True):
        np.testing.assert_allclose(before - after, g, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_a_step_written_over_the_kernels(specification, rng):
    """What docs/kernels.md invites users to write: the derivative gets what activation_reads says."""
    name, p = (specification, ()) if isinstance(specification, str) else specification
    layers = [(9, specification, True), (2, "linear", True)]
    weights = random_weights(layers, 6, rng)
    x, y = rng.normal(size=(31, 6)), rng.normal(size=(31, 2))
    trained = compiled(layers, 6, np.float64, weights, "mean_squared_error", learning_rate=0.1)
    train(trained, x, y, epochs=1, batch_size=31)
    w1, b1, w2, b2 = weights
    z = k.dense_forward(x, w1, b1)
    a = k.activation_forward(name, z, parameters=p)
    d2 = k.loss_backward("mean_squared_error", y, k.dense_forward(a, w2, b2))
    da, dw2, db2 = k.dense_backward(a, w2, d2)
    read = z if k.activation_reads(name) == "input" else a
    _, dw1, db1 = k.dense_backward(x, w1, k.activation_backward(name, read, da, parameters=p), need_dx=False)
    for got, start, g in zip(trained.weights(), weights, (dw1, db1, dw2, db2), strict=True):
        np.testing.assert_allclose(got, start - 0.1 * g, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("specification", [s for s in SPECIFICATIONS if s not in UNBOUNDED], ids=str)
def test_in_bfloat16(specification):
    """Products in bfloat16 leave activations in float32, with their parameters."""
    layers = [(64, specification, True), (48, specification, True), (3, "linear", True)]
    rng = np.random.default_rng(2)
    weights = random_weights(layers, 32, rng, np.float32)
    x = rng.normal(size=(256, 32)).astype("f4")
    y = np.tanh(x[:, :3])
    logs = {}
    for precision in (None, "bfloat16"):
        net = compiled(layers, 32, np.float32, weights, "mean_squared_error")
        net.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.01}, [], precision)
        logs[precision] = train(net, x, y, epochs=4, batch_size=64).logs[:, 0]
    np.testing.assert_allclose(logs["bfloat16"], logs[None], rtol=0.05)


@pytest.mark.parametrize(
    ("specification", "names"),
    [
        (("elu", ()), ["elu", "1", "0"]),
        (("relu", (1,)), ["relu", "0", "1"]),
        (("elu", (float("nan"),)), ["elu", "nan"]),
        (("uel", (1,)), ["uel", "elu"]),
        (("elu",), ["activation"]),
        (3, ["activation", "3"]),
    ],
)
def test_wrong_specifications(specification, names):
    from fastnn.kernels.network import Network

    with pytest.raises((ValueError, TypeError)) as caught:
        Network(3, [(2, specification, True)], "float32")
    for name in names:
        assert name in str(caught.value)


def test_a_network_is_copied_with_its_parameters():
    from fastnn.inference import Predictor
    from fastnn.kernels.network import Network

    net = Network(3, [(4, ("elu", (0.3,)), True), (2, ["leaky_relu", [0.1]], False)], "float64")
    again = pickle.loads(pickle.dumps(Predictor(net)))
    x = np.random.default_rng(1).normal(size=(5, 3))
    assert digest([net.predict(x)]) == digest([again(x)])
