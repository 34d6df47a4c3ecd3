"""The machine's limits as benchmarks measure them."""

import pytest
from support import run_python

from fastnn.kernels import machine
from fastnn.kernels.threads import openmp


def test_reading_is_measured():
    small = machine.read_bandwidth(8 << 10, 0.01)
    large = machine.read_bandwidth(64 << 20, 0.01)
    # A busy machine slows both, but no machine made in this century reads a megabyte a second.
    assert 1e6 < large < 1e14
    assert 1e6 < small < 1e14


def test_small_buffers_are_rounded_up():
    assert machine.read_bandwidth(1, 0.0) > 0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_teams(threads):
    """Also of more threads than there are cores: nothing hangs."""
    assert machine.read_bandwidth(4096, 0.0, num_threads=threads) > 0
    assert 0 <= machine.barrier_seconds(threads, 0.0) < 10


def test_a_barrier_of_two_costs_more_than_none():
    if not openmp():
        pytest.skip("one thread only")
    # Two cores exchange a cache line; one thread returns at once.
    assert machine.barrier_seconds(2) > machine.barrier_seconds(1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_peak_is_measured(dtype, isa):
    """Every instruction set multiplies: on a busy machine too, within what a core of any kind can do."""
    one = machine.measure_peak(dtype, 0.0)
    assert 1e6 < one < 1e14
    # Threads add up; so slow that two do less than a hundredth of one is no machine.
    assert one / 100 < machine.measure_peak(dtype, 0.0, num_threads=2) < 2e14


@pytest.mark.parametrize("bad", [0, -1, 2000])
def test_wrong_thread_counts(bad):
    for call in (lambda: machine.read_bandwidth(4096, 0.0, bad), lambda: machine.barrier_seconds(bad)):
        with pytest.raises(ValueError, match=f"not {bad}"):
            call()


@pytest.mark.parametrize("bad", [2.0, "2", None, True])
def test_wrong_kinds(bad):
    for call in (lambda: machine.read_bandwidth(4096, 0.0, bad), lambda: machine.barrier_seconds(bad)):
        with pytest.raises(TypeError, match="num_threads"):
            call()


def test_wrong_sizes():
    with pytest.raises(ValueError, match="nbytes"):
        machine.read_bandwidth(0)
    with pytest.raises((MemoryError, OverflowError)):
        machine.read_bandwidth(2**62)


def test_in_a_forked_child():
    code = """
import os
from fastnn.kernels import machine
machine.barrier_seconds(2, 0.0)
child = os.fork()
if child == 0:
    os._exit(0 if machine.read_bandwidth(4096, 0.0, 2) > 0 and machine.barrier_seconds(2, 0.0) >= 0 else 1)
print(os.waitpid(child, 0)[1])
"""
    assert run_python(code).strip() == "0"
