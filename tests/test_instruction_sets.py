"""The C kernels by themselves: one driver, every instruction set, and the other architecture under emulation.

``csrc/hashes.c`` runs every kernel on the same numbers and prints a hash of the results for each set.
"""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Of the tables of kernels, what describes them or measures the machine, and has no results.
NO_RESULTS = {
    *("isa", "name", "itemsize", "lanes", "panel_vectors", "tile_rows", "enter", "leave"),
    *("fma_peak", "fma_peak_chains", "read_stream", "peak", "peak_chains"),
}


def hashes(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {tuple(line.split()[:2]): line.split()[2] for line in out.splitlines()}


def one_hash_a_kind(found):
    kinds = defaultdict(dict)
    for (kind, isa), value in found.items():
        kinds[kind][isa] = value
    assert kinds.keys() == {"float32", "float32-wider", "float64", "float64-wider", "bfloat16"}
    for kind, of_kind in kinds.items():
        assert of_kind.keys() & {"generic", "generic-emulated"}
        assert len(set(of_kind.values())) == 1, (kind, of_kind)


def members(header, struct):
    """The names in a table of kernels."""
    body = re.search(rf"typedef struct {struct} {{(.*?)}} {struct};", header, re.DOTALL)[1]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    functions = re.findall(r"\(\*(\w+)\)", body)
    others = re.sub(r"\([^()]*\)", "", re.sub(r"\w+ \**\(\*\w+\)\([^()]*\)", "", body))
    return {*functions, *re.findall(r"[\s*](\w+)(?:\[[^;]*\])?\s*[;,]", others)}


@pytest.mark.parametrize(
    ("file", "struct", "pointer"),
    [("fastnn.h", "fnn_kernels", "k"), ("bf16.h", "fnn_bf16_kernels", "half")],
)
def test_the_driver_runs_every_kernel(file, struct, pointer):
    found = members((ROOT / "csrc" / file).read_text(), struct)
    assert found >= {"transpose"} | (
        {"tile", "add_rows", "philox", "words"} if pointer == "k" else {"product"}
    )
    driver = (ROOT / "tests" / "csrc" / "hashes.c").read_text()
    run = set(re.findall(rf"\b{pointer}->(\w+)", driver))
    assert found - NO_RESULTS <= run, f"not in tests/csrc/hashes.c: {found - NO_RESULTS - run}"


@pytest.fixture(scope="module")
def x86(c_kernels):
    return hashes(c_kernels("x86-64").program("hashes"))


@pytest.mark.slow
def test_kernels_agree_on_this_processor(x86):
    one_hash_a_kind(x86)


@pytest.mark.slow
def test_neon_agrees_with_this_processor(x86, c_kernels):
    found = hashes(c_kernels("aarch64").program("hashes"))
    assert ("float32", "neon") in found
    one_hash_a_kind({**found, **x86})
