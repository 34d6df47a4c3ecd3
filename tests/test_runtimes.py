"""Beside other libraries' threads, imported before or after, in every order: the same bits, and no crash.

All orders of all libraries are ``slow``; see `runtimes.USE` for the libraries.
"""

from functools import cache
from itertools import permutations

import pytest
from runtimes import USE, installed
from support import run_python

# Trains on one, two and three threads, wherever the program stands then.
FASTNN = """
import hashlib, numpy as np, fastnn
def digest():
    found = set()
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        fastnn.utils.set_random_seed(0)
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(400, 20)).astype("f4"), rng.normal(size=(400, 1)).astype("f4")
        layers = [fastnn.layers.Dense(100, "tanh"), fastnn.layers.Dropout(0.2), fastnn.layers.Dense(1)]
        model = fastnn.Sequential([fastnn.Input((20,)), *layers])
        model.compile("adam", "mse")
        history = model.fit(x, y, epochs=3, batch_size=100, verbose=0).history["loss"]
        weights = b"".join(w.tobytes() for w in model.get_weights())
        found.add(hashlib.sha256(repr(history).encode() + model.predict(x).tobytes() + weights).hexdigest())
    assert (1e-310 * 1.0) != 0 and len(found) == 1, found
    return found.pop()
"""
DIGEST = "print('digest', digest())\n"


@cache
def alone():
    return digests(["fastnn"])[0]


def digests(order):
    """Import libraries in an order and use them, then all again; what fastnn's digests were."""
    parts = {**USE, "fastnn": FASTNN + DIGEST}
    code = "".join(parts[name] for name in order)
    again = "".join(USE[name] for name in order if name != "fastnn") + DIGEST
    said = run_python(code + again, timeout=300, OMP_NUM_THREADS="2")
    return [line.split()[1] for line in said.splitlines() if line.startswith("digest")]


def orders(names):
    """Orders of libraries and fastnn."""
    return [list(order) for order in permutations([*names, "fastnn"])]


def require(names):
    missing = [name for name in names if name != "fastnn" and name not in installed()]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.mark.parametrize("name", USE)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_one(name, first):
    require([name])
    assert set(digests([name, "fastnn"] if first else ["fastnn", name])) == {alone()}


@pytest.mark.parametrize("place", range(len(USE) + 1))
def test_all(place):
    """fastnn first, last, and between."""
    require(USE)
    order = list(USE)
    order.insert(place, "fastnn")
    assert set(digests(order)) == {alone()}


@pytest.mark.slow
@pytest.mark.parametrize("order", orders(USE), ids=" ".join)
def test_every_order(order):
    require(order)
    assert set(digests(order)) == {alone()}
