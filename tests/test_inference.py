"""Predictors: the bits of predict, from a snapshot, fast, from any thread."""

import copy
import gc
import pickle
import sys
import sysconfig
import threading
import tracemalloc

import numpy as np
import pytest
from oracle import Net
from support import (
    backwards,
    big_endian,
    every_other,
    instruction_set,
    misaligned,
    mlp,
    random_weights,
    read_only,
    run_python,
    same_bits,
)

import fastnn as keras
from fastnn.inference import Predictor
from fastnn.kernels import runtime
from fastnn.kernels.network import Network
from fastnn.kernels.words import round_bfloat16

# Features, then (units, activation, bias) of each layer: shapes that no vector divides, narrow and wide
# ones in every order.
NETS = {
    "one unit": (1, [(1, "linear", True)]),
    "one input": (1, [(7, "tanh", True), (1, "linear", False)]),
    "one narrow": (100, [(10, "softmax", True)]),
    "narrow, one unit": (65, [(1, "sigmoid", True)]),
    "I1": (32, [(64, "relu", True), (64, "relu", True), (1, "linear", True)]),
    "odd": (17, [(33, "relu", True), (65, "sigmoid", False), (130, "tanh", True), (3, "softmax", True)]),
    "bottlenecks": (
        200,
        [(5, "tanh", True), (1, "relu", True), (100, "softmax", True), (4, "linear", False)],
    ),
    "narrow after narrow": (70, [(12, "relu", True), (3, "softmax", True), (19, "softmax", True)]),
    "many panels": (29, [(333, "relu", False), (17, "linear", True), (150, "softmax", True)]),
}
# More weights than one core's cache holds.
BIG = (
    33,
    [
        (900, "relu", True),
        (1100, "tanh", True),
        (9, "softmax", True),
        (2, "tanh", True),
        (70, "softmax", True),
    ],
)
ROWS = 131


def network(name, dtype="float32", seed=3):
    inputs, layers = NETS.get(name, BIG)
    net = Network(inputs, layers, str(np.dtype(dtype)))
    net.set_weights(random_weights(layers, inputs, np.random.default_rng(seed), dtype))
    return net


def rows(net, count=ROWS, seed=4):
    shape = (count, net.weights()[0].shape[0])
    return np.random.default_rng(seed).normal(size=shape).astype(net.dtype)


# Numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_agrees_with_numpy_in_float64(name, dtype, isa):
    net = network(name, dtype)
    x = rows(net)
    expected = Net(NETS[name][1], net.weights()).predict(x)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(Predictor(net, ROWS)(x), expected, rtol=tolerance, atol=tolerance)
    alone = np.stack([Predictor(net)(row) for row in x[:20]])
    np.testing.assert_allclose(alone, expected[:20], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [*NETS, "big"])
def test_same_bits_as_training_and_predict_in_every_split(name, dtype):
    """Against the sums of a training step too: `evaluate` runs the kernels of training."""
    net = network(name, dtype)
    x = rows(net)
    with instruction_set("generic"):
        expected = network(name, dtype).predict(x)
    net.compile("mean_squared_error", False, "sgd", {}, [])
    assert net.evaluate(x, expected)[0] == 0
    for isa in runtime.instruction_sets():
        if isa == "generic" and name == "big":
            continue  # slow, and the reference already
        with instruction_set(isa):
            p = Predictor(network(name, dtype), 5)
        for count in (1, 2, 3, 4, 5, 6, 7, 11, 16, 17, 47, 48, 49, 97, ROWS):
            assert same_bits(p(x[:count]), expected[:count]), (isa, count)
        for i in (0, 1, 77, 130):
            assert same_bits(p(x[i]), expected[i]), (isa, i)


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("name", ["I1", "odd", "big"])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_same_bits_for_every_number_of_threads(name, threads, precision):
    net = network(name)
    x = rows(net)
    keras.set_num_threads(1)
    expected = Predictor(net, 1, precision)(x)
    keras.set_num_threads(threads)
    p = Predictor(net, 1, precision)
    for count in (1, 2, 13, 48, 50, ROWS):
        assert same_bits(p(x[:count]), expected[:count])
        assert same_bits(net.predict(x[:count]), net.predict(x)[:count])


def test_automatic_threads_give_the_same_bits_call_after_call():
    net = network("big")
    x = rows(net, 3)
    expected = net.predict(x)
    p = Predictor(net)
    for i in range(300):  # long enough for trials of all threads
        assert same_bits(p(x[i % 3]), expected[i % 3])


def test_a_row_with_nan_stays_alone():
    net = network("odd")
    x = rows(net)
    expected = net.predict(x)
    x[50, 3] = np.nan
    found = Predictor(net, 200)(x)
    assert np.isnan(found[50]).all()
    assert same_bits(np.delete(found, 50, axis=0), np.delete(expected, 50, axis=0))


# bfloat16 -----------------------------------------------------------------------------------------------


def by_hand(values):
    """Nearest bfloat16, ties to even, by exact arithmetic on all candidates around."""
    bits = np.float32(values).view(np.uint32)
    low = (bits >> 16).astype(np.uint16)
    if np.isnan(values):
        return None
    candidates = [low, np.uint16(low + 1)]
    as_float = [float((np.uint32(c) << 16).astype(np.uint32).view(np.float32)) for c in candidates]
    if np.isinf(values):
        return low
    # the upper neighbour of the largest is infinite; it counts as the next power of two
    as_float = [a if np.isfinite(a) else np.copysign(2.0**128, a) for a in as_float]
    away = [abs(float(values) - a) for a in as_float]
    if away[0] == away[1]:
        return candidates[0] if candidates[0] % 2 == 0 else candidates[1]
    return candidates[int(np.argmin(away))]


def interesting_bits():
    tops = [0x0000, 0x0001, 0x007F, 0x0080, 0x0081, 0x3F7F, 0x3F80, 0x3F81, 0x4049, 0x7F7E, 0x7F7F, 0x7F80]
    lows = [0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF]
    return np.array([s << 31 | t << 16 | low for s in (0, 1) for t in tops for low in lows], np.uint32)


def test_bfloat16_rounds_to_nearest_even():
    values = interesting_bits().view(np.float32)
    found = round_bfloat16(values)
    for value, bits in zip(values, found, strict=True):
        if np.isnan(value):
            assert np.isnan((np.uint32(bits) << 16).astype(np.uint32).view(np.float32))
        else:
            assert bits == by_hand(value), hex(int(np.float32(value).view(np.uint32)))


def test_bfloat16_keeps_all_its_own_values_and_every_nan():
    own = (np.arange(65536, dtype=np.uint32) << 16).view(np.float32)
    numbers = ~np.isnan(own)
    assert np.array_equal(round_bfloat16(own)[numbers], np.arange(65536)[numbers])
    nans = np.array([0x7F800001, 0x7FFFFFFF, 0xFF800001, 0x7F80FFFF, 0xFFC00000], np.uint32).view(np.float32)
    assert np.isnan((round_bfloat16(nans).astype(np.uint32) << 16).view(np.float32)).all()


@pytest.mark.parametrize("name", [*NETS, "big"])
def test_bfloat16_is_the_network_of_rounded_kernels(name, isa):
    net, rounded = network(name), network(name)
    x = rows(net)
    rounded.set_weights(
        [
            (round_bfloat16(w.ravel()).astype(np.uint32) << 16).view(np.float32).reshape(w.shape)
            if w.ndim == 2
            else w
            for w in net.weights()
        ]
    )
    counts = (
        (1, 2, 3, 7) if isa == "generic" else (1, 2, 3, 4, 5, 6, 7, 20, 49, ROWS)
    )  # the reference is slow
    expected = rounded.predict(x[: counts[-1]])
    p = Predictor(net, 4, "bfloat16")
    assert not same_bits(expected, net.predict(x[: counts[-1]])) or name == "one unit"
    for count in counts:
        assert same_bits(p(x[:count]), expected[:count])
    for found, kept in zip(p.weights(), rounded.weights(), strict=True):
        assert same_bits(found, kept)


def test_bfloat16_halves_the_weights_and_stays_near():
    net = network("big")
    x = rows(net)
    p = Predictor(net, 1, "bfloat16")
    assert p.nbytes < 0.52 * Predictor(net).nbytes
    np.testing.assert_allclose(p(x), net.predict(x), rtol=0.1, atol=1e-3)


# Snapshots ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [None, "bfloat16"])
def test_training_does_not_change_it(rng, precision):
    x, y = rng.normal(size=(60, 5)).astype("f4"), rng.normal(size=(60, 1)).astype("f4")
    model = mlp(5, (20, "tanh"), (1, None), optimizer="adam", loss="mse")
    model.fit(x, y, epochs=2, verbose=0)
    p = model.predictor(precision=precision)
    before = p(x)
    if precision is None:
        assert same_bits(before, model.predict(x))
    model.fit(x, y, epochs=3, verbose=0)
    assert same_bits(p(x), before)
    assert not same_bits(model.predict(x), before)
    model.set_weights([w * 0 for w in model.get_weights()])
    assert same_bits(p(x), before)
    del model
    gc.collect()
    assert same_bits(p(x), before)


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_and_pickles(precision, duplicate):
    net = network("odd")
    x = rows(net)
    p = Predictor(net, 3, precision)
    q = duplicate(p)
    assert type(q) is Predictor
    assert repr(q) == repr(p)
    assert same_bits(q(x), p(x))


def test_a_pickle_goes_between_instruction_sets():
    with instruction_set("generic"):
        net = network("odd")
        p = Predictor(net, 1, "bfloat16")
        x, made = rows(net), pickle.dumps(p)
        expected = p(x)
    assert same_bits(pickle.loads(made)(x), expected)


# Arguments ----------------------------------------------------------------------------------------------


def test_attributes():
    model = mlp(32, (64, "relu"), (3, None))
    p = model.predictor(batch_size=np.int64(7))
    assert (p.batch_size, p.precision, p.dtype) == (7, "float32", np.float32)
    assert (p.input_shape, p.output_shape) == ((None, 32), (None, 3))
    assert model.count_params() * 4 <= p.nbytes < model.count_params() * 4 + 4096
    assert repr(p) == (
        f"<Predictor (None, 32) -> (None, 3), precision float32, batch_size 7, {p.nbytes} bytes of weights>"
    )
    with pytest.raises(AttributeError):
        p.batch_size = 3


def test_shapes():
    p = mlp(4, (3, "tanh")).predictor(2)
    x = np.ones((5, 4), "f4")
    assert p(x).shape == (5, 3)
    assert p(x[0]).shape == (3,)
    assert p(x[:1]).shape == (1, 3)
    assert p([1, 2, 3, 4]).shape == (3,)
    one = mlp(1, (2, None)).predictor()
    assert one(np.ones(1, "f4")).shape == (2,)
    assert one(np.ones(6)).shape == (6, 2)  # as predict takes a column


@pytest.mark.parametrize("awkward", [misaligned, read_only, every_other, backwards, big_endian])
def test_awkward_memory(awkward, dtype):
    net = network("odd", dtype)
    x = rows(net, 16)
    a = awkward(x)
    expected = net.predict(np.array(a, dtype=dtype, order="C"))
    assert same_bits(Predictor(net)(a), expected)
    assert same_bits(Predictor(net)(np.array(a)[2]), expected[2])


def test_what_converts(tmp_path):
    net = network("odd")
    x = rows(net, 6)
    p, expected = Predictor(net), net.predict(x)
    np.save(tmp_path / "x.npy", x)
    for given in (
        x.tolist(),
        np.asfortranarray(x),
        x.astype("f8"),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        [x],
    ):
        found = p(given)
        assert type(found) is np.ndarray
        assert same_bits(found, expected)
    whole = (10 * x).astype("i2")
    assert same_bits(p(whole), net.predict(whole.astype("f4")))
    assert same_bits(p(x[2].tolist()), expected[2])


def test_out():
    net = network("odd")
    x = rows(net, 6)
    p, expected = Predictor(net), net.predict(x)
    out = np.full((8, 3), 7, "f4")
    assert p(x, out=out[1:7]) is not None
    assert same_bits(out[1:7], expected)
    assert (out[[0, 7]] == 7).all()
    row = np.empty(3, "f4")
    assert p(x[4], row) is row
    assert same_bits(row, expected[4])
    assert p(x.tolist(), out=out[:6]).base is out
    assert same_bits(out[:6], expected)


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (
            np.empty((4, 3), "f4"),
            ValueError,
            r"out has shape \(4, 3\), but for x of shape \(5, 17\) .* \(5, 3\)",
        ),
        (np.empty(3, "f4"), ValueError, r"out has shape \(3,\)"),
        (np.empty((5, 3)), TypeError, "out has dtype float64, but the predictor gives float32"),
        (read_only(np.empty((5, 3), "f4")), ValueError, "out is read-only"),
        (np.empty((3, 5), "f4").T, ValueError, "out must be C-contiguous"),
        (np.empty((5, 6), "f4")[:, ::2], ValueError, "out must be C-contiguous"),
        (misaligned(np.empty((5, 3), "f4")), ValueError, "out must be C-contiguous and aligned"),
        ([[0] * 3] * 5, TypeError, "out must be an array, got list"),
    ],
)
def test_wrong_out(out, error, words):
    net = network("odd")
    with pytest.raises(error, match=words):
        Predictor(net)(rows(net, 5), out)


def test_out_that_is_x():
    p = mlp(4, (4, "tanh")).predictor()
    x = np.ones((3, 4), "f4")
    for out in (x, x[:]):
        with pytest.raises(ValueError, match="share memory"):
            p(x, out)
    assert (x == 1).all()
    both = np.ones((6, 4), "f4")
    assert p(both[:3], both[3:]).base is both  # neighbours are fine


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.ones((2, 5), "f4"), ValueError, "x has 5 columns, shape (2, 5), but the model takes 4"),
        (
            np.ones(5, "f4"),
            ValueError,
            "x has shape (5,), but the predictor takes (4,), one row, or (rows, 4)",
        ),
        (np.ones((0, 4), "f4"), ValueError, "x has no rows"),
        (np.ones((1, 2, 4), "f4"), ValueError, "x has 3 dimensions"),
        (np.float32(1), ValueError, "x has 0 dimensions"),
        ("text", TypeError, "x must be an array of numbers"),
        (None, ValueError, "x is missing"),
        ([["a"] * 4], TypeError, "x holds text"),
        (np.ma.masked_array(np.ones((1, 4)), mask=[[0, 1, 0, 0]]), ValueError, "masked entry at (0, 1)"),
    ],
)
def test_wrong_x(x, error, words):
    p = mlp(4, (3, None)).predictor()
    with pytest.raises(error) as caught:
        p(x)
    assert words in str(caught.value)
    assert p(np.ones((1, 4), "f4")).shape == (1, 3)


def test_wrong_arguments_of_predictor():
    model = mlp(4, (3, None))
    for size, error in (
        (0, ValueError),
        (-1, ValueError),
        (1.5, TypeError),
        (True, TypeError),
        ("1", TypeError),
    ):
        with pytest.raises(error, match="batch_size must be"):
            model.predictor(batch_size=size)
    with pytest.raises(ValueError, match="precision must be None, 'bfloat16' or the model's own 'float32'"):
        model.predictor(precision="float16")
    with pytest.raises(ValueError, match="is for float32 models; this one is float64"):
        mlp(4, (3, None), dtype="float64").predictor(precision="bfloat16")
    assert mlp(4, (3, None), dtype="float64").predictor(precision="float64").precision == "float64"
    with pytest.raises(ValueError, match="does not know its number of columns"):
        keras.Sequential([keras.layers.Dense(3)]).predictor()
    with pytest.raises(ValueError, match="has no layers"):
        keras.Sequential().predictor()
    with pytest.raises(TypeError):
        model.predictor()()
    with pytest.raises(TypeError):
        model.predictor()(np.ones((1, 4), "f4"), None, None)


# Threads and memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize(("name", "calls"), [("odd", 2000), ("big", 120)])
def test_many_threads_at_once(name, calls, precision):
    net = network(name)
    x = rows(net)
    p = Predictor(net, 8, precision)
    expected = p(x)
    wrong, start = [], threading.Barrier(6)
    interval = sys.getswitchinterval()

    def hammer(seed):
        rng = np.random.default_rng(seed)
        out = np.empty((8, expected.shape[1]), "f4")
        start.wait()
        for _ in range(calls):
            count, at = int(rng.integers(1, 9)), int(rng.integers(0, ROWS - 9))
            if not same_bits(p(x[at : at + count], out[:count]), expected[at : at + count]):
                wrong.append((seed, at, count))

    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=hammer, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


@pytest.mark.parametrize("count", [1, 20, 100])
@pytest.mark.parametrize("name", ["odd", "big"])
def test_nothing_is_allocated_with_out(name, count):
    keras.set_num_threads(1)
    net = network(name)
    x = rows(net, count)
    p = Predictor(net, 10)
    out = p(x)

    def peak(call):
        call()
        gc.collect()
        tracer = sys.gettrace()
        sys.settrace(None)  # where coverage is measured, an object is made of every frame
        tracemalloc.start()
        try:
            call()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(50):
                call()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
            sys.settrace(tracer)

    assert peak(lambda: p(x)) >= out.nbytes  # what this test would see
    # the loop's own numbers, whose heads are larger without the GIL
    assert peak(lambda: p(x, out)) < (130 if sysconfig.get_config_var("Py_GIL_DISABLED") else 100)
    assert peak(lambda: p(x[0], out[0])) < 400  # the views


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_flat():
    run_python(
        """
import numpy as np, fastnn
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
m = fastnn.Sequential([fastnn.layers.Dense(64, activation="relu", input_dim=32), fastnn.layers.Dense(3)])
x = np.ones((50, 32), "f4")
def work(times):
    for _ in range(times):
        p = m.predictor(16); p(x); p(x[0]); p(x.tolist()); m.predict(x)
        try:
            p(x[:, 1:])
        except ValueError:
            pass
work(300)
before = resident()
work(3000)
assert resident() - before < 2 << 20, resident() - before
"""
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_one_row_of_a_small_network_never_leaves_the_thread():
    run_python(
        """
import numpy as np, fastnn
def threads():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("Threads")).split()[1])
m = fastnn.Sequential([fastnn.layers.Dense(256, activation="relu", input_dim=200), fastnn.layers.Dense(3)])
p, x = m.predictor(5000), np.ones((5000, 200), "f4")
before = threads()
for count in [None, 4]:
    fastnn.set_num_threads(count)
    for _ in range(500):
        p(x[0])
assert threads() == before
p(x)
assert threads() == before + 3  # what the count would show
""",
        OPENBLAS_NUM_THREADS="1",
    )


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_forked_child():
    run_python(
        """
import os, numpy as np, fastnn
m = fastnn.Sequential([fastnn.layers.Dense(1000, input_dim=700), fastnn.layers.Dense(2)])
p, x = m.predictor(), np.ones((1, 700), "f4")
fastnn.set_num_threads(2)
expected = p(x)
pid = os.fork()
if pid == 0:
    os._exit(0 if (p(x) == expected).all() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
""",
        timeout=60,
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_live_afterwards(threads):
    keras.set_num_threads(threads)
    for name in ("odd", "big"):
        net = network(name)
        Predictor(net)(rows(net, 1))
        Predictor(net)(rows(net, 60))
        assert 1e-310 * 1.0 != 0
        assert (np.full(100, 1e-40, "f4") * np.float32(1) != 0).all()
