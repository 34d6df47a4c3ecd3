"""exp, log, tanh, sigmoid and reciprocals: at most 2 units in the last place wrong, on every instruction set.

``csrc/elementary.c`` holds them to the C library's in a wider type. By default at every 4099th float32, a
million float64, and all around the places where something changes; ``pytest --slow --full`` asks about
all 2³² float32 (half an hour of one core's time), on NEON under emulation about every 61st.
"""

import subprocess
from collections import defaultdict

import pytest

pytestmark = pytest.mark.slow

FUNCTIONS = {
    *("exp", "log", "tanh", "sigmoid", "reciprocal", "inverse_root"),
    *("exp_nonpositive", "expm1_nonpositive", "log1p_unit", "softplus"),
}
# dtype -> a sample, all: see csrc/elementary.c
AMOUNT = {"float32": (4099, 1), "float64": (1_000_000, 200_000_000)}
EMULATED = {"float32": (16411, 61), "float64": (100_000, 10_000_000)}


def found_by(command):
    """{function: {instruction set: (asked, worst)}} of a run that must find nothing wrong."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    found = defaultdict(dict)
    for line in done.stdout.splitlines():
        _, isa, function, asked, wrong, other_bits, worst, _ = line.split()
        assert (wrong, other_bits) == ("0", "0"), line
        found[function][isa] = int(asked), float(worst)
    return found


@pytest.mark.parametrize("machine", ["x86-64", "aarch64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_units_in_the_last_place(dtype, machine, c_kernels, pytestconfig):
    kernels = c_kernels(machine)
    amount = (EMULATED if kernels.machine.run else AMOUNT)[dtype][pytestconfig.getoption("--full")]
    found = found_by([*kernels.program("elementary", "elementary_unit"), dtype, str(amount)])
    assert found.keys() == FUNCTIONS
    expected = 2**32 // amount if dtype == "float32" else amount
    for function, sets in found.items():
        assert "generic" in sets
        assert len({asked for asked, _ in sets.values()}) == 1
        for asked, worst in sets.values():
            assert asked > expected // 10
            assert 0 < worst <= (3 if function == "softplus" else 2)
