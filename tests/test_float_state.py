"""Flushing to zero is a matter of the compiled code: Python never computes under it."""

import threading

import numpy as np
import pytest
from support import mlp

import fastnn as keras
import fastnn.kernels as k

TINY = {np.float32: 1e-40, np.float64: 1e-310}


def denormals_live() -> bool:
    """Whether subnormal numbers survive arithmetic here, in Python's floats and in NumPy's."""
    ok = (1e-310 * 1.0) != 0 and (5e-324 + 0.0) != 0 and (2.2250738585072014e-308 / 2) != 0
    for kind, value in TINY.items():
        a = np.full(1000, value, dtype=kind)  # long enough for NumPy's vector loops
        one = kind(1)
        ok = ok and bool((a * one != 0).all()) and bool((a + a != 0).all()) and (kind(value) * one) != 0
        ok = ok and bool((np.full(1000, np.finfo(kind).tiny) / kind(2) != 0).all())
    return bool(ok)


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    keras.set_num_threads(request.param)
    return request.param


def model_and_data(rng):
    x, y = rng.normal(size=(300, 6)), rng.normal(size=(300, 1))
    return mlp(6, (40, "tanh"), (1, None), optimizer="adam", loss="mse"), x, y


def test_before_anything():
    assert denormals_live()


def test_after_everything(threads, isa, rng):
    model, x, y = model_and_data(rng)
    for call in (
        lambda: model.fit(x, y, epochs=2, verbose=0),
        lambda: model.evaluate(x, y, verbose=0),
        lambda: model.predict(x, verbose=0),
        lambda: model.predictor(8)(x),
        lambda: model.train_on_batch(x, y),
        lambda: k.dense_forward(x, np.ones((6, 5)), activation="softmax", num_threads=threads),
        lambda: k.dense_backward(x, np.ones((6, 5)), np.ones((300, 5)), num_threads=threads),
        lambda: k.activation_forward("tanh", x, num_threads=threads),
        lambda: k.activation_backward("tanh", x, x, num_threads=threads),
        lambda: k.loss_forward("mean_squared_error", x, x),
        lambda: k.loss_backward("mean_squared_error", x, x),
        lambda: k.optimizer_update(
            "sgd", np.ones(5), np.ones(5), [], {"learning_rate": 0.1, "momentum": 0, "nesterov": 0}, 1
        ),
    ):
        call()
        assert denormals_live()


def test_after_errors(threads, rng):
    model, x, y = model_and_data(rng)
    bad = x.copy()
    bad[250, 3] = np.nan
    with pytest.raises(ValueError, match="x"):
        model.fit(bad, y, epochs=1, verbose=0)
    assert denormals_live()
    model.optimizer.learning_rate = 1e30
    with pytest.raises(FloatingPointError):
        model.fit(x, y, epochs=50, verbose=0)
    assert denormals_live()


def test_between_epochs_and_batches(threads, rng):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(denormals_live())

        def on_train_batch_end(self, batch, logs=None):
            seen.append(denormals_live())

    model, x, y = model_and_data(rng)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[Look()])
    assert seen
    assert all(seen)


def test_in_other_threads_meanwhile(rng):
    model, x, y = model_and_data(rng)
    seen, over = [], threading.Event()

    def look():
        while not over.is_set():
            seen.append(denormals_live())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        model.fit(x, y, epochs=200, verbose=0)
    finally:
        over.set()
        thread.join()
    assert seen
    assert all(seen)


def test_in_the_process_after_import():
    """No library of ours switches the process over when it is loaded (as -ffast-math does)."""
    from support import run_python

    code = """
import numpy as np, fastnn, fastnn.kernels.training
print(1e-310 * 1.0 != 0, np.float32(1e-40) * np.float32(1) != 0)
"""
    assert run_python(code).split() == ["True", "True"]


def test_what_is_too_small_counts_as_zero_within(dtype):
    """Compiled code flushes, in every thread, the same way."""
    tiny = np.finfo(dtype).tiny
    x = np.full((700, 3), tiny / 4, dtype)
    w = np.ones((3, 2), dtype)
    for threads in (1, 2, 5):
        assert not k.dense_forward(x, w, num_threads=threads).any()


def test_denormal_data_do_not_slow_training_down_into_other_results(rng):
    """Data below the normal range train like zeros."""
    y = rng.normal(size=(50, 1))
    results = []
    for value in (0.0, 1e-42):
        model = mlp(3, (5, "relu"), (1, None), optimizer="sgd", loss="mse")
        x = np.full((50, 3), value, np.float32)
        model.fit(x, y, epochs=2, verbose=0)
        results.append([w.tobytes() for w in model.get_weights()])
    assert results[0] == results[1]
