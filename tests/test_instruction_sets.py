"""The C kernels by themselves: one driver, every instruction set, and the other architecture under emulation.

``csrc/hashes.c`` runs every kernel on the same numbers and prints a hash of the results for each set.
"""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLAGS = ["-O2", "-std=gnu11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-DNDEBUG"]
X86 = {
    "isa_avx2": ["-mavx2", "-mfma"],
    "isa_avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
    "isa_avx512bf16": [
        "-mavx512bf16",
        "-mavx512f",
        "-mavx512bw",
        "-mavx512dq",
        "-mavx512vl",
        "-mavx2",
        "-mfma",
    ],
}
HAVE_X86 = ["-DFASTNN_HAVE_AVX2", "-DFASTNN_HAVE_AVX512", "-DFASTNN_HAVE_AVX512BF16"]

pytestmark = pytest.mark.slow


def build(folder, compiler, units, have, link=()):
    objects = []
    for unit, flags in units.items():
        objects.append(folder / f"{unit}.o")
        source = ROOT / "csrc" / f"{unit}.c"
        subprocess.run([compiler, *FLAGS, *flags, *have, "-c", source, "-o", objects[-1]], check=True)
    program = folder / "hashes"
    driver = ROOT / "tests" / "csrc" / "hashes.c"
    command = [compiler, *FLAGS, f"-I{ROOT / 'csrc'}", driver, *objects, "-lm", *link, "-o", program]
    subprocess.run(command, check=True)
    return program


def hashes(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {tuple(line.split()[:2]): line.split()[2] for line in out.splitlines()}


def one_hash_a_type(found):
    for dtype in ("float32", "float64", "bfloat16"):
        of_type = {isa: value for (kind, isa), value in found.items() if kind == dtype}
        assert of_type.keys() & {"generic", "generic-emulated"}
        assert len(set(of_type.values())) == 1, of_type


@pytest.fixture(scope="module")
def x86(tmp_path_factory):
    if platform.machine() != "x86_64" or not shutil.which("gcc"):
        pytest.skip("needs gcc on x86-64")
    units = {**X86, "isa_generic": [], "cpu": []}
    return hashes([build(tmp_path_factory.mktemp("x86"), "gcc", units, HAVE_X86)])


def test_kernels_agree_on_this_processor(x86):
    one_hash_a_type(x86)


def test_neon_agrees_with_this_processor(x86, tmp_path):
    compiler, emulator = "aarch64-linux-gnu-gcc", "qemu-aarch64"
    if not shutil.which(compiler) or not shutil.which(emulator):
        pytest.skip(f"needs {compiler} and {emulator} (Debian: gcc-aarch64-linux-gnu, qemu-user)")
    units = {"isa_neon": [], "isa_generic": [], "cpu": []}
    program = build(tmp_path, compiler, units, ["-DFASTNN_HAVE_NEON"], ["-static"])
    found = hashes([emulator, program])
    assert ("float32", "neon") in found
    one_hash_a_type({**found, **x86})
