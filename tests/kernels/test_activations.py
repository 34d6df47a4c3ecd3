"""Activations: accuracy in units in the last place, special values, gradients, same bits everywhere."""

import numpy as np
import pytest
from oracle import ACTIVATIONS, softmax
from support import AWKWARD, THREADS, instruction_set, same_bits

import fastnn.kernels as k
from fastnn.kernels import runtime


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


def error_in_ulp(got, exact):
    """|got - exact| in units in the last place of exact; what is subnormal may have been flushed to zero."""
    dtype = got.dtype
    tiny = np.longdouble(np.finfo(dtype).tiny)
    unit = np.spacing(np.maximum(np.abs(exact), tiny).astype(dtype)).astype(np.longdouble)
    error = np.abs(got.astype(np.longdouble) - exact) / unit
    small = np.abs(exact) < tiny * (1 + 4 * np.longdouble(np.finfo(dtype).eps))
    return np.where(small & (np.abs(got) <= tiny * (1 + 4 * np.longdouble(np.finfo(dtype).eps))), 0, error)


def long_sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


@pytest.mark.parametrize(("name", "exact"), [("sigmoid", long_sigmoid), ("tanh", np.tanh)])
def test_within_two_ulp(name, exact, dtype, isa, rng):
    z = samples(dtype, rng)
    got = k.activation_forward(name, z.reshape(1, -1))[0]
    ulp = error_in_ulp(got, exact(z.astype(np.longdouble)))
    worst = ulp.argmax()
    assert ulp[worst] <= 2, f"{name}({z[worst]!r}) = {got[worst]!r}: {ulp[worst]:.2f} ulp"


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


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "linear"])
def test_nan_stays_nan_and_stays_alone(name, dtype, isa):
    z = np.linspace(-3, 3, 37, dtype=dtype).reshape(1, -1)
    z[0, [0, 17, 36]] = np.nan
    assert np.isnan(k.activation_forward(name, z))[0].nonzero()[0].tolist() == [0, 17, 36]


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
    exact = softmax(wide)
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


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (7, 3), (33, 17), (5, 300), (700, 5)], ids=str)
def test_forward_and_backward_match_the_oracle(name, shape, dtype, isa, rng):
    z, da = rng.normal(size=shape).astype(dtype) * 3, rng.normal(size=shape).astype(dtype)
    a = k.activation_forward(name, z)
    assert a.dtype == dtype
    tolerance = 40 * np.finfo(dtype).eps
    forward, backward = ACTIVATIONS[name]
    np.testing.assert_allclose(a, forward(z.astype(float)), rtol=tolerance, atol=tolerance)
    dz = k.activation_backward(name, a, da)
    np.testing.assert_allclose(
        dz, backward(a.astype(float), da.astype(float)), rtol=tolerance, atol=tolerance
    )
    assert dz.dtype == dtype


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_backward_is_the_derivative_of_forward(name, isa, rng):
    z, da, h = rng.normal(size=(9, 7)), rng.normal(size=(9, 7)), 1e-6
    z[np.abs(z) < 1e-3] = 0.5  # away from the kink of relu
    dz = k.activation_backward(name, k.activation_forward(name, z), da)
    for j in range(7):
        step = np.zeros_like(z)
        step[:, j] = h
        difference = (k.activation_forward(name, z + step) - k.activation_forward(name, z - step)) / (2 * h)
        np.testing.assert_allclose(dz[:, j], (difference * da).sum(axis=1), rtol=1e-5, atol=1e-7)


def test_relu_passes_no_gradient_at_zero(dtype, isa):
    a, da = np.array([[0.0, -0.0, 1.0]], dtype), np.ones((1, 3), dtype)
    assert k.activation_backward("relu", a, da).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_same_bits_for_every_instruction_set_and_thread_count(name, dtype, rng):
    z = np.concatenate([samples(dtype, rng, 4000), np.array([np.nan, np.inf, -np.inf], dtype)])
    columns = 23
    z = z[: len(z) // columns * columns].reshape(-1, columns)
    da = rng.normal(size=z.shape).astype(dtype)
    first = None
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            for threads in THREADS:
                a = k.activation_forward(name, z, num_threads=threads)
                got = [a, k.activation_backward(name, a, da, num_threads=threads)]
                first = first or got
                for one, other in zip(first, got, strict=True):
                    assert same_bits(one, other), (isa, threads)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_the_value_does_not_depend_on_the_place_in_the_vector(name, dtype, isa, rng):
    """Heads and tails of a row go the same way as its middle."""
    z = rng.normal(size=(1, 67)).astype(dtype) * 4
    if name == "softmax":
        for rows in (2, 5):
            many = np.repeat(z, rows, axis=0)
            assert all(
                same_bits(row, k.activation_forward(name, z)[0]) for row in k.activation_forward(name, many)
            )
        return
    whole = k.activation_forward(name, z)
    for start, stop in ((0, 1), (3, 20), (16, 32), (50, 67), (66, 67)):
        assert same_bits(k.activation_forward(name, z[:, start:stop]), whole[:, start:stop])


@pytest.mark.parametrize("form", sorted(AWKWARD))
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_awkward_memory_gives_the_same_bits(name, form, dtype, rng):
    z, da = rng.normal(size=(11, 7)).astype(dtype), rng.normal(size=(11, 7)).astype(dtype)
    convert = AWKWARD[form]
    a = k.activation_forward(name, z)
    assert same_bits(k.activation_forward(name, convert(z)), a)
    assert same_bits(k.activation_backward(name, convert(a), convert(da)), k.activation_backward(name, a, da))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_out_and_in_place(name, dtype, isa, rng):
    z, da = rng.normal(size=(11, 7)).astype(dtype), rng.normal(size=(11, 7)).astype(dtype)
    out = np.full_like(z, np.nan)
    a = k.activation_forward(name, z)
    assert k.activation_forward(name, z, out=out) is out
    assert same_bits(out, a)
    dz = k.activation_backward(name, a, da)
    assert k.activation_backward(name, a, da, out=out) is out
    assert same_bits(out, dz)
    same = z.copy()
    k.activation_forward(name, same, out=same)
    assert same_bits(same, a)
    same = da.copy()
    assert same_bits(k.activation_backward(name, a, same, out=same), dz)
    same = a.copy()
    assert same_bits(k.activation_backward(name, same, da, out=same), dz)


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
    ],
)
def test_bad_arguments(call, names):
    with pytest.raises((ValueError, TypeError)) as caught:
        call(np.ones((3, 4)))
    for name in names:
        assert name in str(caught.value)
