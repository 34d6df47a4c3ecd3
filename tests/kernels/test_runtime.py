"""Instruction sets, thread counts, and the tables of names."""

import os
import sys

import numpy as np
import oracle
import pytest
from metric_cases import CLASS, ONE_UNIT, UNITS
from support import digest, instruction_set, run_python

import fastnn.kernels as k
from fastnn import metrics
from fastnn.kernels import runtime, threads

KNOWN = ["avx512", "avx2", "neon", "generic"]


def test_instruction_sets_are_listed_best_first():
    found = runtime.instruction_sets()
    assert found == sorted(found, key=KNOWN.index)
    assert found[-1] == "generic"
    if "FASTNN_ISA" not in os.environ:
        assert runtime.instruction_set() == found[0]


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="needs /proc/cpuinfo")
def test_the_instruction_sets_are_those_of_the_processor():
    with open("/proc/cpuinfo") as file:
        flags = next((set(line.split()) for line in file if line.startswith("flags")), set())
    found = runtime.instruction_sets()
    assert ("avx2" in found) == ({"avx2", "fma"} <= flags)
    assert ("avx512" in found) == ({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma"} <= flags)


def test_switching():
    before = runtime.instruction_set()
    for name in runtime.instruction_sets():
        with instruction_set(name):
            assert runtime.instruction_set() == name
    assert runtime.instruction_set() == before


@pytest.mark.parametrize(
    "name", ["", "AVX2", "sse9", "neon" if "avx2" in runtime.instruction_sets() else "avx2", None, 3]
)
def test_an_instruction_set_that_is_not_there(name):
    before = runtime.instruction_set()
    with pytest.raises((ValueError, TypeError)) as caught:
        runtime.use_instruction_set(name)
    if isinstance(name, str):
        assert "generic" in str(caught.value)
    assert runtime.instruction_set() == before


@pytest.mark.parametrize("name", runtime.instruction_sets())
def test_the_environment_chooses(name):
    code = "from fastnn.kernels import runtime; print(runtime.instruction_set())"
    assert run_python(code, FASTNN_ISA=name).strip() == name


def test_the_environment_is_refused_with_a_sentence():
    code = "try:\n    import fastnn.kernels.runtime\nexcept ImportError as error:\n    print(error)"
    said = run_python(code, FASTNN_ISA="sse9")
    assert "sse9" in said
    assert "FASTNN_ISA" in said
    assert "generic" in said


def test_thread_counts():
    threads.set_num_threads(3)
    assert threads.get_num_threads() == 3
    threads.set_num_threads(np.int64(2))
    assert threads.get_num_threads() == 2
    threads.set_num_threads(None)
    assert 1 <= threads.get_num_threads() <= os.cpu_count()
    assert len(threads.thread_reason().split()) > 2


@pytest.mark.parametrize("bad", [0, -1, 10**9, 2.5, "2", True, [2], float("nan")])
def test_bad_thread_counts(bad):
    before = threads.get_num_threads()
    with pytest.raises((ValueError, TypeError), match="thread"):
        threads.set_num_threads(bad)
    assert threads.get_num_threads() == before


def test_automatic_is_capped_by_the_environment_and_by_affinity():
    code = "from fastnn.kernels import threads; print(threads.get_num_threads())"
    assert run_python(code, OMP_NUM_THREADS="1").strip() == "1"
    if hasattr(os, "sched_setaffinity"):
        one = f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])\n"
        assert run_python(one + code).strip() == "1"


def test_nothing_global_is_set():
    """A thread count of ours must not leak into other users of OpenMP in the process."""
    code = """
import ctypes, ctypes.util, numpy as np, sys
from fastnn.kernels import runtime, threads
import fastnn.kernels as k
from fastnn import metrics
omp = None
for line in open("/proc/self/maps"):
    path = line.split()[-1]
    if "libgomp" in path or "libomp" in path:
        omp = ctypes.CDLL(path)
        break
if omp is None:
    print("none")
    sys.exit()
before = omp.omp_get_max_threads()
threads.set_num_threads(before + 3)
x = np.ones((500, 300), np.float32); w = np.ones((300, 300), np.float32)
k.dense_forward(x, w)
k.dense_forward(x, w, num_threads=before + 2)
print(omp.omp_get_max_threads() - before)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc/self/maps")
    assert run_python(code).strip() in ("none", "0")


def test_build_info_and_names():
    info = runtime.build_info()
    assert info
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in info.items())
    assert runtime.cpu_name()
    assert isinstance(threads.openmp(), bool)


def test_the_tables_hold_what_the_oracle_holds():
    """A new line in a table without a formula in the oracle is an untested line."""
    assert set(k.ACTIVATIONS) == set(oracle.ACTIVATIONS)
    assert set(k.LOSSES) == {name for name, _ in oracle.LOSSES}
    stated = {
        make(metrics).measure(1 if name in ONE_UNIT else 3).rows for name, make in {**UNITS, **CLASS}.items()
    }
    assert set(k.METRICS) - stated - set(oracle.METRICS) == set()  # of those with a state: test_metrics.py
    assert set(k.LOSSES) <= set(oracle.METRICS), "losses serve as metrics"
    assert set(k.OPTIMIZERS) == set(oracle.OPTIMIZERS)
    for table in (k.ACTIVATIONS, k.LOSSES, k.METRICS, k.OPTIMIZERS):
        assert isinstance(table, tuple)
        assert len(set(table)) == len(table)


def test_num_threads_is_per_call():
    x, w = np.ones((40, 30), np.float32), np.ones((30, 20), np.float32)
    before = threads.get_num_threads()
    one = k.dense_forward(x, w, num_threads=1)
    many = k.dense_forward(x, w, num_threads=7)
    assert digest([one]) == digest([many])
    assert threads.get_num_threads() == before
