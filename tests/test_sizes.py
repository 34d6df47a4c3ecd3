"""Sizes beyond 2³¹ and 2⁶³: right where there is memory for them, else refused.

Zeros that nobody wrote to take addresses and no memory, so the large arrays here need less than 1 GB.
"""

import numpy as np
import pytest
from support import mlp

import fastnn
from fastnn.kernels import memory
from fastnn.kernels.network import Network
from fastnn.kernels.training import Training

BATCH = 4096


def zeros(*shape):
    try:
        return np.zeros(shape, "f4")
    except MemoryError:
        pytest.skip(f"no addresses for float32 zeros of shape {shape}")


def linear(inputs, rate=0.001):
    """Without a bias: rows of zeros with targets of zero leave its weights as they are."""
    layers = [fastnn.Input(shape=(inputs,)), fastnn.layers.Dense(1, use_bias=False)]
    model = fastnn.Sequential(layers)
    model.compile(fastnn.optimizers.SGD(rate), "mse", metrics=["mae"])
    model.set_weights([np.linspace(-1, 1, inputs, dtype="f4")[:, None]])
    return model


@pytest.mark.parametrize("units", [2**30 + 1, 2**31, 2**32, 2**62, 2**63, 2**64, 2**100])
def test_a_layer_of_too_many_units_is_refused(units):
    with pytest.raises((ValueError, MemoryError)):
        Network(3, [(units, "linear", True)], "float32")
    with pytest.raises((ValueError, MemoryError)):
        Network(units, [(3, "linear", True)], "float32")
    with pytest.raises((ValueError, MemoryError)):
        mlp(3, (units, None), (1, None), optimizer="sgd", loss="mse")


@pytest.mark.parametrize("widths", [(2**21, 2**21), (2**30, 2**30), (2**30, 2**30, 2**30), (2**16,) * 2000])
def test_products_of_units_are_refused(widths):
    before = memory.live()
    with pytest.raises(MemoryError, match="parameters, more than can be held"):
        Network(widths[0], [(units, "relu", True) for units in widths], "float64")
    assert memory.live() == before


@pytest.mark.parametrize("log_units", [6, 16, 21, 22, 23])
def test_products_of_rows_and_units_are_refused(log_units, tmp_path):
    """2⁴⁰ rows of a sparse file, all in one batch: of 2²² units, outputs and deltas are 2⁶³ numbers."""
    rows = 2**40
    with open(tmp_path / "rows", "wb") as file:
        try:
            file.truncate(4 * rows)
        except OSError:
            pytest.skip("no files of this size here")
    try:
        x = np.memmap(tmp_path / "rows", np.float32, "r", shape=(rows, 1))
    except OSError:
        pytest.skip("no addresses for arrays of this size")
    network = Network(1, [(2**log_units, "gelu", True), (1, "linear", True)], "float32")
    network.compile("mean_squared_error", False, "sgd", {}, [])
    before = memory.live()
    with pytest.raises(MemoryError):
        Training(network, x, x, batch_size=rows, shuffle=False, seed=0, epochs=1)
    assert memory.live() == before


@pytest.mark.parametrize("batch_size", [2**31, 2**62, 2**63 - 1])
def test_a_batch_size_beyond_the_rows_is_all_rows(batch_size, rng):
    x = rng.normal(size=(20, 3)).astype("f4")
    model, twin = linear(3), linear(3)
    model.fit(x, x[:, 0], batch_size=batch_size, shuffle=False, verbose=0)
    twin.fit(x, x[:, 0], batch_size=20, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], twin.get_weights()[0])


@pytest.fixture
def one_thread():
    fastnn.set_num_threads(1)
    yield
    fastnn.set_num_threads(None)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns"), [(2**21 + 3 * BATCH, 1024), (2**31 + 3 * BATCH, 1)])
def test_arrays_of_more_than_two_to_the_31_elements(rows, columns, rng, one_thread):
    """Only three batches hold more than zeros: those alone must train to the same bits."""
    x, y = zeros(rows, columns), zeros(rows, 1)
    assert x.size > 2**31
    firsts = (0, 2**31 // columns, rows - BATCH)
    for first in firsts:
        x[first : first + BATCH : 64] = rng.normal(size=(BATCH // 64, columns))
        y[first : first + BATCH : 64] = rng.normal(size=(BATCH // 64, 1))
    small = [np.concatenate([a[first : first + BATCH] for first in firsts]) for a in (x, y)]

    model, twin = linear(columns), linear(columns)
    expected = np.array(twin.evaluate(*small, verbose=0)) * len(small[0]) / rows
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-5)
    if columns > 1:  # else as many outputs, and as many places in a random order: 26 GB
        outputs = model.predict(x, verbose=0)
        for i, first in enumerate(firsts):
            expected_outputs = twin.predict(small[0][i * BATCH : (i + 1) * BATCH], verbose=0)
            np.testing.assert_array_equal(outputs[first : first + BATCH], expected_outputs)
        history = linear(columns, rate=0.0).fit(x, y, batch_size=BATCH, verbose=0).history
        np.testing.assert_allclose([history["loss"][0], history["mae"][0]], expected, rtol=1e-5)
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    twin.fit(*small, batch_size=BATCH, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], twin.get_weights()[0])
    assert twin.optimizer.iterations == 3
