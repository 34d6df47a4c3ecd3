"""The order of every sum, to the bit: naive twins that add in the contract's order, one fused step at a time.

The other tests would not notice if all instruction sets changed the order together, and with it every hash.
"""

from fractions import Fraction

import numpy as np
import pytest
from support import same_bits

import fastnn.kernels as k

BLOCK = 256  # rows that are summed in one go
LANES = 16  # running sums of a narrow layer

wide_enough = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="needs an extended long double")


def fma(a, b, c):
    """a * b + c, rounded once, broadcasting."""
    if np.result_type(a, b, c) == np.float64:
        exact = np.frompyfunc(lambda a, b, c: float(Fraction(a) * Fraction(b) + Fraction(c)), 3, 1)
        return exact(a, b, c).astype(np.float64)
    # 24 + 24 bits fit into a long double; rounding its sum once more errs in 2**-40 of all cases.
    return (np.multiply(a, b, dtype=np.longdouble) + c).astype(np.float32)


def forward(x, w, b):
    """Over the inputs in index order, from the bias on."""
    z = np.broadcast_to(b, (len(x), w.shape[1])).astype(x.dtype)
    for i in range(x.shape[1]):
        z = fma(x[:, i : i + 1], w[i], z)
    return z


def forward_narrow(x, w, b):
    """Sixteen running sums, input i to sum i modulo 16, folded in halves; the bias is one more input."""
    x, w = np.hstack([x, np.ones((len(x), 1), x.dtype)]), np.vstack([w, b])
    sums = np.zeros((LANES, len(x), w.shape[1]), x.dtype)
    for i in range(x.shape[1]):
        sums[i % LANES] = fma(x[:, i : i + 1], w[i], sums[i % LANES])
    while len(sums) > 1:
        half = len(sums) // 2
        sums = sums[:half] + sums[half:]
    return sums[0]


def weight_gradient(x, dz):
    """Over blocks of 256 rows, each in index order from zero; the blocks in order."""
    total = None
    for start in range(0, len(x), BLOCK):
        block = np.zeros((x.shape[1], dz.shape[1]), x.dtype)
        for row in range(start, min(start + BLOCK, len(x))):
            block = fma(x[row, :, None], dz[row], block)
        total = block if total is None else total + block
    return total


def case(rows, inputs, units, dtype, rng):
    arrays = (rng.normal(size=shape) for shape in ((rows, inputs), (inputs, units), (units,), (rows, units)))
    return [a.astype(dtype) for a in arrays]


@wide_enough
@pytest.mark.parametrize(
    ("inputs", "units"), [(40, 20), (7, 5), (1, 1), (3, 1), (19, 33), (100, 16), (45, 12)]
)
def test_forward_of_a_wide_layer(inputs, units, dtype, isa, rng):
    x, w, b, _ = case(5, inputs, units, dtype, rng)
    assert same_bits(k.dense_forward(x, w, b), forward(x, w, b))
    assert same_bits(k.dense_forward(x, w), forward(x, w, np.zeros_like(b)))


@wide_enough
@pytest.mark.parametrize(("inputs", "units"), [(4, 1), (100, 3), (61, 15), (64, 2), (17, 4), (300, 1)])
def test_forward_of_a_narrow_layer(inputs, units, dtype, isa, rng):
    x, w, b, _ = case(5, inputs, units, dtype, rng)
    assert same_bits(k.dense_forward(x, w, b), forward_narrow(x, w, b))
    assert same_bits(k.dense_forward(x, w), forward_narrow(x, w, np.zeros_like(b)))


@wide_enough
@pytest.mark.parametrize(
    "shape", [(5, 7, 3), (256, 5, 2), (257, 3, 4), (600, 2, 3), (300, 9, 1), (20, 3, 40)], ids=str
)
def test_sums_over_rows(shape, dtype, isa, rng):
    if dtype == np.float64 and np.prod(shape) > 3000:
        shape = (shape[0], 2, 2)  # fractions are slow
    x, w, _, dz = case(*shape, dtype, rng)
    _, dw, db = k.dense_backward(x, w, dz)
    assert same_bits(dw, weight_gradient(x, dz))
    assert same_bits(db, weight_gradient(np.ones((len(x), 1), dtype), dz)[0])


@wide_enough
@pytest.mark.parametrize(("inputs", "units"), [(5, 40), (20, 19), (33, 17)])
def test_deltas_of_a_wide_layer(inputs, units, dtype, isa, rng):
    """Over the units in index order."""
    x, w, _, dz = case(5, inputs, units, dtype, rng)
    want = forward(dz, np.ascontiguousarray(w.T), np.zeros(inputs, dtype))
    assert same_bits(k.dense_backward(x, w, dz)[0], want)


@wide_enough
def test_the_twin_itself(rng):
    """Near enough to a plain product, and fused: 1 + 2^-30 squared keeps its last term."""
    x, w, b, dz = case(300, 40, 3, np.dtype(np.float32), rng)
    for got in (forward(x, w, b), forward_narrow(x, w, b)):
        np.testing.assert_allclose(got, x @ w + b, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(weight_gradient(x, dz), x.T @ dz, rtol=1e-3, atol=1e-3)
    for dtype, bits in ((np.float32, 12), (np.float64, 27)):
        a = dtype(1 + 2.0**-bits)
        assert fma(np.array([a]), np.array([a]), np.array([dtype(-1 - 2.0 ** (1 - bits))]))[0] == 2.0 ** (
            -2 * bits
        )
