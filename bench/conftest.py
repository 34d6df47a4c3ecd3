"""Options and tables of the benchmark suites."""

from dataclasses import dataclass

import pytest

from fastnn._bench import machine
from fastnn._bench.tables import table

TABLES = pytest.StashKey[dict[str, list[dict[str, object]]]]()


@dataclass(frozen=True)
class Settings:
    """How long to measure."""

    quick: bool
    rounds: int  # of a fit, each beside a round of NumPy
    seconds: float  # of a round of a fit, about
    interrupts: int

    def rows(self, workload):
        return (self.quick and workload.quick_rows) or workload.rows


FULL = Settings(quick=False, rounds=11, seconds=0.2, interrupts=48)
QUICK = Settings(quick=True, rounds=5, seconds=0.05, interrupts=12)


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="fewer rows and shorter rounds")


def pytest_configure(config):
    config.stash[TABLES] = {}


@pytest.fixture(scope="session")
def settings(pytestconfig):
    return QUICK if pytestconfig.getoption("--quick") else FULL


@pytest.fixture
def report(pytestconfig):
    """``report(title, row)`` adds a row, a dictionary, to a table printed at the end."""

    def add(title, row):
        pytestconfig.stash[TABLES].setdefault(title, []).append(row)

    return add


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["fastnn"] = machine.describe()


def pytest_terminal_summary(terminalreporter, config):
    tables = config.stash[TABLES]
    if not tables:
        return
    for title, rows in tables.items():
        for line in table(title, rows):
            terminalreporter.write_line(line)
    terminalreporter.write_line("")
    for name, value in machine.describe(machine.limits(0.02)).items():
        terminalreporter.write_line(f"{name}: {value}")
