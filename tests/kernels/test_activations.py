"""Activations: accuracy in units in the last place, special values, gradients, same bits everywhere."""

import numpy as np
import oracle
import pytest
from oracle import SPECIFICATIONS, activation, kinks
from support import AWKWARD, THREADS, instruction_set, same_bits

import fastnn.kernels as k
from fastnn.kernels import runtime

each = pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
ROWWISE = ("softmax", "log_softmax", "sparsemax")


def named(specification):
    return (specification, ()) if isinstance(specification, str) else specification


def forward(specification, z, **more):
    name, p = named(specification)
    return k.activation_forward(name, z, parameters=p, **more)


def backward(specification, z, a, da, **more):
    """With what the derivative reads."""
    name, p = named(specification)
    read = z if k.activation_reads(name) == "input" else a
    return k.activation_backward(name, read, da, parameters=p, **more)


def samples(dtype, rng, count=400_000):
    """Dense over where sigmoid and tanh bend, and over every magnitude that the type has."""
    info = np.finfo(dtype)
    magnitudes = np.exp2(rng.uniform(info.minexp, info.maxexp, count // 4))
    near = np.exp2(rng.uniform(-30, 7, count // 4))
    special = [
        0.0,
        info.tiny,
        info.eps,
        0.5,
        1.0,
        np.log(2),
        8.0,
        9.0,
        17.3,
        18.0,
        19.1,
        44.0,
        87.3,
        88.0,
        88.8,
        89.5,
        104.0,
        354.0,
        709.0,
        709.8,
        745.2,
        746.0,
        float(info.max),
    ]
    positive = np.concatenate(
        [magnitudes, near, np.linspace(0, 20, count // 4), np.linspace(0, 800, count // 4), special]
    )
    return np.concatenate([positive, -positive]).astype(dtype)


def error_in_ulp(got, exact, flushed=1):
    """|got - exact| in units in the last place of exact; what is subnormal may have been flushed to zero.

    So may what is below `flushed` times the smallest normal number.
    """
    dtype = got.dtype
    tiny = np.longdouble(np.finfo(dtype).tiny) * flushed
    largest = np.nextafter(np.finfo(dtype).max, dtype.type(0))
    unit = np.spacing(np.clip(np.abs(exact), tiny, largest).astype(dtype)).astype(np.longdouble)
    error = np.abs(got.astype(np.longdouble) - exact) / unit
    small = np.abs(exact) < tiny * (1 + 4 * np.longdouble(np.finfo(dtype).eps))
    return np.where(small & (np.abs(got) <= tiny * (1 + 4 * np.longdouble(np.finfo(dtype).eps))), 0, error)


# Of each: units in the last place, over the whole range of the type. gelu_tanh and tanh_shrink are not here:
# the one rounds a cubic before an exponential, the other is a difference that cancels near zero, by its very
# formula. The test below holds their errors.
ULP = {
    "sigmoid": 2,
    "tanh": 2,
    "exponential": 2,
    ("elu", (1.0,)): 2,
    ("elu", (0.3,)): 3,
    ("celu", (1.0,)): 2,
    "selu": 3,
    "softplus": 3,
    "log_sigmoid": 3,
    "softsign": 2,
    ("squareplus", (4.0,)): 3,
    ("squareplus", (0.01,)): 3,
    "silu": 3,
    "mish": 3,
    "gelu": 4,
}


def within(specification, dtype, z):
    """(worst error in units in the last place, a sentence about it)"""
    p = [np.longdouble(dtype.type(value)) for value in named(specification)[1]]
    got = forward(specification, z.reshape(1, -1))[0]
    with np.errstate(over="ignore", under="ignore"):
        exact = oracle.ACTIVATIONS[named(specification)[0]][0](z.astype(np.longdouble), *p)
    beyond = exact > np.finfo(dtype).max
    assert np.isinf(got[beyond]).all()
    assert np.isfinite(got[~beyond]).all()
    # where e^x would be subnormal it is zero, and so is its product with x
    ulp = error_in_ulp(got[~beyond], exact[~beyond], flushed=1100)
    worst = ulp.argmax()
    return ulp[
        worst
    ], f"{specification}({z[~beyond][worst]!r}) = {got[~beyond][worst]!r}: {ulp[worst]:.2f} ulp"


@pytest.mark.parametrize("specification", ULP, ids=str)
def test_units_in_the_last_place(specification, dtype, isa, rng):
    # the wide type's squares and cubes must not overflow either
    count = 400_000 if dtype == np.float32 or named(specification)[0] in ("sigmoid", "tanh") else 100_000
    z = samples(dtype, rng, count)
    ulp, sentence = within(specification, dtype, z)
    assert ulp <= ULP[specification], sentence


@pytest.mark.parametrize("name", ["gelu_tanh", "tanh_shrink", "gelu", "silu", "mish"])
def test_absolute_errors(name, dtype, isa, rng):
    """A few units in the last place of the input, or of one."""
    z = rng.uniform(-12, 12, size=100_000).astype(dtype)
    exact = oracle.ACTIVATIONS[name][0](z.astype(np.longdouble))
    error = np.abs(forward(name, z.reshape(1, -1))[0] - exact) / np.maximum(np.abs(z), 1)
    assert error.max() < 2 * np.finfo(dtype).eps
    slope = backward(name, z.reshape(1, -1), z.reshape(1, -1), np.ones((1, z.size), dtype))[0]
    exact = oracle.ACTIVATIONS[name][1](z.astype(np.longdouble), np.longdouble(1))
    assert np.abs(slope - exact).max() < 4 * np.finfo(dtype).eps


INFINITIES = {  # of minus infinity, and of infinity
    "relu": (0, np.inf),
    ("leaky_relu", (0.2,)): (-np.inf, np.inf),
    ("relu_max", (6.0,)): (0, 6),
    ("relu_general", (0.0, -np.inf, np.inf, -0.5)): (0, np.inf),
    ("elu", (0.3,)): (-0.3, np.inf),
    "selu": (-oracle.SCALE * oracle.ALPHA, np.inf),
    ("celu", (0.4,)): (-0.4, np.inf),
    "gelu": (0, np.inf),
    "gelu_tanh": (0, np.inf),
    "silu": (0, np.inf),
    "mish": (0, np.inf),
    "softplus": (0, np.inf),
    "log_sigmoid": (-np.inf, 0),
    "softsign": (-1, 1),
    ("squareplus", (4.0,)): (0, np.inf),
    "exponential": (0, np.inf),
    "hard_sigmoid": (0, 1),
    "hard_silu": (0, np.inf),
    "hard_tanh": (-1, 1),
    "tanh_shrink": (-np.inf, np.inf),
    ("soft_shrink", (0.5,)): (-np.inf, np.inf),
    ("hard_shrink", (0.5,)): (-np.inf, np.inf),
    ("threshold", (0.3, -1.2)): (-1.2, np.inf),
    "sparse_plus": (0, np.inf),
    "sparse_sigmoid": (0, 1),
}


@pytest.mark.parametrize("specification", INFINITIES, ids=str)
def test_infinity_has_an_answer(specification, dtype, isa):
    z = np.array([[-np.inf, np.inf]], dtype)
    a = forward(specification, z)
    np.testing.assert_allclose(a[0], INFINITIES[specification], rtol=1e-6)
    slopes = backward(specification, z, a, np.ones_like(z))
    assert not np.isnan(slopes).any()


def test_tiny_inputs_and_minus_zero(dtype, isa):
    """Near zero each behaves as its slope there says."""
    tiny = np.array([[np.finfo(dtype).tiny * 8, -np.finfo(dtype).tiny * 8, 0.0, -0.0]], dtype)
    for name, slope in (
        ("silu", 0.5),
        ("gelu", 0.5),
        ("gelu_tanh", 0.5),
        ("hard_silu", 0.5),
        ("softsign", 1),
    ):
        np.testing.assert_allclose(forward(name, tiny), tiny * slope, rtol=1e-5)
    np.testing.assert_allclose(forward(("elu", (1.0,)), tiny), tiny, rtol=1e-5)
    np.testing.assert_allclose(forward("mish", tiny), tiny * 0.6, rtol=1e-5)
    assert (forward("softplus", tiny) == np.log(dtype.type(2))).all()
    assert (forward("exponential", tiny) == 1).all()


def test_exponential_up_to_the_largest_number(dtype, isa):
    highest = np.log(np.finfo(dtype).max)
    z = np.array([np.nextafter(highest, dtype.type(0)), highest * dtype.type(1.0001), 1e30, -1e30], dtype)
    a = k.activation_forward("exponential", z.reshape(1, -1))[0]
    assert np.isfinite(a[0])
    assert a[1:].tolist() == [np.inf, np.inf, 0]


def test_ranges_and_special_values(dtype, isa, rng):
    z = samples(dtype, rng, 40_000).reshape(1, -1)
    assert (np.abs(k.activation_forward("tanh", z)) <= 1).all()
    s = k.activation_forward("sigmoid", z)
    assert ((s >= 0) & (s <= 1)).all()
    special = np.array([[0.0, -0.0, np.inf, -np.inf]], dtype)
    assert k.activation_forward("sigmoid", special).tolist() == [[0.5, 0.5, 1.0, 0.0]]
    assert k.activation_forward("tanh", special).tolist() == [[0.0, 0.0, 1.0, -1.0]]
    assert k.activation_forward("relu", special).tolist() == [[0.0, 0.0, np.inf, 0.0]]
    assert same_bits(k.activation_forward("linear", special), special)


@pytest.mark.parametrize("specification", [s for s in SPECIFICATIONS if named(s)[0] not in ROWWISE], ids=str)
def test_nan_stays_nan_and_stays_alone(specification, dtype, isa):
    z = np.linspace(-3, 3, 37, dtype=dtype).reshape(1, -1)
    z[0, [0, 17, 36]] = np.nan
    assert np.isnan(forward(specification, z))[0].nonzero()[0].tolist() == [0, 17, 36]


@pytest.mark.parametrize("units", [1, 2, 3, 10, 15, 16, 17, 33, 100, 257])
def test_softmax(units, dtype, isa, rng):
    z = np.concatenate(
        [
            rng.normal(size=(40, units)),
            30 * rng.normal(size=(40, units)),
            1e4 * rng.normal(size=(40, units)),
            np.zeros((1, units)),
            np.full((1, units), 1e30),
            np.full((1, units), -1e30),
        ]
    ).astype(dtype)
    got = k.activation_forward("softmax", z)
    wide = z.astype(np.longdouble)
    exact = oracle.softmax(wide)
    # z - max is rounded once, and exp turns that into a relative error of |z - max| * eps.
    eps = np.finfo(dtype).eps
    bound = (4 + units + np.abs(wide - wide.max(axis=1, keepdims=True))) * eps * exact + np.finfo(
        dtype
    ).tiny * 2
    assert (np.abs(got - exact) <= bound).all()
    np.testing.assert_allclose(got.sum(axis=1), 1, rtol=(units + 2) * eps)
    assert (got >= 0).all()
    assert (got <= 1).all()


def test_softmax_of_extremes(dtype, isa):
    big = np.finfo(dtype).max
    assert k.activation_forward("softmax", np.array([[big, -big, 0]], dtype)).tolist() == [[1, 0, 0]]
    assert k.activation_forward("softmax", np.array([[0, -np.inf, 0]], dtype)).tolist() == [[0.5, 0, 0.5]]
    assert k.activation_forward("softmax", np.array([[-0.0, 0.0]], dtype)).tolist() == [[0.5, 0.5]]
    one_bad_row = np.zeros((3, 5), dtype)
    one_bad_row[1, 2] = np.nan
    got = k.activation_forward("softmax", one_bad_row)
    assert np.isnan(got[1]).all()
    assert (got[[0, 2]] == dtype.type(0.2)).all()


def test_log_softmax_of_extremes(dtype, isa):
    far = np.finfo(dtype).max / 4
    got = k.activation_forward("log_softmax", np.array([[far, 0, -far], [0, 0, -np.inf]], dtype))
    assert got[0].tolist() == [0, -far, -2 * far]
    np.testing.assert_allclose(got[1], [-np.log(2), -np.log(2), -np.inf], rtol=1e-6)
    bad = np.zeros((3, 5), dtype)
    bad[1, 2] = np.nan
    got = k.activation_forward("log_softmax", bad)
    assert np.isnan(got[1]).all()
    assert np.isfinite(got[[0, 2]]).all()


@pytest.mark.parametrize("units", [1, 2, 3, 10, 15, 16, 17, 33, 100, 257, 1000])
def test_sparsemax(units, dtype, isa, rng):
    z = np.concatenate(
        [
            scale * rng.normal(size=(20, units))
            for scale in (1e-3, 0.1, 1, 30, 1e6)
        ]
        + [np.zeros((1, units)), np.full((1, units), -1e30), np.sort(rng.normal(size=(3, units)), axis=1)]
    ).astype(dtype)  # fmt: skip
    got = k.activation_forward("sparsemax", z)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got, oracle.sparsemax(z.astype(np.longdouble)), rtol=0, atol=(units + 4) * eps)
    np.testing.assert_allclose(got.sum(axis=1), 1, rtol=(units + 4) * eps)
    assert (got >= 0).all()


def test_sparsemax_of_extremes(dtype, isa):
    """Equal logits however large, infinite ones, and a NaN, which takes its row with it and no other."""
    z = np.array([[1e30, 1e30, 0], [0, -np.inf, -0.5], [np.nan, 1, 2], [3, 1, np.nan], [0, 0, 0]], dtype)
    got = k.activation_forward("sparsemax", z)
    assert got[0].tolist() == [0.5, 0.5, 0]
    assert got[1].tolist() == [0.75, 0, 0.25]
    assert np.isnan(got[2:4]).all()
    np.testing.assert_allclose(got[4], 1 / 3, rtol=1e-6)


@each
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (7, 3), (33, 17), (5, 300), (700, 5)], ids=str)
def test_forward_and_backward_match_the_oracle(specification, shape, dtype, isa, rng):
    z, da = rng.normal(size=shape).astype(dtype) * 3, rng.normal(size=shape).astype(dtype)
    for kink in kinks(specification):
        z[np.abs(z - kink) < 1e-4] += dtype.type(0.01)
    exact_a, exact_dz = activation(specification)
    a = forward(specification, z)
    assert a.dtype == dtype
    tolerance = 40 * np.finfo(dtype).eps
    np.testing.assert_allclose(a, exact_a(z.astype(float)), rtol=tolerance, atol=tolerance)
    dz = backward(specification, z, a, da)
    # a derivative that reads the output takes over its rounding error
    tolerance *= 1 + np.abs(da).max() * max(1, np.abs(a).max() if named(specification)[0] in ROWWISE else 1)
    np.testing.assert_allclose(
        dz, exact_dz(z.astype(float), da.astype(float)), rtol=tolerance, atol=tolerance
    )
    assert dz.dtype == dtype


@each
def test_backward_is_the_derivative_of_forward(specification, isa, rng):
    z, da, h = rng.normal(size=(9, 7)) * 2, rng.normal(size=(9, 7)), 1e-6
    for kink in kinks(specification):
        z[np.abs(z - kink) < 1e-3] += 0.01
    dz = backward(specification, z, forward(specification, z), da)
    for j in range(7):
        step = np.zeros_like(z)
        step[:, j] = h
        difference = (forward(specification, z + step) - forward(specification, z - step)) / (2 * h)
        np.testing.assert_allclose(dz[:, j], (difference * da).sum(axis=1), rtol=1e-5, atol=1e-7)


AT_KINKS = {  # inputs, and the derivatives that Keras has there
    "relu": ([0, -0.0], [0, 0]),
    ("leaky_relu", (0.2,)): ([0, -0.0], [1, 1]),
    ("relu_max", (6.0,)): ([0, 6], [0, 0]),
    ("relu_general", (0.1, 0.0, 1.5, 0.25)): ([0.25, -1], [0, 0.1]),
    ("relu_general", (0.0, -np.inf, np.inf, -0.5)): ([-0.5, -0.25], [0, 1]),
    ("elu", (0.5,)): ([0], [0.5]),
    "selu": ([0], [oracle.SCALE * oracle.ALPHA]),
    ("celu", (0.5,)): ([0], [1]),
    "hard_sigmoid": ([-3, 3], [0, 0]),
    ("soft_shrink", (0.5,)): ([0.5, -0.5, 0], [0, 0, 0]),
    ("hard_shrink", (0.5,)): ([0.5, -0.5, 0], [0, 0, 0]),
    ("threshold", (0.25, 7.0)): ([0.25], [0]),
    "sparse_plus": ([-1, 1, 0], [0, 1, 0.5]),
}


@pytest.mark.parametrize("specification", AT_KINKS, ids=str)
def test_derivatives_at_kinks(specification, dtype, isa):
    z, want = (np.array([values], dtype) for values in AT_KINKS[specification])
    got = backward(specification, z, forward(specification, z), np.ones_like(z))
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_relu_passes_no_gradient_at_zero(dtype, isa):
    a, da = np.array([[0.0, -0.0, 1.0]], dtype), np.ones((1, 3), dtype)
    assert k.activation_backward("relu", a, da).tolist() == [[0, 0, 1]]


@each
def test_same_bits_for_every_instruction_set_and_thread_count(specification, dtype, rng):
    z = np.concatenate([samples(dtype, rng, 4000), np.array([np.nan, np.inf, -np.inf], dtype)])
    columns = 23
    z = z[: len(z) // columns * columns].reshape(-1, columns)
    da = rng.normal(size=z.shape).astype(dtype)
    first = None
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            for threads in THREADS:
                a = forward(specification, z, num_threads=threads)
                got = [a, backward(specification, z, a, da, num_threads=threads)]
                first = first or got
                for one, other in zip(first, got, strict=True):
                    assert same_bits(one, other), (isa, threads)


@each
def test_the_value_does_not_depend_on_the_place_in_the_vector(specification, dtype, isa, rng):
    """Heads and tails of a row go the same way as its middle."""
    z = rng.normal(size=(1, 67)).astype(dtype) * 4
    whole = forward(specification, z)
    if named(specification)[0] in ROWWISE:
        for rows in (2, 5, 17):
            others = rng.normal(size=(rows, 67)).astype(dtype) * 30
            others[rows // 2] = z
            assert same_bits(forward(specification, others)[rows // 2], whole[0])
        return
    for start, stop in ((0, 1), (3, 20), (16, 32), (50, 67), (66, 67)):
        assert same_bits(forward(specification, z[:, start:stop]), whole[:, start:stop])


@pytest.mark.parametrize("form", sorted(AWKWARD))
@each
def test_awkward_memory_gives_the_same_bits(specification, form, dtype, rng):
    z, da = rng.normal(size=(11, 7)).astype(dtype), rng.normal(size=(11, 7)).astype(dtype)
    convert = AWKWARD[form]
    a = forward(specification, z)
    assert same_bits(forward(specification, convert(z)), a)
    got = backward(specification, convert(z), convert(a), convert(da))
    assert same_bits(got, backward(specification, z, a, da))


@each
def test_out_and_in_place(specification, dtype, isa, rng):
    z, da = rng.normal(size=(11, 7)).astype(dtype), rng.normal(size=(11, 7)).astype(dtype)
    out = np.full_like(z, np.nan)
    a = forward(specification, z)
    assert forward(specification, z, out=out) is out
    assert same_bits(out, a)
    dz = backward(specification, z, a, da)
    assert backward(specification, z, a, da, out=out) is out
    assert same_bits(out, dz)
    same = z.copy()
    forward(specification, same, out=same)
    assert same_bits(same, a)
    same = da.copy()
    assert same_bits(backward(specification, z, a, same, out=same), dz)
    read = z if k.activation_reads(named(specification)[0]) == "input" else a
    same = read.copy()
    assert same_bits(backward(specification, same, same, da, out=same), dz)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda z: k.activation_forward("rleu", z), ["rleu", "relu", "softmax"]),
        (lambda z: k.activation_forward(None, z), ["None"]),
        (lambda z: k.activation_forward("relu", z, out=np.ones((2, 2))), ["out"]),
        (lambda z: k.activation_forward("relu", z, out=z.astype(np.float32)), ["out", "float32"]),
        (lambda z: k.activation_forward("relu", np.array([["a"]])), ["z"]),
        (lambda z: k.activation_forward("relu", z, num_threads=0), ["num_threads"]),
        (lambda z: k.activation_backward("relu", z, np.ones((2, 2))), ["da"]),
        (lambda z: k.activation_backward("tahn", z, z), ["tahn", "tanh"]),
        (lambda z: k.activation_forward("elu", z), ["elu", "1", "0"]),
        (lambda z: k.activation_forward("relu", z, parameters=(1.0,)), ["relu", "0", "1"]),
        (lambda z: k.activation_forward("elu", z, parameters=(np.nan,)), ["elu", "nan"]),
        (lambda z: k.activation_backward("threshold", z, z, parameters=(1, 2, 3)), ["threshold", "2", "3"]),
        (lambda z: k.activation_reads("eul"), ["eul", "elu"]),
        (lambda z: k.activation_parameter_count("eul"), ["eul", "elu"]),
    ],
)
def test_bad_arguments(call, names):
    with pytest.raises((ValueError, TypeError)) as caught:
        call(np.ones((3, 4)))
    for name in names:
        assert name in str(caught.value)
