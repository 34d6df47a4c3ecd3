"""What is asked of single arrays of weights in training: that they stay, or do not decay."""

import numpy as np
import pytest
from support import attempt, digest, instruction_set, train

from fastnn.kernels import runtime
from fastnn.kernels.network import Network

# inputs, specification; widths that divide nothing, narrow layers, whose biases share vectors with weights
NETWORKS = {
    "tiny": (4, [(9, "tanh", True), (1, "linear", True)]),
    "wide with narrow ends": (37, [(33, "tanh", True), (50, "relu", False), (2, "linear", True)]),
    "narrow in the middle": (
        70,
        [(90, "relu", True), (3, "tanh", True), (21, "sigmoid", True), (2, "linear", True)],
    ),
    "vectors": (
        9,
        [
            (20, "tanh", True),
            ("layer_norm", (1e-3, 1.0)),
            (70, "linear", True),
            ("prelu",),
            (3, "linear", True),
        ],
    ),
    "batch norm": (
        9,
        [(20, "linear", True), ("batch_norm", (1e-2, 0.9)), (7, "tanh", True), (2, "linear", True)],
    ),
    "blocks": (3, [(17, "tanh", True), (5, "linear", True)]),
}
OPTIMIZERS = {
    "sgd": {"learning_rate": 0.1},
    "adam": {"learning_rate": 0.01, "weight_decay": 0.3, "clipvalue": 0.05},
    "ftrl": {"learning_rate": 0.1, "l1_regularization_strength": 0.01},
}


def made(name, dtype, optimizer="sgd", asked=None, decay=None, precision=None, seed=1):
    """A network with random weights, compiled, and rows for it."""
    inputs, layers = NETWORKS[name]
    rng = np.random.default_rng(seed)
    net = Network(inputs, layers, np.dtype(dtype).name)
    weights = [rng.normal(size=shape) / np.sqrt(len(shape) * shape[0]) for shape in net.shapes()]
    if name == "batch norm":
        weights[5] = np.abs(weights[5]) + 0.5  # a variance
    net.set_weights([w.astype(dtype) for w in weights])
    net.compile("mean_squared_error", False, optimizer, OPTIMIZERS[optimizer], [], precision, decay=decay)
    if asked is not None:
        net.set_variables(asked)
    rows = 4200 if name == "blocks" else 45
    x, y = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, layers[-1][0]))
    return net, x.astype(dtype), y.astype(dtype)


def stepped(name, dtype, *, threads=1, steps=1, **settings):
    """Weights before and after some steps, and the slots."""
    net, x, y = made(name, dtype, **settings)
    before = net.weights()
    train(net, x, y, epochs=steps, batch_size=len(x), num_threads=threads)
    return before, net.weights(), net.optimizer_slots()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_frozen_stays_and_the_rest_goes_on_as_before(name, optimizer, isa, dtype):
    """One step, for every array alone and for some: the others get the bits that they get without it."""
    count = len(made(name, dtype)[0].shapes())
    for frozen in [{i} for i in range(count)] + [set(range(0, count, 2)), set(range(count))]:
        if name == "batch norm" and frozen & {4, 5}:
            continue  # the batch would count no more
        asked = [{"trained": i not in frozen} for i in range(count)]
        if name == "batch norm":
            asked[4] = asked[5] = {}
        _, all_moved, all_slots = stepped(name, dtype, optimizer=optimizer)
        before, after, slots = stepped(name, dtype, optimizer=optimizer, asked=asked)
        for i in range(count):
            still = i in frozen and not (name == "batch norm" and i in (4, 5))
            np.testing.assert_array_equal(
                after[i], (before if still else all_moved)[i], err_msg=f"{frozen} {i}"
            )
            if not still:
                for own, others in zip(slots, all_slots, strict=True):
                    np.testing.assert_array_equal(own[i], others[i])


@pytest.mark.parametrize("name", NETWORKS)
def test_decay_acts_where_it_is_asked_for(name, isa, dtype):
    count = len(made(name, dtype)[0].shapes())
    every = {on: stepped(name, dtype, optimizer="adam", decay=[on] * count)[1] for on in (True, False)}
    for decay in ([i % 2 == 0 for i in range(count)], [i % 2 == 1 for i in range(count)]):
        _, after, _ = stepped(name, dtype, optimizer="adam", decay=decay)
        for i, got in enumerate(after):
            np.testing.assert_array_equal(got, every[decay[i]][i])


def test_a_frozen_batch_normalisation_takes_what_batches_had(isa):
    """Its moving vectors stay, and rows and gradients are those of an affine operation in its place."""
    asked = [{}, {}, *[{"trained": False}] * 4, {}, {}, {}, {}]
    net, x, y = made("batch norm", np.float64, asked=asked)
    *_, gamma, beta, mean, variance = before = net.weights()[:6]
    scale = gamma / np.sqrt(variance + 1e-2)
    inputs, layers = NETWORKS["batch norm"]
    twin = Network(inputs, [layers[0], ("affine", scale, beta - mean * scale), *layers[2:]], "float64")
    twin.set_weights([w for i, w in enumerate(net.weights()) if i not in (2, 3, 4, 5)])
    twin.compile("mean_squared_error", False, "sgd", OPTIMIZERS["sgd"], [])
    logs = [train(n, x, y, epochs=4, batch_size=20).logs for n in (net, twin)]
    np.testing.assert_allclose(*logs, rtol=1e-9)
    after = net.weights()
    for old, new in zip(before[2:], after[2:6], strict=True):
        np.testing.assert_array_equal(old, new)
    for got, want in zip([*after[:2], *after[6:]], twin.weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("frozen", ["first", "last", "middle", "all"])
def test_bfloat16(frozen):
    """Copies of frozen weights are there, and those of the others follow them."""
    layers = [(48, "relu", True), (64, "tanh", True), (3, "linear", True)]
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(60, 33)).astype("f4"), rng.normal(size=(60, 3)).astype("f4")
    stays = {"first": [0, 1], "last": [4, 5], "middle": [2, 3], "all": range(6)}[frozen]
    found = {}
    for precision in ("bfloat16", None):
        net = Network(33, layers, "float32")
        weights = np.random.default_rng(4)
        net.set_weights([(0.2 * weights.normal(size=s)).astype("f4") for s in net.shapes()])
        before = net.weights()
        net.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.05}, [], precision)
        net.set_variables([{"trained": i not in stays} for i in range(6)])
        logs = train(net, x, y, epochs=5, batch_size=20).logs
        for i in stays:
            np.testing.assert_array_equal(before[i], net.weights()[i])
        found[precision] = [*net.weights(), logs]
    for got, want in zip(found["bfloat16"], found[None], strict=True):
        np.testing.assert_allclose(got, want, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("name", NETWORKS)
def test_same_bits_for_threads_and_instruction_sets(name, dtype):
    count = len(made(name, dtype)[0].shapes())
    asked = [{"trained": i % 3 != 1} for i in range(count)]
    if name == "batch norm":
        asked[5] = asked[4]
    found = {}
    for isa in runtime.instruction_sets():
        if isa == "generic" and name == "blocks":
            continue
        with instruction_set(isa):
            for threads in (1, 2, 3):
                _, after, slots = stepped(
                    name, dtype, optimizer="adam", asked=asked, threads=threads, steps=3
                )
                found[isa, threads] = digest([*after, *(w for slot in slots for w in slot)])
    assert len(set(found.values())) == 1, found


def test_wrong_settings_are_refused_and_change_nothing():
    net, x, y = made("tiny", np.float32)
    for asked, names in (
        ([{}], ["1 entries", "4 arrays"]),
        ([{"trained": False}, {}, {"colour": 1}, {}], ["'colour'", "trained"]),
    ):
        _, error = attempt(lambda: net.set_variables(asked))  # noqa: B023
        assert error
        assert all(name in error for name in names)
    _, error = attempt(lambda: net.compile("mean_squared_error", False, "sgd", {}, [], decay=[True]))
    assert "4 arrays" in error
    before = net.weights()
    train(net, x, y, epochs=1, batch_size=45)
    assert all((a != b).any() for a, b in zip(before, net.weights(), strict=True))
