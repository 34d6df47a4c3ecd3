"""The command line: info, demo, errors."""

import json
import os
import re
import subprocess
import sys

import pytest

import fastnn
from fastnn.kernels import runtime


def command(*arguments, cwd=None, timeout=120, **environment):
    return subprocess.run(
        [sys.executable, "-m", "fastnn", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


def test_info():
    done = command("info")
    assert done.returncode == 0, done.stderr
    assert fastnn.__version__ in done.stdout
    assert runtime.cpu_name() in done.stdout
    assert runtime.instruction_sets()[0] in done.stdout
    assert "threads" in done.stdout
    for key in runtime.build_info():
        assert key in done.stdout


def test_info_with_another_instruction_set():
    done = command("info", FASTNN_ISA="generic")
    assert re.search(r"instruction set\s+generic", done.stdout)
    assert "FASTNN_ISA" in done.stdout


def test_a_wrong_instruction_set_is_a_sentence():
    done = command("info", FASTNN_ISA="sse9")
    assert done.returncode != 0
    assert "sse9" in done.stderr


def test_demo(tmp_path):
    done = command("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.rstrip().splitlines()
    heads = [
        i
        for i, line in enumerate(lines)
        if line.split()[:7] == ["job", "rows", "network", "epochs", "seconds", "steps/s", "result"]
    ]
    assert len(heads) == 1
    table = lines[heads[0] + 2 :]
    assert len(table) == 5, "the table of five jobs is the end"
    assert sum("XOR" in row for row in table) == 2
    assert all("4 of 4" in row for row in table if "XOR" in row)
    for word in ("table", "Iris", "line"):
        assert any(word in row for row in table), word
    slope, offset = re.search(r"y = (-?[\d.]+)x \+ (-?[\d.]+)", table[-1]).groups()
    assert abs(float(slope) - 2) < 0.2
    assert abs(float(offset) - 3) < 0.2
    for row in table:
        numbers = re.findall(r"[\d,]+\.?\d*", row)
        assert len(numbers) >= 4


def test_demo_needs_nothing_but_the_package(tmp_path):
    """Without matplotlib, scikit-learn and the rest it runs, and names what it skips."""
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "sklearn", "scipy", "pandas"):
            raise ImportError(f"{name} is not to be had")
sys.meta_path.insert(0, Refuse())
from fastnn.cli import main
sys.exit(main(["demo"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"[Ss]kip", done.stdout)
    assert "matplotlib" in done.stdout
    assert not list(tmp_path.iterdir())


def test_demo_without_plots_and_with_a_seed(tmp_path):
    done = command("demo", "--no-plots", "--seed", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    assert done.stdout.count("4 of 4") == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_demo_on_an_output_without_unicode(encoding, tmp_path):
    done = command("demo", "--no-plots", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["dmeo"], ["demo", "--seed", "x"], ["demo", "--seed", "-1"], ["info", "a", "b"]]
)
def test_wrong_arguments(arguments):
    done = command(*arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert "Traceback" not in done.stderr


def test_version():
    assert fastnn.__version__ in command("--version").stdout


def test_bench(tmp_path):
    """The machine's limits, then a line of the table for each choice of threads."""
    file = tmp_path / "bench.json"
    done = command("bench", "--quick", "--only", "W1,I1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert runtime.cpu_name() in done.stdout
    assert re.search(r"reading memory, 1 core +\d+ GB/s", done.stdout)
    assert "AMX" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r"(W1|I1) ", line)]
    assert {row[0] for row in rows} == {"W1", "I1"}
    assert {row[3] for row in rows} <= {"1", "auto"}
    assert all(float(row[4].replace(",", "")) > 0 for row in rows)
    found = json.loads(file.read_text(encoding="utf-8"))
    assert len(found["rows"]) == len(rows)
    assert all(row["seconds"] > 0 and 0 < row["share_of_peak"] < 1 for row in found["rows"])


def test_bench_with_so_many_threads():
    done = command("bench", "--quick", "--only", "W2", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("W2")]) == 1


def test_bench_of_a_workload_that_does_not_exist():
    done = command("bench", "--only", "W99")
    assert done.returncode == 1
    assert "W99" in done.stderr
    assert "W1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("threads", ["0", "-1", "two"])
def test_bench_with_wrong_threads(threads):
    done = command("bench", "--threads", threads)
    assert done.returncode == 2
    assert "usage" in done.stderr
