"""Trainings fed batch by batch, epochs of some steps, and stopping at a value: the native side."""

import numpy as np
import pytest
from support import compiled, digest, random_weights, same_bits, train

from fastnn.kernels.training import Training

SHAPES = {
    "fused": [(5, "tanh", True), (1, "linear", True)],
    "layers": [(5, "relu", True), (6, "tanh", True), (2, "linear", True)],
    "wide": [(70, "relu", True), (3, "linear", True)],
}


def net_of(shape, dtype=np.float32, inputs=3, seed=1):
    layers = SHAPES[shape]
    weights = random_weights(layers, inputs, np.random.default_rng(seed))
    return compiled(
        layers,
        inputs,
        dtype,
        weights,
        "mean_squared_error",
        optimizer="adam",
        metrics=["mean_absolute_error"],
    )


def data_of(shape, rows, dtype=np.float32, seed=2):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(rows, 3)).astype(dtype),
        rng.normal(size=(rows, SHAPES[shape][-1][0])).astype(dtype),
        rng.uniform(0, 2, rows).astype(dtype),
    )


def stream(net, batches, epochs=1, threads=0):
    training = None
    for _ in range(epochs):
        for batch in batches:
            if training is None:
                training = Training(
                    net,
                    *batch[:2],
                    sample_weight=batch[2],
                    batch_size=len(batch[0]),
                    shuffle=False,
                    seed=1,
                    epochs=epochs,
                    stream=True,
                    num_threads=threads,
                )
            else:
                training.feed(*batch)
            assert training.run(1, np.inf) == 0
        training.end_epoch()
    training.close()
    return training


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_stream_gives_the_bits_of_an_epoch(shape, threads, dtype, isa):
    x, y, w = data_of(shape, 23, dtype)
    net, twin = net_of(shape, dtype), net_of(shape, dtype)
    batches = [(x[i : i + 5], y[i : i + 5], w[i : i + 5]) for i in range(0, 23, 5)]
    fed = stream(net, batches, 3, threads)
    whole = train(twin, x, y, sample_weight=w, epochs=3, batch_size=5)
    assert digest(net.weights()) == digest(twin.weights())
    assert same_bits(fed.logs, whole.logs)
    assert (net.iterations, net.lifetime_epochs) == (twin.iterations, twin.lifetime_epochs)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_batches_may_grow_and_shrink(shape, isa):
    sizes = [1, 300, 2, 5000, 17]
    batches = [data_of(shape, n, seed=n) for n in sizes]
    net, twin = net_of(shape), net_of(shape)
    fed = stream(net, batches)
    values = []
    for x, y, w in batches:
        values.append(train(twin, x, y, sample_weight=w, epochs=1, batch_size=len(x)).logs[0])
    assert digest(net.weights()) == digest(twin.weights())
    np.testing.assert_allclose(fed.logs[0], np.average(values, axis=0, weights=sizes), rtol=1e-6)


def test_the_order_of_calls_is_kept():
    x, y, w = data_of("fused", 5)
    net = net_of("fused")
    training = Training(net, x, y, batch_size=5, shuffle=False, seed=1, epochs=9, stream=True)
    with pytest.raises(RuntimeError, match="has not trained on the batch"):
        training.feed(x, y)
    with pytest.raises(RuntimeError, match="after a step"):
        training.end_epoch()
    training.run(1, np.inf)
    assert (training.step, training.epoch) == (1, 0)
    assert training.run(1, np.inf) == 0, "nothing is left to train on"
    assert net.iterations == 1
    with pytest.raises(ValueError, match="y has shape"):
        training.feed(x, y[:3])
    training.feed(x, y, w)
    training.run(1, np.inf)
    assert net.iterations == 2
    training.end_epoch()
    assert training.logs.shape == (1, 2)
    training.close()
    plain = Training(net, x, y, batch_size=5, shuffle=False, seed=1, epochs=9)
    with pytest.raises(RuntimeError, match="stream=True"):
        plain.feed(x, y)
    plain.close()
    with pytest.raises(ValueError, match="neither shuffled nor validated"):
        Training(net, x, y, batch_size=5, shuffle=True, seed=1, epochs=9, stream=True)


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("which", ["x", "y"])
def test_bad_data_in_a_stream_is_found(shape, which):
    good, bad = data_of(shape, 5), data_of(shape, 5)
    bad["xy".index(which)][3] = np.nan
    net = net_of(shape)
    with pytest.raises(ValueError, match="NaN or infinity"):
        stream(net, [good, bad])
    assert net.iterations == 1
    stream(net, [good])


def test_a_diverging_stream_raises():
    x, y, w = data_of("wide", 5)
    net = net_of("wide")
    before = digest(net.weights())
    with pytest.raises(FloatingPointError):
        stream(net, [(x, np.full_like(y, 1e30), w)], 3)
    assert all(np.isfinite(a).all() for a in net.weights()), before


# ---- epochs of some steps ------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [24, 2400])
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_epochs_of_some_steps(shape, rows, threads, isa):
    """Of four passes of eight steps each, cut into epochs of two."""
    x, y, w = data_of(shape, rows)
    for shuffle in (False, True):
        results = []
        for seconds, calls in ((60.0, 1), (0.0, 32)):
            net = net_of(shape)
            training = Training(
                net,
                x,
                y,
                sample_weight=w,
                batch_size=rows // 8,
                shuffle=shuffle,
                seed=5,
                epochs=16,
                epoch_steps=2,
                num_threads=threads,
            )
            assert training.steps == 2
            for _ in range(calls):
                training.run(16, seconds)
            assert training.finished
            assert (net.iterations, net.lifetime_epochs) == (32, 16)
            results.append((digest(net.weights()), training.logs.tobytes()))
        assert results[0] == results[1], "one native call, or one a step"
        if not shuffle:
            twin = net_of(shape)
            whole = train(twin, x, y, sample_weight=w, epochs=4, batch_size=rows // 8)
            assert digest(net.weights()) == digest(twin.weights())
            np.testing.assert_allclose(training.logs.reshape(4, 4, 2).mean(axis=1), whole.logs, rtol=1e-6)


def test_a_pass_ends_an_epoch_of_some_steps():
    x, y, _ = data_of("fused", 10)
    net = net_of("fused")
    training = Training(net, x, y, batch_size=2, shuffle=True, seed=5, epochs=4, epoch_steps=3)
    steps = []
    while not training.finished:
        training.run(1, 60.0)
        steps.append(net.iterations)
    assert steps == [3, 5, 8, 10]


def test_epochs_of_some_steps_are_validated():
    x, y, w = data_of("layers", 24)
    net = net_of("layers")
    training = Training(
        net,
        x,
        y,
        batch_size=4,
        shuffle=True,
        seed=5,
        epochs=5,
        epoch_steps=2,
        validation=(x[:7], y[:7], w[:7]),
    )
    for epoch in range(5):
        training.run(1, 60.0)
        np.testing.assert_allclose(training.logs[epoch, 2:], net.evaluate(x[:7], y[:7], w[:7]), rtol=1e-6)


# ---- stopping at a value -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("column", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", ["fused", "wide"])
def test_stopping_where_a_value_is_reached(shape, column, mode, isa):
    x, y, w = data_of(shape, 24)
    more = {"validation": (x[:7], y[:7], w[:7])}
    free = train(net_of(shape), x, y, epochs=40, batch_size=24, **more).logs[:, column]
    for threshold in (float(free[7]), float(np.median(free)), -1e9, 1e9):
        good = free <= threshold if mode == "min" else free >= threshold
        stop = int(np.argmax(good)) if good.any() else 39
        training = train(
            net_of(shape), x, y, epochs=40, batch_size=24, reaching=(column, threshold, mode), **more
        )
        assert training.epoch == stop + 1
        assert training.reached == bool(good.any())
        assert training.finished
        assert not training.stopped


def test_a_column_that_there_is_not():
    x, y, _ = data_of("fused", 5)
    with pytest.raises(ValueError, match="column 2"):
        Training(
            net_of("fused"), x, y, batch_size=5, shuffle=False, seed=1, epochs=1, reaching=(2, 0.1, "min")
        )
