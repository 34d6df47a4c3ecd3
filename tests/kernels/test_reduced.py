"""Training in bfloat16: rounding, products and steps against NumPy twins, and the same bits everywhere."""

import numpy as np
import pytest
from support import (
    THREADS,
    compiled,
    default_activation,
    digest,
    instruction_set,
    random_weights,
    same_bits,
    targets,
    train,
)

from fastnn.kernels import machine, runtime
from fastnn.kernels.network import Network
from fastnn.kernels.reduced import bfloat16_matmul, bfloat16_round


def ways():
    """(instruction set, kind) of every way to compute here."""
    found = []
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            found += [(isa, kind) for kind in runtime.bfloat16_kinds()]
    return found


WAYS = ways()
EXACT = [way for way in WAYS if way[1] != "amx"]  # AMX adds in an order of its own


@pytest.fixture
def way(request):
    isa, kind = request.param
    with instruction_set(isa):
        runtime.use_bfloat16(kind)
        try:
            yield request.param
        finally:
            runtime.use_bfloat16(None)


every_way = pytest.mark.parametrize("way", WAYS, ids="-".join, indirect=True)
every_exact_way = pytest.mark.parametrize("way", EXACT, ids="-".join, indirect=True)


# ---- twins ---------------------------------------------------------------------------------------


def rounded(x):
    """The nearest bfloat16, ties to even, of float32 values, in integers; NumPy has no such type."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    zero = (bits & 0x7F800000) == 0
    result = np.where(nan, (bits | 0x400000) >> 16 << 16, np.where(zero, bits & 0x80000000, nearest))
    return result.astype(np.uint32).view(np.float32).reshape(np.shape(x))


def step_of_sgd(layers, weights, x, y):
    """Weights after a step of plain SGD (rate 1, mean squared error), in float64 but for rounded operands."""
    a, seen = x.astype(np.float64), []
    for i, (_, activation, _) in enumerate(layers):
        seen.append(a)
        z = rounded(a).astype(np.float64) @ rounded(weights[2 * i]) + weights[2 * i + 1]
        a = np.maximum(z, 0) if activation == "relu" else z
    d = 2 * (a - y) / a.shape[1] / len(x)
    after = [w.astype(np.float64) for w in weights]
    for i in reversed(range(len(layers))):
        half = rounded(d).astype(np.float64)
        after[2 * i] -= rounded(seen[i]).T.astype(np.float64) @ half
        after[2 * i + 1] -= half.sum(axis=0)
        if i:
            d = half @ rounded(weights[2 * i]).T * (seen[i] > 0)
    return after


# ---- rounding and products -----------------------------------------------------------------------

SPECIAL = """0 80000000 1 7FFFFF 800000 80008000 3F800000 3F808000 3F818000 3F808001 3F807FFF 7F7F7FFF
7F7F8000 7F7FFFFF 7F800000 FF800000 7FC00000 7F800001 FFFFFFFF 7FFFFFFF"""
SPECIAL = np.array([int(bits, 16) for bits in SPECIAL.split()], np.uint32).view(np.float32)


@every_way
def test_rounding(way, rng):
    anything = rng.integers(0, 2**32, size=5000, dtype=np.uint32).view(np.float32)
    for x in (SPECIAL, anything, rng.normal(size=4001).astype("f4"), SPECIAL[:1], np.zeros((0, 3), "f4")):
        assert same_bits(bfloat16_round(x), rounded(x))


SHAPES = [
    (1, 1, 1),
    (1, 2, 1),
    (3, 1, 17),
    (1, 37, 65),
    (16, 32, 64),
    (17, 33, 15),
    (33, 65, 129),
    (50, 100, 1),
    (7, 513, 31),
]


@every_way
@pytest.mark.parametrize(("rows", "depth", "columns"), SHAPES)
def test_product_against_its_twin(way, rows, depth, columns, rng):
    a, b = rng.normal(size=(rows, depth)).astype("f4"), rng.normal(size=(depth, columns)).astype("f4")
    init = rng.normal(size=columns).astype("f4")
    exact = rounded(a).astype(np.float64) @ rounded(b) + init
    bound = 2.0**-24 * (depth + 2) * (np.abs(a).astype(np.float64) @ np.abs(b) + np.abs(init)) * 1.02
    assert (np.abs(bfloat16_matmul(a, b, init) - exact) <= bound).all()
    ints_a, ints_b = rng.integers(-128, 129, size=a.shape), rng.integers(-9, 10, size=b.shape)
    np.testing.assert_array_equal(bfloat16_matmul(ints_a, ints_b), ints_a @ ints_b)


@every_exact_way
def test_product_has_the_bits_that_are_documented(way, rng):
    """high * high is added before low * low, each with one rounding, subnormal values as zero."""
    scales = 10.0 ** rng.integers(-38, 2, size=(60, 1))
    a, b = (scales * rng.normal(size=(60, 6))).astype("f4"), rng.normal(size=(6, 40)).astype("f4")

    def flushed(v):
        return np.where(np.abs(v) < np.finfo("f4").tiny, np.copysign(np.float32(0), v), v).astype("f4")

    def fma(
        u, v, w
    ):  # a product of two bfloat16 is exact in float64, and so, but for a double rounding, is the sum
        return flushed((u[:, None].astype(np.float64) * v[None, :] + w).astype("f4"))

    ra, rb = rounded(a), rounded(b)
    expected = np.zeros((60, 40), "f4")
    for p in range(0, 6, 2):
        expected = fma(ra[:, p], rb[p], fma(ra[:, p + 1], rb[p + 1], expected))
    found = bfloat16_matmul(a, b)
    differ = found.view(np.int32) != expected.view(np.int32)
    assert differ.mean() < 1e-3, f"{differ.mean():.2%} of the elements"
    reverse = np.zeros((60, 40), "f4")
    for p in range(6):
        reverse = fma(ra[:, p], rb[p], reverse)
    assert (found != reverse).mean() > 0.01  # the order can be told


def test_every_kind_and_instruction_set_has_the_same_bits(rng):
    bits = rng.integers(0, 2**32, size=(40, 80), dtype=np.uint32).view(
        np.float32
    )  # NaN and infinity among them
    small = rng.normal(size=(40, 80)).astype("f4") * np.float32(1e-19)  # products are subnormal
    finite = rng.normal(size=(80, 70)).astype("f4")
    special = rng.choice(SPECIAL, size=(80, 70))
    found = []
    for isa, kind in EXACT:
        with instruction_set(isa):
            runtime.use_bfloat16(kind)
            found.append(
                [
                    bfloat16_matmul(a, b)
                    for a in (bits, small, finite.T[:40])
                    for b in (finite, special, finite * small[0, 0])
                ]
            )
            runtime.use_bfloat16(None)
    assert all(same_bits(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("shapes", [((2, 3), (4, 5)), ((3,), (3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 2))])
def test_product_of_what_does_not_fit(shapes):
    with pytest.raises(ValueError, match="bfloat16_matmul"):
        bfloat16_matmul(np.zeros(shapes[0]), np.zeros(shapes[1]))


# ---- a step --------------------------------------------------------------------------------------


def reduced_net(layers, inputs, weights, loss, precision="bfloat16", optimizer="sgd", **hyper):
    net = Network(inputs, layers, "float32")
    net.set_weights([np.ascontiguousarray(w, np.float32) for w in weights])
    net.compile(loss, False, optimizer, hyper, [], precision)
    return net


@every_way
@pytest.mark.parametrize(
    ("inputs", "units", "rows"),
    [
        (37, [32], 64),
        (37, [32], 1),
        (16, [64], 2),
        (785, [64], 32),
        (65, [33, 32], 64),
        (64, [129, 17, 64], 16),
        (49, [65, 32], 512),
        (21, [50, 35, 64], 4096),
        (1025, [130], 70),
        (600, [200, 70], 300),
    ],
)
def test_step_is_its_twins(way, inputs, units, rows, rng):
    """On whole numbers every sum is exact, so nothing but a wrong element can differ."""
    layers = [(n, "relu", True) for n in units[:-1]] + [(units[-1], "linear", True)]
    weights = []
    for below, n in zip([inputs, *units], units, strict=False):
        weights.append(
            np.where(rng.random((below, n)) < 8 / below, rng.choice([-1.0, 1.0], size=(below, n)), 0).astype(
                "f4"
            )
        )
        weights.append(rng.integers(-2, 3, size=n).astype("f4"))
    x, y = (
        rng.integers(-1, 2, size=(rows, inputs)).astype("f4"),
        rng.integers(-4, 5, size=(rows, units[-1])).astype("f4"),
    )
    expected = step_of_sgd(layers, weights, x, y)
    for threads in (1, 3):
        net = reduced_net(layers, inputs, weights, "mean_squared_error", learning_rate=1.0)
        train(net, x, y, epochs=1, batch_size=rows, num_threads=threads)
        for found, wanted in zip(net.weights(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted.astype("f4"))


# ---- training ------------------------------------------------------------------------------------

# inputs, hidden layers, outputs, rows, batch, loss, optimizer
NETS = {
    "wide": (33, [(333, "relu"), (300, "tanh")], 10, 130, 33, "sparse_categorical_crossentropy", "adam"),
    "some narrow": (
        70,
        [(90, "relu"), (2, "tanh"), (75, "sigmoid")],
        15,
        80,
        33,
        "categorical_crossentropy",
        "adam",
    ),
    "first not": (5, [(64, "tanh"), (65, "softmax")], 40, 90, 31, "mean_squared_error", "sgd"),
    "batch 1": (17, [(64, "tanh")], 21, 15, 1, "mean_squared_error", "adam"),
    "batch 700": (40, [(37, "sigmoid")], 32, 1500, 700, "mean_squared_error", "adam"),
    "full batch": (19, [(60, "relu"), (24, "tanh")], 17, 9001, 9001, "mean_squared_error", "adam"),
    "one layer": (300, [], 32, 64, 20, "categorical_crossentropy", "sgd"),
    "bands of tiles": (1300, [(150, "relu")], 70, 90, 45, "mean_squared_error", "adam"),
    "another optimizer": (33, [(65, "tanh")], 40, 60, 33, "mean_squared_error", "ftrl"),
}


def run(name, threads, precision="bfloat16", epochs=3):
    inputs, hidden, outputs, rows, batch, loss, optimizer = NETS[name]
    rng = np.random.default_rng(42)
    layers = [(units, activation, i != 1) for i, (units, activation) in enumerate(hidden)]
    layers.append((outputs, default_activation(loss), True))
    weights = random_weights(layers, inputs, rng, np.float32)
    net = reduced_net(layers, inputs, weights, loss, precision, optimizer, learning_rate=0.01)
    x, y = rng.normal(size=(rows, inputs)).astype("f4"), targets(loss, rng, rows, outputs, np.float32)
    weight = rng.uniform(0, 2, size=rows).astype("f4")
    training = train(
        net,
        x,
        y,
        epochs=epochs,
        batch_size=batch,
        shuffle=True,
        num_threads=threads,
        sample_weight=weight,
        validation=(x, y, None),
    )
    return net, training


def bits_of(net, training):
    return digest([*net.weights(), *(a for slot in net.optimizer_slots() for a in slot), training.logs])


@pytest.mark.parametrize("name", NETS)
def test_the_same_bits_for_every_team_and_way(name):
    found = {}
    for isa, kind in WAYS:
        with instruction_set(isa):
            runtime.use_bfloat16(kind)
            for threads in THREADS if isa != "generic" else (1, 3):
                found[isa, kind, threads] = bits_of(*run(name, threads))
            runtime.use_bfloat16(None)
    assert len({bits for (_, kind, _), bits in found.items() if kind != "amx"}) == 1, found
    assert len({bits for (_, kind, _), bits in found.items() if kind == "amx"}) <= 1, found
    assert bits_of(*run(name, 1, None)) not in found.values()  # it was not float32 all the while


@pytest.mark.parametrize("name", NETS)
def test_close_to_float32(name):
    (_, reduced), (_, full) = run(name, 1), run(name, 1, None)
    # measured: at most 0.4 %
    np.testing.assert_allclose(reduced.logs, full.logs, rtol=0.02)


def test_layers_too_small_train_as_float32_does(rng):
    layers = [
        (15, "relu", True),
        (100, "tanh", True),
        (10, "tanh", True),
        (32, "relu", True),
        (31, "linear", True),
    ]
    weights = random_weights(layers, 90, rng, np.float32)
    x, y = rng.normal(size=(50, 90)).astype("f4"), rng.normal(size=(50, 31)).astype("f4")
    nets = [
        reduced_net(layers, 90, weights, "mean_squared_error", precision) for precision in (None, "bfloat16")
    ]
    for net in nets:
        train(net, x, y, epochs=2, batch_size=16)
    assert digest(nets[0].weights()) == digest(nets[1].weights())


def test_evaluation_and_validation_are_float32(rng):
    layers = [(40, "relu", True), (20, "linear", True)]
    weights = random_weights(layers, 30, rng, np.float32)
    x, y = rng.normal(size=(50, 30)).astype("f4"), rng.normal(size=(50, 20)).astype("f4")
    reduced = reduced_net(layers, 30, weights, "mean_squared_error")
    training = train(reduced, x, y, epochs=2, batch_size=16, validation=(x, y, None))
    full = compiled(layers, 30, np.float32, reduced.weights(), "mean_squared_error")
    assert same_bits(reduced.predict(x), full.predict(x))
    assert reduced.evaluate(x, y)[0] == full.evaluate(x, y)[0] == training.logs[-1, 1]


def test_weights_set_between_two_calls_are_taken_up(rng):
    from fastnn.kernels.training import Training

    layers = [(40, "relu", True), (20, "linear", True)]
    first, second = (random_weights(layers, 30, rng, np.float32) for _ in range(2))
    x, y = rng.normal(size=(48, 30)).astype("f4"), rng.normal(size=(48, 20)).astype("f4")
    nets = [reduced_net(layers, 30, weights, "mean_squared_error") for weights in (first, second)]
    training = Training(nets[0], x, y, batch_size=16, shuffle=False, seed=1, epochs=2)
    training.run(1, 100.0)
    nets[0].set_weights(second)
    training.run(1, 100.0)
    train(nets[1], x, y, epochs=1, batch_size=16)
    assert digest(nets[0].weights()) == digest(nets[1].weights())


def test_a_fit_goes_on_as_if_it_had_not_ended(rng):
    layers = [(40, "relu", True), (20, "linear", True)]
    weights = random_weights(layers, 30, rng, np.float32)
    x, y = rng.normal(size=(48, 30)).astype("f4"), rng.normal(size=(48, 20)).astype("f4")
    nets = [reduced_net(layers, 30, weights, "mean_squared_error", optimizer="adam") for _ in range(2)]
    train(nets[0], x, y, epochs=2, batch_size=16)
    train(nets[0], x, y, epochs=3, batch_size=16)
    train(nets[1], x, y, epochs=5, batch_size=16)
    assert digest(nets[0].weights()) == digest(nets[1].weights())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_data_that_is_not_finite(bad, rng):
    layers = [(21, "linear", True)]
    weights = random_weights(layers, 51, rng, np.float32)
    y = np.zeros((48, 21), "f4")
    for row, column in ((0, 0), (47, 50), (20, 31), (21, 32)):
        x = np.zeros((48, 51), "f4")
        x[row, column] = bad
        net = reduced_net(layers, 51, weights, "mean_squared_error")
        with pytest.raises(ValueError, match=f"x contains NaN or infinity .first in row {row}"):
            train(net, x, y, epochs=1, batch_size=16)
        assert digest(net.weights()) == digest(weights)


def test_divergence_is_seen(rng):
    layers = [(40, "relu", True), (20, "linear", True)]
    net = reduced_net(
        layers, 30, random_weights(layers, 30, rng, np.float32), "mean_squared_error", learning_rate=1e30
    )
    with pytest.raises(FloatingPointError):
        train(net, rng.normal(size=(48, 30)).astype("f4"), np.zeros((48, 20), "f4"), epochs=9, batch_size=16)


# ---- settings ------------------------------------------------------------------------------------


def test_precision_of_a_network():
    net = Network(3, [(2, "linear", True)], "float32")
    assert net.precision == "float32"
    for given, precision in (("bfloat16", "bfloat16"), (None, "float32"), ("float32", "float32")):
        net.compile("mean_squared_error", False, "sgd", {}, [], given)
        assert net.precision == precision
    for dtype, given in (
        ("float64", "bfloat16"),
        ("float32", "float64"),
        ("float32", "half"),
        ("float64", "float32"),
    ):
        with pytest.raises(ValueError, match=f"precision='{given}' with dtype {dtype}"):
            Network(3, [(2, "linear", True)], dtype).compile(
                "mean_squared_error", False, "sgd", {}, [], given
            )


def test_kinds():
    kinds = runtime.bfloat16_kinds()
    assert kinds[-1] == "emulated"
    assert kinds == [kind for kind in ("amx", "vdpbf16ps", "emulated") if kind in kinds]
    assert runtime.bfloat16_kind() in kinds
    for kind in kinds:
        runtime.use_bfloat16(kind)
        assert runtime.bfloat16_kind() == kind
        assert machine.measure_peak("bfloat16", 0.01) > 1e8
    runtime.use_bfloat16()
    with pytest.raises(ValueError, match=r"'fp8' here; there is .*emulated"):
        runtime.use_bfloat16("fp8")
    with instruction_set("generic"):
        assert runtime.bfloat16_kinds() == ["emulated"]


@pytest.mark.skipif("avx512" not in runtime.instruction_sets(), reason="needs AVX-512")
def test_the_kinds_are_those_of_the_processor():
    with open("/proc/cpuinfo") as file:
        flags = next((set(line.split()) for line in file if line.startswith("flags")), set())
    with instruction_set("avx512"):
        kinds = runtime.bfloat16_kinds()
    assert ("vdpbf16ps" in kinds) == ("avx512_bf16" in flags)
    assert "amx" not in kinds or "amx_bf16" in flags
