"""Network: weights in and out, predict, evaluate, compile."""

import threading

import numpy as np
import pytest
from oracle import ACTIVATIONS, LOSSES, METRICS, Net
from support import (
    HYPER,
    THREADS,
    compiled,
    default_activation,
    digest,
    instruction_set,
    new_slots,
    positive,
    random_weights,
    same_bits,
    targets,
    train,
)

import fastnn.kernels as k
from fastnn.kernels import runtime
from fastnn.kernels.network import Network

# (input_dim, layers): every layout (narrow: few units, many inputs), widths that divide nothing.
NETS = {
    "one unit": (1, [(1, "linear", True)]),
    "xor": (2, [(5, "tanh", True), (1, "sigmoid", True)]),
    "no bias": (7, [(9, "relu", False), (3, "softmax", False)]),
    "narrow": (100, [(3, "tanh", True), (13, "relu", True), (1, "linear", True)]),
    "bottleneck": (70, [(90, "relu", True), (2, "tanh", True), (75, "sigmoid", True), (15, "softmax", True)]),
    "middle": (32, [(64, "relu", True), (64, "tanh", True), (1, "sigmoid", True)]),
    "wide": (33, [(333, "relu", True), (300, "sigmoid", False), (10, "softmax", True)]),
}
EVERY = pytest.mark.parametrize("net", sorted(NETS))


def make(name, dtype, rng):
    inputs, layers = NETS[name]
    weights = random_weights(layers, inputs, rng, dtype)
    net = Network(inputs, layers, dtype.name)
    net.set_weights(weights)
    return net, inputs, layers, weights


@EVERY
def test_weights_come_back_as_they_went_in(net, dtype, isa, rng):
    net, _, _, weights = make(net, dtype, rng)
    version = net.version
    back = net.weights()
    assert len(back) == len(weights)
    for got, want in zip(back, weights, strict=True):
        assert same_bits(got, want)
        assert got.flags.c_contiguous
        assert got.flags.writeable
    back[0][...] = 0  # copies: writing to them changes nothing
    assert digest(net.weights()) == digest(weights)
    assert net.version == version
    net.set_weights(back)
    assert net.version > version
    assert not net.weights()[0].any()


@EVERY
@pytest.mark.parametrize("rows", [1, 2, 33, 257])
def test_predict_matches_the_oracle_and_the_kernels(net, rows, dtype, isa, rng):
    net, inputs, layers, weights = make(net, dtype, rng)
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    got = net.predict(x)
    assert got.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got, Net(layers, weights).predict(x), rtol=2000 * eps, atol=2000 * eps)
    rest, a = list(weights), x
    for _, activation, use_bias in layers:
        a = k.dense_forward(a, rest.pop(0), rest.pop(0) if use_bias else None, activation)
    assert same_bits(got, a)


@EVERY
def test_predict_has_the_same_bits_however_it_runs(net, dtype, rng):
    name, first = net, None
    inputs = NETS[net][0]
    x = rng.normal(size=(301, inputs)).astype(dtype)
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            net = make(name, dtype, np.random.default_rng(1))[0]
            for threads in THREADS:
                got = net.predict(x, num_threads=threads)
                first = got if first is None else first
                assert same_bits(got, first), (isa, threads)
            out = np.full_like(first, np.nan)
            assert net.predict(x, out=out) is out
            assert same_bits(out, first)
            for rows in (slice(0, 1), slice(7, 8), slice(3, 36), slice(300, 301), slice(20, 290)):
                assert same_bits(net.predict(np.ascontiguousarray(x[rows])), first[rows]), (isa, rows)


def test_predict_no_rows(dtype):
    assert Network(3, [(4, "softmax", True)], dtype.name).predict(np.zeros((0, 3), dtype)).shape == (0, 4)


@pytest.mark.parametrize(("loss", "from_logits"), sorted(LOSSES))
@pytest.mark.parametrize("rows", [1, 33, 700])
def test_evaluate_matches_the_oracle(loss, from_logits, rows, dtype, isa, rng):
    outputs, inputs = 3, 11
    layers = [(19, "tanh", True), (outputs, default_activation(loss, from_logits), True)]
    weights = random_weights(layers, inputs, rng, dtype, scale=2.0)
    classes = [m for m in METRICS if m.startswith("sparse") or "generalized" in m]
    metrics = [m for m in METRICS if (m in classes) == (loss in classes) and "hinge" not in m]
    if layers[-1][1] != "softmax":  # outputs that are no probabilities
        metrics = [m for m in metrics if not positive(m)]
    # targets of the others may be above 1, where a focal factor means nothing
    metrics = [m for m in metrics if m != "binary_focal_crossentropy" or loss == m][:12]
    net = compiled(layers, inputs, dtype, weights, loss, from_logits=from_logits, metrics=metrics)
    x, y = rng.normal(size=(rows, inputs)).astype(dtype), targets(loss, rng, rows, outputs, dtype)
    weight = rng.uniform(0, 2, size=rows).astype(dtype)
    before = digest(net.weights())
    for sample_weight in (None, weight):
        got = net.evaluate(x, y, sample_weight=sample_weight)
        assert got.dtype == np.float64
        want = Net(layers, weights).evaluate(loss, from_logits, metrics, x, y, sample_weight)
        tolerance = 500 * np.finfo(dtype).eps
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        for threads in THREADS:
            assert same_bits(net.evaluate(x, y, sample_weight=sample_weight, num_threads=threads), got)
    assert digest(net.weights()) == before
    assert net.iterations == 0


def test_accuracy_breaks_ties_to_the_first_class_and_half_is_no():
    layers = [(3, "linear", False)]
    x = np.array([[0.7, 0.7, 0.1], [0.1, 0.5, 0.5], [0.5, 0.2, 0.1]])
    y = np.array([[1.0, 0, 0], [0, 0, 1.0], [0.0, 0, 0]])
    net = compiled(
        layers,
        3,
        np.float64,
        [np.eye(3)],
        "mean_squared_error",
        metrics=["categorical_accuracy", "binary_accuracy"],
    )
    got = net.evaluate(x, y)
    np.testing.assert_allclose(got[1:], [2 / 3, np.mean([1, 0, 1, 1, 1, 0, 1, 1, 1])])


def test_a_network_keeps_its_instruction_set(dtype, rng):
    """Switching concerns networks made afterwards; those that exist go on as they were."""
    x = rng.normal(size=(20, 7)).astype(dtype)
    nets = []
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            nets.append(make("no bias", dtype, np.random.default_rng(3))[0])
    results = [net.predict(x) for net in nets]
    assert all(same_bits(r, results[0]) for r in results)


@pytest.mark.parametrize("optimizer", sorted(HYPER))
def test_counters_and_slots(optimizer, dtype, isa, rng):
    net, inputs, _, weights = make("narrow", dtype, rng)
    hyper = {**HYPER[optimizer], **({"momentum": 0.9} if optimizer == "sgd" else {})}
    net.compile("mean_squared_error", False, optimizer, hyper, [])
    assert net.iterations == 0
    first = [s.item() for s in new_slots(optimizer, hyper, np.zeros(1))]
    assert [[w.shape for w in slot] for slot in net.optimizer_slots()] == [[w.shape for w in weights]] * len(
        first
    )

    def fresh():
        pairs = zip(net.optimizer_slots(), first, strict=True)
        return all((w == dtype.type(value)).all() for slot, value in pairs for w in slot)

    assert fresh()
    x, y = rng.normal(size=(10, inputs)).astype(dtype), rng.normal(size=(10, 1)).astype(dtype)
    version = net.version
    train(net, x, y, epochs=3, batch_size=4)
    assert net.iterations == 9
    assert net.lifetime_epochs == 3
    assert net.version > version
    used = net.optimizer_slots()[: 1 if optimizer == "muon" else None]  # a matrix has one slot there
    assert all((w != w.flat[0]).any() for slot in used for w in slot if w.size > 20)
    before = digest(net.weights())
    net.compile("mean_squared_error", False, optimizer, hyper, [])
    assert net.iterations == 0
    assert fresh()
    assert digest(net.weights()) == before


def test_set_weights_keeps_the_optimizer(dtype, rng):
    net, inputs, _, weights = make("xor", dtype, rng)
    net.compile("mean_squared_error", False, "adam", HYPER["adam"], [])
    x, y = rng.normal(size=(10, inputs)).astype(dtype), rng.normal(size=(10, 1)).astype(dtype)
    train(net, x, y, epochs=2, batch_size=4)
    slots = digest(w for slot in net.optimizer_slots() for w in slot)
    net.set_weights(weights)
    assert net.iterations == 6
    assert digest(w for slot in net.optimizer_slots() for w in slot) == slots


def test_set_hyper_keeps_state_and_takes_effect(rng):
    net, inputs, _, weights = make("xor", np.dtype(np.float64), rng)
    net.compile("mean_squared_error", False, "sgd", {**HYPER["sgd"], "learning_rate": 0.5}, [])
    x, y = rng.normal(size=(10, inputs)), rng.normal(size=(10, 1))
    steps = []
    for rate in (0.5, 0.25):
        net.set_weights(weights)
        net.set_hyper("learning_rate", rate)
        train(net, x, y, epochs=1, batch_size=10)
        steps.append(net.weights()[0] - weights[0])
    np.testing.assert_allclose(steps[0], 2 * steps[1], rtol=1e-9)
    assert net.iterations == 2
    with pytest.raises((ValueError, KeyError), match="lerning_rate"):
        net.set_hyper("lerning_rate", 1.0)


def test_predict_from_other_threads_sees_published_states_only(rng):
    """While one thread trains, others read: each answer is of a state between two epochs, never a mixture."""
    inputs, layers = 5, [(40, "tanh", True), (30, "tanh", True), (1, "linear", True)]
    weights = random_weights(layers, inputs, rng)
    x, y = rng.normal(size=(64, inputs)), rng.normal(size=(64, 1))
    probe = rng.normal(size=(9, inputs))

    def fresh():
        return compiled(
            layers, inputs, np.float64, weights, "mean_squared_error", optimizer="adam", learning_rate=0.05
        )

    epochs, reference = 60, fresh()
    from fastnn.kernels.training import Training

    options = {"batch_size": 16, "shuffle": True, "seed": 3, "epochs": epochs, "num_threads": 1}
    stepper = Training(reference, x, y, **options)
    allowed = {digest([reference.predict(probe)])}
    for _ in range(epochs):
        stepper.run(1, 60.0)
        allowed.add(digest([reference.predict(probe)]))
    net, seen, over = fresh(), [], threading.Event()

    def read():
        while not over.is_set():
            seen.append(digest([net.predict(probe)]))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        training = Training(net, x, y, **options)
        for _ in range(epochs):
            training.run(1, 60.0)
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert seen
    assert set(seen) <= allowed


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((0, [(1, "relu", True)], "float32"), ["size", "0"]),
        ((-3, [(1, "relu", True)], "float32"), ["size", "-3"]),
        ((3, [], "float32"), ["layer"]),
        ((3, [(0, "relu", True)], "float32"), ["size", "0"]),
        ((3, [(2, "relu", True), (-1, "relu", True)], "float32"), ["size", "-1"]),
        ((3, [(2, "rleu", True)], "float32"), ["rleu", "relu"]),
        ((3, [(2, "relu", True)], "float16"), ["dtype", "float16"]),
    ],
)
def test_bad_networks(arguments, names):
    with pytest.raises((ValueError, TypeError)) as caught:
        Network(*arguments)
    for name in names:
        assert name in str(caught.value)


@pytest.mark.parametrize("units", [2**31, 2**40, 2**62])
def test_a_network_too_large_for_memory_is_an_error_not_a_crash(units):
    with pytest.raises((MemoryError, ValueError, OverflowError)):
        Network(units, [(units, "relu", True), (units, "relu", True)], "float64")


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [np.zeros((2, 5))],
        [np.zeros((5, 2)), np.zeros(5), np.zeros((5, 1)), np.zeros(1)],
        [np.zeros((2, 5)), np.zeros(5), np.zeros((5, 1)), np.zeros(2)],
        [np.zeros((2, 5)), np.zeros(5), np.zeros((5, 1)), np.zeros(1), np.zeros(1)],
        [np.zeros((2, 5)), np.zeros((1, 5)), np.zeros((5, 1)), np.zeros(1)],
        [np.ones((2, 5)), np.ones(5), np.ones((5, 1)), np.array(["a"])],
        None,
        7,
    ],
)
def test_bad_weights_leave_the_old_ones(bad, rng):
    net, *_, weights = make("xor", np.dtype(np.float64), rng)
    with pytest.raises((ValueError, TypeError)):
        net.set_weights(bad)
    assert digest(net.weights()) == digest(weights)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"loss": "mean_squared_eror"}, ["mean_squared_eror"]),
        ({"optimizer": "adma"}, ["adma", "adam"]),
        ({"metrics": ["acuracy"]}, ["acuracy"]),
        ({"hyper": {**HYPER["adam"], "momentum": 0.5}}, ["momentum"]),
        ({"from_logits": True}, ["from_logits"]),
    ],
)
def test_bad_compile(change, names, rng):
    net, *_ = make("xor", np.dtype(np.float64), rng)
    good = {
        "loss": "mean_squared_error",
        "from_logits": False,
        "optimizer": "adam",
        "hyper": HYPER["adam"],
        "metrics": [],
    }
    net.compile(*good.values())
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(10, 1))
    train(net, x, y, epochs=1, batch_size=5)
    slots = digest(w for slot in net.optimizer_slots() for w in slot)
    with pytest.raises((ValueError, TypeError, KeyError)) as caught:
        net.compile(*{**good, **change}.values())
    for name in names:
        assert name in str(caught.value)
    assert net.iterations == 2
    assert digest(w for slot in net.optimizer_slots() for w in slot) == slots


def test_unknown_activation_names_are_all_listed():
    with pytest.raises(ValueError, match="swish!") as caught:
        Network(3, [(2, "swish!", True)], "float32")
    assert all(name in str(caught.value) for name in ACTIVATIONS)
