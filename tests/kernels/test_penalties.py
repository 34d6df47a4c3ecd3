"""Penalties and constraints inside the compiled step, against NumPy: one step with them and one without."""

import itertools

import numpy as np
import pytest
from support import attempt, digest, instruction_set, train
from test_variables import NETWORKS, made

from fastnn import constraints, regularizers
from fastnn.kernels import runtime
from fastnn.kernels.loops import loss_gradients
from fastnn.kernels.network import Network
from fastnn.kernels.training import Training

# one for each array of weights, in turn
PENALTIES = [regularizers.L1L2(0.03, 0.2), regularizers.L1(0.05), None, regularizers.L2(0.4)]
ANGLES = [
    regularizers.OrthogonalRegularizer(3.0),
    regularizers.OrthogonalRegularizer(2.0, mode="columns"),
    regularizers.L1(0.02),
]


class Quartic(regularizers.Regularizer):
    def __call__(self, x):
        return 0.1 * np.sum(x**4)

    def gradient(self, x):
        return 0.4 * x**3


OWN = [Quartic(), regularizers.L2(0.1)]
LIMITS = [constraints.NonNeg(), constraints.ClipValue(0.1, 0.5), constraints.ClipValue(-0.2, 0.1)]
NORMS = [
    constraints.MaxNorm(0.4, axis=0),
    constraints.UnitNorm(axis=-1),
    constraints.MinMaxNorm(0.8, 1.2, rate=0.7, axis=-1),
    constraints.MinMaxNorm(0.3, 0.5, rate=0.9, axis=0),
    constraints.UnitNorm(axis=None),
]


def one_each(things, net, ask):
    """(one of the things, or None, for each array; what is asked of them)."""
    found = []
    for i, shape in enumerate(net.shapes()):
        thing = things[i % len(things)]
        only_kernels = getattr(thing, "axis", 0) is None or hasattr(thing, "mode")
        if only_kernels and len(shape) == 1:
            thing = None
        found.append(thing)
    return found, [ask(thing) for thing in found]


def trainable(name, asked):
    """The same, but for the moving vectors of a batch normalisation, which nothing is asked of."""
    if name == "batch norm":
        asked[4] = asked[5] = {}
    return asked


def step(name, dtype, asked, optimizer="sgd", precision=None, **more):
    net, x, y = made(name, dtype, optimizer, asked, precision=precision)
    before = net.weights()
    logs = train(net, x, y, epochs=1, batch_size=len(x), **more).logs
    return net, before, net.weights(), logs


@pytest.mark.parametrize("penalties", [PENALTIES, ANGLES, OWN], ids=["elements", "angles", "own"])
@pytest.mark.parametrize("name", NETWORKS)
def test_penalties(name, penalties, isa, dtype):
    """Slopes in the step, the penalty of the weights before it in its loss, of the present ones elsewhere."""
    net, x, y = made(name, dtype)
    found, asked = one_each(penalties, net, regularizers.asked)
    trainable(name, asked)
    _, before, plain, plain_logs = step(name, dtype, None, validation=(x[:7], y[:7], None))
    net, _, after, logs = step(name, dtype, asked, validation=(x[:7], y[:7], None))
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-5}
    total = 0.0
    for i, (penalty, w) in enumerate(zip(found, before, strict=True)):
        slope = 0.0
        if penalty is not None and asked[i]:
            slope = penalty.gradient(w.astype(np.float64))
            total += penalty(w.astype(np.float64))
        np.testing.assert_allclose(after[i], plain[i] - 0.1 * slope, **tolerance)
    assert total > 0.1
    np.testing.assert_allclose(logs[0, 0], plain_logs[0, 0] + total, **tolerance)
    now = sum(p(w.astype(np.float64)) for p, w, a in zip(found, after, asked, strict=True) if p and a)
    net.set_variables([{}] * len(asked))
    for rows, log in ((slice(None), None), (slice(7), logs[0, 1])):
        without = net.evaluate(x[rows], y[rows])[0]
        net.set_variables(asked)
        np.testing.assert_allclose(net.evaluate(x[rows], y[rows])[0], without + now, **tolerance)
        net.set_variables([{}] * len(asked))
        if log is not None:
            np.testing.assert_allclose(log, without + now, **tolerance)


@pytest.mark.parametrize(
    ("kind", "turn"),
    [("limits", i) for i in range(len(LIMITS))] + [("norms", i) for i in range(len(NORMS))],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_constraints(name, turn, kind, isa, dtype):
    """After a step of an optimizer, weights are what the declared constraint makes of those without it."""
    things = LIMITS if kind == "limits" else NORMS
    net, x, _ = made(name, dtype)
    found, asked = one_each(things[turn:] + things[:turn], net, constraints.asked)
    trainable(name, asked)
    optimizer = ("sgd", "adam")[turn % 2]
    *_, plain, _ = step(name, dtype, None, optimizer)
    net, *_, after, _ = step(name, dtype, asked, optimizer)
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-5}
    changed = 0
    for constraint, ask, got, want in zip(found, asked, after, plain, strict=True):
        expected = constraint(want.astype(np.float64)) if constraint is not None and ask else want
        np.testing.assert_allclose(got, expected, **tolerance)
        changed += (np.abs(expected - want) > 1e-3).any()
    assert changed
    # copies of the weights followed: a second step is one of a network made with these weights
    twin, x, y = made(name, dtype, optimizer, asked)
    twin.set_weights(after)
    twin.set_optimizer_state(net.optimizer_slots(), 1)
    for n in (net, twin):
        train(n, x, y, epochs=1, batch_size=len(x))
    for got, want in zip(net.weights(), twin.weights(), strict=True):
        np.testing.assert_array_equal(got, want)


THINGS = {"penalties": PENALTIES, "angles": ANGLES, "own": OWN, "limits": LIMITS, "norms": NORMS}


def asks(things):
    return constraints.asked if things in ("limits", "norms") else regularizers.asked


@pytest.mark.parametrize("things", THINGS)
@pytest.mark.parametrize("name", NETWORKS)
def test_same_bits_for_threads_and_instruction_sets(name, things, dtype):
    net, x, y = made(name, dtype)
    _, asked = one_each(THINGS[things], net, asks(things))
    trainable(name, asked)
    found = {}
    for isa in runtime.instruction_sets():
        if isa == "generic" and name == "blocks":
            continue
        with instruction_set(isa):
            for threads in (1, 2, 3):
                net, x, y = made(name, dtype, "adam", asked)
                part = (x[:20], y[:20], None)
                size = len(x) if name == "blocks" else 20
                logs = train(net, x, y, epochs=3, batch_size=size, num_threads=threads, validation=part).logs
                slots = [w for slot in net.optimizer_slots() for w in slot]
                found[isa, threads] = digest([*net.weights(), *slots, logs, net.evaluate(x, y)])
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("things", THINGS)
def test_bfloat16(things):
    """Weights stay float32 and do what they do in float32, but for the rounding of products."""
    from fastnn.kernels.network import Network

    layers = [(48, "relu", True), (64, "tanh", True), (3, "linear", True)]
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(60, 33)).astype("f4"), rng.normal(size=(60, 3)).astype("f4")
    found = {}
    for precision in ("bfloat16", None):
        net = Network(33, layers, "float32")
        _, asked = one_each(THINGS[things], net, asks(things))
        start = np.random.default_rng(4)
        net.set_weights([(0.2 * start.normal(size=s)).astype("f4") for s in net.shapes()])
        net.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.02}, [], precision)
        net.set_variables(asked)
        found[precision] = [train(net, x, y, epochs=4, batch_size=20).logs, *net.weights()]
    for got, want in zip(found["bfloat16"], found[None], strict=True):
        np.testing.assert_allclose(got, want, rtol=0.05, atol=0.03)


@pytest.mark.parametrize("threads", [1, 2])
def test_own_python(threads):
    """A constraint of one's own does what the compiled one does; what is wrong with it ends the training."""

    def positive(w):
        return np.maximum(w, 0)

    found = []
    for asked in ({"own_constraint": positive}, {"limits": (0.0, np.inf)}):
        net, x, y = made("wide with narrow ends", np.float32, "adam", [asked] * 5)
        logs = train(net, x, y, epochs=3, batch_size=20, num_threads=threads).logs
        found.append(digest([*net.weights(), logs]))
    assert found[0] == found[1]

    def broken(w):
        raise LookupError("on purpose")

    class Short(Quartic):
        def gradient(self, x):
            return x[:1]

    for settings, error, words in (
        ({"own_constraint": broken}, LookupError, "on purpose"),
        ({"own_constraint": lambda w: w.T}, ValueError, "shape"),
        ({"own_penalty": Short()}, ValueError, r"Short.gradient\(\)"),
    ):
        net, x, y = made("wide with narrow ends", np.float32, "adam", [settings, {}, {}, {}, {}])
        before = digest(net.weights())
        with pytest.raises(error, match=words):
            train(net, x, y, epochs=3, batch_size=20, num_threads=threads)
        assert digest(net.weights()) == before
        net.set_variables([{}] * 5)
        train(net, x, y, epochs=1, batch_size=20, num_threads=threads)


def test_weights_that_are_not_trained_have_no_penalty_and_no_constraint(dtype):
    asked = [{"trained": False, "penalty": (0.5, 0.5)}, {"trained": False, "limits": (0.0, 0.1)}, {}, {}]
    net, x, y = made("tiny", dtype, asked=asked)
    before = net.weights()
    twin, *_ = made("tiny", dtype)
    np.testing.assert_array_equal(net.evaluate(x, y), twin.evaluate(x, y))
    train(net, x, y, epochs=2, batch_size=10)
    np.testing.assert_array_equal(net.weights()[0], before[0])
    np.testing.assert_array_equal(net.weights()[1], before[1])


def test_batches_that_do_not_divide_the_rows_weigh_by_their_rows():
    """As Keras's mean over batches: each step's penalty counts as often as its batch has rows."""
    asked = [{"penalty": (0.0, 0.7)}] * 4
    net, x, y = made("tiny", np.float64, asked=asked)
    expected = 0.0
    twin, *_ = made("tiny", np.float64, asked=asked)
    for start in range(0, 45, 20):
        rows = slice(start, start + 20)
        count = len(x[rows])
        expected += count * twin.evaluate(x[rows], y[rows])[0]
        train(twin, x[rows], y[rows], epochs=1, batch_size=20)
    np.testing.assert_allclose(
        train(net, x, y, epochs=1, batch_size=20).logs[0, 0], expected / 45, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"penalty": (-1.0, 0.0)}, ["penalty", "-1.0"]),
        ({"penalty": (np.inf, 0.0)}, ["penalty", "inf"]),
        ({"limits": (1.0, 0.0)}, ["1.0", "0.0"]),
        ({"limits": (0.0, np.nan)}, ["nan"]),
        ({"norms": (0.0, 1.0, 1.0, 1)}, ["axis=1", "1 dimension"]),
        ({"norms": (0.0, 1.0, 1.0, 0), "limits": (0.0, 1.0)}, ["not several"]),
        ({"orthogonal": (0.1, "rows")}, ["orthogonal", "kernel"]),
    ],
)
def test_wrong_numbers_are_refused(settings, names):
    net, *_ = made("tiny", np.float32, "adam")
    _, error = attempt(lambda: net.set_variables([{}, settings, {}, {}]))
    assert error
    assert all(name in error for name in names), error


def test_penalties_that_are_divided_as_the_loss_is(rng):
    """Shares of batches: by their rows, or their weights; with factors of the loss. Against plain sums."""
    x, y, weight = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), rng.uniform(0.5, 2, 30)
    for w, reduction in itertools.product((None, weight), ("mean", "sum", "mean_with_sample_weight")):
        net = Network(4, [(2, "linear", True)], "float64")
        kernel, bias = rng.normal(size=(4, 2)), rng.normal(size=2)
        net.set_weights([kernel, bias])
        net.set_variables([{"penalty": (0.1, 0.3)}, {}])
        net.compile(
            "mean_squared_error",
            False,
            "sgd",
            {"learning_rate": 0.1},
            [],
            reduction=reduction,
            factors=(3.0, 0.25),
            shared_penalties=True,
        )
        ones = np.ones(30) if w is None else w
        training = Training(net, x, y, batch_size=12, shuffle=False, seed=0, epochs=1, sample_weight=w)
        loss = 0.0
        for start in range(0, 30, 12):
            rows = slice(start, min(start + 12, 30))
            n = rows.stop - start
            share = {"mean": n, "sum": 1, "mean_with_sample_weight": ones[rows].sum()}[reduction]
            off = x[rows] @ kernel + bias - y[rows]
            penalty = (0.1 * np.abs(kernel) + 0.3 * kernel**2).sum()
            loss += n * (0.25 * (ones[rows] * (off**2).mean(axis=1)).sum() + penalty) / share
            delta = 3.0 * ones[rows, None] * off / share
            slope = x[rows].T @ delta + (0.1 * np.sign(kernel) + 0.6 * kernel) / share
            if start == 0:
                found, gradients = loss_gradients(
                    net, x[rows], y[rows], None if w is None else w[rows].copy(), True, 0
                )
                np.testing.assert_allclose(found, loss / n)
                np.testing.assert_allclose(gradients[0], slope)
                judged = net.evaluate(x[rows], y[rows], None if w is None else w[rows].copy())
                np.testing.assert_allclose(judged[0], loss / n)
            kernel, bias = kernel - 0.1 * slope, bias - 0.1 * delta.sum(axis=0)
        training.run(1, np.inf)
        np.testing.assert_allclose(training.logs[0, 0], loss / 30)
        np.testing.assert_allclose(net.weights()[0], kernel)
        np.testing.assert_allclose(net.weights()[1], bias)


def test_a_validation_is_without_penalties_that_batches_share(rng):
    x, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 2))
    for shared in (False, True):
        net = Network(4, [(2, "linear", True)], "float64")
        net.set_weights([rng.normal(size=(4, 2)), rng.normal(size=2)])
        net.set_variables([{"penalty": (0.1, 0.3)}, {}])
        net.compile("mean_squared_error", False, "sgd", {"learning_rate": 0.1}, [], shared_penalties=shared)
        training = Training(
            net,
            x[:30],
            y[:30],
            batch_size=10,
            shuffle=False,
            seed=0,
            epochs=1,
            validation=(x[30:], y[30:], None),
        )
        training.run(1, np.inf)
        kernel, bias = net.weights()
        loss = ((x[30:] @ kernel + bias - y[30:]) ** 2).mean()
        penalty = (0.1 * np.abs(kernel) + 0.3 * kernel**2).sum()
        np.testing.assert_allclose(training.logs[0, 1], loss if shared else loss + penalty)
