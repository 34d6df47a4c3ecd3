"""Memory stays flat, and every native block is given back; nothing hangs after a fork.

FASTNN_CYCLES=100000 trains, saves and loads so often, instead of 1000 times.
"""

import os
import sys

import pytest
from support import run_python

# AddressSanitizer (tests/reliability/sanitized.py) keeps what is freed: 256 MB, and stacks of functions.
FORGETFUL = "quarantine_size_mb=0:thread_local_quarantine_size_kb=0:detect_stack_use_after_return=0"
KEEPS_NOTHING = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:{FORGETFUL}"}

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

COUNT = """
import gc, numpy as np, fastnn
from fastnn.kernels import memory
def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20
rng = np.random.default_rng(0)
x, y = rng.normal(size=(20, 4)).astype("f4"), rng.normal(size=(20, 1)).astype("f4")
def build():
    m = fastnn.Sequential([fastnn.layers.Dense(8, activation="relu", input_dim=4), fastnn.layers.Dense(1)])
    m.compile("adam", "mse", metrics=["mae"])
    return m
model = build()
def stopping():
    return fastnn.callbacks.EarlyStopping(restore_best_weights=True)
def many(times, work):
    for _ in range(times):
        work()
def growth(work, warm, times):
    many(warm, work)
    before, blocks = resident(), memory.live()
    many(times, work)
    grown = resident() - before
    assert memory.live() == blocks, (blocks, memory.live())
    return grown
"""

WORK = {
    "fit": ("model.fit(x, y, epochs=2, batch_size=8, verbose=0)", 500, 10_000),
    "fit with validation": (
        "model.fit(x, y, epochs=1, validation_split=0.2, verbose=0, callbacks=[stopping()])",
        300,
        3000,
    ),
    "train_on_batch": ("model.train_on_batch(x, y)", 500, 10_000),
    "evaluate and predict": ("(model.evaluate(x, y, verbose=0), model.predict(x, verbose=0))", 500, 5000),
    "weights": ("model.set_weights(model.get_weights())", 500, 5000),
    "new models": ("build().fit(x, y, epochs=1, verbose=0)", 200, 2000),
    "errors": ("fails()", 300, 3000),
    "threads": ("(fastnn.set_num_threads(2), model.fit(x, y, epochs=1, verbose=0))", 100, 500),
}
FAILS = """
bad = x.copy(); bad[7, 1] = np.nan
def fails():
    for call in (lambda: model.fit(bad, y, verbose=0), lambda: model.fit(x[:, :2], y, verbose=0),
                 lambda: model.set_weights([1])):
        try:
            call()
        except ValueError:
            pass
        else:
            raise AssertionError
"""


@linux
@pytest.mark.parametrize("work", sorted(WORK))
def test_memory_is_flat(work):
    code, warm, times = WORK[work]
    grown = float(
        run_python(f"{COUNT}{FAILS}\nprint(growth(lambda: {code}, {warm}, {times}))", **KEEPS_NOTHING)
    )
    # A leak of one small array a call would be more than a megabyte.
    assert grown < 1.0, f"{grown:.2f} MB over {times} times {work}"


@linux
def test_nothing_is_left_of_models_that_come_and_go(tmp_path):
    """Trained, asked, written and read, over and over; in memory, as the disk is not what is tried."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)
    cycles = int(os.environ.get("FASTNN_CYCLES", 1000))
    code = f"""{COUNT}
import os
path = os.path.join({folder!r}, f"fastnn-{{os.getpid()}}.safetensors")
def cycle():
    global model
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    before = model.predict(x, verbose=0)
    model.save(path)
    model = fastnn.models.load_model(path)
    assert np.array_equal(model.predict(x, verbose=0), before)
try:
    grown = growth(cycle, 300, {cycles})
finally:
    os.unlink(path)
del model
gc.collect()
print(grown, *memory.live())
"""
    grown, blocks, nbytes = run_python(code, timeout=60 + cycles // 20, **KEEPS_NOTHING).split()
    print(f"{cycles} cycles: {grown} MB, {blocks} blocks left")
    assert (int(blocks), int(nbytes)) == (0, 0)
    assert float(grown) < 1.0, f"{grown} MB over {cycles} cycles"


@linux
def test_memory_of_python_is_flat():
    code = (
        COUNT
        + """
import tracemalloc
many(300, lambda: model.fit(x, y, epochs=2, verbose=0))
gc.collect(); tracemalloc.start(); before = tracemalloc.take_snapshot()
many(300, lambda: model.fit(x, y, epochs=2, verbose=0))
gc.collect(); after = tracemalloc.take_snapshot()
changes = after.compare_to(before, "filename")
grown = sum(d.size_diff for d in changes if "tracemalloc" not in str(d.traceback))
print(grown)
"""
    )
    assert int(run_python(code)) < 30_000


@linux
def test_memory_of_a_dropped_model_comes_back():
    code = """
import gc, numpy as np, fastnn
def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20
def work():
    m = fastnn.Sequential([fastnn.layers.Dense(2000, input_dim=2000), fastnn.layers.Dense(1)])
    m.compile("adam", "mse")
    m.fit(np.zeros((50, 2000), "f4"), np.zeros(50, "f4"), epochs=1, verbose=0)
work()
before = resident()
for _ in range(6):
    work()
print(resident() - before)
"""
    # A model with its optimizer is some 70 MB.
    assert float(run_python(code)) < 100


FORK = """
import os, sys, signal, hashlib, numpy as np, fastnn
rng = np.random.default_rng(0)
x, y = rng.normal(size=(600, 32)).astype("f4"), rng.normal(size=(600, 1)).astype("f4")
fastnn.set_num_threads(2)
def run():
    fastnn.utils.set_random_seed(3)
    m = fastnn.Sequential([fastnn.layers.Dense(200, activation="relu", input_dim=32), fastnn.layers.Dense(1)])
    m.compile("adam", "mse")
    m.fit(x, y, epochs=3, batch_size=300, verbose=0)
    out = m.predict(x, verbose=0).tobytes() + repr(m.evaluate(x, y, verbose=0)).encode()
    return hashlib.sha256(b"".join(w.tobytes() for w in m.get_weights()) + out).hexdigest()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
@pytest.mark.parametrize("explicit", [False, True])
def test_training_in_a_forked_child(explicit):
    """The parent's workers do not exist in the child; training there may not hang nor give other bits."""
    code = f"""{FORK}
first = run()
children = []
for _ in range(3):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        {"fastnn.set_num_threads(3)" if explicit else "pass"}
        os.write(write, run().encode())
        os._exit(0)
    os.close(write)
    children.append((pid, read))
assert run() == first
for pid, read in children:
    with os.fdopen(read) as file:
        assert file.read() == first
    assert os.waitpid(pid, 0)[1] == 0
print("through")
"""
    assert run_python(code, timeout=120).strip() == "through"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_multiprocessing_by_fork():
    code = f"""{FORK}
import multiprocessing
def task(_):
    return run()
first = run()
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert set(pool.map_async(task, range(4)).get(90)) == {{first}}
assert run() == first
print("through")
"""
    assert run_python(code, timeout=120).strip() == "through"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_grandchild_and_a_fork_from_a_callback():
    code = f"""{FORK}
first = run()
class Forks(fastnn.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            inner = os.fork()
            if inner == 0:
                signal.alarm(60)
                os._exit(0 if run() == first else 3)
            os._exit(0 if run() == first and os.waitpid(inner, 0)[1] == 0 else 4)
        assert os.waitpid(pid, 0)[1] == 0
m = fastnn.Sequential([fastnn.layers.Dense(200, activation="relu", input_dim=32), fastnn.layers.Dense(1)])
m.compile("adam", "mse")
m.fit(x, y, epochs=2, batch_size=300, verbose=0, callbacks=[Forks()])
print("through")
"""
    assert run_python(code, timeout=200).strip() == "through"
