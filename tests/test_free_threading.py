"""Without the GIL (3.13t, 3.14t): the extensions are ready for it; and the core works without safetensors.

That many threads at once come to no harm, test_python_threads.py and others show, there as elsewhere.
"""

import sysconfig
import threading

import numpy as np
import pytest
from support import digest, mlp, run_python

import fastnn as keras
from fastnn.kernels.threads import get_fair_share

free_threaded = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter has a GIL"
)


@free_threaded
def test_importing_everything_leaves_the_gil_off():
    code = """
import pkgutil, importlib, sys, warnings
warnings.simplefilter("error")
import numpy, fastnn, fastnn.kernels
for module in pkgutil.iter_modules(fastnn.kernels.__path__, "fastnn.kernels."):
    importlib.import_module(module.name)
print(sys._is_gil_enabled())
"""
    assert run_python(code, PYTHON_GIL="").split() == ["False"]


def test_the_core_works_without_safetensors():
    code = """
import sys
sys.modules["safetensors"] = None  # cannot be imported
import pickle, numpy as np, fastnn
m = fastnn.Sequential([fastnn.Input((3,)), fastnn.layers.Dense(4, "tanh"), fastnn.layers.Dense(1)])
m.compile("adam", "mse")
x = np.ones((20, 3), "f4")
m.fit(x, x[:, :1], epochs=2, verbose=0)
assert (pickle.loads(pickle.dumps(m)).predict(x) == m.predict(x)).all()
try:
    m.save("no.safetensors")
except ImportError as error:
    print(error)
"""
    assert "safetensors" in run_python(code)


def test_calls_are_counted_whoever_makes_them(rng):
    """The cores are divided by the trainings under way: many at once leave none behind."""
    x, y = rng.normal(size=(20, 3)).astype("f4"), rng.normal(size=(20, 1)).astype("f4")
    before = get_fair_share()

    def train():
        model = mlp(3, (4, "tanh"), (1, None), optimizer="sgd", loss="mse")
        for _ in range(300):
            model.train_on_batch(x, y)

    threads = [threading.Thread(target=train) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get_fair_share() == before


def test_one_predictor_and_one_network_in_eight_threads(rng):
    """Memory that calls share is one call's at a time."""
    model = mlp(16, (40, "tanh"), (1, None), optimizer="adam", loss="mse")
    x = rng.normal(size=(64, 16)).astype("f4")
    predictor, expected, rows = model.predictor(), digest([model.predict(x)]), [1, 5, 64]
    each = {n: predictor(x[:n]).tobytes() for n in rows}
    wrong = []

    def work():
        for i in range(300):
            n = rows[i % 3]
            if predictor(x[:n]).tobytes() != each[n] or digest([model.predict(x)]) != expected:
                wrong.append(n)
            loss, gradients = model.gradients(x, np.zeros((64, 1), "f4"))
            if not np.isfinite(loss) or len(gradients) != 4:
                wrong.append(loss)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_activation_of_ones_own_that_fails_in_several_threads_at_once(rng):
    """The first exception is raised, whichever thread had it; the next call begins anew."""

    def fail(z):
        raise ZeroDivisionError("f")

    own = keras.activations.Custom(np.tanh, lambda z: 1 - np.tanh(z) ** 2)
    broken = keras.activations.Custom(fail, lambda z: z)
    x = rng.normal(size=(600, 8)).astype("f4")
    keras.set_num_threads(4)
    good = mlp(8, (40, own), (1, None))
    bad = mlp(8, (40, broken), (1, None))
    expected = good.predict(x).tobytes()
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            bad.predict(x)
        assert good.predict(x).tobytes() == expected
