"""The house: imports point downward, OpenMP lives in kernels/ only, C knows no Python, the tables agree."""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from oracle import PARAMETERS, SPECIFICATIONS
from support import run_python

import fastnn
import fastnn.kernels as k
from fastnn.metrics.rows import ROWS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fastnn"
CSRC = ROOT / "csrc"

# From top to bottom; a module imports only what stands in its own line or below. A new module needs a line.
FLOORS = [
    "__main__",
    "cli",
    "_demo _bench _tabular",
    "__init__",
    "model_selection",
    "estimators wrappers convert",
    "many",
    "models parts",
    "preparing",
    "batch_loop judging range_test",
    "training_loop",
    "watch",
    "stack compiling callbacks inference cloning suspects loops exporting files resuming saving",
    "engine gradient_statistics",
    "results",
    "metric_list",
    "history hooks progress summary plotting",
    "layers losses metrics optimizers activations initializers regularizers constraints",
    "data config utils registry names seeds variables errors batches frames class_weights vocabulary "
    "atomic locks _version",
    "kernels",
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}
# What may be used everywhere, kernels included: it knows nothing but itself.
EVERYWHERE = {"_version", "errors"}


def module_of(path):
    """The name under fastnn that a file belongs to: models.py -> models, layers/dense.py -> layers."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path):
    """The modules under fastnn that a Python file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "fastnn":
                yield parts[1] if len(parts) > 1 and parts[1] in FLOOR else "__init__"


PYTHON = sorted(PACKAGE.rglob("*.py"))
needs_checkout = pytest.mark.skipif(not CSRC.is_dir(), reason="needs the checkout")


@pytest.mark.parametrize("path", PYTHON, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    own = module_of(path)
    assert own in FLOOR, f"{own} has no floor yet: add it to FLOORS"
    for other in imported(path):
        assert FLOOR[other] >= FLOOR[own] or other in EVERYWHERE, (
            f"{own} imports {other}, which stands above it"
        )


@pytest.mark.parametrize(
    "path", sorted([*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")]), ids=lambda p: p.name
)
def test_cython_imports_only_kernels(path):
    assert path.parent.name == "kernels"
    found = re.findall(
        r"^\s*(?:c?import|from)\s+(fastnn[\w.]*)(?:\s+c?import\s+([\w, ]+))?", path.read_text(), re.MULTILINE
    )
    for module, names in found:
        parts = module.split(".")
        inner = parts[1] if len(parts) > 1 else names.split(",")[0].strip()
        assert inner == "kernels" or inner in EVERYWHERE, f"{path.name} imports {module} {names}"


@needs_checkout
def test_openmp_stands_in_kernels_only():
    words = re.compile(r"\bprange\b|cython\.parallel|\bomp_\w+|#\s*pragma\s+omp|omp\.h|pthread_create")
    files = [p for suffix in ("py", "pyx", "pxd", "pxi") for p in PACKAGE.rglob(f"*.{suffix}")]
    files += [p for p in CSRC.rglob("*") if p.is_file()]
    found = [p for p in files if words.search(p.read_text()) and p.parent != PACKAGE / "kernels"]
    assert not found


@needs_checkout
def test_c_knows_no_python():
    for path in CSRC.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "Python.h" not in text, path
            assert "PyObject" not in re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL), path


@needs_checkout
def test_no_flag_or_function_that_changes_numbers():
    banned = re.compile(r"-ffast-math|-Ofast|-funsafe-math|-march=native|omp_set_num_threads")
    for path in [ROOT / "setup.py", *PACKAGE.rglob("*.pyx"), *CSRC.rglob("*.[ch]")]:
        code = re.sub(r'/\*.*?\*/|""".*?"""', "", path.read_text(), flags=re.DOTALL)
        lines = [line for line in code.splitlines() if not line.lstrip().startswith(("#", "//"))]
        assert not any(banned.search(line) for line in lines), path


@needs_checkout
def test_one_extension_links_csrc():
    """Two would each have their own choice of instruction set: csrc's names stand in one shared object."""
    objects = sorted((PACKAGE / "kernels").glob("*.so"))
    if not objects:
        pytest.skip("installed elsewhere")
    linked = [
        path.name
        for path in objects
        if b"no such kernel" in path.read_bytes() or _defines(path, "fnn_kernels_for")
    ]
    assert len(linked) <= 1, linked


def _defines(path, symbol):
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm")
    out = subprocess.run([nm, "-a", str(path)], capture_output=True, text=True, check=False).stdout
    return any(re.search(rf" [tT] {symbol}$", line) for line in out.splitlines())


# ---- the tables: one line an operation, on both sides --------------------------------------------


def lines_of(name, macros):
    return re.findall(rf"^(?:{macros})\((\w+)", (CSRC / name).read_text(), re.MULTILINE)


@needs_checkout
def test_tables_in_c_and_in_the_extension_list_the_same_names():
    assert set(lines_of("activations.def", "ELEMENTWISE|ROWWISE")) == set(k.ACTIVATIONS)
    losses = {re.sub("_logits$", "", name) for name in lines_of("losses.def", "ELEMENTWISE|ROWWISE")}
    assert losses == set(k.LOSSES)
    assert set(lines_of("metrics.def", "METRIC")) == set(k.METRICS) - losses
    assert lines_of("optimizers.def", "OPTIMIZER|DIRECTION") == list(k.OPTIMIZERS)
    variants = re.findall(r"^VARIANT\((\w+), (\w+),", (CSRC / "optimizers.def").read_text(), re.MULTILINE)
    assert {of for _, of in variants} == {"sgd", "rmsprop", "adam", "ftrl"}
    assert all(name.startswith(f"{of}_") for name, of in variants)


def test_declarations_in_python_list_the_same_names():
    for table, module in (
        (k.LOSSES, fastnn.losses),
        (k.OPTIMIZERS, fastnn.optimizers),
    ):
        for name in table:
            assert module.get(name) is not None, f"{module.__name__} does not know {name}"
    assert set(ROWS) == set(k.METRICS)


@needs_checkout
def test_metrics_take_the_same_targets_in_c_and_in_python():
    lines = re.findall(
        r"^METRIC\((\w+), FNN_TARGETS_(\w+),", (CSRC / "metrics.def").read_text(), re.MULTILINE
    )
    assert {name: kind.lower() for name, kind in lines} == ROWS


@needs_checkout
def test_activations_in_python_list_the_same_names():
    """A line in C and an entry in Python: what they say of each agrees."""
    forms = {name: form for name, form in fastnn.activations.FORMS.items() if form.compiled}
    assert set(forms) == set(k.ACTIVATIONS)
    for name, form in forms.items():
        assert form.reads == k.activation_reads(name), name
    lines = re.findall(
        r"^ELEMENTWISE\((\w+), \w+, (\d)", (CSRC / "activations.def").read_text(), re.MULTILINE
    )
    assert {name: int(count) for name, count in lines if count != "0"} == {
        name: len(p[0]) for name, p in PARAMETERS.items()
    }
    for name, count in lines:
        assert k.activation_parameter_count(name) == int(count)


def test_optimizers_in_python_list_the_same_names_and_numbers():
    from fastnn.kernels.optimizers import HYPER

    classes = [c for c in fastnn.optimizers.TABLE.values() if "native" in vars(c)]
    assert sorted(c.native for c in classes) == sorted(k.OPTIMIZERS)
    for c in classes:
        own = c.hypers.keys() - {"weight_decay", "clipvalue"}
        taken = inspect.signature(c).parameters
        assert {name: taken[name].default for name in own} == HYPER[c.native], c


# What else is native and names one: shortest steps, steps of vectors beside Muon's, what two lines share.
NAMED = {"sgd": {"csrc.pxd", "optimizers.pyx"}, "adam": {"csrc.pxd", "optimizers.pyx", "pieces.pyx"}}
NAMED["ftrl"] = {"optimizers.h"}


@needs_checkout
@pytest.mark.parametrize("name", k.OPTIMIZERS)
def test_an_optimizer_is_an_entry_in_c_and_one_in_python(name):
    """Whatever else is native knows no optimizer by its name."""
    word = re.compile(rf"(?:\b|FNN_OPTIMIZER_){name}\b", re.IGNORECASE)
    comment = re.compile(r'/\*.*?\*/|""".*?"""|(?:^|\s)#\s[^\n]*', re.DOTALL | re.MULTILINE)
    code = [p for ending in ("c", "h", "inc", "def") for p in CSRC.glob(f"*.{ending}")]
    code += [p for ending in ("pyx", "pxd", "py") for p in (PACKAGE / "kernels").glob(f"*.{ending}")]
    said = {p.name for p in code if word.search(comment.sub("", p.read_text()))}
    assert said == {"optimizers.def"} | NAMED.get(name, set())
    python = [p for p in (PACKAGE / "optimizers").glob("*.py") if f'native = "{name}"' in p.read_text()]
    assert len(python) == 1


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_declared_activations_are_what_is_computed(specification, rng):
    import numpy as np

    name, p = (specification, ()) if isinstance(specification, str) else specification
    form = fastnn.activations.FORMS[name]
    z, da = rng.normal(size=(7, 5)) * 2, rng.normal(size=(7, 5))
    a = k.activation_forward(name, z, parameters=p)
    np.testing.assert_allclose(form.function(z, *p), a, rtol=1e-6, atol=1e-7)
    read = z if form.reads == "input" else a
    dz = form.rowwise(read, da) if form.rowwise else da * form.derivative(read, *p)
    np.testing.assert_allclose(dz, k.activation_backward(name, read, da, parameters=p), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", k.LOSSES)
def test_declared_losses_are_what_is_computed(name, rng):
    import numpy as np
    from support import targets

    a = rng.dirichlet(np.ones(4), size=9)
    y = targets(name, rng, 9, 4)
    function = fastnn.losses.TABLE[name].function
    options = {"q": 0.5} if "generalized" in name else {"axis": -1} if name == "tversky" else {}
    declared = np.asarray(function(y, a, **options))
    np.testing.assert_allclose(declared.mean(), k.loss_forward(name, y, a).mean(), rtol=1e-5)


# ---- importing -----------------------------------------------------------------------------------


def test_importing_imports_no_extras():
    extras = ("matplotlib", "safetensors", "sklearn", "pandas", "scipy", "IPython")
    code = f"import sys, fastnn; print([m for m in {extras} if m in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_importing_is_quick():
    """0.15 s is the aim, and bench/ measures it; here only that nothing heavy crept in."""
    code = "import time, numpy; s = time.perf_counter(); import fastnn; print(time.perf_counter() - s)"
    assert min(float(run_python(code)) for _ in range(3)) < 1.0


def test_importing_starts_no_threads():
    if not os.path.exists("/proc/self/task"):
        pytest.skip("reads /proc")
    code = """
import os, numpy
before = len(os.listdir("/proc/self/task"))
import fastnn
print(len(os.listdir("/proc/self/task")) - before)
"""
    assert run_python(code, OPENBLAS_NUM_THREADS="1").strip() == "0"


@needs_checkout
def test_an_unbuilt_tree_says_what_to_do(tmp_path):
    shutil.copytree(
        PACKAGE, tmp_path / "fastnn", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    )
    done = subprocess.run(
        [sys.executable, "-c", "import fastnn"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "ImportError" in last or "ImportError" in done.stderr
    assert "pip install" in done.stderr


@needs_checkout
def test_modules_stay_small():
    """About 400 lines of Python, 300 of Cython and 600 of C each, docstrings and comments not counted."""
    limits = {".py": 400, ".pyx": 300, ".c": 600, ".h": 600, ".inc": 600}
    large = {}
    for path in [*PACKAGE.rglob("*"), *CSRC.rglob("*")]:
        limit = limits.get(path.suffix)
        if limit is None or "build" in path.parts:
            continue
        text = path.read_text()
        text = (
            re.sub(r'"""(?:.|\n)*?"""', "", text)
            if path.suffix in (".py", ".pyx")
            else re.sub(r"/\*(?:.|\n)*?\*/", "", text)
        )
        code = [
            line
            for line in text.splitlines()
            if line.strip() and not line.lstrip().startswith("#" if "py" in path.suffix else "//")
        ]
        if len(code) > 1.25 * limit:
            large[path.name] = len(code)
    assert not large


@pytest.mark.parametrize("name", fastnn.__all__)
def test_public_names_exist_and_are_documented(name):
    found = getattr(fastnn, name)
    if callable(found):
        assert found.__doc__, name


@needs_checkout
def test_memory_is_allocated_in_one_place():
    """Kernels allocate nothing, and everything native comes out of Arena (memory.pyx)."""
    words = re.compile(r"\b(malloc|calloc|realloc|free|alloca|aligned_alloc|posix_memalign|PyMem_\w+)\s*\(")
    sources = [*(ROOT / "csrc").iterdir(), *(ROOT / "fastnn" / "kernels").glob("*.p[yx]*")]
    found = {source.name for source in sources if words.search(source.read_text(encoding="utf-8"))}
    assert found == {"memory.pyx"}
