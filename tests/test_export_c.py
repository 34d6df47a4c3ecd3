"""model.export("model.c"): it compiles without a warning, and computes what predict computes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from c_programs import COMPILERS, STRICT, Library, random_model, run, stated
from oracle import SPECIFICATIONS
from random_models import set_weights
from support import mlp, run_python

import fastnn as keras
import fastnn.kernels as k
from fastnn.exporting.buffers import arrange
from fastnn.exporting.c_functions import ROWS, SCALARS
from fastnn.exporting.c_source import write
from fastnn.exporting.c_text import identifier
from fastnn.exporting.steps import Activate, Add, Program, Split, program

PAGE = Path(__file__).resolve().parent.parent / "docs" / "export_c.md"

needs_compiler = pytest.mark.skipif(not COMPILERS, reason="needs gcc or clang")
MODELS = range(60)
UNITS = 7
SPECS = [s for s in SPECIFICATIONS if s != "linear"]  # linear is no step

# Exports and predict add in different orders and have other exponentials, each within some ulp. Errors are
# measured against the largest number of a row (at least 1): where large numbers cancel, what is left over
# has their rounding errors, in predict as well.
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def close(got, want):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])
    finite = np.where(np.isfinite(want), want, 0)
    scale = np.maximum(1, np.abs(finite).max(axis=-1, keepdims=True))
    error = np.abs(np.where(np.isfinite(want), got, 0) - finite) / scale
    assert error.max() <= TOLERANCE[want.dtype.name], error.max()


def activation_name(i, dtype):
    return f"activation_{i}_{dtype}"


la = keras.layers
OPTIONS = {
    "batch": lambda: la.BatchNormalization(),
    "batch_plain": lambda: la.BatchNormalization(center=False, scale=False),
    "layer": lambda: la.LayerNormalization(),
    "layer_center": lambda: la.LayerNormalization(scale=False),
    "layer_scale": lambda: la.LayerNormalization(center=False),
    "layer_plain": lambda: la.LayerNormalization(center=False, scale=False),
    "rms": lambda: la.RMSNormalization(),
    "prelu": lambda: la.PReLU(),
    "rescaling": lambda: la.Rescaling(1 / 255, 0.5),
    "normalization": lambda: la.Normalization(mean=1.0, variance=0.5),
    "softmax": lambda: la.Softmax(),
    "relu": lambda: la.ReLU(),
    "dropout": lambda: la.Dropout(0.5),
    "residual_of_nothing": lambda: la.Residual([la.Dropout(0.1)]),
    "residual": lambda: la.Residual([la.PReLU()]),
}


def _nested():
    inside = la.Residual([la.Residual([la.Dense(4), la.Dense(9)]), la.PReLU()])
    first = la.Residual([la.Activation("relu"), la.Residual([la.Dropout(0.1)])])
    return [la.Dense(6), la.Residual([first, la.Dense(9), inside, la.Dense(6)])]


# name -> (a function that makes layers, columns): small sizes, and each layer first, last, and of one column
STACKS = {
    "dense": (lambda: [la.Dense(5)], 6),
    "dense_no_bias": (lambda: [la.Dense(5, use_bias=False)], 3),
    "dense_one": (lambda: [la.Dense(1)], 1),
    "dense_odd": (lambda: [la.Dense(13), la.Dense(1, use_bias=False), la.Dense(9)], 11),
    "dense_wide": (lambda: [la.Dense(130, activation="relu"), la.Dense(3)], 200),
    "nested": (_nested, 3),
    **{f"{name}_first": (lambda make=make: [make(), la.Dense(4)], 5) for name, make in OPTIONS.items()},
    **{f"{name}_last": (lambda make=make: [la.Dense(5), make()], 3) for name, make in OPTIONS.items()},
    **{f"{name}_one": (lambda make=make: [la.Dense(1), make()], 1) for name, make in OPTIONS.items()},
}


def stack(name, dtype):
    """Return a model of STACKS."""
    make, inputs = STACKS[name]
    keras.config.set_floatx(str(dtype))
    model = keras.Sequential([keras.Input(shape=(inputs,)), *make()])
    keras.config.set_floatx("float32")
    set_weights(model, np.random.default_rng(0))
    return model


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """All models of this file in one shared object."""
    if not COMPILERS:
        pytest.skip("needs gcc or clang")
    programs = {}
    for dtype in ("float32", "float64"):
        for i, spec in enumerate(SPECS):
            name, parameters = (spec, ()) if isinstance(spec, str) else spec
            programs[activation_name(i, dtype)] = Program(
                [Activate(name, parameters)], UNITS, UNITS, np.dtype(dtype), "one", None
            )
    for seed in MODELS:
        programs[f"random_{seed}"] = program(random_model(seed)[0])
    for dtype in ("float32", "float64"):
        for name in STACKS:
            programs[f"{name}_{dtype}"] = program(stack(name, dtype))
        programs[f"nothing_{dtype}"] = Program([], 4, 4, np.dtype(dtype), "nothing", None)
    return Library(programs, tmp_path_factory.mktemp("library"))


# ---- the numbers ---------------------------------------------------------------------------------


def test_every_compiled_activation_has_an_entry():
    compiled = {name for name, form in keras.activations.FORMS.items() if form.compiled}
    assert SCALARS.keys() | ROWS.keys() == compiled - {"linear"}


@pytest.mark.parametrize("i", range(len(SPECS)), ids=lambda i: str(SPECS[i]))
def test_activations(library, i, dtype, rng):
    spec = SPECS[i]
    name, parameters = (spec, ()) if isinstance(spec, str) else spec
    special = np.array([0.0, -0.0, 100, -100, 1e-3, -1e-3, 50])
    odd = np.array([np.inf, -np.inf, 1e30, -1e30, np.nan, 1, -1])
    x = np.vstack(
        [
            *(scale * rng.normal(size=(40, UNITS)) for scale in (0.01, 1, 3, 10, 60)),
            special,
            -special,
            special + 1,
        ]
    )
    if name not in ROWS:  # of a row they make NaN of everything, which the next line of tests looks at
        x = np.vstack([x, odd])
    x = x.astype(dtype)
    close(library.predict(activation_name(i, dtype), x), k.activation_forward(name, x, parameters=parameters))


@pytest.mark.parametrize("name", sorted(ROWS))
def test_activations_of_rows_with_what_is_not_finite(library, name, dtype):
    x = np.zeros((4, UNITS), dtype)
    x[0, 2] = np.nan
    x[1, 0] = np.nan
    x[2, 3] = np.inf
    x[3, 1] = -np.inf
    found = library.predict(activation_name(SPECS.index(name), dtype), x)
    close(found, k.activation_forward(name, x))
    assert np.isnan(found[0]).all()
    assert not np.isnan(found[3]).any()


@pytest.mark.parametrize("seed", MODELS)
def test_random_models(library, seed):
    model, x = random_model(seed)
    want = model.predict(x, verbose=0)
    close(library.predict(f"random_{seed}", x), want)
    np.testing.assert_array_equal(
        library.predict(f"random_{seed}", x, one_by_one=True), library.predict(f"random_{seed}", x)
    )


def test_random_models_are_of_everything():
    steps, names = set(), set()
    for seed in MODELS:
        for step in program(random_model(seed)[0]).steps:
            steps.add(type(step).__name__)
            names |= {step.name} if isinstance(step, Activate) else set()
    assert steps == {
        "Multiply", "Activate", "Standardize", "Scale", "NormalizeRows", "Slope", "Split", "Add",
    }  # fmt: skip
    assert len(names) > 24


@pytest.mark.parametrize("name", STACKS)
def test_layers(library, name, dtype, rng):
    model = stack(name, dtype)
    inputs = model.input_shape[1]
    x = rng.normal(size=(20, inputs)).astype(dtype)
    x[3, 0] = np.nan
    x[4] *= 100
    x[5] = 100
    x[6] = -100
    close(library.predict(f"{name}_{dtype}", x), model.predict(x, verbose=0))


def test_a_model_of_no_step_copies(library, dtype, rng):
    x = rng.normal(size=(3, 4)).astype(dtype)
    np.testing.assert_array_equal(library.predict(f"nothing_{dtype}", x), x)


def test_no_rows_are_fine(library):
    assert library.predict("dense_float32", np.zeros((0, 6))).shape == (0, 5)


# ---- the compilers -------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warnings(library, compiler, level, tmp_path):
    run(compiler, *STRICT, level, "-c", library.all, "-o", tmp_path / "all.o")


MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include "first-net.h"
#include "2nd.h"

int main(void)
{
    /* exactly as large as needed, so that a sanitizer sees each step beyond */
    float *x = (float *)malloc(3 * FIRST_NET_INPUTS * sizeof(float));
    float *y = (float *)malloc(3 * FIRST_NET_OUTPUTS * sizeof(float));
    double *u = (double *)malloc(MODEL_2ND_INPUTS * sizeof(double));
    double *v = (double *)malloc(MODEL_2ND_OUTPUTS * sizeof(double));
    for (int i = 0; i < 3 * FIRST_NET_INPUTS; i++)
        if (scanf("%f", &x[i]) != 1)
            return 1;
    for (int i = 0; i < MODEL_2ND_INPUTS; i++)
        u[i] = (double)x[i];
    first_net_predict_rows(x, y, 3);
    model_2nd_predict(u, v);
    for (int i = 0; i < 3 * FIRST_NET_OUTPUTS; i++)
        printf("%.9g\\n", (double)y[i]);
    for (int i = 0; i < MODEL_2ND_OUTPUTS; i++)
        printf("%.17g\\n", v[i]);
    free(x);
    free(y);
    free(u);
    free(v);
    return 0;
}
"""


@pytest.fixture
def two_models(tmp_path):
    """A folder with two exported models and a main; the models, their rows, and what they predict."""
    first = keras.Sequential(
        [
            keras.Input(shape=(6,)),
            la.Dense(17, activation="gelu"),
            la.Residual([la.LayerNormalization(), la.Residual([la.Dense(33), la.Dense(17)]), la.PReLU()]),
            la.BatchNormalization(),
            la.Dense(3, activation="sparsemax"),
        ]
    )
    second = mlp(4, (9, "softplus"), (2, None), dtype="float64")
    rng = np.random.default_rng(5)
    for model in (first, second):
        set_weights(model, rng)
    first.export(tmp_path / "first-net.c")
    second.export(tmp_path / "2nd.c")
    (tmp_path / "main.c").write_text(MAIN)
    x = rng.normal(size=(3, 6)).astype("float32")
    second_x = x.reshape(-1)[:4].astype("float64")[None]
    wanted = np.concatenate(
        [first.predict(x, verbose=0).ravel(), second.predict(second_x, verbose=0).ravel()]
    )
    return tmp_path, x, wanted


def answers(executable, x):
    numbers = "\n".join(repr(float(value)) for value in x.ravel())
    done = subprocess.run(
        [executable], input=numbers, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return np.array(done.stdout.split(), np.float64)


@needs_compiler
@pytest.mark.parametrize("language", ["c99", "c++"])
def test_two_models_in_a_program(two_models, language):
    folder, x, wanted = two_models
    for name in ("first-net", "2nd"):
        run(COMPILERS[0], *STRICT, "-O2", "-c", f"{name}.c", "-o", f"{name}.o", cwd=folder)
    if language == "c99":
        run(COMPILERS[0], *STRICT, "-c", "main.c", "-o", "main.o", cwd=folder)
    else:
        compiler = shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            pytest.skip("needs a compiler of C++")
        run(
            compiler,
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Werror",
            "-x",
            "c++",
            "-c",
            "main.c",
            "-o",
            "main.o",
            cwd=folder,
        )
    run(COMPILERS[0], "first-net.o", "2nd.o", "main.o", "-lm", "-o", "program", cwd=folder)
    np.testing.assert_allclose(answers(folder / "program", x), wanted, rtol=1e-6, atol=1e-6)


@needs_compiler
def test_sanitizers_see_nothing(two_models):
    folder, x, wanted = two_models
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    probe = subprocess.run([COMPILERS[0], *flags, "empty.c", "-o", "empty"], cwd=folder, capture_output=True)
    if probe.returncode:
        pytest.skip(f"{COMPILERS[0]} has no sanitizers here")
    run(COMPILERS[0], *STRICT, *flags, "main.c", "first-net.c", "2nd.c", "-lm", "-o", "program", cwd=folder)
    np.testing.assert_allclose(answers(folder / "program", x), wanted, rtol=1e-6, atol=1e-6)


@needs_compiler
def test_it_has_no_state_and_needs_libm_alone(two_models):
    folder, _, _ = two_models
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm")
    run(COMPILERS[0], *STRICT, "-O1", "-c", "first-net.c", "-o", "first.o", cwd=folder)
    symbols = [line.split()[-2:] for line in run(nm, folder / "first.o").splitlines()]
    kinds = {kind for kind, _ in symbols}
    assert kinds <= {"T", "t", "r", "R", "U"}, symbols  # not D, B, C: data that can be written
    assert {name for kind, name in symbols if kind == "T"} == {"first_net_predict", "first_net_predict_rows"}
    # compilers make memcpy and memset of loops, also where there is no library
    outside = {name for kind, name in symbols if kind == "U"}
    assert outside <= {"erfcf", "sqrtf", "memcpy", "memset", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("model", "model"),
        ("my net-2", "my_net_2"),
        ("2nd", "model_2nd"),
        ("größe", "gro_e"),
        ("école", "ecole"),
        ("网络", "model"),
        ("__x__y__", "x_y"),
        ("it's", "it_s"),
        ("a.b", "a_b"),
        ("-", "model"),
        ("7", "model_7"),
        ("int", "int"),
        ("tanhf", "tanhf"),
    ],
)
def test_names_come_from_the_file(stem, name):
    assert identifier(stem) == name


AWKWARD = [
    "two words",
    "größe",
    "网络",
    "__x__",
    "it's",
    "a.b",
    "-o",
    "int",
    "tanhf",
    "while",
    "main",
    "100%",
    "$x",
]


@needs_compiler
def test_awkward_file_names(tmp_path):
    model = mlp(3, (4, "tanh"), (2, None))
    for stem in AWKWARD:
        model.export(tmp_path / f"{stem}.c")
    for compiler in COMPILERS:
        run(compiler, *STRICT, "-c", *(f"./{stem}.c" for stem in AWKWARD), cwd=tmp_path)


@pytest.mark.parametrize("name", ['say "hi".c', "back\\slash.c", "line\nbreak.c", "what??!.c"])
def test_names_that_c_cannot_include(name, tmp_path):
    with pytest.raises(ValueError, match="without quotes, backslashes"):
        mlp(3, (2, None)).export(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.txt", "model", "model.C", ".c"])
def test_the_ending_is_c(name, tmp_path):
    with pytest.raises(ValueError, match=r"must end in '\.c'"):
        mlp(3, (2, None)).export(tmp_path / name, format="c")
    assert not list(tmp_path.iterdir())


NASTY = ["*/ int broken; /*", "é", "two\nlines", "??/", "back\\", "//", 'quote"', "\ud800"]


@needs_compiler
def test_no_name_breaks_a_comment(tmp_path):
    steps = program(mlp(len(NASTY), (2, None)))
    write(steps._replace(name="".join(NASTY), input_names=NASTY), str(tmp_path / "model.c"))
    for compiler in COMPILERS:
        run(compiler, *STRICT, "-c", "model.c", cwd=tmp_path)
    for text in ((tmp_path / name).read_text("ascii") for name in ("model.c", "model.h")):
        assert [json.loads(line) for line in re.findall(r'^ +\[\d+\] (".*")$', text, re.MULTILINE)] == NASTY


# ---- what stands in the files --------------------------------------------------------------------


def test_the_comment_counts_a_plain_network(tmp_path):
    mlp(5, (64, "tanh"), (32, "relu"), (3, "softmax")).export(tmp_path / "model.c")
    text = (tmp_path / "model.c").read_text()
    parameters = (5 * 64 + 64) + (64 * 32 + 32) + (32 * 3 + 3)
    products = 5 * 64 + 64 * 32 + 32 * 3
    assert stated(text) == {
        "parameters": parameters,
        "constants": 4 * parameters,
        "stack": 4 * (64 + 32),
        "multiply-adds": products,
        "operations": 2 * products + 64 + 32 + 3,
    }
    for line in ("dense, 5 -> 64", "tanh, 64", "dense, 64 -> 32", "relu, 32", "dense, 32 -> 3", "softmax, 3"):
        assert line in text
    assert keras.__version__ in text


def test_the_comment_counts_what_is_there(library):
    """Numbers between braces, bytes of arrays on the stack, and products by the shapes of kernels."""
    for name, found in library.programs.items():
        text = (library.folder / f"{name}.c").read_text()
        constants = re.findall(r"^static const \w+ \w+\[.*?^\};", text, re.MULTILINE | re.DOTALL)
        numbers = sum(len(re.findall(r"-?0x[01][.\w]*p[+-]\d+", block)) for block in constants)
        scratch = sum(
            int(size)
            for size in re.findall(r"^    (?:float|double) buffer_\d+\[(\d+)\];", text, re.MULTILINE)
        )
        kernels = [step.kernel.size for step in found.steps if hasattr(step, "kernel")]
        counts = stated(text)
        assert counts["parameters"] == numbers
        assert counts["constants"] == numbers * found.dtype.itemsize
        assert counts["stack"] == scratch * found.dtype.itemsize
        assert counts["multiply-adds"] == sum(kernels)
        assert counts["operations"] >= 2 * sum(kernels)


OPERATIONS = {  # a value
    "batch": 3,
    "layer": 7,  # sum, less the mean, squared, summed, by the deviation, times gamma, plus beta
    "layer_center": 6,
    "layer_scale": 6,
    "layer_plain": 5,
    "rms": 4,
    "prelu": 2,
    "rescaling": 2,
    "normalization": 2,
    "softmax": 1,
    "relu": 1,
    "dropout": 0,
    "residual_of_nothing": 1,
    "residual": 3,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_comment_counts_operations(library, name):
    text = (library.folder / f"{name}_last_float32.c").read_text()
    assert stated(text)["operations"] == 2 * 3 * 5 + 5 * OPERATIONS[name]


def test_float_models_compute_in_float(library):
    """A constant or function of double would cost a machine without one dearly, and no warning tells."""
    for name, found in library.programs.items():
        text = re.sub(r"/\*.*?\*/", "", (library.folder / f"{name}.c").read_text(), flags=re.DOTALL)
        reals = re.findall(r"\b(?:0x[\da-f.]+p[+-]?\d+|\d+\.\d*(?:e[+-]?\d+)?|\d+e\d+)(f?)\b", text)
        calls = re.findall(r"\b(?:exp|expm1|log|log1p|tanh|erfc|fabs|sqrt)(f?)\(", text)
        assert set(reals + calls) <= {"f" if found.dtype == np.float32 else ""}, name
        assert ("double" in text) == (found.dtype == np.float64), name


@pytest.mark.parametrize("value", [0.1, -1.0, 0.0, -0.0, 1e-42, 3.4e38, 2**-149, np.pi])
def test_weights_stand_there_to_the_bit(value, tmp_path, dtype):
    model = mlp(1, (1, None), dtype=dtype.name)
    model.set_weights([np.array([[value]], dtype), np.zeros(1, dtype)])
    model.export(tmp_path / "model.c")
    text = re.search(r"kernel_1\[1\]\[1\] = \{\s*\{(.*?)\}", (tmp_path / "model.c").read_text())[1]
    found = dtype.type(float.fromhex(text.removesuffix("f")))
    assert text.endswith("f") == (dtype == np.float32)
    assert found.tobytes() == dtype.type(value).tobytes()


def test_lines_are_not_long(library):
    for path in library.folder.glob("random_*.[ch]"):
        assert max(map(len, path.read_text().splitlines())) <= 120, path


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value, tmp_path):
    model = mlp(3, (4, "relu"), (2, None))
    weights = model.get_weights()
    weights[2][1, 1] = value
    model.set_weights(weights)
    with pytest.raises(ValueError, match=r"'dense, 4 -> 2' has NaN or infinity.*train the model again"):
        model.export(tmp_path / "model.c")
    assert not list(tmp_path.iterdir())


def test_an_infinite_parameter_is_written(tmp_path):
    model = mlp(2, (3, keras.activations.relu.with_arguments(threshold=1.0)))
    model.export(tmp_path / "model.c")
    assert "-HUGE_VALF, HUGE_VALF" in (tmp_path / "model.c").read_text()


# ---- memory --------------------------------------------------------------------------------------


def test_a_plain_network_takes_two_buffers_in_turns():
    model = mlp(9, *[(units, "tanh") for units in (30, 20, 10, 40)], (1, None))
    moves, buffers = arrange(program(model).steps, 9)
    assert buffers == {"buffer_0": 30, "buffer_1": 40}
    assert (moves[0].source, moves[-1].target) == ("input", "output")


def test_one_layer_takes_none():
    _, buffers = arrange(program(mlp(9, (4, "softmax"))).steps, 9)
    assert buffers == {}


@pytest.mark.parametrize("depth", range(5))
def test_an_open_block_takes_one_more(depth):
    dense = program(mlp(6, (6, None))).steps
    steps = [*dense, *[Split(), *dense] * depth, *[Add()] * depth, *dense]
    moves, buffers = arrange(steps, 6)
    assert len(buffers) == depth + 1
    assert sum(move.step is not None for move in moves) == len(steps) - depth


# ---- files ---------------------------------------------------------------------------------------


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_same_model_makes_the_same_bytes(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from c_programs import random_model
random_model(7)[0].export("model.c")
"""
    found = []
    for seed in "12":
        folder = tmp_path / seed
        folder.mkdir()
        run_python(
            code, cwd=folder, PYTHONHASHSEED=seed, PYTHONPATH=os.pathsep.join(p for p in sys.path if p)
        )
        found.append(contents(folder))
    assert found[0] == found[1]
    random_model(7)[0].export(tmp_path / "model.c")
    assert contents(tmp_path) == found[0]


def test_training_on_leaves_the_header_alone(tmp_path):
    model = mlp(3, (4, "tanh"), (2, None))
    model.export(tmp_path / "model.c")
    before, state = contents(tmp_path), os.stat(tmp_path / "model.h")
    set_weights(model, np.random.default_rng(1))
    model.export(tmp_path / "model.c")
    after = contents(tmp_path)
    assert before["model.h"] == after["model.h"]
    assert before["model.c"] != after["model.c"]
    assert os.stat(tmp_path / "model.h").st_ino == state.st_ino


@needs_compiler
def test_files_of_two_exports_never_make_a_wrong_program(tmp_path):
    """Whatever came in between: a header and a source that fit compile, others stop."""

    def export(units, inputs, dtype="float32"):
        mlp(inputs, (units, "tanh"), (2, None), dtype=dtype).export(tmp_path / "model.c")
        return contents(tmp_path)

    def compiles(header, source):
        (tmp_path / "model.h").write_bytes(header["model.h"])
        (tmp_path / "model.c").write_bytes(source["model.c"])
        done = subprocess.run(
            [COMPILERS[0], *STRICT, "-c", "model.c"], cwd=tmp_path, capture_output=True, text=True
        )
        return done.returncode == 0, done.stderr

    small, wide, other, double = export(4, 3), export(9, 3), export(4, 5), export(4, 3, "float64")
    assert compiles(small, wide)[0]
    assert compiles(wide, small)[0]
    for header, source in ((other, small), (small, other)):
        fits, said = compiles(header, source)
        assert not fits
        assert "other columns: export both files again" in said
    assert not compiles(double, small)[0]


def test_both_files_stay_as_they_were_when_the_source_cannot_be_written(tmp_path):
    (tmp_path / "model.h").write_text("old")
    (tmp_path / "model.c").mkdir()
    with pytest.raises(OSError, match="model"):
        mlp(3, (2, None)).export(tmp_path / "model.c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.c", "model.h"]
    assert (tmp_path / "model.h").read_text() == "old"
    (tmp_path / "model.h").unlink()
    with pytest.raises(OSError, match="model"):
        mlp(3, (2, None)).export(tmp_path / "model.c")
    assert [p.name for p in tmp_path.iterdir()] == ["model.c"]


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        mlp(3, (2, None)).export(tmp_path / "nowhere" / "model.c")
    assert not list(tmp_path.iterdir())


def test_no_space_left_leaves_the_old_pair(tmp_path):
    """A limit on the size of files, which the header keeps and the source does not."""
    pytest.importorskip("resource")
    mlp(3, (2, None)).export(tmp_path / "model.c")
    before = contents(tmp_path)
    code = f"""
import resource, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from support import mlp
model = mlp(40, (40, "relu"), (2, None))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    model.export("model.c")
except OSError as error:
    print("refused", error.errno)
"""
    path = os.pathsep.join(p for p in sys.path if p)
    assert run_python(code, cwd=tmp_path, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1").startswith("refused")
    assert contents(tmp_path) == before


# ---- the page ------------------------------------------------------------------------------------


@needs_compiler
def test_the_page_leads_to_a_program(tmp_path, monkeypatch):
    page = PAGE.read_text()
    blocks = {
        language: re.search(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]
        for language in ("python", "c", "sh")
    }
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(blocks["python"], names)
    (tmp_path / "main.c").write_text(blocks["c"])
    said = run("sh", "-e", "-c", blocks["sh"].replace("cc ", f"{COMPILERS[0]} ", 1), cwd=tmp_path)
    want = names["model"].predict(np.array([[0.5, -1.0]], "float32"), verbose=0)
    assert float(said) == pytest.approx(float(want[0, 0]), abs=2e-6)
