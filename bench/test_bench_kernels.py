"""The compiled routines on arrays, for every instruction set of this machine.

The arrays come in NumPy's layout: a call converts them first, which training does once a fit. So these
figures compare instruction sets and find regressions; how fast training is, test_bench_fit.py says.
"""

import statistics

import numpy as np
import pytest

from fastnn import kernels, optimizers
from fastnn._bench import machine
from fastnn.kernels import runtime

# (rows, inputs, units)
SHAPES = [(32, 8, 10), (64, 32, 64), (256, 64, 256), (50, 37, 19), (128, 784, 128), (256, 512, 512)]
GENERIC_LIMIT = 1_000_000  # multiplications; that set is the reference and takes its time
ELEMENTS = (256, 512)
PARAMETERS = 100_000
ACTIVATION_PARAMETERS = {
    "leaky_relu": (0.2,),
    "relu_max": (6.0,),
    "relu_general": (0.1, 0.0, 6.0, 0.5),
    "elu": (1.0,),
    "celu": (0.5,),
    "squareplus": (4.0,),
    "soft_shrink": (0.5,),
    "hard_shrink": (0.5,),
    "threshold": (0.5, -1.0),
}


@pytest.fixture(params=runtime.instruction_sets())
def isa(request):
    before = runtime.instruction_set()
    runtime.use_instruction_set(request.param)
    yield request.param
    runtime.use_instruction_set(before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def measured(benchmark, report, title, row, flops=0, data=0):
    """Add what a call did, in floating-point operations or bytes, to the table and the JSON."""
    if benchmark.stats is None:  # --benchmark-disable
        return
    seconds = statistics.median(benchmark.stats.stats.data)
    row |= {"µs": seconds * 1e6, "± (IQR/2)": benchmark.stats.stats.iqr / 2 * 1e6}
    if flops:
        row |= {"GFLOP/s": flops / seconds / 1e9, "% of peak": 100 * flops / seconds / machine.peak()}
    if data:
        row |= {"GB/s": data / seconds / 1e9}
    benchmark.extra_info.update(row)
    report(title, row)


@pytest.mark.benchmark(group="dense", max_time=0.2, min_rounds=5)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_dense(benchmark, report, rng, isa, direction, shape):
    n, k, m = shape
    if isa == "generic" and n * k * m > GENERIC_LIMIT:
        pytest.skip("the reference is too slow for this shape")
    x, w, b, dz = normal(rng, n, k), normal(rng, k, m), normal(rng, m), normal(rng, n, m)
    if direction == "forward":
        out = np.empty((n, m), np.float32)
        benchmark(kernels.dense_forward, x, w, b, "relu", out=out, num_threads=1)
        np.testing.assert_allclose(out, np.maximum(x @ w + b, 0), rtol=1e-4, atol=1e-4)
        products = 1
    else:
        dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
        benchmark(kernels.dense_backward, x, w, dz, dx=dx, dw=dw, db=db, num_threads=1)
        np.testing.assert_allclose(dx, dz @ w.T, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(dw, x.T @ dz, rtol=1e-3, atol=1e-3)
        products = 2
    row = {"dense": direction, "rows x inputs x units": f"{n} x {k} x {m}", "instructions": isa}
    measured(benchmark, report, "dense layers, float32, one thread", row, flops=products * 2 * n * k * m)


@pytest.mark.benchmark(group="activations", max_time=0.1, min_rounds=5)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("name", [name for name in kernels.ACTIVATIONS if name != "linear"])
def test_activation(benchmark, report, rng, isa, name, direction):
    z = normal(rng, *ELEMENTS)
    p = ACTIVATION_PARAMETERS.get(name, ())
    out = np.empty_like(z)
    if direction == "forward":
        benchmark(kernels.activation_forward, name, z, parameters=p, out=out, num_threads=1)
        streams = 2
    else:
        read = (
            z
            if kernels.activation_reads(name) == "input"
            else kernels.activation_forward(name, z, parameters=p)
        )
        da = normal(rng, *ELEMENTS)
        benchmark(kernels.activation_backward, name, read, da, parameters=p, out=out, num_threads=1)
        streams = 3
    assert np.isfinite(out).all()
    row = {"activation": name, "": direction, "instructions": isa}
    title = "activations, {} x {} float32, one thread".format(*ELEMENTS)
    measured(benchmark, report, title, row, data=streams * z.nbytes)


@pytest.mark.benchmark(group="optimizers", max_time=0.1, min_rounds=5)
@pytest.mark.parametrize("name", [*kernels.OPTIMIZERS, "adam clipped, decaying"])
def test_optimizer(benchmark, report, rng, isa, name):
    kind, _, more = name.partition(" ")
    hyper = {"learning_rate": 1e-3, **({"clipvalue": 0.5, "weight_decay": 1e-4} if more else {})}
    slots = len(optimizers.TABLE[kind]().slots_used())
    w, g = normal(rng, 1, PARAMETERS), normal(rng, 1, PARAMETERS)
    before = w.copy()
    state = [np.zeros_like(w) for _ in range(slots)]
    benchmark(kernels.optimizer_update, kind, w, g, state, hyper, 1)
    assert (w != before).any()
    row = {"optimizer": name, "instructions": isa}
    streams = 3 + 2 * slots  # the gradient is read; parameters and slots are read and written
    title = f"optimizers, {PARAMETERS:,} parameters, float32, one thread"
    measured(benchmark, report, title, row, data=streams * w.nbytes)
