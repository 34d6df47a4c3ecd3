"""The native half of the build: which units there are, and with which flags each is compiled.

Everything else about the distribution stands in pyproject.toml.

Three rules shape this file:

* the results of fastnn are the same bits on every machine, so the flags that decide them are appended *after*
  whatever CFLAGS holds, and undo what could change them (``-Ofast``, ``-ffast-math``, ``-march=native``);
* code for an instruction set is compiled in a unit of its own, so that a processor without it never meets it;
* the C code is linked into exactly one extension, ``fastnn.kernels.runtime``; the others reach it by
  ``cimport``.
"""

import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError, PlatformError

RUNTIME = "fastnn.kernels.runtime"

# In this order, behind the user's own flags. The last of several -O counts, and GCC's -fno-fast-math does not
# undo the members of -ffast-math when they were given one by one: hence the list.
COMMON_FLAGS = [
    *["-O3", "-fvisibility=hidden", "-DNDEBUG", "-g0", "-fno-lto"],
    *["-fno-fast-math", "-fno-unsafe-math-optimizations", "-fno-associative-math", "-fno-reciprocal-math"],
    *[
        "-fno-finite-math-only",
        "-fsigned-zeros",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
    ],
]
C_FLAGS = ["-std=c11"]
CYTHON_FLAGS = ["-std=gnu11"]

# GCC before 13 links a start-up file that flushes denormals in the whole process where it sees one of these
# switched on, and distutils hands CFLAGS to the linker too.
LINK_FLAGS = ["-O3", "-fno-fast-math", "-fno-unsafe-math-optimizations"]

# Only what each architecture guarantees, whatever CFLAGS says. -march does not take back an explicit -mavx2.
BASELINES = {
    "__x86_64__": ["-march=x86-64", "-mtune=generic", "-mno-avx", "-mfpmath=sse"],
    "__aarch64__": ["-march=armv8-a", "-mtune=generic"],
}

# csrc/isa_<name>.c: the architecture it belongs to, its own flags, the macro that tells cpu.c it is there.
# A file of csrc/ that is not in this table belongs everywhere and gets no flags of its own.
INSTRUCTION_SETS = {
    "avx2": ("__x86_64__", ["-mavx2", "-mfma"], "FASTNN_HAVE_AVX2"),
    "avx512": (
        "__x86_64__",
        ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
        "FASTNN_HAVE_AVX512",
    ),
    "avx512bf16": (
        "__x86_64__",
        ["-mavx512bf16", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
        "FASTNN_HAVE_AVX512BF16",
    ),
    "amx": (
        "__x86_64__",
        [
            *["-mamx-tile", "-mamx-bf16", "-mavx512bf16"],
            *["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
        ],
        "FASTNN_HAVE_AMX",
    ),
    "neon": ("__aarch64__", [], "FASTNN_HAVE_NEON"),
}

CYTHON_DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "nonecheck": False,
    "embedsignature": False,
    "freethreading_compatible": True,
}

# Builds that are not for use, for tests/reliability/; their flags stand behind all others. Signed overflow
# must not wrap there, nor assertions be gone, or neither is reported. -g1 is enough for lines; with more, the
# portable kernels take gcc five minutes.
CHECKING_FLAGS = ["-O1", "-g1", "-fno-omit-frame-pointer", "-fno-wrapv", "-UNDEBUG"]
SANITIZERS = os.environ.get("FASTNN_SANITIZE", "")
COVERAGE = os.environ.get("FASTNN_COVERAGE", "0") not in ("", "0")

OPENMP_PROBE = """
#include <omp.h>
int main(void) {
    int n = 0;
#pragma omp parallel
    {
#pragma omp atomic
        n += omp_get_num_threads();
    }
    return n == 0;
}
"""


def special_flags():
    """What a build with sanitizers or for coverage adds to all flags, the linker's too."""
    flags = []
    if SANITIZERS:
        flags += [*CHECKING_FLAGS, f"-fsanitize={SANITIZERS}"]
    if COVERAGE:
        flags += ["-O0", "-g", "--coverage", "-fprofile-update=atomic", "-DFASTNN_COUNTED"]
    return flags


def posix_glob(pattern):
    return sorted(Path(name).as_posix() for name in glob(pattern))


PYX = posix_glob("fastnn/kernels/*.pyx")
PXD = posix_glob("fastnn/kernels/*.pxd")
C_SOURCES = posix_glob("csrc/*.c")
C_HEADERS = [name for ending in ("h", "inc", "def") for name in posix_glob(f"csrc/*.{ending}")]


def is_older(target, sources):
    """Whether ``target`` is missing or older than one of ``sources``."""
    target = Path(target)
    return not target.exists() or any(target.stat().st_mtime < Path(s).stat().st_mtime for s in sources)


def numpy_include_dirs():
    """NumPy's headers, only where a unit asks for them."""
    if not any("cimport numpy" in Path(name).read_text(encoding="utf-8") for name in PYX + PXD):
        return []
    import numpy

    return [numpy.get_include()]


class BuildExt(build_ext):
    """``build_ext`` that cythonizes in parallel and compiles each file of csrc/ with flags of its own."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1

    def get_source_files(self):
        return [*super().get_source_files(), *PXD, *C_SOURCES, *C_HEADERS]

    def build_extensions(self):
        if self.compiler.compiler_type != "unix":
            raise PlatformError(
                f"fastnn needs gcc or clang; it cannot be built with {self.compiler.compiler_type!r}."
            )
        os.makedirs(self.build_temp, exist_ok=True)
        self.baseline, self.instruction_sets = self.find_architecture()
        self.openmp_flags = self.find_openmp()
        self.macros = [(INSTRUCTION_SETS[name][2], "1") for name in self.instruction_sets]
        stamp = self.write_stamp()
        self.cythonize()
        for ext in self.extensions:
            ext.depends = [*PXD, *C_HEADERS, "setup.py", stamp]
            if ext.name == RUNTIME:
                ext.depends += C_SOURCES
            ext.include_dirs = ["csrc", *numpy_include_dirs()]
            ext.define_macros = (
                [*self.macros, *self.describing_macros()] if ext.name == RUNTIME else self.macros
            )
            ext.extra_compile_args = [
                *[*COMMON_FLAGS, *CYTHON_FLAGS, *self.baseline, *self.openmp_flags],
                *special_flags(),
            ]
            ext.extra_link_args = [*LINK_FLAGS, *self.openmp_flags, *special_flags()]
        super().build_extensions()

    def build_extension(self, ext):
        if ext.name == RUNTIME:
            ext.extra_objects = self.compile_c_sources(ext.depends)
        super().build_extension(ext)

    def accepts(self, code, flags, link=False):
        """Whether the compiler makes something of ``code`` with ``flags``."""
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            Path(source).write_text(code, encoding="utf-8")
            try:
                objects = self.compiler.compile([source], output_dir=folder, extra_postargs=flags)
                if link:
                    self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=flags)
            except (CompileError, LinkError):
                return False
        return True

    def find_architecture(self):
        """The architecture's baseline flags, and the instruction sets beyond it that the compiler knows."""
        for macro, baseline in BASELINES.items():
            only_here = f"#ifndef {macro}\n#error other\n#endif\nint f(void);\nint f(void) {{ return 0; }}\n"
            if self.accepts(only_here, baseline):
                known = [
                    name
                    for name, (needs, flags, _) in INSTRUCTION_SETS.items()
                    if needs == macro
                    and f"csrc/isa_{name}.c" in C_SOURCES
                    and self.accepts(only_here, [*baseline, *flags])
                ]
                return baseline, known
        return [], []

    def find_openmp(self):
        if os.environ.get("FASTNN_NO_OPENMP", "0") not in ("", "0"):
            return []
        if self.accepts(OPENMP_PROBE, ["-fopenmp"], link=True):
            return ["-fopenmp"]
        print("fastnn: this compiler has no OpenMP; building for one thread.")
        return []

    def described_flags(self):
        """The flags that decide the numbers, as ``fastnn info`` prints them."""
        return " ".join([*COMMON_FLAGS, *self.baseline, *self.openmp_flags, *special_flags()])

    def describing_macros(self):
        return [
            ("FASTNN_BUILD_FLAGS", json.dumps(self.described_flags())),
            ("FASTNN_COMPILER", "__VERSION__"),
        ]

    def write_stamp(self):
        """A file that changes when flags or compiler do: a dependency of all that is built."""
        stamp = Path(self.build_temp, "fastnn-flags.txt")
        text = "\n".join([self.described_flags(), *self.instruction_sets, *self.compiler.compiler_so, ""])
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != text:
            stamp.write_text(text, encoding="utf-8")
        return str(stamp)

    def cythonize(self):
        """Turn every .pyx into C below build/, in parallel; the source tree stays free of made files."""
        from Cython import __version__ as cython_version
        from Cython.Build import cythonize

        folder = f"build/cython-{cython_version}"
        made = [Path(folder, name).with_suffix(".c") for name in PYX]
        # Cython looks at .pyx and .pxd, not at the directives above.
        outdated = any(path.exists() and is_older(path, ["setup.py", *PXD]) for path in made)
        translated = cythonize(
            [Extension(ext.name, list(ext.sources)) for ext in self.extensions],
            build_dir=folder,
            compiler_directives=CYTHON_DIRECTIVES,
            nthreads=min(self.parallel, len(PYX)) if self.parallel > 1 else 0,
            force=bool(self.force) or outdated,
        )
        sources = {ext.name: ext.sources for ext in translated}
        for ext in self.extensions:
            ext.sources = sources[ext.name]

    def compile_c_sources(self, depends):
        """Compile what csrc/ holds for this architecture and return the object files."""
        units = []
        for source in C_SOURCES:
            name = Path(source).stem.removeprefix("isa_")
            if name not in INSTRUCTION_SETS:
                units.append((source, []))
            elif name in self.instruction_sets:
                units.append((source, INSTRUCTION_SETS[name][1]))

        def compile_unit(unit):
            source, flags = unit
            (target,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
            if self.force or is_older(target, [source, *(d for d in depends if d not in C_SOURCES)]):
                self.compiler.compile(
                    [source],
                    output_dir=self.build_temp,
                    macros=self.macros,
                    include_dirs=["csrc"],
                    extra_postargs=[*COMMON_FLAGS, *C_FLAGS, *self.baseline, *flags, *special_flags()],
                )
            return target

        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(compile_unit, units))


# Guarded, because cythonize's worker processes may import this file.
if __name__ == "__main__":
    setup(
        ext_modules=[Extension(name[: -len(".pyx")].replace("/", "."), [name]) for name in PYX],
        cmdclass={"build_ext": BuildExt},
    )
