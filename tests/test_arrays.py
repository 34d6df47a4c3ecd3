"""Arrays of every kind of memory, in every place that takes one: as a clean copy does, or the same error.

By default 500 cases; ``pytest --full`` takes 10,000.
"""

import re
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings, strategies as st
from support import AWKWARD, digest, mlp, state

COLUMNS, UNITS = 3, 2
MOST_ROWS = 9
BATCH = 4

# Numbers from 0 to 7 are exact in all of them; the last ones hold no numbers, or none that are real.
DTYPES = (
    *("<f4", ">f4", "<f8", ">f8", "<f2", ">f2", np.dtype("longdouble").str),
    *("<i8", ">i8", "<i4", ">i4", "<i2", "i1", "u1", "<u2", ">u4", "<u8", "?", "O"),
)
WRONG_DTYPES = ("<c8", ">c16", "<U3", "S2", "M8[s]", "m8[s]")
FORMS = ("plain", *AWKWARD, "memory map", "masked", "repeated row", "overlapping", "list")
FAULTS = ("", "", "", "", "nan", "infinity", "masked", "no rows", "no columns", "dtype", "rows", "columns")


class Given:
    """An array, and the same values in plain memory."""

    def __init__(self, array, clean):
        self.array, self.clean = array, clean
        self.before = self.values()

    def values(self):
        return repr(np.asarray(self.array).tolist())

    def require_unchanged(self):
        assert self.values() == self.before, "an input was written to"

    def __repr__(self):
        a = self.array
        words = [type(a).__name__]
        if isinstance(a, np.ndarray):
            words += [str(a.dtype), f"shape {a.shape}", f"strides {a.strides}"]
            words += [name for name in ("ALIGNED", "WRITEABLE") if not a.flags[name]]
        return f"<{' '.join(words)}: {np.asarray(a).tolist()}>"


def in_form(values, form, folder):
    """The values in such memory, or such an object."""
    if form == "memory map":
        path = Path(folder, f"{len(list(Path(folder).iterdir()))}.bin")
        if not values.size or values.dtype == object:
            return values
        values.tofile(path)
        mode = "r" if values.size % 2 else "c"
        return np.memmap(path, values.dtype, mode, shape=values.shape, offset=0)
    if form == "masked":
        return np.ma.array(values, mask=False if values.size % 2 else np.ma.nomask)
    if form == "repeated row":
        return np.broadcast_to(values[:1], values.shape) if len(values) else values
    if form == "overlapping":
        line = np.resize(values.reshape(-1), max(values.size, 1))
        if values.ndim != 2 or not values.size:
            return line[: values.size].reshape(values.shape)
        return np.lib.stride_tricks.sliding_window_view(line, values.shape[1])[: len(values)]
    if form == "list":
        return values.tolist()
    kind = values.dtype.kind
    impossible = {
        "plain": True,
        "strided": kind != "f",  # its filler is NaN
        "big_endian": kind == "O" or values.dtype.byteorder == ">",
        "misaligned": kind == "O" or values.dtype.alignment == 1,
    }
    return values.copy() if impossible.get(form) or not values.size else AWKWARD[form](values)


@st.composite
def arrays(draw, folder, rows, columns, fault=""):
    """A `Given` of shape (rows, columns), or (rows,) where columns is None."""
    if fault == "no rows":
        rows = 0
    if fault == "rows":
        rows += 1
    if columns is not None and fault in ("no columns", "columns"):
        columns = 0 if fault == "no columns" else columns + 1
    shape = (rows,) if columns is None else (rows, columns)
    dtype = np.dtype(draw(st.sampled_from(WRONG_DTYPES if fault == "dtype" else DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    numbers = rng.integers(0, 2 if dtype.kind == "b" else 8, size=shape)
    values = numbers.astype("i8").astype(dtype) if dtype.kind in "Mm" else numbers.astype(dtype)
    if fault in ("nan", "infinity") and values.size:
        if dtype.kind not in "fO":
            values = values.astype("f8")
        values.reshape(-1)[rng.integers(values.size)] = (
            np.nan if fault == "nan" else rng.choice([np.inf, -np.inf])
        )
    array = in_form(values, draw(st.sampled_from(FORMS)), folder)
    if fault == "masked" and values.size:
        array = np.ma.array(values)
        array[int(rng.integers(len(values)))] = np.ma.masked
        return Given(array, np.ma.array(array, copy=True))
    clean = np.array(array, copy=True, order="C", subok=False)
    clean = clean if clean.dtype.kind == "O" else clean.astype(clean.dtype.newbyteorder("="))
    return Given(array, np.ascontiguousarray(clean))


@st.composite
def cases(draw, folder):
    """All arrays of one case: at most one of them is wrong in some way."""
    rows, others = draw(st.integers(1, MOST_ROWS)), draw(st.integers(1, MOST_ROWS))
    names = ["x", "y", "weight", "validation x", "validation y", "validation weight"]
    fault, wrong = draw(st.sampled_from(FAULTS)), draw(st.sampled_from(names))
    shapes = {"x": COLUMNS, "y": UNITS, "weight": None}
    found = {}
    for name in names:
        count = others if "validation" in name else rows
        faulty = fault if name == wrong else ""
        found[name] = draw(arrays(folder, count, shapes[name.rpartition(" ")[2]], faulty))
    for name in ("weight", "validation weight"):
        if name != wrong and draw(st.booleans()):
            found[name] = Given(None, None)
    return found


def outcome(call):
    """What it returns, or the kind of error that it raises; ones with words only."""
    try:
        return call()
    except (ValueError, TypeError) as error:
        argument = re.match(r"(validation_data: )?(x|y|sample_weight)\b", str(error))
        if argument is None:
            raise
        return type(error).__name__, argument[0]


def outcomes(arrays, dtype):
    """All that the arrays lead to, in each method that takes some."""
    x, y, weight, *validation = arrays
    model = mlp(
        COLUMNS, (4, "tanh"), (UNITS, None), dtype=dtype, optimizer="adam", loss="mse", metrics=["mae"]
    )
    validation = [a for a in validation if a is not None]
    before = state(model)

    def fit():
        return model.fit(
            x,
            y,
            sample_weight=weight,
            validation_data=tuple(validation),
            epochs=2,
            batch_size=BATCH,
            verbose=0,
        ).history

    found = {"fit": outcome(fit)}
    found["state"] = state(model)
    if isinstance(found["fit"], tuple):
        assert found["state"] == before
    found["evaluate"] = outcome(
        lambda: model.evaluate(x, y, sample_weight=weight, batch_size=BATCH, verbose=0)
    )
    found["predict"] = outcome(lambda: digest([model.predict(x, batch_size=BATCH, verbose=0)]))
    found["one batch"] = outcome(lambda: model.train_on_batch(x, y, sample_weight=weight))
    found["in the end"] = state(model)
    return found


def same(a, b):
    return repr(a) == repr(b)  # NaN equals NaN


def test_arrays(pytestconfig):
    faults = {"right": 0, "wrong": 0}
    with tempfile.TemporaryDirectory() as folder:

        @settings(
            max_examples=10_000 if pytestconfig.getoption("--full") else 500,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[*HealthCheck],
        )
        @given(case=cases(folder), dtype=st.sampled_from(["float32", "float64"]))
        def check(case, dtype):
            found = outcomes([one.array for one in case.values()], dtype)
            clean = outcomes([one.clean for one in case.values()], dtype)
            for key, value in clean.items():
                assert same(found[key], value), key
            for one in case.values():
                one.require_unchanged()
            faults["wrong" if isinstance(clean["fit"], tuple) else "right"] += 1
            for path in Path(folder).iterdir():
                path.unlink()

        check()
    assert min(faults.values()) > 50, faults
