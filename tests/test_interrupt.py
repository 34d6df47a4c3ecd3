"""Ctrl-C: a long fit, and one long step, stop soon and leave a model that is in a published state."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from support import ctrl_c_after, iterations, state

import fastnn as keras

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")

START = """
import sys, time, hashlib, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us may have had it ignored
import numpy as np, fastnn
from fastnn.kernels import runtime
def sha(model):
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
def build(inputs, *units):
    fastnn.utils.set_random_seed(1)
    layers = [fastnn.layers.Dense(u, activation="tanh") for u in units] + [fastnn.layers.Dense(1)]
    m = fastnn.Sequential([fastnn.Input((inputs,)), *layers])
    m.compile("adam", "mse")
    return m
rng = np.random.default_rng(0)
"""

LONG_FIT = (
    START
    + """
x, y = rng.normal(size=(64, 8)).astype("f4"), rng.normal(size=(64, 1)).astype("f4")
model = build(8, 16)
print("ready", flush=True)
try:
    model.fit(x, y, batch_size=64, epochs=10**9, shuffle=False, verbose={verbose}, callbacks={callbacks})
except KeyboardInterrupt:
    print("\\ninterrupted", flush=True)
steps = int(np.asarray(model.optimizer.iterations))
assert steps > 0, "it had been training"
assert np.isfinite(model.predict(x, verbose=0)).all()
twin = build(8, 16)  # one step is one epoch here, so the state after so many steps can be had again
twin.fit(x, y, batch_size=64, epochs=steps, shuffle=False, verbose=0)
assert sha(twin) == sha(model), "the weights are of no published state"
model.fit(x, y, batch_size=64, epochs=3, shuffle=False, verbose=0)
twin.fit(x, y, batch_size=64, epochs=3, shuffle=False, verbose=0)
assert sha(twin) == sha(model), "the optimizer is of another state than the weights"
print("done", flush=True)
"""
)

# The slow reference instruction set and so many rows that one step takes many seconds.
LONG_STEP = (
    START
    + """
import warnings
runtime.use_instruction_set("generic")
model = build(64, 128, 128)
x, y = rng.normal(size=(2000, 64)).astype("f4"), rng.normal(size=(2000, 1)).astype("f4")
start = time.perf_counter()
model.evaluate(x, y, batch_size=2000, verbose=0)
forward = time.perf_counter() - start
rows = min(400_000, int(2000 * max(1, 6 / (2 * forward))))
x, y = np.resize(x, (rows, 64)), np.resize(y, (rows, 1))
before = sha(model)
print("ready", flush=True)
try:
    model.fit(x, y, batch_size=rows, epochs=5, verbose=0)
except KeyboardInterrupt:
    print("\\ninterrupted", flush=True)
assert int(np.asarray(model.optimizer.iterations)) == 0, "the step went on to its end"
assert sha(model) == before
assert np.isfinite(model.predict(x[:10], verbose=0)).all()
model.fit(x[:100], y[:100], epochs=1, verbose=0)
print("done", flush=True)
"""
)


def interrupt(code, wait, **environment):
    """Run code, send SIGINT some time after "ready"; return (seconds to "interrupted", the output)."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",  # the signal may cut a line of the bar within a character
        env={**os.environ, **environment},
    )
    watchdog = threading.Timer(120, process.kill)  # or a fit that does not stop would go on for ever
    watchdog.start()
    try:
        for line in process.stdout:
            if line.strip() == "ready":
                break
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        start, seconds, out = time.perf_counter(), None, []
        for line in process.stdout:
            out.append(line.strip())
            if out[-1] == "interrupted":
                seconds = time.perf_counter() - start
        error = process.stderr.read()
        assert process.wait(60) == 0, error
        assert out[-1] == "done", (out, error)
        assert seconds is not None, out
        return seconds, out
    finally:
        watchdog.cancel()
        process.kill()
        process.stdout.close()
        process.stderr.close()
        process.wait()


@pytest.mark.parametrize(
    ("verbose", "callbacks"),
    [
        ("0", "None"),
        ("2", "None"),
        ("1", "None"),
        ("0", "[type('C', (fastnn.callbacks.Callback,), {'on_epoch_end': lambda *a, **k: None})()]"),
        ("0", "[type('C', (fastnn.callbacks.Callback,), {'on_train_batch_end': lambda *a, **k: None})()]"),
    ],
    ids=["silent", "lines", "bars", "callback", "batch callback"],
)
def test_a_long_fit(verbose, callbacks):
    # Generous: the machine is shared. What it really takes, bench/ measures.
    assert interrupt(LONG_FIT.format(verbose=verbose, callbacks=callbacks), 0.4)[0] < 5


@pytest.mark.parametrize("threads", ["1", "2"])
def test_one_long_step(threads):
    assert interrupt(LONG_STEP, 0.5, OMP_NUM_THREADS=threads)[0] < 5


def test_a_handler_of_the_users_own_runs_within_the_fit():
    """Signals reach Python code while a native call trains."""
    code = (
        START
        + """
import signal
x, y = rng.normal(size=(64, 8)).astype("f4"), rng.normal(size=(64, 1)).astype("f4")
model = build(8, 16)
class Enough(Exception): pass
def handler(*_): raise Enough
signal.signal(signal.SIGINT, handler)
print("ready", flush=True)
try:
    model.fit(x, y, batch_size=64, epochs=10**9, verbose=0)
except Enough:
    print("\\ninterrupted", flush=True)
model.fit(x, y, epochs=1, verbose=0)
print("done", flush=True)
"""
    )
    assert interrupt(code, 0.3)[0] < 5


@pytest.mark.parametrize("way", ["forward(x)", "backward(ones)"])
def test_one_long_pass_of_a_loop(way):
    """The memory that a model keeps for `forward` and `backward` serves again afterwards."""
    code = (
        START
        + f"""
runtime.use_instruction_set("generic")
model = build(64, 128, 128)
few = rng.normal(size=(300, 64)).astype("f4")
start = time.perf_counter()
model.forward(few)
rows = min(400_000, int(300 * max(1, 3 / (time.perf_counter() - start))))
x, ones = np.resize(few, (rows, 64)), np.ones((rows, 1), "f4")
want = model.predict(few, verbose=0)
if "back" in {way!r}:
    model.forward(x)
print("ready", flush=True)
try:
    model.{way}
except KeyboardInterrupt:
    print("\\ninterrupted", flush=True)
for _ in range(2):
    assert (model.forward(few) == want).all()
    assert np.isfinite(model.backward(ones[:300])[0]).all()
print("done", flush=True)
"""
    )
    assert interrupt(code, 0.3)[0] < 5


class StopAt(keras.callbacks.Callback):
    """Stops a fit behind the step that makes the optimizer's counter so large."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if iterations(self.model) == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "moments", [6, pytest.param(500, marks=pytest.mark.slow)], ids=["few moments", "many moments"]
)
@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("batch", [200, 64], ids=["one step an epoch", "steps"])
def test_the_state_left_at_random_moments_is_that_of_one_step(moments, threads, batch, rng):
    """Weights, what the optimizer remembers, and all counters: as if the fit had been ended right there.

    Shuffling and dropout follow the counters, so training goes on alike only where these are right too.
    """
    x, y = rng.normal(size=(200, 16)).astype("f4"), rng.normal(size=(200, 1)).astype("f4")
    keras.set_num_threads(threads)
    draw = random.Random(batch)

    def made():
        keras.utils.set_random_seed(1)
        dense = [
            keras.layers.Dense(100, "tanh"),
            keras.layers.Dropout(0.1),
            keras.layers.BatchNormalization(),
        ]
        model = keras.Sequential([keras.Input((16,)), *dense, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(1e-4), "mse")
        return model

    def whole(model):
        return state(model), model._engine.net.lifetime_epochs, np.isfinite(model.predict(x)).all()

    for _ in range(moments):
        model, twin = made(), made()
        with pytest.raises(KeyboardInterrupt), ctrl_c_after(draw.uniform(0.002, 0.1)):
            model.fit(x, y, batch_size=batch, epochs=10**9, verbose=0)
        step = iterations(model)
        if step:
            with pytest.raises(KeyboardInterrupt):
                twin.fit(x, y, batch_size=batch, epochs=10**9, verbose=0, callbacks=[StopAt(step)])
        else:
            twin.predict(x)
            model.predict(x)
        assert whole(model) == whole(twin)
        for one in (model, twin):
            one.fit(x, y, batch_size=batch, epochs=2, verbose=0)
        assert whole(model) == whole(twin)
