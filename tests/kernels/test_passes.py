"""Training taken apart (gradients, ways forward and back, steps), against fit and central differences."""

import threading

import numpy as np
import pytest
from oracle import Net
from support import (
    THREADS,
    VARIANTS,
    central_differences,
    compiled,
    default_activation,
    digest,
    instruction_set,
    random_weights,
    targets,
    train,
)

from fastnn.kernels import runtime
from fastnn.kernels.gradients import Gradients
from fastnn.kernels.loops import apply_gradients, loss_gradients
from fastnn.kernels.network import Network
from fastnn.kernels.passes import Pass

NORM, BATCH = ("layer_norm", (1e-3, 1.0)), ("batch_norm", (1e-3, 0.9))
DROP = ("drop", (0.3, 1 / 0.7, 0.0, 0.0))

# inputs, what Network takes; shapes that divide nothing, one unit, one column, narrow layers and wide ones
NETS = {
    "one layer": (5, [(3, "linear", True)]),
    "one unit": (1, [(1, "tanh", True)]),
    "no bias": (7, [(33, "tanh", False), (2, "sigmoid", True)]),
    "narrow": (100, [(3, "tanh", True), (60, "relu", True), (2, "linear", True)]),
    "narrow behind narrow": (40, [(9, "tanh", True), (2, "softmax", True), (1, "linear", True)]),
    "wide": (19, [(70, "relu", True), (41, "gelu", True), (17, "softmax", True)]),
    "operations": (
        6,
        [
            ("affine", [0.5] * 6, [0.1] * 6),
            (20, "linear", True),
            NORM,
            ("prelu",),
            ("split",),
            (20, "tanh", True),
            BATCH,
            ("add",),
            (5, "linear", True),
            ("activation", "tanh"),
            (2, "linear", True),
        ],
    ),
    "batch first": (4, [BATCH, (7, "tanh", True), BATCH, (3, "softmax", True)]),
    "chance": (
        8,
        [DROP, (30, "relu", True), ("noise", (0.1, 0.0)), (9, "tanh", True), DROP, (2, "linear", True)],
    ),
    "ends in an operation": (5, [(12, "tanh", True), NORM, (4, "linear", True), BATCH]),
}


def network(name, rng, dtype=np.float64, **compile_arguments):
    inputs, layers = NETS[name]
    net = Network(inputs, layers, np.dtype(dtype).name)
    weights = []
    for w in net.weights():
        new = rng.normal(size=w.shape) * (0.8 / np.sqrt(len(w)) if w.ndim == 2 else 0.3)
        weights.append(np.abs(new) + 0.5 if w.ndim == 1 and (w == 1).all() else new)
    net.set_weights([np.ascontiguousarray(w, dtype) for w in weights])
    options = {"loss": "mean_squared_error", "optimizer": "sgd", **compile_arguments}
    loss, optimizer = options.pop("loss"), options.pop("optimizer")
    net.compile(loss, False, optimizer, options, [])
    return net


def rows_of(net, rows, rng):
    outputs = net.predict(np.zeros((1, net.specification[0]), net.dtype)).shape[1]
    x = rng.normal(size=(rows, net.specification[0])).astype(net.dtype)
    return x, rng.normal(size=(rows, outputs)).astype(net.dtype)


def trained(net, arrays):
    return [a for a, moves in zip(arrays, net.trained(), strict=True) if moves]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("rows", [1, 7, 50])
def test_forward_gives_what_predict_gives(name, rows, rng, dtype, isa):
    net = network(name, rng, dtype)
    x, _ = rows_of(net, rows, rng)
    np.testing.assert_array_equal(Pass(net).forward(net, x, False, 0), net.predict(x))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_backward_against_central_differences(name, training, rng, isa):
    """Of a fixed sum of outputs, with respect to weights and rows; random numbers and moving moments kept."""
    if name == "chance" and training:
        pytest.skip("see test_chance_is_the_same_forward_and_back")
    if name in ("wide", "narrow") and isa == "generic":
        pytest.skip("slow there, and the same bits")
    net = network(name, rng)
    x, upstream = rows_of(net, 7, rng)
    weights = net.weights()
    p = Pass(net)

    def total():
        net.set_weights(weights)
        return float((p.forward(net, x, training, 0) * upstream).sum())

    total()
    gradients, slopes = p.backward(net, upstream, True, True)
    moving = trained(net, range(len(weights)))
    some = np.random.default_rng(0)
    for got, i in zip(gradients, moving, strict=True):
        w = weights[i]
        for place in [tuple(some.integers(0, n) for n in w.shape) for _ in range(12)]:
            kept = w[place]
            w[place] = kept + 1e-5
            up = total()
            w[place] = kept - 1e-5
            down = total()
            w[place] = kept
            assert got[place] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-7), (i, place)
    (want,) = central_differences(total, [x])
    np.testing.assert_allclose(slopes, want, rtol=1e-5, atol=1e-7)


def test_chance_is_the_same_forward_and_back(rng, isa):
    """Of a network that is linear but for its chance, outputs are slopes times rows."""
    net = Network(6, [(20, "linear", False), ("drop", (0.5, 2.0, 0.0, 0.0)), (3, "linear", False)], "float64")
    net.set_weights([rng.normal(size=(6, 20)), rng.normal(size=(20, 3))])
    x = rng.normal(size=(9, 6))
    p = Pass(net)
    y = p.forward(net, x, True, 5)
    assert not np.allclose(y, net.predict(x))
    for unit in range(3):
        upstream = np.zeros((9, 3))
        upstream[:, unit] = 1
        _, slopes = p.backward(net, upstream, False, True)
        np.testing.assert_allclose((slopes * x).sum(axis=1), y[:, unit], rtol=1e-12, atol=1e-12)
    assert not np.allclose(p.forward(net, x, True, 5), y)  # the next rows draw anew


@pytest.mark.parametrize("name", NETS)
def test_there_and_back_at_once_is_both(name, rng, dtype):
    net = network(name, rng, dtype)
    x, upstream = rows_of(net, 21, rng)
    p, q = Pass(net), Pass(net)
    q.forward(net, x, False, 3)
    for a, b in zip(
        p.through(net, x, upstream, False, 3, True, True), q.backward(net, upstream, True, True), strict=True
    ):
        np.testing.assert_equal(list(a), list(b))


@pytest.mark.parametrize(
    "loss", ["mean_squared_error", "binary_crossentropy", "sparse_categorical_crossentropy"]
)
@pytest.mark.parametrize("hidden", [(), (7,), (50, 3, 33)])
@pytest.mark.parametrize("rows", [1, 40, 300])
def test_gradients_against_the_oracle(loss, hidden, rows, rng, isa):
    layers = [(units, "tanh", i != 1) for i, units in enumerate(hidden)] + [
        (4, default_activation(loss), True)
    ]
    weights = random_weights(layers, 13, rng)
    x, y, weight = rng.normal(size=(rows, 13)), targets(loss, rng, rows, 4), rng.uniform(size=rows)
    net, oracle = compiled(layers, 13, np.float64, weights, loss), Net(layers, weights)
    value, gradients = loss_gradients(net, x, y, weight, True, 0)
    assert value == pytest.approx(oracle.loss(loss, False, x, y, weight), rel=1e-12)
    _, _, want = oracle.gradients(loss, False, x, y, weight)
    assert len(gradients) == len(want)
    for a, b in zip(gradients, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def loop(net, x, y, batch, weight=None, epochs=1, seed=1, num_threads=1, rounds=None):
    """What `train` does without shuffling; returns the last loss."""
    for _ in range(epochs):
        for first in range(0, len(x), batch):
            part = slice(first, first + batch)
            value, gradients = loss_gradients(
                net, x[part], y[part], weight if weight is None else weight[part], True, seed, num_threads
            )
            if rounds is not None:
                gradients = Gradients.packed(net, rounds(gradients))
            apply_gradients(net, gradients)
    return value


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_loop_is_a_fit(variant, rng, dtype):
    optimizer, hyper = VARIANTS[variant]
    x, y = rng.normal(size=(70, 9)).astype(dtype), rng.normal(size=(70, 2)).astype(dtype)
    layers = [(40, "tanh", True), (3, "relu", True), (2, "linear", True)]
    weights = random_weights(layers, 9, rng, dtype)
    options = {"optimizer": optimizer, **hyper, "weight_decay": 0.01, "clipvalue": 0.3}
    fitted, looped = (compiled(layers, 9, dtype, weights, "mean_squared_error", **options) for _ in range(2))
    training = train(fitted, x, y, epochs=3, batch_size=33)
    loop(looped, x, y, 33, epochs=3)
    assert digest(looped.weights()) == digest(fitted.weights())
    for a, b in zip(looped.optimizer_slots(), fitted.optimizer_slots(), strict=True):
        assert digest(a) == digest(b)
    assert looped.iterations == fitted.iterations == 9
    again = train(
        compiled(layers, 9, dtype, weights, "mean_squared_error", **options),
        x[:33],
        y[:33],
        epochs=1,
        batch_size=33,
    )
    value, _ = loss_gradients(
        compiled(layers, 9, dtype, weights, "mean_squared_error"), x[:33], y[:33], None, True, 1
    )
    assert value == again.logs[0, 0]
    assert training.epoch == 3


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("batch", [1, 16, 300])
def test_loops_of_all_kinds_of_networks_are_fits(name, batch, rng, dtype):
    """One epoch: in the next one, chance is that of other rows."""
    seed = rng.integers(1 << 30)
    fitted, looped, touched = (
        network(name, np.random.default_rng(seed), dtype, optimizer="adam", learning_rate=0.01)
        for _ in range(3)
    )
    rows = 37 if batch < 300 else 700
    x, y = rows_of(fitted, rows, rng)
    weight = rng.uniform(size=rows).astype(dtype)
    train(fitted, x, y, epochs=1, batch_size=batch, sample_weight=weight)
    loop(looped, x, y, batch, weight)
    loop(touched, x, y, batch, weight, rounds=lambda gradients: [np.asfortranarray(g) for g in gradients])
    assert digest(looped.weights()) == digest(fitted.weights())
    assert digest(touched.weights()) == digest(fitted.weights())


def test_a_fit_after_a_loop_draws_anew(rng):
    net, other = (network("chance", np.random.default_rng(3)) for _ in range(2))
    x, y = rows_of(net, 20, rng)
    loop(net, x, y, 20)
    other.set_weights(net.weights())
    train(net, x, y, epochs=1, batch_size=20)
    train(other, x, y, epochs=1, batch_size=20)
    assert digest(net.weights()) != digest(other.weights())


def test_a_loop_in_bfloat16_is_a_fit(rng):
    layers = [(64, "relu", True), (64, "tanh", True), (3, "linear", True)]
    x, y = rng.normal(size=(90, 33)).astype(np.float32), rng.normal(size=(90, 3)).astype(np.float32)
    weights = random_weights(layers, 33, rng, np.float32)
    nets = []
    for precision in ("bfloat16", "bfloat16", None):
        net = compiled(layers, 33, np.float32, weights, "mean_squared_error")
        net.compile("mean_squared_error", False, "adam", {}, [], precision)
        nets.append(net)
    train(nets[0], x, y, epochs=2, batch_size=30)
    loop(nets[1], x, y, 30, epochs=2)
    loop(nets[2], x, y, 30, epochs=2)
    assert digest(nets[0].weights()) == digest(nets[1].weights()) != digest(nets[2].weights())


@pytest.mark.parametrize("frozen", [[0, 1], [1], [2, 3], [0, 2]])
def test_frozen_weights_have_no_gradients(frozen, rng, dtype):
    layers = [(20, "tanh", True), (3, "tanh", True), (2, "linear", True)]
    weights = random_weights(layers, 8, rng, dtype)
    x, y = rng.normal(size=(30, 8)).astype(dtype), rng.normal(size=(30, 2)).astype(dtype)
    fitted, looped, free = (
        compiled(layers, 8, dtype, weights, "mean_squared_error", optimizer="adam") for _ in range(3)
    )
    for net in (fitted, looped):
        net.set_variables([{"trained": i not in frozen} for i in range(6)])
    train(fitted, x, y, epochs=2, batch_size=11)
    loop(looped, x, y, 11, epochs=2)
    assert digest(looped.weights()) == digest(fitted.weights())
    looped.set_weights(weights)
    _, some = loss_gradients(looped, x, y, None, True, 0)
    _, every = loss_gradients(free, x, y, None, True, 0)
    assert digest(some) == digest([g for i, g in enumerate(every) if i not in frozen])
    # gradients with respect to the rows go through what is frozen
    _, slopes = Pass(looped).through(looped, x, y, False, 0)
    assert digest([slopes]) == digest([Pass(free).through(free, x, y, False, 0)[1]])


@pytest.mark.parametrize("name", ["narrow", "wide", "operations", "chance"])
def test_same_bits_for_all_threads_and_instruction_sets(name, dtype):
    found = set()
    for isa in [i for i in runtime.instruction_sets() if i != "nofma"]:
        with instruction_set(isa):
            for threads in THREADS if isa != "generic" else (2,):
                rng = np.random.default_rng(8)
                net = network(name, rng, dtype, optimizer="adam")
                x, y = rows_of(net, 130, rng)
                value = loop(net, x, y, 130, epochs=2, num_threads=threads)
                slopes = Pass(net).through(net, x, y, False, 0, num_threads=threads)[1]
                found.add(digest([*net.weights(), slopes, np.float64(value)]))
    assert len(found) == 1


@pytest.mark.parametrize("option", [{"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"weight_decay": 0.1}])
def test_a_step_leaves_the_gradients_alone(option, rng):
    net = network("wide", rng, optimizer="adam", **option)
    x, y = rows_of(net, 16, rng)
    _, gradients = loss_gradients(net, x, y, None, True, 0)
    _, others = loss_gradients(net, x, y, None, True, 0)
    apply_gradients(net, gradients)
    assert digest(gradients) == digest(others)


def test_nothing_published_is_written_to(rng):
    """Whoever holds outputs, gradients or a prediction under way keeps what it saw."""
    net = network("wide", rng, optimizer="adam", learning_rate=0.1)
    x, y = rows_of(net, 16, rng)
    p = Pass(net)
    p.forward(net, x, False, 0)
    first, _ = p.backward(net, y)
    kept = [g.copy() for g in first]
    for _ in range(4):
        _, gradients = loss_gradients(net, x, y, None, True, 0)
        apply_gradients(net, gradients)
    again, _ = p.backward(net, y)  # at the weights that forward met
    assert digest(again) == digest(kept) == digest(first)


def test_predictions_from_another_thread_see_whole_steps(rng):
    """Whoever looks sees the weights of some published step: all equal."""
    net = Network(40, [(64, "linear", False), (1, "linear", False)], "float64")
    net.set_weights([np.ones((40, 64)), np.ones((64, 1))])
    net.compile("mean_squared_error", False, "sgd", {"learning_rate": 1.0}, [])
    x = np.ones((1, 40))
    wrong, over = [], threading.Event()

    def watch():
        while not over.is_set():
            first, second = net.weights()
            if len({*first.ravel(), *second.ravel()}) > 1:
                wrong.append(first)

    watchers = [threading.Thread(target=watch) for _ in range(2)]
    for thread in watchers:
        thread.start()
    ones = Gradients.packed(net, [np.full((40, 64), -1.0), np.full((64, 1), -1.0)])
    for _ in range(300):
        apply_gradients(net, ones)
    over.set()
    for thread in watchers:
        thread.join()
    assert not wrong
    assert net.predict(x)[0, 0] == 40 * 64 * 301.0**2


def test_steps_from_several_threads_are_all_taken(rng):
    net = Network(3, [(2, "linear", False)], "float64")
    net.set_weights([np.zeros((3, 2))])
    net.compile("mean_squared_error", False, "sgd", {"learning_rate": 1.0}, [])

    def work():
        for _ in range(100):
            apply_gradients(net, Gradients.packed(net, [np.full((3, 2), -1.0)]))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert (net.weights()[0] == 400).all()
    assert net.iterations == 400


def test_misuse(rng):
    net = network("wide", rng)
    other = network("wide", rng)
    x, y = rows_of(net, 9, rng)
    p = Pass(net)
    with pytest.raises(RuntimeError, match="forward"):
        p.backward(net, y)
    p.forward(net, x, True, 0)
    with pytest.raises(ValueError, match=r"upstream has shape \(9, 1\); expected \(9, 17\)"):
        p.backward(net, y[:, :1].copy())
    with pytest.raises(ValueError, match="x has shape"):
        p.forward(net, x[:, :3].copy(), True, 0)
    with pytest.raises(RuntimeError, match="forward"):  # what was kept is gone
        p.backward(net, y)
    p.forward(net, x, True, 0)
    net.compile("mean_squared_error", False, "adam", {}, [])
    with pytest.raises(RuntimeError, match="compiled anew"):
        p.backward(net, y)
    _, gradients = loss_gradients(net, x, y, None, True, 0)
    with pytest.raises(ValueError, match="another network"):
        apply_gradients(other, gradients)
    with pytest.raises(ValueError, match="6 trained arrays of weights, but 5 gradients"):
        Gradients.packed(net, list(gradients)[:5])
    with pytest.raises(ValueError, match="gradient 0 has shape"):
        Gradients.packed(net, list(gradients)[::-1])
    with pytest.raises(TypeError, match="gradients\\(\\)"):
        Gradients()
    with pytest.raises(RuntimeError, match="compile"):
        loss_gradients(Network(3, [(1, "linear", True)], "float64"), x, y, None, True, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_and_changes_nothing(bad, rng):
    net = network("wide", rng, optimizer="adam")
    before = digest(net.weights())
    x, y = rows_of(net, 9, rng)
    for name, arrays in (("x", (np.full_like(x, bad), y)), ("y", (x, np.full_like(y, bad)))):
        with pytest.raises(ValueError, match=f"{name} contains NaN or infinity"):
            loss_gradients(net, *arrays, None, True, 0)
    p = Pass(net)
    p.forward(net, x, True, 0)
    with pytest.raises(ValueError, match="upstream contains NaN or infinity"):
        p.backward(net, np.full_like(y, bad))
    _, gradients = loss_gradients(net, x, y, None, True, 0)
    gradients[0][0, 0] = bad
    with pytest.raises(FloatingPointError, match="not taken"):
        apply_gradients(net, gradients)
    with pytest.raises(FloatingPointError, match="the loss is inf"):
        loss_gradients(net, x, np.full_like(y, 1e300), None, True, 0)
    assert digest(net.weights()) == before
    assert net.iterations == 0
    _, gradients = loss_gradients(net, x, y, None, True, 0)
    apply_gradients(net, gradients)
    assert net.iterations == 1
