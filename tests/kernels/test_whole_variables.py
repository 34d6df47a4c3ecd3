"""Options of optimizers that look at whole variables, or at each by itself: the oracle, and the same bits."""

import numpy as np
import oracle
import pytest
from support import DIRECTIONS, attempt, compiled, digest, instruction_set, random_weights, train

from fastnn.kernels import runtime
from fastnn.kernels.network import Network

# inputs, layers, rows, batch: what would be tiny, narrow layers at the ends of panels, wide ones, sums of
# blocks of rows, one of each
NETS = {
    "tiny": (4, [(9, "tanh", True), (1, "linear", True)], 23, 6),
    "narrow": (63, [(5, "tanh", True), (3, "tanh", False), (33, "relu", True), (2, "linear", True)], 45, 20),
    "wide": (50, [(70, "tanh", True), (129, "relu", False), (18, "linear", True)], 45, 20),
    "blocks": (3, [(17, "tanh", True), (4, "tanh", True), (5, "linear", True)], 4200, 4200),
    "one": (1, [(1, "linear", True)], 1, 1),
}
CASES = {
    **DIRECTIONS,
    "lamb clipped": ("lamb", {"learning_rate": 0.02, "clipnorm": 0.1, "weight_decay": 0.3}),
    "lamb averaging": (
        "lamb",
        {"learning_rate": 0.02, "use_ema": 1.0, "ema_momentum": 0.5, "gradient_accumulation_steps": 2},
    ),
    "adafactor clipped": ("adafactor", {"global_clipnorm": 0.2, "learning_rate": 0.05, "weight_decay": 0.3}),
    "adafactor accumulating": (
        "adafactor",
        {"gradient_accumulation_steps": 2, "learning_rate": 0.9, "clipvalue": 0.05},
    ),
    "muon plain": ("muon", {"learning_rate": 0.02, "nesterov": 0.0, "rms_rate": -1.0, "ns_steps": 2}),
    "muon no turns": ("muon", {"learning_rate": 0.02, "ns_steps": 0, "clipvalue": 0.01}),
    "muon averaging": (
        "muon",
        {"learning_rate": 0.02, "clipnorm": 0.3, "use_ema": 1.0, "ema_overwrite_frequency": 2, "ns_steps": 1},
    ),
    "clipnorm": ("adam", {"learning_rate": 0.01, "clipnorm": 0.05}),
    "clipnorm decaying": ("sgd", {"learning_rate": 0.1, "clipnorm": 0.05, "weight_decay": 0.3}),
    "global_clipnorm": ("sgd", {"learning_rate": 0.1, "global_clipnorm": 0.1, "momentum": 0.5}),
    "norms beyond": ("nadam", {"learning_rate": 0.01, "global_clipnorm": 1e6}),
    "averages": ("adam", {"learning_rate": 0.01, "use_ema": 1.0, "ema_momentum": 0.8}),
    "averages overwriting": (
        "sgd",
        {"learning_rate": 0.1, "use_ema": 1.0, "ema_momentum": 0.6, "ema_overwrite_frequency": 3},
    ),
    "accumulation": (
        "adam",
        {"learning_rate": 0.01, "gradient_accumulation_steps": 3, "weight_decay": 0.2, "clipvalue": 0.02},
    ),
    "all at once": (
        "rmsprop",
        {
            "learning_rate": 0.01,
            "centered": 1.0,
            "momentum": 0.5,
            "weight_decay": 0.3,
            "clipnorm": 0.1,
            "gradient_accumulation_steps": 2,
            "use_ema": 1.0,
            "ema_momentum": 0.7,
            "ema_overwrite_frequency": 2,
        },
    ),
}


def problem(net, case, dtype, *, spared=(), frozen=()):
    inputs, layers, rows, batch = NETS[net]
    optimizer, hyper = CASES[case]
    rng = np.random.default_rng(1)
    weights = random_weights(layers, inputs, rng)
    x, y = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, layers[-1][0]))
    made = compiled(layers, inputs, dtype, weights, "mean_squared_error", optimizer=optimizer, **hyper)
    if spared:
        decay = [i not in spared for i in range(len(weights))]
        made.compile("mean_squared_error", False, optimizer, hyper, [], decay=decay)
    if frozen:
        made.set_variables([{"trained": i not in frozen} for i in range(len(weights))])
    theirs = (
        oracle.Net(layers, weights),
        oracle.OPTIMIZERS[optimizer](**hyper, spared=spared, frozen=frozen),
    )
    return made, x.astype(dtype), y.astype(dtype), batch, theirs


def state_of(net):
    return [*net.weights(), *(w for slot in net.optimizer_slots() for w in slot)]


def check(made, x, y, batch, theirs, epochs):
    twin, optimizer = theirs
    logs = train(made, x, y, epochs=epochs, batch_size=batch, num_threads=2).logs
    orders = [np.arange(len(x))] * epochs
    expected = twin.fit("mean_squared_error", optimizer, x, y, batch_size=batch, orders=orders)
    np.testing.assert_allclose(logs, expected, rtol=1e-8)
    for got, want in zip(made.weights(), twin.weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)
    remembered = optimizer.remembered(twin.weights)
    assert len(made.optimizer_slots()) == len(remembered)
    for got, want in zip(made.optimizer_slots(), remembered, strict=True):
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            if i in optimizer.frozen:  # nothing is kept of it
                b = np.zeros_like(b)
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("net", sorted(NETS))
def test_matches_the_oracle(net, case, isa):
    made, *rest = problem(net, case, np.float64)
    check(made, *rest, epochs=3 if net == "blocks" else 5)


@pytest.mark.parametrize("net", ["narrow", "wide"])
def test_some_weights_are_spared_decay(net, isa):
    for case in ("clipnorm decaying", "all at once", "accumulation"):
        made, *rest = problem(net, case, np.float64, spared=(1, 2, 4))
        check(made, *rest, epochs=4)


@pytest.mark.parametrize("frozen", [(0,), (1, 2), (3, 6), (5, 4)], ids=str)
def test_frozen_weights_count_for_nothing(frozen, isa):
    """Neither in norms nor in averages, also where kernel and bias lie on the same runs."""
    for case in ("global_clipnorm", "all at once"):
        made, *rest = problem("narrow", case, np.float64, frozen=frozen)
        before = made.weights()
        check(made, *rest, epochs=4)
        made.take_averages() if case == "all at once" else None
        for i in frozen:
            assert digest([made.weights()[i]]) == digest([before[i]])


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("net", sorted(NETS))
def test_same_bits_for_threads_and_instruction_sets(net, case, dtype):
    digests = {}
    for isa in runtime.instruction_sets():
        if isa == "generic" and net == "blocks":
            continue  # slow, and the others run the same source
        with instruction_set(isa):
            for threads in (1, 2, 3):
                made, x, y, batch, _ = problem(net, case, dtype, spared=(1,) if net != "one" else ())
                logs = train(made, x, y, epochs=2, batch_size=batch, num_threads=threads).logs
                digests[isa, threads] = digest([*state_of(made), logs])
    assert len(set(digests.values())) == 1, digests


# Everything an optimizer can move: kernels, biases, alpha, gamma and beta.
OPERATIONS = [
    (12, "linear", True),
    ("prelu", (), (True,)),
    (40, "tanh", False),
    ("layer_norm", (1e-3, 1), (True, True)),
    (5, "linear", True),
    ("batch_norm", (1e-3, 0.9), (True, True, True, True)),
    (2, "linear", True),
]


@pytest.mark.parametrize("case", sorted(CASES))
def test_same_bits_with_operations(case, dtype):
    optimizer, hyper = CASES[case]
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(70, 33)).astype(dtype), rng.normal(size=(70, 2)).astype(dtype)
    digests = {}
    first = [0.3 * rng.normal(size=shape) for shape in Network(33, OPERATIONS, "float64").shapes()]
    first[-3] = np.abs(first[-3])
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            for threads in (1, 3):
                made = Network(33, OPERATIONS, np.dtype(dtype).name)
                made.set_weights(first)
                made.compile("mean_squared_error", False, optimizer, hyper, [], decay=[True, False] * 7)
                train(made, x, y, epochs=2, batch_size=30, num_threads=threads)
                digests[isa, threads] = digest(state_of(made))
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("case", ["all at once", "accumulation", *DIRECTIONS])
def test_state_taken_out_and_put_in_goes_on(case, dtype):
    """Also in the middle of an accumulation."""
    once, x, y, batch, _ = problem("narrow", case, dtype)
    train(once, x, y, epochs=5, batch_size=batch)
    first, *_ = problem("narrow", case, dtype)
    train(first, x, y, epochs=3, batch_size=batch)
    second, *_ = problem("narrow", case, dtype)
    second.set_weights(first.weights())
    second.set_optimizer_state(first.optimizer_slots(), first.iterations)
    train(second, x, y, epochs=2, batch_size=batch)
    assert digest(state_of(second)) == digest(state_of(once))


@pytest.mark.parametrize("excluded", [(0,), (2, 3), (0, 2, 3, 5, 6)], ids=str)
def test_muon_may_exclude_matrices(excluded, isa):
    made, x, y, batch, (twin, optimizer) = problem("narrow", "muon", np.float64)
    orthogonal = [w.ndim == 2 and i not in excluded for i, w in enumerate(twin.weights)]
    made.compile("mean_squared_error", False, *CASES["muon"], [], orthogonal=orthogonal)
    optimizer.excluded = excluded
    check(made, x, y, batch, (twin, optimizer), epochs=4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (70, 1), (33, 33), (129, 18), (18, 129)], ids=str)
@pytest.mark.parametrize("name", sorted(DIRECTIONS))
def test_the_declared_formula_is_what_is_computed(name, shape, isa):
    """`Optimizer.update` of fastnn.optimizers is documentation that runs."""
    from support import HYPER

    from fastnn import optimizers

    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(20, shape[0])), rng.normal(size=(20, shape[1]))
    hyper = {key: value for key, value in DIRECTIONS[name][1].items() if "decay" not in key or "2" in key}
    hyper = {**hyper, "adam_weight_decay": 0.0} if name == "muon" else hyper
    weights = [rng.normal(size=shape), rng.normal(size=shape[1])]
    layers = [(shape[1], "linear", True)]
    made = compiled(layers, shape[0], np.float64, weights, "mean_squared_error", optimizer=name, **hyper)
    slots = [[np.zeros_like(w), np.zeros_like(w)] for w in weights]
    for step in range(1, 4):
        gradients = oracle.Net(layers, weights).gradients("mean_squared_error", False, x, y)[2]
        for i, g in enumerate(gradients):
            full = {**HYPER[name], **hyper}
            weights[i], slots[i] = optimizers.TABLE[name].update(weights[i], g, slots[i], step, full)
        train(made, x, y, epochs=1, batch_size=20)
        for got, want in zip(made.weights(), weights, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)


def test_compiling_again_keeps_what_is_of_the_same_kind():
    made, x, y, batch, _ = problem("wide", "averages", np.float32)
    train(made, x, y, epochs=1, batch_size=batch)
    slots = digest(state_of(made))
    hyper = dict(CASES["averages"][1])
    made.compile("mean_squared_error", False, "adam", {**hyper, "clipnorm": 0.1}, [], keep_optimizer=True)
    assert digest(state_of(made)) == slots
    made.compile("mean_squared_error", False, "adam", {**hyper, "use_ema": 0.0}, [], keep_optimizer=True)
    assert made.iterations == 0
    assert len(made.optimizer_slots()) == 2


def test_averages_are_taken_when_asked_for():
    made, x, y, batch, (twin, optimizer) = problem("narrow", "averages", np.float64)
    made.take_averages()  # nothing yet
    assert digest(made.weights()) == digest(twin.weights)
    check(made, x, y, batch, (twin, optimizer), epochs=3)
    made.take_averages()
    for got, want in zip(made.weights(), optimizer.averages, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9)
    for w, average in zip(twin.weights, optimizer.averages, strict=True):
        w[...] = average
    check(made, x, y, batch, (twin, optimizer), epochs=2)
    plain, *_ = problem("narrow", "clipnorm", np.float64)
    _, error = attempt(plain.take_averages, RuntimeError)
    assert "use_ema" in error


def test_more_phases_than_there_is_room_for():
    made, x, y, batch, _ = problem("narrow", "muon plain", np.float64)
    with pytest.raises(ValueError, match="3014 phases"):
        made.set_hyper("ns_steps", 1000)
    with pytest.raises(ValueError, match="phases"):
        made.compile("mean_squared_error", False, "muon", {"ns_steps": float("inf")}, [])
    before = digest(made.weights())
    train(made, x, y, epochs=1, batch_size=batch, num_threads=2)
    assert digest(made.weights()) != before  # as it was compiled


def test_a_step_of_one_array_refuses_what_needs_a_network(rng):
    from fastnn.kernels import optimizer_update

    w = rng.normal(size=3)
    with pytest.raises(ValueError, match="clipnorm"):
        optimizer_update("sgd", w, w.copy(), [], {"clipnorm": 1.0}, 1)
    with pytest.raises(ValueError, match="lamb"):
        optimizer_update("lamb", w, w.copy(), [w.copy(), w.copy()], {}, 1)
    net, *_ = problem("tiny", "clipnorm", np.float32)
    with pytest.raises(ValueError, match="compile the model again"):
        net.set_hyper("clipnorm", 2.0)
    net.set_hyper("clipvalue", 2.0)


def test_gradients_that_are_not_numbers_end_the_training():
    made, x, y, batch, _ = problem("wide", "global_clipnorm", np.float32)
    y[3] = 1e30
    with pytest.raises(FloatingPointError):
        train(made, x, y, epochs=3, batch_size=batch)
    assert all(np.isfinite(w).all() for w in made.weights())
