"""Flushing to zero is a matter of the compiled code: Python never computes under it."""

import ctypes
import platform
import shutil
import signal
import subprocess
import threading

import numpy as np
import pytest
from support import instruction_set, mlp, run_python

import fastnn as keras
import fastnn.kernels as k
from fastnn import activations, constraints, layers, losses, metrics, regularizers
from fastnn.kernels.threads import openmp

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


def control() -> int:
    """The processor's word (MXCSR, FPCR): rounding, what traps, flushing; not what merely happened."""
    word = (ctypes.c_uint32 * 64)()
    if ctypes.CDLL(None).fegetenv(ctypes.byref(word)) != 0:
        raise OSError("fegetenv")
    if platform.machine() == "x86_64":
        return word[7] & ~0x3F
    return word[0]


AT_FIRST = control()


def untouched() -> bool:
    """Whether Python computes as it does in a process without fastnn."""
    return control() == AT_FIRST and denormals_live()


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    keras.set_num_threads(request.param)
    return request.param


def model_and_data(rng):
    x, y = rng.normal(size=(300, 6)), rng.normal(size=(300, 1))
    return mlp(6, (40, "tanh"), (1, None), optimizer="adam", loss="mse"), x, y


def test_before_anything():
    assert untouched()


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
        assert untouched()


def test_after_errors(threads, rng):
    model, x, y = model_and_data(rng)
    bad = x.copy()
    bad[250, 3] = np.nan
    with pytest.raises(ValueError, match="x"):
        model.fit(bad, y, epochs=1, verbose=0)
    assert untouched()
    model.optimizer.learning_rate = 1e30
    with pytest.raises(FloatingPointError):
        model.fit(x, y, epochs=50, verbose=0)
    assert untouched()


def test_between_epochs_and_batches(threads, rng):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(untouched())

        def on_train_batch_end(self, batch, logs=None):
            seen.append(untouched())

    model, x, y = model_and_data(rng)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[Look()])
    assert seen
    assert all(seen)


def test_in_other_threads_meanwhile(rng):
    model, x, y = model_and_data(rng)
    seen, over = [], threading.Event()

    def look():
        while not over.is_set():
            seen.append(untouched())

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
    code = """
import ctypes, platform
def control():  # of x86's older unit the first word: where it last was, and with what, may change
    word = (ctypes.c_uint32 * 64)()
    ctypes.CDLL(None).fegetenv(ctypes.byref(word))
    return [word[0] & 0xFFFF, word[7] & ~0x3F] if platform.machine() == "x86_64" else word[0]
before = control()
import numpy as np, fastnn, fastnn.kernels.training
print(1e-310 * 1.0 != 0, np.float32(1e-40) * np.float32(1) != 0, control() == before)
"""
    assert run_python(code).split() == ["True"] * 3


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


# ---- Python in the middle of things --------------------------------------------------------------


class Seen(list):
    """What Python found, where it was called."""

    def note(self, place):
        self.append((place, untouched()))

    def wrap(self, place, function):
        """The function, which notes that it is called."""

        def noting(*arguments):
            self.note(place)
            return function(*arguments)

        return noting

    def require(self, *places):
        assert {place for place, _ in self} >= set(places)
        assert all(fine for _, fine in self), {place for place, fine in self if not fine}


def own_things(seen):
    """Return a loss, a metric, a regularizer, a constraint and an activation, which note what they see."""

    class Loss(losses.Loss):
        def loss(self, y_true, y_pred):
            seen.note("loss")
            return np.square(y_pred - y_true).mean(axis=-1)

        def gradient(self, y_true, y_pred):
            seen.note("gradient")
            return 2 * (y_pred - y_true) / y_pred.shape[-1]

    class Metric(metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            seen.note("metric")

        def result(self):
            seen.note("metric's result")
            return 0.0

        def reset_state(self):
            seen.note("metric's reset")

    class Regularizer(regularizers.L2):
        def __call__(self, x):
            seen.note("regularizer")
            return super().__call__(x)

        def gradient(self, x):
            seen.note("regularizer's gradient")
            return super().gradient(x)

    class Constraint(constraints.NonNeg):
        def __call__(self, w):
            seen.note("constraint")
            return super().__call__(w)

    tanh = activations.Custom(
        seen.wrap("activation", np.tanh), seen.wrap("activation's slope", lambda z: 1 - np.tanh(z) ** 2)
    )
    return Loss(), Metric(name="own"), Regularizer(), Constraint(), tanh


HOOKS = [  # but for on_batch_*, Keras's other names of on_train_batch_*
    name
    for name in dir(keras.callbacks.Callback)
    if name.startswith("on_") and name.endswith(("begin", "end")) and name.count("_") > 1
    if not name.startswith("on_batch_")
]


@pytest.mark.parametrize("batch", [100, 300])
def test_in_everything_that_is_the_users_own(threads, isa, batch, rng):
    """Also on OpenMP's workers, which run activations."""
    seen = Seen()
    loss, metric, regularizer, constraint, tanh = own_things(seen)
    hooks = {hook: seen.wrap(hook, lambda *a, **k: None) for hook in HOOKS}
    watch = type(
        "Watch", (keras.callbacks.Callback,), {n: lambda self, *a, _f=f, **k: _f() for n, f in hooks.items()}
    )()
    rate = keras.callbacks.LearningRateScheduler(seen.wrap("rate", lambda epoch, rate: rate))
    model = keras.Sequential([keras.Input((6,))])
    model.add(layers.Dense(40, kernel_regularizer=regularizer))
    model.add(layers.Activation(tanh))
    model.add(layers.Dense(1, kernel_constraint=constraint))
    model.compile("adam", loss, metrics=[metric])
    x, y = rng.normal(size=(300, 6)), rng.normal(size=(300, 1))

    def batches():
        for start in range(0, 300, batch):
            seen.note("generator")
            yield x[start : start + batch], y[start : start + batch]

    model.fit(x, y, epochs=2, batch_size=batch, verbose=0, callbacks=[watch, rate], validation_data=(x, y))
    model.fit(batches(), epochs=1, verbose=0)
    model.evaluate(x, y, verbose=0, callbacks=[watch])
    model.predict(x, verbose=0, callbacks=[watch])
    seen.require(
        "loss", "gradient", "metric", "metric's result", "regularizer", "regularizer's gradient", "constraint"
    )
    seen.require("activation", "activation's slope", "generator", "rate", *HOOKS)
    assert untouched()


@pytest.mark.parametrize(
    "place", ["loss", "gradient", "regularizer", "constraint", "activation", "metric", "hook"]
)
def test_after_an_exception_in_what_is_the_users_own(threads, place, rng):
    seen = Seen()

    class Fails(list):
        def note(self, where):
            if where == place:
                raise ZeroDivisionError(place)

        wrap = Seen.wrap

    loss, metric, regularizer, constraint, tanh = own_things(Fails() if place != "hook" else seen)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(40, kernel_regularizer=regularizer)])
    model.add(layers.Activation(tanh))
    model.add(layers.Dense(1, kernel_constraint=constraint))
    model.compile("adam", loss, metrics=[metric])

    def fail(epoch, logs):
        raise ZeroDivisionError("hook")

    hook = (
        keras.callbacks.LambdaCallback(on_epoch_end=fail) if place == "hook" else keras.callbacks.Callback()
    )
    with pytest.raises(ZeroDivisionError, match=place):
        model.fit(rng.normal(size=(300, 6)), rng.normal(size=(300, 1)), epochs=2, verbose=0, callbacks=[hook])
    assert untouched()
    worker = threading.Thread(target=seen.note, args=("a new thread",))
    worker.start()
    worker.join()
    seen.require("a new thread")


@pytest.mark.parametrize("steps", ["short", "long"])
def test_in_the_handler_of_a_signal(threads, steps, rng):
    """Which runs between native calls, or in the middle of a step that takes long."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("needs setitimer")
    seen = Seen()
    rows, batch = (400, 10) if steps == "short" else (6000, 6000)
    model = mlp(64, (128, "tanh"), (128, "tanh"), (1, None), optimizer="adam", loss="mse")
    x, y = rng.normal(size=(rows, 64)).astype("f4"), rng.normal(size=(rows, 1)).astype("f4")
    enough = 5

    def handler(*_):
        seen.note("handler")
        if len(seen) >= enough:
            raise InterruptedError

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with instruction_set("generic"), pytest.raises(InterruptedError):
            model.fit(x, y, batch_size=batch, epochs=10**6, verbose=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    seen.require("handler")
    assert len(seen) >= enough
    assert untouched()


def test_in_threads_that_begin_meanwhile(threads, rng):
    """A thread inherits the processor's state of the one that starts it."""
    seen = Seen()

    class Starts(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            thread = threading.Thread(target=seen.note, args=("a new thread",))
            thread.start()
            thread.join()

    model, x, y = model_and_data(rng)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[Starts()])
    seen.require("a new thread")
    assert len(seen) == 3


TEAM = """
#include <fenv.h>
#include <omp.h>
#include <string.h>
/* words (OUT): of each thread of a team, the floating-point environment; returns how many there are */
int look(int threads, char *words, int size)
{
    int team = 0;
#pragma omp parallel num_threads(threads)
    {
        fenv_t now;
        fegetenv(&now);
        memcpy(words + omp_get_thread_num() * size, &now, sizeof(now));
#pragma omp single
        team = omp_get_num_threads();
    }
    return team;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_on_openmps_workers_afterwards(threads, tmp_path, rng):
    """Other libraries of the process get the same workers."""
    if not openmp():
        pytest.skip("a build without OpenMP")
    (tmp_path / "team.c").write_text(TEAM)
    command = ["gcc", "-O1", "-fopenmp", "-shared", "-fPIC", "team.c", "-o", "team.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "team.so"))
    words = (ctypes.c_uint32 * (8 * 64))()

    def look():
        team = library.look(threads, words, 4 * 64)
        assert team == threads
        at = 7 if platform.machine() == "x86_64" else 0
        return [words[64 * t + at] & (~0x3F if at else ~0) for t in range(team)]

    before = look()
    assert set(before) == {AT_FIRST & 0xFFFFFFFF}
    model, x, y = model_and_data(rng)
    model.fit(x, y, epochs=2, verbose=0)
    model.predict(x)
    assert look() == before
