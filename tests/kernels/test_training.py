"""Whole training runs against the oracle, and the rules of a Training: order, steps, chunks, publishing."""

import gc
import sys

import numpy as np
import oracle
import pytest
from oracle import Net
from support import HYPER, compiled, default_activation, digest, random_weights, row_orders, targets, train

from fastnn.kernels.training import Training

SGD, MOMENTUM, NESTEROV, ADAM = (
    ("sgd", {"learning_rate": 0.05}),
    ("sgd", {"learning_rate": 0.02, "momentum": 0.9}),
    ("sgd", {"learning_rate": 0.02, "momentum": 0.8, "nesterov": 1.0}),
    ("adam", {"learning_rate": 0.01}),
)

MSE, MAE, BCE = "mean_squared_error", "mean_absolute_error", "binary_crossentropy"
CCE, SCCE = "categorical_crossentropy", "sparse_categorical_crossentropy"

# hidden layers, inputs, outputs, rows, batch, loss, from_logits, optimizer
RUNS = {
    "1 layer, batch 1": ((), 3, 1, 11, 1, MSE, False, SGD),
    "1 layer, narrow": ((), 90, 2, 40, 7, CCE, False, ADAM),
    "1 layer, wide": ((), 9, 70, 33, 8, BCE, False, MOMENTUM),
    "1 layer, one unit, full batch": ((), 1, 1, 300, 300, MAE, False, ADAM),
    "2 layers, xor": (((5, "tanh", True),), 2, 1, 4, 4, BCE, False, SGD),
    "2 layers, 8-10-1": (((10, "relu", True),), 8, 1, 100, 32, BCE, False, ADAM),
    "2 layers, batch beyond the data": (((11, "sigmoid", True),), 6, 3, 29, 64, CCE, False, NESTEROV),
    "2 layers, no bias": (((19, "tanh", False),), 7, 3, 50, 13, SCCE, False, ADAM),
    "2 layers, batch beyond a block": (((33, "relu", True),), 5, 2, 700, 300, MSE, False, MOMENTUM),
    "2 layers, softmax inside": (((6, "softmax", True),), 4, 2, 30, 9, MSE, False, ADAM),
    "3 layers, bottleneck": (((70, "relu", True), (2, "tanh", True)), 40, 35, 60, 17, MSE, False, ADAM),
    "3 layers, logits": (((17, "relu", True), (15, "tanh", False)), 10, 1, 65, 33, BCE, True, SGD),
    "3 layers, class logits": (((20, "tanh", True), (16, "relu", True)), 12, 5, 90, 16, CCE, True, ADAM),
    "3 layers, wide": (((130, "relu", True), (257, "sigmoid", True)), 20, 10, 70, 33, SCCE, False, ADAM),
    "4 layers": (((9, "tanh", True), (8, "relu", True), (7, "sigmoid", True)),
                 5, 3, 64, 10, SCCE, True, NESTEROV),
    "4 layers, full batch": (((33, "sigmoid", True), (3, "linear", True), (31, "tanh", True)),
                             17, 2, 520, 520, MAE, False, MOMENTUM),
}  # fmt: skip


def problem(name, dtype, seed=5):
    hidden, inputs, outputs, rows, batch, loss, from_logits, (optimizer, hyper) = RUNS[name]
    rng = np.random.default_rng(seed)
    layers = [*hidden, (outputs, default_activation(loss, from_logits), True)]
    weights = random_weights(layers, inputs, rng, dtype)
    x, y = rng.normal(size=(rows, inputs)).astype(dtype), targets(loss, rng, rows, outputs, dtype)
    metrics = (
        ["mean_absolute_error"]
        if loss.startswith(("mean", "binary"))
        else ["sparse_categorical_accuracy" if loss.startswith("sparse") else "categorical_accuracy"]
    )
    net = compiled(
        layers,
        inputs,
        dtype,
        weights,
        loss,
        from_logits=from_logits,
        optimizer=optimizer,
        metrics=metrics,
        **hyper,
    )
    twin = Net(layers, weights)
    theirs = oracle.OPTIMIZERS[optimizer](**{**hyper, **({"nesterov": True} if "nesterov" in hyper else {})})
    options = {"batch_size": batch, "from_logits": from_logits, "metrics": metrics}
    return net, twin, theirs, loss, x, y, options, rng


def assert_like(net, twin, got_logs, want_logs, dtype):
    if dtype == np.float64:
        rtol, atol = 1e-8, 1e-10
    else:
        rtol, atol = 5e-3, 5e-4
    for got, want in zip(net.weights(), twin.weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
    assert got_logs.shape == want_logs.shape
    assert got_logs.dtype == np.float64
    np.testing.assert_allclose(got_logs, want_logs, rtol=rtol, atol=atol)


@pytest.mark.parametrize("run", sorted(RUNS))
def test_matches_the_oracle(run, dtype, isa):
    net, twin, theirs, loss, x, y, options, _ = problem(run, dtype)
    epochs = 4
    training = train(net, x, y, epochs=epochs, batch_size=options["batch_size"])
    logs = twin.fit(loss, theirs, x, y, orders=[np.arange(len(x))] * epochs, **options)
    assert_like(net, twin, training.logs, logs, dtype)
    assert net.iterations == theirs.steps


@pytest.mark.parametrize("run", sorted(RUNS))
def test_weighted_and_validated_run_matches_the_oracle(run, dtype, isa):
    net, twin, theirs, loss, x, y, options, rng = problem(run, dtype)
    weight = rng.uniform(0, 2, size=len(x)).astype(dtype)
    weight[::5] = 0
    rows = 37
    validation = (
        rng.normal(size=(rows, x.shape[1])).astype(dtype),
        targets(loss, rng, rows, options.get("outputs", twin.layers[-1][0]), dtype),
        rng.uniform(0, 2, size=rows).astype(dtype) if rows % 2 else None,
    )
    training = train(
        net,
        x,
        y,
        epochs=3,
        batch_size=options["batch_size"],
        sample_weight=weight,
        validation=validation,
        num_threads=2,
    )
    logs = twin.fit(
        loss,
        theirs,
        x,
        y,
        orders=[np.arange(len(x))] * 3,
        sample_weight=weight,
        validation=validation,
        **options,
    )
    assert_like(net, twin, training.logs, logs, dtype)


@pytest.mark.parametrize(
    "run", ["2 layers, 8-10-1", "3 layers, bottleneck", "2 layers, batch beyond a block"]
)
def test_shuffled_run_matches_the_oracle_in_the_same_order(run, isa):
    net, twin, theirs, loss, x, y, options, rng = problem(run, np.float64)
    weight = rng.uniform(0, 2, size=len(x))
    orders = row_orders(len(x), seed=1234, epochs=3)
    training = train(
        net, x, y, epochs=3, batch_size=options["batch_size"], shuffle=True, seed=1234, sample_weight=weight
    )
    logs = twin.fit(loss, theirs, x, y, orders=orders, sample_weight=weight, **options)
    assert_like(net, twin, training.logs, logs, np.dtype(np.float64))


def test_shuffled_orders_are_permutations_that_differ():
    rows = 50
    orders = row_orders(rows, seed=7, epochs=40)
    assert all(sorted(order) == list(range(rows)) for order in orders)
    assert len({tuple(order) for order in orders}) == 40
    assert [o.tolist() for o in row_orders(rows, seed=7, epochs=2)] == [o.tolist() for o in orders[:2]]
    assert row_orders(rows, seed=8, epochs=1)[0].tolist() != orders[0].tolist()
    # Every row's place averages to the middle: 40 epochs leave a standard error of 2.3 places.
    places = np.array([np.argsort(order) for order in orders])
    assert np.abs(places.mean(axis=0) - (rows - 1) / 2).max() < 5 * rows / np.sqrt(12 * 40)
    # And rows that were neighbours in the data have parted.
    assert np.mean([np.mean(np.abs(np.diff(order)) == 1) for order in orders]) < 0.15


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_shuffling_few_rows(rows):
    orders = {tuple(order) for order in row_orders(rows, seed=3, epochs=60)}
    assert len(orders) == {1: 1, 2: 2, 3: 6}[rows]


def test_a_large_seed():
    for seed in (0, 2**32, 2**63, 2**64 - 1):
        assert sorted(row_orders(5, seed, 1)[0]) == list(range(5))


def small(dtype=np.float64, optimizer="adam", rows=23, metrics=("mean_absolute_error",), **hyper):
    rng = np.random.default_rng(11)
    layers = [(7, "tanh", True), (2, "linear", True)]
    weights = random_weights(layers, 4, rng, dtype)
    net = compiled(
        layers, 4, dtype, weights, "mean_squared_error", optimizer=optimizer, metrics=metrics, **hyper
    )
    return net, rng.normal(size=(rows, 4)).astype(dtype), rng.normal(size=(rows, 2)).astype(dtype)


def everything(net):
    return digest([*net.weights(), *(w for slot in net.optimizer_slots() for w in slot)])


@pytest.mark.parametrize("optimizer", sorted(HYPER))
@pytest.mark.parametrize("shuffle", [False, True])
def test_two_fits_then_three_equal_five(optimizer, shuffle, dtype, isa):
    """The network counts its epochs, so even shuffled ones go on where the last Training stopped."""
    once, x, y = small(dtype, optimizer)
    logs = train(once, x, y, epochs=5, batch_size=6, shuffle=shuffle).logs
    twice, _, _ = small(dtype, optimizer)
    first = train(twice, x, y, epochs=2, batch_size=6, shuffle=shuffle).logs
    second = train(twice, x, y, epochs=3, batch_size=6, shuffle=shuffle).logs
    assert everything(once) == everything(twice)
    assert np.concatenate([first, second]).tobytes() == logs.tobytes()
    assert (twice.lifetime_epochs, twice.iterations) == (5, 20)


def test_a_second_fit_does_not_replay_the_first_order():
    net, x, y = small(optimizer="sgd", learning_rate=0.0)
    # Nothing is learned at rate zero, so the loss of a partial epoch tells the rows that were seen.
    seen = []
    for _ in range(2):
        training = Training(net, x, y, batch_size=6, shuffle=True, seed=9, epochs=1, num_threads=1)
        training.run(1, 0.0)
        seen.append(training.partial_logs()[0])
        while not training.epoch:
            training.run(1, 1.0)
    assert seen[0] != seen[1]


@pytest.mark.parametrize("shuffle", [False, True])
def test_calls_cut_a_run_anywhere_without_changing_it(shuffle, dtype, isa):
    whole, x, y = small(dtype)
    logs = train(whole, x, y, epochs=4, batch_size=5, shuffle=shuffle).logs
    for pace in ("steps", "epochs", "mixed"):
        net, _, _ = small(dtype)
        training = Training(net, x, y, batch_size=5, shuffle=shuffle, seed=1, epochs=4, num_threads=2)
        calls = 0
        while training.epoch < 4:
            calls += 1
            if pace == "epochs" or (pace == "mixed" and calls % 4 == 0):
                training.run(1, 60.0)
            else:
                training.run(1, 0.0)
        assert everything(net) == everything(whole)
        assert training.logs.tobytes() == logs.tobytes()


def test_one_step_a_call():
    net, x, y = small()
    training = Training(net, x, y, batch_size=5, shuffle=False, seed=1, epochs=2, num_threads=1)
    assert (training.steps, training.step, training.epoch) == (5, 0, 0)
    assert training.logs.shape == (0, 2)
    twin = Net([(7, "tanh", True), (2, "linear", True)], net.weights())
    losses = []
    for step in range(1, 6):
        a = twin.predict(x[5 * step - 5 : 5 * step])
        losses.append(((a - y[5 * step - 5 : 5 * step]) ** 2).mean(axis=1))
        version = net.version
        done = training.run(1, 0.0)
        assert net.iterations == step
        assert net.version > version
        assert done == (step == 5)
        if step < 5:
            assert (training.step, training.epoch) == (step, 0)
            np.testing.assert_allclose(training.partial_logs()[0], np.concatenate(losses).mean(), rtol=1e-9)
        twin = Net(twin.layers, net.weights())
    assert training.epoch == 1
    assert training.logs.shape == (1, 2)
    np.testing.assert_allclose(training.logs[0, 0], np.concatenate(losses).mean(), rtol=1e-9)


def test_run_stops_at_max_epochs_and_at_the_end():
    net, x, y = small()
    training = Training(net, x, y, batch_size=5, shuffle=False, seed=1, epochs=7, num_threads=1)
    assert training.run(3, 60.0) == 3
    assert (training.epoch, net.lifetime_epochs, len(training.logs)) == (3, 3, 3)
    assert training.run(100, 60.0) == 4
    assert training.run(100, 60.0) == 0
    assert (training.epoch, net.iterations) == (7, 35)


def test_run_comes_back_in_time_and_publishes():
    """A budget of seconds is kept to within a step (the bound is generous: machines are shared)."""
    import time

    net, x, y = small(rows=2000)
    training = Training(net, x, y, batch_size=1, shuffle=True, seed=1, epochs=10**6, num_threads=1)
    version, start = net.version, time.perf_counter()
    training.run(10**6, 0.05)
    assert time.perf_counter() - start < 5
    assert net.version > version
    assert training.epoch < 10**6


def test_no_python_runs_within_a_call():
    """300 epochs in one call are one call to whoever looks on."""
    import sys

    net, x, y = small()
    training = Training(net, x, y, batch_size=5, shuffle=True, seed=1, epochs=300, num_threads=1)
    seen = []
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    try:
        training.run(300, 60.0)
    finally:
        sys.setprofile(None)
    assert training.epoch == 300
    assert len(seen) < 20


def test_other_python_threads_run_meanwhile():
    """The interpreter is free for the whole of a call."""
    import threading

    net, x, y = small(rows=2000)
    training = Training(net, x, y, batch_size=10, shuffle=True, seed=1, epochs=10**6, num_threads=1)
    count, over = [0], threading.Event()

    def work():
        while not over.is_set():
            count[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        before = count[0]
        training.run(10**6, 0.2)
        assert count[0] > before
    finally:
        over.set()
        thread.join()


def test_inputs_are_not_written_to(dtype, isa):
    net, x, y = small(dtype)
    weight = np.ones(len(x), dtype)
    before = digest([x, y, weight])
    for a in (x, y, weight):
        a.flags.writeable = False
    train(net, x, y, epochs=3, batch_size=5, shuffle=True, sample_weight=weight, validation=(x, y, weight))
    assert digest([x, y, weight]) == before


def test_weights_of_zero_leave_the_weights_alone(dtype):
    net, x, y = small(dtype, "sgd")
    before = digest(net.weights())
    logs = train(net, x, y, epochs=2, batch_size=5, sample_weight=np.zeros(len(x), dtype)).logs
    assert digest(net.weights()) == before
    assert logs[:, 0].tolist() == [0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "y", "sample_weight"])
@pytest.mark.parametrize("batch_size", [5, 23, 100])
def test_data_that_is_not_finite(bad, where, batch_size, dtype, isa):
    net, x, y = small(dtype)
    train(net, x, y, epochs=1, batch_size=5)
    before, iterations = everything(net), net.iterations
    data = {"x": x.copy(), "y": y.copy(), "sample_weight": np.ones(len(x), dtype)}
    data[where][(17,) if where == "sample_weight" else (17, 1)] = bad
    with pytest.raises(ValueError, match=where) as caught:
        train(
            net,
            data["x"],
            data["y"],
            sample_weight=data["sample_weight"],
            epochs=2,
            batch_size=batch_size,
            shuffle=True,
        )
    assert "17" in str(caught.value)
    assert everything(net) == before
    assert (net.iterations, net.lifetime_epochs) == (iterations, 1)
    train(net, x, y, epochs=1, batch_size=5)  # and the network can go on


@pytest.mark.parametrize("where", [0, 1, 2])
def test_validation_data_that_is_not_finite(where):
    net, x, y = small()
    before = everything(net)
    validation = [x.copy(), y.copy(), np.ones(len(x))]
    validation[where][3] = np.nan
    with pytest.raises(ValueError, match="3"):
        train(net, x, y, epochs=2, batch_size=5, validation=tuple(validation))
    assert everything(net) == before


def test_divergence_raises_and_leaves_a_finite_network(dtype, isa):
    net, x, y = small(dtype, "sgd", learning_rate=1e6)
    with pytest.raises(FloatingPointError):
        train(net, 100 * x, y, epochs=500, batch_size=5)
    assert all(np.isfinite(w).all() for w in net.weights())
    assert np.isfinite(net.predict(x)).all()
    net.compile("mean_squared_error", False, "sgd", HYPER["sgd"], [])
    net.set_weights([np.zeros_like(w) for w in net.weights()])
    train(net, x, y, epochs=2, batch_size=5)
    assert all(np.isfinite(w).all() for w in net.weights())


def test_one_training_at_a_time():
    net, x, y = small()
    first = Training(net, x, y, batch_size=5, shuffle=False, seed=1, epochs=5, num_threads=1)
    first.run(1, 0.0)
    with pytest.raises(RuntimeError):
        Training(net, x, y, batch_size=5, shuffle=False, seed=1, epochs=5, num_threads=1).run(1, 0.0)
    first.run(5, 60.0)
    assert first.epoch == 5
    train(net, x, y, epochs=1, batch_size=5)  # the first is over: the next may come


def test_an_abandoned_training_frees_the_network():
    net, x, y = small()
    first = Training(net, x, y, batch_size=5, shuffle=False, seed=1, epochs=5, num_threads=1)
    first.run(1, 0.0)
    del first
    train(net, x, y, epochs=1, batch_size=5)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"batch_size": 0}, ["batch_size", "0"]),
        ({"batch_size": -4}, ["batch_size", "-4"]),
        ({"epochs": -1}, []),
        ({"x": np.zeros((23, 5))}, ["x", "5", "4"]),
        ({"x": np.zeros((22, 4))}, ["22", "23"]),
        ({"y": np.zeros((23, 3))}, ["y", "3", "2"]),
        ({"x": np.zeros((23, 4), np.float32)}, ["x", "float32", "float64"]),
        ({"sample_weight": np.ones(22)}, ["sample_weight", "22", "23"]),
        ({"sample_weight": np.ones((23, 2))}, ["sample_weight"]),
        ({"validation": (np.zeros((5, 3)), np.zeros((5, 2)), None)}, ["validation"]),
        ({"validation": (np.zeros((5, 4)), np.zeros((6, 2)), None)}, ["validation"]),
        (
            {
                "stopping": {
                    "column": 9,
                    "mode": "min",
                    "min_delta": 0,
                    "patience": 0,
                    "baseline": None,
                    "start_from_epoch": 0,
                    "restore_best_weights": False,
                }
            },
            ["column"],
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments(change, names):
    net, x, y = small()
    before = everything(net)
    good = {"x": x, "y": y, "batch_size": 5, "shuffle": False, "seed": 1, "epochs": 2, "num_threads": 1}
    arguments = {**good, **change}
    with pytest.raises((ValueError, TypeError)) as caught:
        Training(net, arguments.pop("x"), arguments.pop("y"), **arguments)
    for name in names:
        assert name in str(caught.value)
    assert everything(net) == before
    train(net, x, y, epochs=1, batch_size=5)


def test_training_before_compile():
    from fastnn.kernels.network import Network

    net = Network(3, [(2, "relu", True)], "float64")
    with pytest.raises((RuntimeError, ValueError), match="compile"):
        Training(net, np.zeros((4, 3)), np.zeros((4, 2)), batch_size=2, shuffle=False, seed=1, epochs=1)


@pytest.mark.parametrize(
    "loss", ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"]
)
@pytest.mark.parametrize("from_logits", [False, True])
def test_a_saturated_wrong_answer_can_still_be_unlearned(loss, from_logits, dtype, isa):
    """Fused with its sigmoid or softmax, a cross-entropy has the gradient a - y however wrong the row is."""
    layers = [(2, default_activation(loss, from_logits), True)]
    weights = [np.zeros((1, 2), dtype), np.array([60.0, -60.0], dtype)]
    net = compiled(layers, 1, dtype, weights, loss, from_logits=from_logits, learning_rate=1.0)
    y = np.array([[1.0]] if loss.startswith("sparse") else [[0.0, 1.0]], dtype)
    logs = train(net, np.ones((1, 1), dtype), y, epochs=1, batch_size=1).logs
    step = weights[1] - net.weights()[1]
    np.testing.assert_allclose(step, [0.5, -0.5] if loss.startswith("binary") else [1, -1], rtol=1e-6)
    assert np.isfinite(logs).all()
    assert logs[0, 0] > 15


def test_weights_set_between_two_calls_are_trained_on():
    net, x, y = small(optimizer="sgd")
    start = net.weights()
    t = Training(net, x, y, batch_size=5, shuffle=False, seed=1, epochs=2, num_threads=1)
    t.run(1, 1e9)
    net.set_weights(start)
    t.run(1, 1e9)
    twin, _, _ = small(optimizer="sgd")
    train(twin, x, y, epochs=1, batch_size=5)
    assert digest(net.weights()) == digest(twin.weights())
    assert net.iterations == 2 * t.steps


def test_history_grows_with_the_epochs():
    net, x, y = small()
    t = Training(net, x, y, batch_size=23, shuffle=False, seed=1, epochs=10_000, num_threads=1)
    while t.epoch < 10_000:
        t.run(10_000, 0.01)
    assert t.logs.shape[0] == 10_000
    assert (t.logs[:, 0] > 0).all()


def test_no_python_and_no_allocation_inside_a_call():
    net, x, y = small(metrics=())
    t = Training(net, x, y, batch_size=5, shuffle=True, seed=1, epochs=4000, num_threads=1)
    t.run(1, 1e9)
    seen = []

    def blocks_of(epochs):
        gc.collect()
        gc.disable()
        try:
            before = sys.getallocatedblocks()
            sys.setprofile(lambda frame, event, argument: seen.append((frame.f_code.co_name, event)))
            try:
                t.run(epochs, 1e9)
            finally:
                sys.setprofile(None)
            return sys.getallocatedblocks() - before
        finally:
            gc.enable()

    few, few_events = blocks_of(10), len(seen)
    seen.clear()
    many, many_events = blocks_of(3900), len(seen)
    assert t.epoch == 3911
    assert many <= few + 2  # a state to publish, whatever the number of epochs
    assert many_events <= few_events
    assert {name for name, _ in seen} <= {"blocks_of"}  # no frame but the caller's own
