"""Saving is all or nothing: processes killed in the middle, full disks, files that may not grow."""

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.models import load_model

SAVER = """
import sys
import fastnn
from fastnn import layers

model = fastnn.Sequential([layers.Input((100,)), layers.Dense(200), layers.Dense(100)])
print("ready", flush=True)
for i in range(10**9):
    model.set_weights([w * 0 + i for w in model.get_weights()])
    model.save(sys.argv[1])
"""


def wide():
    return fastnn.Sequential([layers.Input((100,)), layers.Dense(200), layers.Dense(100)])


def killed_while_saving(path, times, rng):
    """Kill a process that saves one model after the other, at random moments; what is there always loads."""
    seen = set()
    path.parent.mkdir(exist_ok=True)
    for _ in range(times):
        child = subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.001, 0.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if path.exists():
            weights = load_model(path).get_weights()
            number = weights[0].flat[0]
            assert all((w == number).all() for w in weights)
            seen.add(number)
    return seen


def test_killed_while_saving(tmp_path, rng):
    assert len(killed_while_saving(tmp_path / "k" / "m", 5, rng)) > 1


FORKED = """
import os, signal, sys, time
import numpy as np
import fastnn
from fastnn import layers
from fastnn.models import load_model

path, times = sys.argv[1], int(sys.argv[2])
model = fastnn.Sequential([layers.Input((100,)), layers.Dense(200), layers.Dense(100)])
model.set_weights([w * 0 - 1 for w in model.get_weights()])
model.save(path)
rng = np.random.default_rng(0)
zeros = [w * 0 for w in model.get_weights()]
seen, unfinished = set(), 0
for turn in range(times):
    child = os.fork()
    if child == 0:
        for i in range(turn * 1000, turn * 1000 + 1000):
            model.set_weights([w + i for w in zeros])
            model.save(path)
        os._exit(0)
    time.sleep(rng.uniform(0.0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    weights = load_model(path).get_weights()
    number = weights[0].flat[0]
    assert all((w == number).all() for w in weights)
    seen.add(float(number))
    folder = os.path.dirname(path)
    for name in os.listdir(folder):
        if name.endswith(".tmp"):
            unfinished += 1
            os.unlink(os.path.join(folder, name))
print(len(seen), unfinished)
"""


@pytest.mark.slow
def test_killed_while_saving_a_thousand_times(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(tmp_path / "m"), "1000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    different, unfinished = map(int, done.stdout.split())
    assert different > 300
    assert unfinished > 100  # they were killed in the middle, not in between


@contextmanager
def files_of_at_most(size):
    """Files may not grow beyond a size: writing more raises OSError, where SIGXFSZ is ignored."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def require_old_one(path, model, before):
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
    assert all((a == b).all() for a, b in zip(load_model(path).get_weights(), model, strict=True))


@pytest.mark.parametrize("size", [0, 1, 8, 1000, 100_000])
def test_files_that_may_not_grow(size, tmp_path):
    model = wide()
    path = tmp_path / "m"
    model.save(path)
    before, weights = path.read_bytes(), model.get_weights()
    assert len(before) > 100_000
    model.set_weights([w + 1 for w in weights])
    for save in (model.save, model.save_weights):
        with files_of_at_most(size), pytest.raises(OSError, match="too large"):
            save(path)
        require_old_one(path, weights, before)
    model.save(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        model = wide()
        path = small / "m"
        model.save(path)
        before, weights = path.read_bytes(), model.get_weights()
        model.set_weights([w + 1 for w in weights])
        with pytest.raises(OSError, match="No space"):
            model.save(path)
        require_old_one(path, weights, before)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    """Whatever step fails, the old file stays and nothing is left behind."""
    model = wide()
    path = tmp_path / "m"
    model.save(path)
    before, weights = path.read_bytes(), model.get_weights()
    for step in ("fsync", "replace", "fchmod"):

        def fails(*args):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, step, fails)
            with pytest.raises(OSError, match="Input/output"):
                model.save(path)
        require_old_one(path, weights, before)


def test_saving_while_another_thread_trains(rng, tmp_path):
    """A file is of one published state: weights, optimizer and counters of the same moment."""
    import threading

    x, y = rng.normal(size=(64, 8)).astype("f4"), rng.normal(size=(64, 1)).astype("f4")
    model = fastnn.Sequential([layers.Input((8,)), layers.Dense(64, "tanh"), layers.Dense(1)])
    model.compile(fastnn.optimizers.SGD(0.01, momentum=0.9), "mse")
    first = tmp_path / "first"
    model.fit(x, y, batch_size=64, epochs=1, verbose=0, shuffle=False)
    model.save(first)
    # a constant epoch time would always catch the same moments
    thread = threading.Thread(
        target=lambda: model.fit(x, y, batch_size=64, epochs=30_000, verbose=0, shuffle=False)
    )
    thread.start()
    saved = []
    while thread.is_alive() and len(saved) < 20:
        model.save(tmp_path / f"{len(saved)}")
        saved.append(load_model(tmp_path / f"{len(saved)}"))
        time.sleep(0.01)
    model.stop_training = True
    thread.join()
    steps = sorted({int(m.optimizer.iterations) for m in saved})
    assert len(steps) > 1
    reference = load_model(first)
    for loaded in sorted(saved, key=lambda m: m.optimizer.iterations):
        more = int(loaded.optimizer.iterations) - int(reference.optimizer.iterations)
        if more:
            reference.fit(x, y, batch_size=64, epochs=more, verbose=0, shuffle=False)
        for a, b in zip(reference.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
