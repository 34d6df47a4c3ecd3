"""The AMX products on a model of the tile instructions in plain C, for machines without AMX."""

import ctypes
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
FLAGS = [
    "-O2",
    "-std=gnu11",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fPIC",
    "-DFASTNN_HAVE_AMX",
]
AVX512 = ["-mavx512bf16", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"]
STORE, ADD, RELU, RELU_SLOPE = range(4)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        platform.machine() != "x86_64" or not shutil.which("gcc"), reason="needs gcc on x86-64"
    ),
]


def can_run():
    from fastnn.kernels import runtime

    return "vdpbf16ps" in runtime.bfloat16_kinds()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if not can_run():
        pytest.skip("what surrounds the tile instructions needs AVX512_BF16")
    folder = tmp_path_factory.mktemp("amx")
    units = ["csrc/isa_amx.c", "csrc/isa_avx512.c", "csrc/amx_check.c", "tests/csrc/amx_product.c"]
    include = [f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'tests' / 'csrc'}", '-DFASTNN_AMX_MODEL="amx_model.h"']
    path = folder / "libamx.so"
    subprocess.run(
        ["gcc", *FLAGS, *AVX512, *include, "-shared", *(ROOT / u for u in units), "-o", path, "-lm"],
        check=True,
    )
    return path


@pytest.fixture(scope="module")
def amx(library):
    return ctypes.CDLL(str(library))


def halves(x):
    """bfloat16 of float32, ties to even, as 16-bit integers."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def values(h):
    return (h.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def address(a):
    return ctypes.c_void_p(a.ctypes.data)


@pytest.mark.parametrize("vectors", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [1, 15, 16, 17, 48, 59])
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 32, 33, 70])
def test_product_against_its_twin(amx, rows, depth, vectors, rng):
    width, last = 16 * vectors, int(rng.integers(1, 17))
    columns = width - 16 + last
    a, b = rng.normal(size=(rows, 2 * depth)).astype("f4"), rng.normal(size=(2 * depth, width)).astype("f4")
    # both end with the array, so that reading beyond an operand would be reading beyond an allocation's data
    a_pairs = np.ascontiguousarray(halves(a)).view(np.uint32)
    b_halves = halves(b).astype(np.uint32)
    b_pairs = np.ascontiguousarray(b_halves[0::2] | b_halves[1::2] << 16)
    init, other = rng.normal(size=width).astype("f4"), rng.normal(size=(rows, width + 3)).astype("f4")
    product = values(halves(a)) @ values(halves(b))
    for finish, start in ((STORE, None), (STORE, init), (ADD, init), (RELU, init), (RELU_SLOPE, None)):
        c = np.full((rows, width + 3), 7, np.float32)
        amx.product(
            *(ctypes.c_size_t(n) for n in (rows, vectors, depth)),
            *(address(a_pairs), ctypes.c_ssize_t(depth), address(b_pairs), ctypes.c_ssize_t(width)),
            *(None if start is None else address(start), address(c), ctypes.c_ssize_t(width + 3)),
            *(
                ctypes.c_size_t(last),
                finish,
                address(other) if finish == RELU_SLOPE else None,
                ctypes.c_ssize_t(width + 3),
            ),
        )
        expected = product + (0 if start is None else start)
        expected = {ADD: expected + 7, RELU: np.maximum(expected, 0)}.get(finish, expected)
        if finish == RELU_SLOPE:
            expected = np.where(other[:, :width] > 0, expected, 0)
        np.testing.assert_allclose(c[:, :columns], expected[:, :columns], rtol=0, atol=2e-5)
        assert (c[:, columns:] == 7).all()


@pytest.mark.parametrize(("function", "answer"), [("works", 1), ("works_wrong", 0)])
def test_a_wrong_product_means_no_amx(library, function, answer):
    code = f"import ctypes; l = ctypes.CDLL({str(library)!r}); print(l.{function}(), l.{function}())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(answer)] * 2


def test_the_unit_compiles_to_tile_instructions(tmp_path):
    if not shutil.which("objdump"):
        pytest.skip("needs objdump")
    unit = tmp_path / "isa_amx.o"
    subprocess.run(
        ["gcc", *FLAGS, *AVX512, "-mamx-tile", "-mamx-bf16", "-c", ROOT / "csrc" / "isa_amx.c", "-o", unit],
        check=True,
    )
    listing = subprocess.run(["objdump", "-d", unit], check=True, capture_output=True, text=True).stdout
    for instruction in ("ldtilecfg", "tilerelease", "tileloadd", "tdpbf16ps", "tilestored"):
        assert instruction in listing
