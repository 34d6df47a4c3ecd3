"""What stands between dense layers.

Forward against NumPy, gradients against central differences of the loss that is reported.
"""

import numpy as np
import pytest
from chance import dropped, normals
from support import THREADS, central_differences, digest, instruction_set, train

from fastnn.kernels import runtime
from fastnn.kernels.network import Network
from fastnn.kernels.planning import OPERATIONS
from fastnn.kernels.threads import openmp

SCALE, OFFSET = np.array([2.0, -1.0, 0.5, 3.0, 1.0]), np.array([0.0, 1.0, -0.5, 0.25, 2.0])
SELU = -1.7580993408473766
# name: (specification for five inputs, outputs)
NETWORKS = {
    "activation after normalisation": [
        (7, "linear", True),
        ("layer_norm", (1e-3, 1.0)),
        ("activation", "tanh"),
        (2, "linear", True),
    ],
    "row-wise activation": [(7, "linear", False), ("prelu",), ("activation", "softmax"), (2, "linear", True)],
    "scaled input": [("affine", SCALE, OFFSET), (6, "tanh", True), (2, "linear", True)],
    "scaled in the middle": [(5, "tanh", True), ("affine", SCALE, OFFSET), (2, "linear", True)],
    "prelu": [(18, "linear", True), ("prelu",), (2, "linear", True)],
    "prelu on the input": [("prelu",), (4, "tanh", True), (2, "linear", True)],
    "layer norm without offset": [
        (9, "tanh", True),
        ("layer_norm", (1e-2, 1.0), (True, False)),
        (2, "linear", True),
    ],
    "layer norm without scale": [
        (9, "tanh", True),
        ("layer_norm", (1e-2, 1.0), (False, True)),
        (2, "linear", True),
    ],
    "layer norm of rows' squares": [(33, "tanh", True), ("layer_norm", (1e-2, 0.0)), (2, "linear", True)],
    "residual": [
        (6, "tanh", True),
        ("split",),
        (9, "relu", True),
        (6, "linear", True),
        ("add",),
        (2, "linear", True),
    ],
    "residual of the input": [("split",), (5, "tanh", True), ("add",), (2, "linear", True)],
    "residual within a residual": [
        (6, "tanh", True),
        ("split",),
        (4, "tanh", True),
        ("split",),
        ("layer_norm", (1e-3, 1.0)),
        (4, "tanh", True),
        ("add",),
        (6, "linear", True),
        ("add",),
        (2, "linear", True),
    ],
    "behind a narrow layer": [
        (70, "tanh", True),
        (3, "sigmoid", True),
        ("layer_norm", (1e-3, 1.0)),
        (2, "linear", True),
    ],
    "residual behind a narrow layer": [
        (70, "tanh", True),
        (3, "tanh", True),
        ("split",),
        (3, "linear", True),
        ("prelu",),
        ("add",),
        (2, "linear", True),
    ],
    "batch norm": [(9, "tanh", True), ("batch_norm", (1e-2, 0.9)), (2, "linear", True)],
    "batch norm of the input, without offset": [
        ("batch_norm", (1e-2, 0.9), (True, False)),
        (4, "tanh", True),
        (2, "linear", True),
    ],
    "batch norms": [
        (70, "linear", True),
        ("batch_norm", (1e-2, 0.9)),
        ("batch_norm", (1e-2, 0.5), (False, True)),
        ("activation", "tanh"),
        (3, "tanh", True),
        ("batch_norm", (1e-2, 0.9)),
        (20, "relu", True),
        ("split",),
        ("batch_norm", (1e-2, 0.9)),
        ("add",),
        (2, "linear", True),
    ],
    "batch norm at the end": [(20, "tanh", True), ("batch_norm", (1e-1, 0.9)), ("activation", "sigmoid")],
    "at the end": [(70, "tanh", True), (3, "tanh", True), ("layer_norm", (1e-1, 1.0))],
    "at the end of a wide layer": [(20, "tanh", True), ("split",), (20, "tanh", True), ("add",)],
    "an activation at the end": [(4, "tanh", True), ("layer_norm", (1e-1, 1.0)), ("activation", "tanh")],
    "many columns": [
        (130, "linear", True),
        ("layer_norm", (1e-3, 1.0)),
        ("prelu",),
        (5, "tanh", True),
        (1, "linear", True),
    ],
    "penalty": [(7, "tanh", True), ("penalty", (0.1, 0.3)), (2, "linear", True)],
    "penalty behind a narrow layer": [
        (70, "tanh", True),
        (3, "sigmoid", True),
        ("penalty", (0.2, 0.0)),
        (2, "linear", True),
    ],
    "penalties of the input and at the end": [
        ("penalty", (0.1, 0.1)),
        (20, "tanh", True),
        ("penalty", (0.0, 0.5)),
        (3, "tanh", True),
        ("penalty", (0.3, 0.2)),
    ],
    "penalties around a batch norm": [
        (9, "tanh", True),
        ("penalty", (0.1, 0.2)),
        ("batch_norm", (1e-2, 0.9)),
        ("penalty", (0.2, 0.1)),
        (2, "linear", True),
    ],
    "drop": [(7, "tanh", True), ("drop", (0.4, 1 / 0.6, 0.0, 0.0)), (2, "linear", True)],
    "drop of the input": [("drop", (0.4, 1 / 0.6, 0.0, 0.0)), (6, "tanh", True), (2, "linear", True)],
    "alpha drop": [(7, "tanh", True), ("drop", (0.3, 0.8, 0.2, 0.8 * SELU + 0.2)), (2, "linear", True)],
    "noise": [(7, "tanh", True), ("noise", (0.0, 0.5)), (2, "linear", True)],
    "scale": [(70, "tanh", True), (3, "tanh", True), ("scale", (1.0, 0.5)), (2, "linear", True)],
}
IN_TRAINING = ("drop", "drop of the input", "alpha drop", "noise", "scale")


def network(name, dtype, rng, optimizer="sgd", **hyper):
    """A compiled network with random weights."""
    net = Network(5, NETWORKS[name], np.dtype(dtype).name)
    weights = [0.5 * rng.normal(size=w.shape) + (w.ndim == 1) * 0.3 for w in net.weights()]
    net.set_weights(
        [
            (np.abs(w) + 0.1 if was.ndim == 1 and (was == 1).all() else w).astype(dtype)
            for w, was in zip(weights, net.weights(), strict=True)
        ]
    )
    net.compile("mean_squared_error", False, optimizer, hyper, [])
    return net


def forward(name, weights, x, penalties=None):
    """NumPy's outputs, outside training; penalties (OUT): what they add to the rows' losses."""
    left, kept = iter(weights), []
    x = np.asarray(x, np.float64)
    tanh, linear = np.tanh, lambda z: z
    functions = {
        "tanh": tanh,
        "linear": linear,
        "relu": lambda z: np.maximum(z, 0),
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    }
    for entry in NETWORKS[name]:
        kind = entry[0]
        if not isinstance(kind, str):
            x = x @ next(left)
            x = functions[entry[1]](x + (next(left) if entry[2] else 0))
        elif kind == "activation":
            x = functions[entry[1]](x)
        elif kind == "affine":
            x = x * entry[1] + entry[2]
        elif kind == "prelu":
            x = np.maximum(x, 0) + next(left) * np.minimum(x, 0)
        elif kind == "layer_norm":
            used = entry[2] if len(entry) > 2 else (True, True)
            x = x - x.mean(axis=1, keepdims=True) * entry[1][1]
            x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + entry[1][0])
            x = x * (next(left) if used[0] else 1)
            x = x + (next(left) if used[1] else 0)
        elif kind == "batch_norm":
            used = entry[2] if len(entry) > 2 else (True, True)
            gamma, beta = (next(left) if used[0] else 1), (next(left) if used[1] else 0)
            mean, variance = next(left), next(left)
            x = (x - mean) / np.sqrt(variance + entry[1][0]) * gamma + beta
        elif kind == "penalty" and penalties is not None:
            penalties.append((entry[1][0] * np.abs(x) + entry[1][1] * x**2).sum(axis=1))
        elif kind == "split":
            kept.append(x)
        elif kind == "add":
            x = x + kept.pop()
    assert next(left, None) is None
    return x


def test_every_operation_is_in_a_network():
    used = {entry[0] for layers in NETWORKS.values() for entry in layers if isinstance(entry[0], str)}
    assert used == set(OPERATIONS) - {"own"}  # of a user's own: tests/test_own_activations.py


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_predictions(name, dtype, isa, rng):
    net = network(name, dtype, rng)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    for rows in (1, 2, 17, 131):
        x = rng.normal(size=(rows, 5)).astype(dtype)
        penalties = []
        want = forward(name, net.weights(), x, penalties)
        added = sum(penalty.mean() for penalty in penalties)
        np.testing.assert_allclose(net.predict(x), want, rtol=tolerance, atol=tolerance)
        y = rng.normal(size=want.shape).astype(dtype)
        loss = ((want - y) ** 2).mean() + added
        np.testing.assert_allclose(net.evaluate(x, y)[0], loss, rtol=10 * tolerance)
        if name not in IN_TRAINING and "batch" not in name:
            logs = train(network_like(net), x, y, epochs=1, batch_size=rows).logs
            np.testing.assert_allclose(logs[0, 0], loss, rtol=10 * tolerance)


def network_like(net):
    """A copy, compiled to stay as it is."""
    copy = Network(*net.specification)
    copy.set_weights(net.weights())
    copy.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.0}, [])
    return copy


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name, isa, rng):
    """A step of gradient descent with rate one moves every weight by its gradient of the reported loss."""
    net = network(name, np.float64, rng, learning_rate=1.0)
    x = rng.normal(size=(9, 5))
    y = rng.normal(size=(9, net.predict(x).shape[1]))
    weights = net.weights()

    def loss():
        other = network_like(net)
        other.set_weights(weights)
        return train(other, x, y, epochs=1, batch_size=9, seed=5).logs[0, 0]

    want = central_differences(loss, weights)
    before = net.weights()
    train(net, x, y, epochs=1, batch_size=9, seed=5)
    for moves, b, a, g in zip(moving(name), before, net.weights(), want, strict=True):
        if not moves:
            np.testing.assert_allclose(b - a, g, rtol=1e-5, atol=1e-8)


def moving(name):
    """For each weight, whether it is a moving mean or variance."""
    found = []
    for entry in NETWORKS[name]:
        if not isinstance(entry[0], str):
            found += [False] * (2 if entry[2] else 1)
            continue
        used = sum(entry[2]) if len(entry) > 2 and entry[0].endswith("norm") else 2
        vectors = {"prelu": (1, 0), "layer_norm": (used, 0), "batch_norm": (used, 2)}.get(entry[0], (0, 0))
        found += [False] * vectors[0] + [True] * vectors[1]
    return found


@pytest.mark.parametrize("rows", [1, 9, 600])
def test_moving_mean_and_variance(rows, isa, rng):
    net = network("batch norm", np.float64, rng, learning_rate=0.0)
    kernel, bias, gamma, beta, mean, variance, last, last_bias = net.weights()
    x = rng.normal(size=(rows, 5))
    z = np.tanh(x @ kernel + bias)
    loss = train(net, x, np.zeros((rows, 2)), epochs=1, batch_size=rows).logs[0, 0]
    np.testing.assert_allclose(net.weights()[4], 0.9 * mean + 0.1 * z.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.weights()[5], 0.9 * variance + 0.1 * z.var(axis=0), rtol=1e-12)
    normal = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-2) * gamma + beta
    np.testing.assert_allclose(loss, ((normal @ last + last_bias) ** 2).mean(), rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_bits(name, dtype, rng):
    """Whatever the threads and the instruction set; batches small and beyond a block of rows."""
    x = rng.normal(size=(700, 5)).astype(dtype)
    weights = network(name, dtype, rng).weights()
    units = network(name, dtype, rng).predict(x[:1]).shape[1]
    y = rng.normal(size=(700, units)).astype(dtype)
    best = runtime.instruction_sets()[0]
    for batch in (33, 300, 700):
        found = {}
        for isa in runtime.instruction_sets():
            with instruction_set(isa):
                for threads in (THREADS if isa == best else (1, 3)) if openmp() else (1,):
                    net = network(name, dtype, rng, "adam")
                    net.set_weights(weights)
                    logs = train(
                        net, x, y, epochs=2, batch_size=batch, num_threads=threads, shuffle=True
                    ).logs
                    found[isa, threads] = digest([*net.weights(), logs, net.predict(x)])
        assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 3, 64, 65, 130])
def test_what_is_dropped(columns, dtype, isa, rng):
    """The loss that training reports of rows that are handed on as chance has changed them."""
    rows, seed = 6, 987654321987654321
    x = rng.uniform(1, 2, size=(rows, columns)).astype(dtype)
    for node, operation in enumerate(
        [("drop", (0.3, 2.0, 0.5, -1.0)), ("noise", (0.5, 2.0)), ("scale", (1.0, 0.5))]
    ):
        layers = [("affine", np.ones(columns), np.zeros(columns))] * node + [
            operation,
            (columns, "linear", False),
        ]
        net = Network(columns, layers, np.dtype(dtype).name)
        net.set_weights([np.eye(columns, dtype=dtype)])
        net.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.0}, [])
        for epoch in range(2):
            if operation[0] == "drop":
                gone = dropped(rows, columns, seed, epoch, node, 0.3)
                changed = np.where(gone, -1.0, x.astype(np.float64) * 2 + 0.5)
            else:
                z = normals(rows, columns, seed, epoch, node, dtype) * operation[1][1] + operation[1][0]
                changed = x + z if operation[0] == "noise" else x * z
            want = ((changed - x) ** 2).mean(axis=1)
            copy = network_like(net)
            for _ in range(epoch):
                train(copy, x, x, epochs=1, batch_size=rows, seed=seed)
            got = train(copy, x, x, epochs=1, batch_size=rows, seed=seed).logs[0, 0]
            np.testing.assert_allclose(got, want.mean(), rtol=1e-5 if dtype == np.float32 else 1e-9)


def test_shares_and_moments(rng):
    """Of many rows: how much is dropped, and the moments of what is added."""
    rows, columns = 4000, 50
    x = np.ones((rows, columns))
    for operation, want in [
        (
            ("drop", (0.25, 0.0, 1.0, 0.0)),
            0.25,
        ),  # 0 where dropped, else 1: the squared error against 1 is the share
        (("noise", (0.0, 2.0)), 4.0),
        (("scale", (1.0, 0.5)), 0.25),
    ]:
        net = Network(columns, [operation, (columns, "linear", False)], "float64")
        net.set_weights([np.eye(columns)])
        net.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.0}, [])
        got = train(net, x, x, epochs=3, batch_size=100).logs[:, 0]
        np.testing.assert_allclose(got, want, rtol=0.02)
        assert len(set(got)) == 3, "every epoch draws anew"


def test_edges_of_dropping():
    x = np.ones((40, 30))
    for rate, want in [(0.0, 0.0), (1.0, 1.0)]:
        net = Network(30, [("drop", (rate, 1.0, 0.0, 0.0)), (30, "linear", False)], "float64")
        net.set_weights([np.eye(30)])
        net.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.0}, [])
        assert train(net, x, x, epochs=1, batch_size=7).logs[0, 0] == want


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([("prelu",)], "dense"),
        ([(3, "linear", True), ("nonsense",)], "nonsense"),
        ([("split",), (4, "linear", True), ("add",)], "4"),
        ([("split",), (5, "linear", True)], "ended"),
        ([(5, "linear", True), ("add",)], "begun"),
        ([("affine", [1.0], [0.0]), (2, "linear", True)], "5 columns"),
    ],
)
def test_errors(layers, words):
    with pytest.raises(ValueError, match=words):
        Network(5, layers, "float32")


def test_an_activation_behind_a_linear_layer_is_that_layers_own(rng):
    one = Network(
        5,
        [(7, "linear", True), ("activation", "relu"), (2, "linear", True), ("activation", "softmax")],
        "float32",
    )
    other = Network(5, [(7, "relu", True), (2, "softmax", True)], "float32")
    weights = [rng.normal(size=w.shape).astype("f4") for w in one.weights()]
    x = rng.normal(size=(50, 5)).astype("f4")
    y = rng.integers(0, 2, size=(50, 1)).astype("f4")
    for net in (one, other):
        net.set_weights(weights)
        net.compile("sparse_categorical_crossentropy", False, "adam", {}, [])
        train(net, x, y, epochs=3, batch_size=16)
    assert digest(one.weights()) == digest(other.weights())


@pytest.mark.parametrize("chance", ["drop", "noise"])
@pytest.mark.parametrize("vectors", [("prelu",), ("layer_norm", (1e-3, 1.0)), ("batch_norm", (1e-2, 0.9))])
def test_random_words_in_memory_reach_no_weight(vectors, chance, dtype, isa, rng):
    """Vectors of odd lengths end in lanes that are no weights: scratch memory is not trained there."""
    settings = {"drop": ("drop", (0.3, 1 / 0.7, 0.0, 0.0)), "noise": ("noise", (0.0, 0.1))}[chance]
    for units, rows in ((100, 65), (100, 200), (33, 65), (17, 1), (90, 33)):
        layers = [
            (units, "tanh", True),
            settings,
            vectors,
            (units, "tanh", True),
            vectors,
            settings,
            (1, "linear", True),
        ]
        x, y = rng.normal(size=(rows, 32)).astype(dtype), rng.normal(size=(rows, 1)).astype(dtype)
        found = set()
        for threads in (1, 3, 5, 7):
            net = Network(32, layers, dtype.name)
            net.set_weights([np.full(shape, 0.01) for shape in net.shapes()])
            net.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.01}, [])
            train(net, x, y, epochs=3, batch_size=rows, num_threads=threads)
            found.add(digest(net.weights()))
        assert len(found) == 1
