"""The one door for arrays: in whatever memory data come, the same numbers give the same bits, and stay."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from support import AWKWARD, attempt, digest, mlp, state

COLUMNS = 3

# Numbers that every type below holds, so that converting is exact.
DTYPES = [
    "<f4",
    ">f4",
    "<f8",
    ">f8",
    "<f2",
    ">f2",
    "<i8",
    ">i4",
    "i1",
    "u1",
    "<u8",
    "?",
    "<f16" if np.dtype("longdouble").itemsize == 16 else "<f8",
]
FORMS = {"plain": np.array, **AWKWARD}
quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def numbers(dtype):
    return st.booleans() if np.dtype(dtype) == bool else st.integers(0, 7)


@st.composite
def arrays(draw, shape):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    values = draw(hnp.arrays(dtype, shape, elements=numbers(dtype).map(dtype.type)))
    form = draw(st.sampled_from(sorted(FORMS)))
    if form == "strided" and dtype.kind != "f":
        form = "backwards"  # its filler is NaN
    if form in ("big_endian", "misaligned") and dtype.itemsize == 1:
        form = "plain"  # bytes have no order and are never misaligned
    return FORMS[form](values)


@st.composite
def problems(draw):
    rows = draw(st.integers(1, 9))
    return draw(arrays((rows, COLUMNS))), draw(arrays((rows, 2))), draw(st.none() | arrays((rows,)))


def train(x, y, sample_weight, dtype):
    model = mlp(COLUMNS, (4, "tanh"), (2, None), dtype=dtype, optimizer="adam", loss="mse", metrics=["mae"])
    history = model.fit(x, y, sample_weight=sample_weight, epochs=2, batch_size=4, verbose=0).history
    return (
        state(model),
        history,
        digest([model.predict(x, verbose=0)]),
        model.evaluate(x, y, sample_weight=sample_weight, verbose=0),
    )


@quick
@given(problem=problems(), dtype=st.sampled_from(["float32", "float64"]))
def test_any_memory_gives_the_same_bits(problem, dtype):
    copies = [None if a is None else a.copy() for a in problem]
    clean = [None if a is None else np.array(a.tolist(), dtype=dtype).reshape(a.shape) for a in problem]
    assert train(*problem, dtype) == train(*clean, dtype)
    for a, before in zip(problem, copies, strict=True):
        assert a is None or np.array_equal(a, before), "an input was written to"


@quick
@given(data=st.data(), dtype=st.sampled_from(["float32", "float64"]))
def test_whatever_is_not_finite_is_found_or_predicted_row_by_row(data, dtype):
    rows = data.draw(st.integers(1, 9))
    x = data.draw(hnp.arrays(np.float64, (rows, COLUMNS), elements=st.floats(-10, 10)))
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, COLUMNS - 1))
    x[row, column] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    model = mlp(COLUMNS, (2, "relu"), (1, None), dtype=dtype, optimizer="adam", loss="mse")
    before = state(model)
    with pytest.raises(ValueError, match="x") as caught:
        model.fit(x, np.zeros(rows), epochs=2, batch_size=data.draw(st.integers(1, 12)), verbose=0)
    assert str(row) in str(caught.value)
    assert state(model) == before


@quick
@given(
    x=hnp.arrays(
        st.sampled_from([np.dtype(d) for d in ("f4", "f8", "i4", "?", "c8", "U3", "O", "M8[s]", "S2")]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_anything_gives_an_answer_or_an_error_in_words(x):
    model = mlp(COLUMNS, (2, "relu"), (1, None), optimizer="sgd", loss="mse")
    before = state(model)
    got, error = attempt(lambda: model.predict(x, verbose=0))
    if error:
        assert "x" in error
    else:
        assert got.shape == (x.shape[0], 1)
        assert x.shape[1:] == (COLUMNS,)
        assert x.dtype.kind in "fibuO"
    assert state(model) == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_maps(dtype, tmp_path, rng):
    values = rng.normal(size=(50, COLUMNS)).astype(dtype)
    path = tmp_path / "x.bin"
    np.memmap(path, dtype=dtype, mode="w+", shape=values.shape)[...] = values
    mapped = np.memmap(path, dtype=dtype, mode="r", shape=values.shape)
    y = rng.normal(size=(50, 2)).astype(dtype)
    assert train(mapped, y, None, dtype) == train(values, y, None, dtype)
    np.save(tmp_path / "x.npy", values)
    assert train(np.load(tmp_path / "x.npy", mmap_mode="r"), y, None, dtype) == train(values, y, None, dtype)


def test_a_memory_map_is_not_read_at_once(tmp_path):
    """A map of the right type is handed on as it is: training on it does not grow the process by its size."""
    from support import run_python

    if not hasattr(__import__("os"), "sched_getaffinity"):
        pytest.skip("reads /proc")
    code = """
import numpy as np, fastnn, resource, sys
from pathlib import Path
path = Path("big.bin")
rows, columns = 400_000, 64
with open(path, "wb") as file:
    file.truncate(rows * columns * 4)
m = fastnn.Sequential([fastnn.layers.Dense(1, input_dim=columns)]); m.compile("sgd", "mse")
y = np.zeros((rows, 1), np.float32)
m.fit(np.zeros((64, columns), np.float32), y[:64], epochs=1, verbose=0)
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024
before = anonymous()
x = np.memmap(path, dtype=np.float32, mode="r", shape=(rows, columns))
peak = []
class Look(fastnn.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        peak.append(anonymous())
m.fit(x, y, epochs=1, batch_size=40_000, shuffle=False, verbose=0, callbacks=[Look()])
print(max(peak) - before)
"""
    grown = float(run_python(code, cwd=tmp_path))
    assert grown < 60, f"{grown:.0f} MB for a map of 98 MB"


def test_lists_tuples_and_nested_sequences(rng):
    x, y = rng.normal(size=(9, COLUMNS)).astype(np.float32), rng.normal(size=(9, 2)).astype(np.float32)
    want = train(x, y, None, "float32")
    assert train(x.tolist(), y.tolist(), None, "float32") == want
    assert train(tuple(map(tuple, x.tolist())), list(y), None, "float32") == want


def test_data_frames(rng):
    pandas = pytest.importorskip("pandas")
    x, y = rng.normal(size=(9, COLUMNS)), rng.normal(size=(9, 2))
    frame = pandas.DataFrame(x, columns=["a", "b", "c"], index=range(100, 109))
    assert train(frame, pandas.DataFrame(y), None, "float64") == train(x, y, None, "float64")
    model = mlp(COLUMNS, (1, None), optimizer="sgd", loss="mse")
    model.fit(frame, pandas.Series(y[:, 0]), epochs=1, verbose=0)
    mixed = pandas.DataFrame({"a": [1, 2], "b": [0.5, 0.25], "c": [True, False]})
    assert model.predict(mixed, verbose=0).shape == (2, 1)
    with pytest.raises((ValueError, TypeError), match="x"):
        model.predict(pandas.DataFrame({"a": ["u", "v"], "b": [1, 2], "c": [1, 2]}), verbose=0)


def test_masked_arrays(rng):
    x, y = rng.normal(size=(9, COLUMNS)), rng.normal(size=(9, 2))
    assert train(np.ma.array(x), y, None, "float64") == train(x, y, None, "float64")
    masked = np.ma.array(x, mask=False)
    masked[4, 1] = np.ma.masked
    model = mlp(COLUMNS, (2, None), optimizer="sgd", loss="mse")
    before = state(model)
    with pytest.raises((ValueError, TypeError), match="x"):
        model.fit(masked, y, epochs=1, verbose=0)
    assert state(model) == before


def test_objects_with_an_array_inside(rng):
    x, y = rng.normal(size=(9, COLUMNS)), rng.normal(size=(9, 2))

    class Wrapped:
        def __init__(self, a):
            self.a = a

        def __array__(self, dtype=None, copy=None):
            return self.a if dtype is None else self.a.astype(dtype)

        def __len__(self):
            return len(self.a)

    assert train(Wrapped(x), Wrapped(y), None, "float64") == train(x, y, None, "float64")
    assert train(np.array(x.tolist(), dtype=object), y, None, "float64") == train(x, y, None, "float64")


def test_overlapping_and_broadcast_arrays(rng):
    """Rows that share memory, and stride 0, are as good as others."""
    row = rng.normal(size=COLUMNS)
    same = np.broadcast_to(row, (8, COLUMNS))
    y = rng.normal(size=(8, 2))
    assert train(same, y, None, "float64") == train(same.copy(), y, None, "float64")
    long = rng.normal(size=8 + COLUMNS - 1)
    windows = np.lib.stride_tricks.sliding_window_view(long, COLUMNS)
    assert train(windows, y, None, "float64") == train(windows.copy(), y, None, "float64")


def test_data_changed_after_the_fit_change_nothing(rng):
    x, y = rng.normal(size=(9, COLUMNS)).astype(np.float32), rng.normal(size=(9, 2)).astype(np.float32)
    model = mlp(COLUMNS, (2, None), optimizer="sgd", loss="mse")
    model.fit(x, y, epochs=1, verbose=0)
    before, predicted = state(model), model.predict(x[:1], verbose=0).copy()
    kept = x[:1].copy()
    x[...] = 77
    assert state(model) == before
    assert np.array_equal(model.predict(kept, verbose=0), predicted)
