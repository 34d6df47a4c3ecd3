"""dense_forward and dense_backward against matrix products in longer precision."""

import numpy as np
import pytest
from oracle import SPECIFICATIONS
from support import AWKWARD, THREADS, attempt, instruction_set, same_bits

import fastnn.kernels as k
from fastnn.kernels import runtime

# (rows, inputs, units): one row, one unit, one input; nothing that divides; narrow layers (few units, many
# inputs, which have a layout of their own); wide ones; rows beyond one and two blocks of 256.
SHAPES = [
    (1, 1, 1), (1, 7, 1), (3, 2, 5), (7, 5, 3), (5, 1, 19), (33, 17, 15), (32, 16, 16), (31, 33, 17),
    (5, 100, 1), (29, 64, 15), (3, 60, 15), (3, 59, 15), (13, 513, 2), (257, 13, 7), (255, 3, 1),
    (256, 40, 10), (300, 70, 31), (700, 9, 2), (64, 256, 256), (19, 300, 333), (1, 500, 129), (513, 33, 64),
    (1100, 5, 47),
]  # fmt: skip


def case(rows, inputs, units, dtype, rng):
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    w = (rng.normal(size=(inputs, units)) / np.sqrt(inputs)).astype(dtype)
    b, dz = rng.normal(size=units).astype(dtype), rng.normal(size=(rows, units)).astype(dtype)
    return x, w, b, dz


def product(a, b):
    """a @ b in long double, and |a| @ |b|, which bounds its rounding."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    return a @ b, np.abs(a) @ np.abs(b)


def assert_within(got, exact, magnitude, depth):
    """The textbook bound on a sum of ``depth`` products in any order."""
    eps = np.finfo(got.dtype).eps
    error = np.abs(got.astype(np.longdouble) - exact)
    bound = (depth + 4) * eps * magnitude + np.finfo(got.dtype).tiny
    assert (error <= bound).all(), f"{(error / bound).max():.3g} times the bound"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(shape, dtype, isa, rng):
    x, w, b, _ = case(*shape, dtype, rng)
    exact, magnitude = product(x, w)
    got = k.dense_forward(x, w)
    assert got.shape == exact.shape
    assert got.dtype == dtype
    assert got.flags.c_contiguous
    assert_within(got, exact, magnitude, shape[1])
    assert_within(k.dense_forward(x, w, b), exact + b, magnitude + np.abs(b), shape[1] + 1)


@pytest.mark.parametrize("activation", SPECIFICATIONS, ids=str)
@pytest.mark.parametrize("shape", [(1, 3, 1), (7, 5, 3), (33, 100, 10), (40, 17, 70), (300, 20, 33)], ids=str)
def test_forward_with_an_activation_is_the_activation_of_the_forward(shape, activation, dtype, isa, rng):
    x, w, b, _ = case(*shape, dtype, rng)
    for bias in (None, b):
        z = k.dense_forward(x, w, bias)
        name, p = (activation, ()) if isinstance(activation, str) else activation
        assert same_bits(k.dense_forward(x, w, bias, activation), k.activation_forward(name, z, parameters=p))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward(shape, dtype, isa, rng):
    rows, _, units = shape
    x, w, _, dz = case(*shape, dtype, rng)
    dx, dw, db = k.dense_backward(x, w, dz)
    assert_within(dx, *product(dz, w.T), units)
    assert_within(dw, *product(x.T, dz), rows)
    assert_within(db, *(m[0] for m in product(np.ones((1, rows), dtype), dz)), rows)
    assert (dx.shape, dw.shape, db.shape) == (x.shape, w.shape, (units,))
    assert {dx.dtype, dw.dtype, db.dtype} == {dtype}


def test_backward_without_dx(dtype, isa, rng):
    x, w, _, dz = case(33, 7, 5, dtype, rng)
    dx, dw, db = k.dense_backward(x, w, dz, need_dx=False)
    assert dx is None
    _, dw_all, db_all = k.dense_backward(x, w, dz)
    assert same_bits(dw, dw_all)
    assert same_bits(db, db_all)


@pytest.mark.parametrize("shape", [(7, 5, 3), (300, 20, 31), (600, 33, 2)], ids=str)
def test_sums_over_many_rows_stay_accurate(shape, dtype, isa, rng):
    """Blocks of 256 rows bound the error of a gradient by some 256 + rows/256 roundings, not by rows."""
    rows = 256 * 40 + 17
    x, w, _, dz = case(rows, *shape[1:], dtype, rng)
    x, dz = np.abs(x), np.abs(dz)  # nothing cancels: the sum's own error shows
    _, dw, db = k.dense_backward(x, w, dz, need_dx=False)
    assert_within(dw, *product(x.T, dz), 256 + rows // 256 + 1)
    assert_within(db, *(m[0] for m in product(np.ones((1, rows), dtype), dz)), 256 + rows // 256 + 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_for_every_instruction_set_and_thread_count(shape, dtype, rng):
    x, w, b, dz = case(*shape, dtype, rng)
    first = None
    for name in runtime.instruction_sets():
        with instruction_set(name):
            for threads in THREADS if name == runtime.instruction_sets()[0] else (1, 3):
                got = [
                    k.dense_forward(x, w, b, num_threads=threads),
                    k.dense_forward(x, w, num_threads=threads),
                    k.dense_forward(x, w, b, "sigmoid", num_threads=threads),
                    k.dense_forward(x, w, b, "softmax", num_threads=threads),
                    *k.dense_backward(x, w, dz, num_threads=threads),
                ]
                first = first or got
                for a, c in zip(first, got, strict=True):
                    assert same_bits(a, c), (name, threads)


@pytest.mark.parametrize("shape", [(37, 17, 15), (37, 100, 3), (300, 20, 70), (64, 300, 333)], ids=str)
@pytest.mark.parametrize("activation", ["linear", "tanh", "softmax"])
def test_a_row_alone_has_the_bits_it_has_in_a_batch(shape, activation, dtype, isa, rng):
    x, w, b, dz = case(*shape, dtype, rng)
    whole = k.dense_forward(x, w, b, activation)
    dx = k.dense_backward(x, w, dz)[0]
    for start, stop in ((0, 1), (1, 2), (5, 12), (16, 33), (shape[0] - 1, shape[0])):
        assert same_bits(k.dense_forward(x[start:stop], w, b, activation), whole[start:stop])
        assert same_bits(k.dense_backward(x[start:stop], w, dz[start:stop])[0], dx[start:stop])


def test_out(dtype, isa, rng):
    x, w, b, dz = case(33, 17, 15, dtype, rng)
    out = np.full((33, 15), np.nan, dtype)
    assert k.dense_forward(x, w, b, "tanh", out=out) is out
    assert same_bits(out, k.dense_forward(x, w, b, "tanh"))
    dx, dw, db = np.full_like(x, np.nan), np.full_like(w, np.nan), np.full_like(b, np.nan)
    got = k.dense_backward(x, w, dz, dx=dx, dw=dw, db=db)
    assert got[0] is dx
    assert got[1] is dw
    assert got[2] is db
    for a, c in zip(got, k.dense_backward(x, w, dz), strict=True):
        assert same_bits(a, c)


def test_nothing_outside_out_is_written(dtype, isa, rng):
    x, w, b, dz = case(13, 9, 5, dtype, rng)
    frame = np.full((15, 5), 7, dtype)
    k.dense_forward(x, w, b, out=frame[1:14])
    assert (frame[[0, 14]] == 7).all()
    frame = np.full((11, 5), 7, dtype)
    k.dense_backward(x, w, dz, dw=frame[1:10])
    assert (frame[[0, 10]] == 7).all()


@pytest.mark.parametrize("form", sorted(AWKWARD))
def test_awkward_memory_gives_the_same_bits(form, dtype, isa, rng):
    x, w, b, dz = case(21, 10, 7, dtype, rng)
    convert = AWKWARD[form]
    kept = [a.copy() for a in (x, w, b, dz)]
    odd = [convert(a) for a in (x, w, b, dz)]
    assert same_bits(k.dense_forward(*odd[:3], "relu"), k.dense_forward(x, w, b, "relu"))
    for got, want in zip(k.dense_backward(odd[0], odd[1], odd[3]), k.dense_backward(x, w, dz), strict=True):
        assert got.dtype == dtype
        assert same_bits(got, want)
    for a, before in zip(odd, kept, strict=True):
        assert np.array_equal(a, before), "an input was written to"


@pytest.mark.parametrize("form", sorted(AWKWARD))
def test_awkward_out_is_written_right_or_refused(form, dtype, rng):
    x, w, b, _ = case(21, 10, 7, dtype, rng)
    out = AWKWARD[form](np.zeros((21, 7), dtype))
    before = out.copy()
    got, error = attempt(lambda: k.dense_forward(x, w, b, out=out))
    if error:
        assert "out" in error
        assert np.array_equal(out, before)
    else:
        assert form != "read_only"
        assert got is out
        assert np.array_equal(out, k.dense_forward(x, w, b))


def test_an_output_that_overlaps_an_input_is_right_or_refused(dtype, rng):
    x, w, b, _ = case(21, 6, 6, dtype, rng)
    want, same = k.dense_forward(x, w, b), x.copy()
    _, error = attempt(lambda: k.dense_forward(same, w, b, out=same))
    if error:
        assert "out" in error
        assert np.array_equal(same, x)
    else:
        assert same_bits(same, want)


def test_float32_beside_float64_is_widened_or_refused(rng):
    x, w, b, dz = case(9, 4, 3, np.float64, rng)
    narrow = w.astype(np.float32)
    got, error = attempt(lambda: k.dense_forward(x, narrow, b))
    if error:
        assert "float32" in error
        return
    assert same_bits(got, k.dense_forward(x, narrow.astype(np.float64), b))
    for a, c in zip(
        k.dense_backward(x, narrow, dz), k.dense_backward(x, narrow.astype(np.float64), dz), strict=True
    ):
        assert same_bits(a, c)


def test_no_rows(dtype, isa):
    x, w, b = np.zeros((0, 4), dtype), np.ones((4, 3), dtype), np.ones(3, dtype)
    assert k.dense_forward(x, w, b, "softmax").shape == (0, 3)
    dx, dw, db = k.dense_backward(x, w, np.zeros((0, 3), dtype))
    assert dx.shape == (0, 4)
    assert not dw.any()
    assert not db.any()


def test_zero_times_infinity_is_not_hidden(dtype, isa):
    """Padding inside a tile may not turn inf * 0 into a number, nor spill a NaN into the neighbours."""
    x, w = np.ones((5, 3), dtype), np.ones((3, 4), dtype)
    w[1, 2] = np.inf
    x[4, 1] = 0
    got = k.dense_forward(x, w)
    assert np.isinf(got[:4, 2]).all()
    assert np.isnan(got[4, 2])
    assert np.isfinite(np.delete(got, 2, axis=1)).all()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"x": np.ones(3)}, ["x"]),
        ({"x": np.ones((2, 3, 4))}, ["x"]),
        ({"x": np.ones((2, 5))}, ["x", "w", "5", "3"]),
        ({"w": np.ones((4, 4))}, ["w", "4", "3"]),
        ({"w": np.ones(3)}, ["w"]),
        ({"b": np.ones(5)}, ["b", "5", "4"]),
        ({"b": np.ones((4, 1))}, ["b"]),
        ({"x": np.ones((2, 3), complex)}, ["x", "complex"]),
        ({"x": np.array([["a", "b", "c"]])}, ["x"]),
        ({"x": np.array([[object(), 1, 2]])}, ["x"]),
        ({"x": None}, ["x"]),
        ({"activation": "rleu"}, ["rleu", "relu"]),
        ({"activation": 3}, ["activation"]),
        ({"out": np.ones((2, 3))}, ["out", "3", "4"]),
        ({"out": np.ones((2, 4), np.float32)}, ["out", "float32"]),
        ({"out": [[0.0] * 4] * 2}, ["out"]),
        ({"num_threads": 0}, ["num_threads", "0"]),
        ({"num_threads": -2}, ["num_threads", "-2"]),
        ({"num_threads": 2.5}, ["num_threads"]),
        ({"num_threads": "two"}, ["num_threads"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_to_forward(change, names):
    good = {"x": np.ones((2, 3)), "w": np.ones((3, 4)), "b": np.ones(4)}
    with pytest.raises((ValueError, TypeError)) as caught:
        k.dense_forward(**{**good, **change})
    for name in names:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"dz": np.ones((3, 4))}, ["dz", "3", "2"]),
        ({"dz": np.ones((2, 5))}, ["dz", "5", "4"]),
        ({"dw": np.ones((4, 3))}, ["dw"]),
        ({"db": np.ones(3)}, ["db", "3", "4"]),
        ({"dx": np.ones((2, 4))}, ["dx"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_to_backward(change, names):
    good = {"x": np.ones((2, 3)), "w": np.ones((3, 4)), "dz": np.ones((2, 4))}
    with pytest.raises((ValueError, TypeError)) as caught:
        k.dense_backward(**{**good, **change})
    for name in names:
        assert name in str(caught.value)
