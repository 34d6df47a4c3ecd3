"""No instruction that a processor does not have: older ones under emulation, every forced level on this one.

``qemu-x86_64`` ends a program at the first instruction beyond the processor that it plays. Nehalem (2008) has
neither AVX nor fused multiply-add, Haswell (2013) both, but no AVX-512. What they compute is compared too:
the C library's fused multiply-add in software has the same bits. ``pytest --full`` runs more of it.
"""

import importlib.machinery
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import test_instruction_sets
from support import run_python

from fastnn.kernels import runtime

TESTS = Path(__file__).parent
LEVELS = {"Nehalem": ["generic"], "Haswell": ["avx2", "generic"]}
FEW = (
    "batch 1",
    "narrow",
    "no hidden layer",
    "smooth",
    "tiny 2-8-1",
    "tiny 4-16-3",
)  # the others take a minute
# Files of tests that run there too, the first one always.
KERNEL_TESTS = ("test_optimizers.py", "test_tiny.py", "test_loss_kernels.py", "test_operations.py")

PROGRAM = """
import sys
sys.path[:0] = {paths!r}
import numpy as np
from fastnn.kernels import runtime
from test_same_bits import NETS, run
print(runtime.instruction_sets(), runtime.instruction_set())
for name in {names}:
    print(name, *(run(name, np.dtype(t), 2, weighted=True) for t in ("float32", "float64")))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors' levels"),
]


def emulated(level, *command, timeout=900):
    """Output of a program on such a processor."""
    # NumPy's BLAS takes its choice from the processor's family, which says more than the emulator can
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        ["qemu-x86_64", "-cpu", level, *command],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )
    errors = "\n".join(line for line in done.stderr.splitlines() if "TCG doesn't support" not in line)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{errors[-3000:]}"
    return done.stdout


@pytest.fixture(params=sorted(LEVELS))
def level(request):
    if not shutil.which("qemu-x86_64"):
        pytest.skip("needs qemu-x86_64 (Debian: qemu-user)")
    try:
        emulated(request.param, sys.executable, "-c", "import numpy")
    except AssertionError as error:
        pytest.skip(f"this NumPy does not run on {request.param}: {error}")
    return request.param


def test_demo(level):
    assert "4 of 4 rows right" in emulated(level, sys.executable, "-m", "fastnn", "demo", "--no-plots")


def test_networks(level, pytestconfig):
    names = "NETS" if pytestconfig.getoption("--full") else repr(FEW)
    program = PROGRAM.format(paths=[str(TESTS / "kernels"), str(TESTS)], names=names)
    found = emulated(level, sys.executable, "-c", program).splitlines()
    assert found[0] == f"{LEVELS[level]} {LEVELS[level][0]}"
    assert found[1:] == run_python(program).splitlines()[1:]


def pytest_generate_tests(metafunc):
    if "file" in metafunc.fixturenames:
        metafunc.parametrize(
            "file", KERNEL_TESTS if metafunc.config.getoption("--full") else KERNEL_TESTS[:1]
        )


def test_tests_of_kernels(level, file, pytestconfig):
    command = [sys.executable, "-m", "pytest", "-q", "-x", str(TESTS / "kernels" / file)]
    if not pytestconfig.getoption("--full"):
        command += ["-k", "float32"]
    assert re.search(r"^\d+ passed", emulated(level, *command, timeout=7200), re.MULTILINE)


def test_every_kernel(level, c_kernels):
    """The driver in C, which runs all of them on every instruction set that the processor has."""
    (program,) = c_kernels("x86-64").program("hashes")
    found = {}
    for line in emulated(level, program).splitlines():
        kind, isa, value = line.split()
        found[kind, isa] = value
    assert {isa.partition("-")[0] for _, isa in found} == set(LEVELS[level])
    here = test_instruction_sets.hashes([program])
    assert found == {key: here[key] for key in found}


@pytest.mark.parametrize("forced", runtime.instruction_sets())
def test_forced_levels_on_this_processor(forced):
    demo = "import sys; from fastnn.cli import main; sys.exit(main(['demo', '--no-plots']))"
    assert "4 of 4 rows right" in run_python(demo, FASTNN_ISA=forced)
    names = run_python(
        "from fastnn.kernels import runtime; print(runtime.instruction_set())", FASTNN_ISA=forced
    )
    assert names.split() == [forced]


def test_only_chosen_code_is_beyond_the_baseline():
    """No extension but the one with the kernels has instructions of AVX, and that one not where it starts."""
    if not shutil.which("objdump"):
        pytest.skip("needs objdump (Debian: binutils)")
    folder = Path(runtime.__file__).parent
    ending = importlib.machinery.EXTENSION_SUFFIXES[0]
    extensions = sorted(folder.glob(f"*{ending}"))
    assert len(extensions) > 20
    for path in extensions:
        sections = [] if path.stem.startswith("runtime.") else ["-j", ".text"]
        sections += ["-j", ".init", "-j", ".fini", "-j", ".plt"]
        code = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", *sections, path],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert code.count("\n") > 10
        # mnemonics of AVX, and few others, begin with v
        beyond = set(re.findall(r"^\s+[0-9a-f]+:\s+(v\w+)", code, re.MULTILINE)) - {"verr", "verw", "vmcall"}
        assert not beyond, f"{path.name}: {sorted(beyond)[:10]}"
