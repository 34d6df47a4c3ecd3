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


def interleaved(b):
    """Pairs of rows of b, rounded."""
    h = halves(b).astype(np.uint32)
    return np.ascontiguousarray(h[0::2] | h[1::2] << 16)


def address(a):
    return None if a is None else ctypes.c_void_p(a.ctypes.data)


def modelled(amx, a, b, init, c, last, finish, other=None):
    """c (OUT) = finish(init + a @ b) of pairs, on the model of the instructions."""
    (rows, depth), width, n = a.shape, b.shape[1], ctypes.c_ssize_t
    sizes = (ctypes.c_size_t(size) for size in (rows, width // 16, depth))
    ld = n(c.shape[1])
    operands = address(a), n(depth), address(b), n(width), n(16)
    amx.product(
        *sizes, *operands, address(init), address(c), ld, ctypes.c_size_t(last), finish, address(other), ld
    )


@pytest.mark.parametrize("vectors", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [1, 15, 16, 17, 48, 59])
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 32, 33, 70])
def test_product_against_its_twin(amx, rows, depth, vectors, rng):
    width, last = 16 * vectors, int(rng.integers(1, 17))
    columns = width - 16 + last
    a, b = rng.normal(size=(rows, 2 * depth)).astype("f4"), rng.normal(size=(2 * depth, width)).astype("f4")
    # both end with the array, so that reading beyond an operand would be reading beyond an allocation's data
    a_pairs, b_pairs = np.ascontiguousarray(halves(a)).view(np.uint32), interleaved(b)
    init, other = rng.normal(size=width).astype("f4"), rng.normal(size=(rows, width + 3)).astype("f4")
    product = values(halves(a)) @ values(halves(b))
    for finish, start in ((STORE, None), (STORE, init), (ADD, init), (RELU, init), (RELU_SLOPE, None)):
        c = np.full((rows, width + 3), 7, np.float32)
        modelled(amx, a_pairs, b_pairs, start, c, last, finish, other if finish == RELU_SLOPE else None)
        expected = product + (0 if start is None else start)
        expected = {ADD: expected + 7, RELU: np.maximum(expected, 0)}.get(finish, expected)
        if finish == RELU_SLOPE:
            expected = np.where(other[:, :width] > 0, expected, 0)
        np.testing.assert_allclose(c[:, :columns], expected[:, :columns], rtol=0, atol=2e-5)
        assert (c[:, columns:] == 7).all()


def test_the_processor_adds_as_the_model_does(amx, rng):
    from fastnn.kernels import runtime
    from fastnn.kernels.reduced import bfloat16_matmul

    if "amx" not in runtime.bfloat16_kinds():
        pytest.skip("needs a processor with AMX")
    runtime.use_bfloat16("amx")
    try:
        for rows, depth, columns in ((1, 1, 16), (33, 37, 32), (70, 130, 48), (16, 1024, 64)):
            a = (10.0 ** rng.integers(-20, 10, size=(rows, 1)) * rng.normal(size=(rows, 2 * depth))).astype(
                "f4"
            )
            b, init = (
                rng.normal(size=(2 * depth, columns)).astype("f4"),
                rng.normal(size=columns).astype("f4"),
            )
            c = np.zeros((rows, columns), np.float32)
            pairs = np.ascontiguousarray(halves(a)).view(np.uint32)
            modelled(amx, pairs, interleaved(b), init, c, 16, STORE)
            np.testing.assert_array_equal(bfloat16_matmul(a, b, init).view(np.int32), c.view(np.int32))
    finally:
        runtime.use_bfloat16(None)


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
