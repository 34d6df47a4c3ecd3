"""Fixtures and options for all tests."""

from itertools import groupby

import numpy as np
import pairwise
import pytest


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--full", action="store_true", help="all combinations of parameters, see pairwise.py")
    parser.addoption("--no-skips", action="store_true", help="fail if a test is skipped")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds; run with --slow")


def parameters(item):
    """Return what a test is called with: {name: something that tells the values apart}."""
    return {name: repr(value) for name, value in item.callspec.params.items()}


def sampled(items):
    """Split the items: those to run, and the further combinations of tests that have many."""
    run, further = [], []
    for _, group in groupby(items, lambda item: item.nodeid.partition("[")[0]):
        cases = list(group)
        keep = cases
        if len(cases) > pairwise.MANY and "slow" not in cases[0].keywords:
            keep = pairwise.chosen(cases, parameters, lambda item: item.nodeid)
        kept = set(keep)
        run += [item for item in cases if item in kept]
        further += [item for item in cases if item not in kept]
    return run, further


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--full"):
        items[:], further = sampled(items)
        config.hook.pytest_deselected(items=further)
    if config.getoption("--slow") or "slow" in (config.getoption("-m") or ""):
        return
    skip = pytest.mark.skip(reason="slow: run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and --no-skips was given: {call.excinfo.value}"


def pytest_generate_tests(metafunc):
    # Here, not at import, so that an unbuilt tree fails in the tests that need it, with its own sentence.
    if "isa" in metafunc.fixturenames:
        from fastnn.kernels import runtime

        metafunc.parametrize("isa", runtime.instruction_sets(), indirect=True)


@pytest.fixture
def isa(request):
    """The test runs once on every instruction set that this machine has."""
    from support import instruction_set

    with instruction_set(request.param):
        yield request.param


@pytest.fixture(scope="session")
def c_kernels(tmp_path_factory):
    """Call it with a name of `c_kernels.MACHINES`: the kernels compiled for it, once a session."""
    from functools import cache

    from c_kernels import MACHINES, Kernels

    return cache(lambda name: Kernels(MACHINES[name], tmp_path_factory.mktemp(name)))


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture(autouse=True)
def settings_restored():
    """Thread count and floatx are as they were after every test."""
    yield
    import sys

    threads = sys.modules.get("fastnn.kernels.threads")
    if threads is not None:
        threads.set_num_threads(None)
    config = sys.modules.get("fastnn.config")
    if config is not None and config.floatx() != "float32":
        config.set_floatx("float32")
