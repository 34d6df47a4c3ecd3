"""Every optimizer in training, on every way through a step: against the oracle, and the same bits."""

import numpy as np
import oracle
import pytest
from support import VARIANTS, attempt, compiled, digest, instruction_set, random_weights, train

from fastnn.kernels import runtime

# inputs, layers, rows, batch: tiny in one call, tiny by layers, wide with narrow ends, sums of blocks of rows
NETS = {
    "fused": (4, [(9, "tanh", True), (1, "linear", True)], 23, 6),
    "tiny": (5, [(7, "relu", True), (18, "tanh", True), (3, "linear", True)], 23, 7),
    "wide": (37, [(33, "tanh", True), (50, "relu", False), (2, "linear", True)], 45, 20),
    "blocks": (3, [(17, "tanh", True), (5, "linear", True)], 4200, 4200),
}
MORE = {
    "adam decaying": ("adam", {"learning_rate": 0.01, "weight_decay": 0.5}),
    "sgd clipped": ("sgd", {"learning_rate": 0.1, "clipvalue": 0.01}),
    "nadam both": ("nadam", {"learning_rate": 0.01, "clipvalue": 0.02, "weight_decay": 0.2}),
}
CASES = {**VARIANTS, **MORE}


def problem(net, case, dtype):
    inputs, layers, rows, batch = NETS[net]
    optimizer, hyper = CASES[case]
    rng = np.random.default_rng(1)
    weights = random_weights(layers, inputs, rng)
    x, y = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, layers[-1][0]))
    made = compiled(layers, inputs, dtype, weights, "mean_squared_error", optimizer=optimizer, **hyper)
    theirs = oracle.Net(layers, weights), oracle.OPTIMIZERS[optimizer](**hyper)
    return made, x.astype(dtype), y.astype(dtype), batch, theirs


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("net", sorted(NETS))
def test_matches_the_oracle(net, case, isa):
    made, x, y, batch, (twin, optimizer) = problem(net, case, np.float64)
    epochs = 3 if net == "blocks" else 6
    logs = train(made, x, y, epochs=epochs, batch_size=batch).logs
    orders = [np.arange(len(x))] * epochs
    expected = twin.fit("mean_squared_error", optimizer, x, y, batch_size=batch, orders=orders)
    np.testing.assert_allclose(logs, expected, rtol=1e-9)
    for got, want in zip(made.weights(), twin.weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)
    for slot in range(len(made.optimizer_slots())):
        for i, got in enumerate(made.optimizer_slots()[slot]):
            want = optimizer.slots[i][slot]
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9 * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("net", sorted(NETS))
def test_same_bits_for_threads_and_instruction_sets(net, case, dtype):
    digests = {}
    for isa in runtime.instruction_sets():
        if isa == "generic" and net == "blocks":
            continue  # slow, and the others run the same source
        with instruction_set(isa):
            for threads in (1, 2, 3):
                made, x, y, batch, _ = problem(net, case, dtype)
                logs = train(made, x, y, epochs=2, batch_size=batch, num_threads=threads).logs
                state = [*made.weights(), *(w for slot in made.optimizer_slots() for w in slot), logs]
                digests[isa, threads] = digest(state)
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("case", sorted(VARIANTS))
def test_state_taken_out_and_put_in_goes_on(case, dtype):
    """Weights, slots and the number of steps are all that an optimizer goes on from."""
    once, x, y, batch, _ = problem("wide", case, dtype)
    train(once, x, y, epochs=5, batch_size=batch)
    first, *_ = problem("wide", case, dtype)
    train(first, x, y, epochs=2, batch_size=batch)
    second, *_ = problem("wide", case, dtype)
    second.set_weights(first.weights())
    second.set_optimizer_state(first.optimizer_slots(), first.iterations)
    train(second, x, y, epochs=3, batch_size=batch)
    assert digest(second.weights()) == digest(once.weights())
    assert second.iterations == once.iterations


def test_state_that_does_not_fit_is_refused():
    net, x, y, batch, _ = problem("wide", "adam", np.float32)
    train(net, x, y, epochs=1, batch_size=batch)
    slots, before = net.optimizer_slots(), digest(w for slot in net.optimizer_slots() for w in slot)
    for bad, iterations, names in (
        (slots[:1], 3, ["adam", "2", "1"]),
        ([slots[0], slots[1][:-1]], 3, ["slots[1]", "shapes"]),
        ([slots[0], [w.T for w in slots[1]]], 3, ["slots[1]", "shapes"]),
        (slots, -1, ["iterations", "-1"]),
    ):
        _, error = attempt(lambda: net.set_optimizer_state(bad, iterations))  # noqa: B023
        assert error
        assert all(name in error for name in names)
    assert digest(w for slot in net.optimizer_slots() for w in slot) == before
    assert net.iterations == 3


def test_compiling_again_may_keep_the_optimizer():
    def compile(net, keep, optimizer="adam", **hyper):
        net.compile("mean_absolute_error", False, optimizer, hyper, [], keep_optimizer=keep)

    net, x, y, batch, _ = problem("wide", "adam", np.float32)
    train(net, x, y, epochs=1, batch_size=batch)
    slots = digest(w for slot in net.optimizer_slots() for w in slot)
    compile(net, True, learning_rate=0.5)
    assert digest(w for slot in net.optimizer_slots() for w in slot) == slots
    assert net.iterations == 3
    compile(net, True, amsgrad=1.0)  # remembers something else
    assert net.iterations == 0
    assert len(net.optimizer_slots()) == 3
    train(net, x, y, epochs=1, batch_size=batch)
    compile(net, False, amsgrad=1.0)
    assert net.iterations == 0
    assert not any(w.any() for slot in net.optimizer_slots() for w in slot)


@pytest.mark.parametrize("case", sorted(VARIANTS))
def test_no_epsilon_leaves_padding_alone(case, dtype):
    """Vectors end in places without a weight; whatever is divided by zero there must not end the training."""
    name, hyper = VARIANTS[case]
    made, x, y, batch, _ = problem("wide", case, dtype)
    for key in ("epsilon", "initial_accumulator_value", "l2_regularization_strength", "beta"):
        if key in hyper:
            hyper = {**hyper, key: 0.0}
    made.compile("mean_squared_error", False, name, {**hyper, "learning_rate": 1e-3}, [])
    train(made, x, y, epochs=2, batch_size=batch)
    assert all(np.isfinite(w).all() for w in made.weights())


def test_decay_of_some_weights_only():
    net, x, y, batch, _ = problem("fused", "sgd", np.float64)
    hyper = {"learning_rate": 0.0, "weight_decay": 0.1}
    before = digest(net.weights())
    net.compile("mean_squared_error", False, "sgd", hyper, [], decay=[False] * 4)
    train(net, x, y, epochs=1, batch_size=batch)
    assert digest(net.weights()) == before
    with pytest.raises(ValueError, match="4 array"):
        net.compile("mean_squared_error", False, "sgd", hyper, [], decay=[True, False, True])
    net.compile("mean_squared_error", False, "sgd", hyper, [], decay=[True, False, True, False])
    net.set_hyper("learning_rate", 0.5)
    net.set_hyper("weight_decay", 0.25)
    zeros = np.zeros_like(x), net.predict(np.zeros_like(x))
    weights = net.weights()
    train(net, *zeros, epochs=1, batch_size=len(x))
    for i, (got, was) in enumerate(zip(net.weights(), weights, strict=True)):
        np.testing.assert_allclose(got, was * (1 if i % 2 else 0.875), rtol=1e-12, atol=1e-12)
