#!/usr/bin/env python
"""The threads under ThreadSanitizer: 0 reports, nothing of fastnn's suppressed.

    python tests/reliability/races.py                  # race_work.py: every kind of phase, and Python threads
    python tests/reliability/races.py tests/kernels    # and after that pytest with these arguments
    python tests/reliability/races.py --quick          # race_work.py on one instruction set only

builds a copy of the tree with clang, and a program that is Python and ThreadSanitizer at once. clang's OpenMP
runtime tells the sanitizer through archer what its regions order; gcc's does not, and would look like a race
at every one. Only calls that this runtime itself makes into the C library are left out. First of all, races
that are meant must be reported: of Python threads, of a team, and of a build whose barriers order nothing.
Needs clang with its run-time libraries and its OpenMP (Debian: clang, libomp-dev), and what
`pip install -e '.[dev]'` installs.
"""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from pathlib import Path

import special

REPORT = "WARNING: ThreadSanitizer"
# More than -O1 would make code of 32 bytes and more at once, which clang's sanitizer leaves out.
FLAGS = ["-fsanitize=thread", "-gline-tables-only", "-fno-omit-frame-pointer", "-O1"]
# What the C kernels do with vectors and with AMX's tiles is left out too, unless it is said.
WRAPPER = """#!/bin/sh
case "$*" in
*csrc/isa_*.c*) set -- "$@" -include {headers}/watched_vectors.h ;;
*kernels/epoch.c*) set -- "$@" $FASTNN_EPOCH_FLAGS ;;
esac
exec {compiler} "$@" {flags} -DFASTNN_AMX_MODEL='"{headers}/amx_model.h"'
"""
# For a race that is meant: barriers that hold threads up but order none of what these write.
UNORDERED = "#include <stdatomic.h>\n" + "".join(
    f"#define memory_order_{order} memory_order_relaxed\n" for order in ("acquire", "release", "acq_rel")
)
MAIN = "#include <Python.h>\nint main(int argc, char **argv) { return Py_BytesMain(argc, argv); }\n"
# What the OpenMP runtime, which is not instrumented, does with mutexes of its own.
SUPPRESSED = "called_from_lib:libomp.so\n"
# It asserts a speed, which AMX's tiles in watched plain C do not have.
TIMED = ["--deselect", "tests/kernels/test_reduced.py::test_kinds"]


def build(tree, compiler):
    """Build the extensions in the tree."""
    text = WRAPPER.format(compiler=compiler, flags=" ".join(FLAGS), headers=tree / "tests/csrc")
    # setup.py builds all anew where the compiler has another name
    wrapper = tree / "build" / f"compiler-{zlib.crc32(text.encode()):08x}"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(text)
    wrapper.chmod(0o755)
    special.build(tree, CC=str(wrapper))
    return wrapper


def build_unordered(tree, wrapper, folder):
    """Return a copy of the built tree where barriers order nothing."""
    header, copy = folder / "unordered.h", folder / "unordered"
    header.write_text(UNORDERED)
    shutil.copytree(tree, copy, symlinks=True)
    for made in (*copy.rglob("epoch.o"), *copy.rglob("epoch.*.so")):
        made.unlink()
    special.build(copy, CC=str(wrapper), FASTNN_EPOCH_FLAGS=f"-include {header}")
    return copy


def build_python(folder, compiler):
    """Link Python's library to a program that begins with the sanitizer; return its path."""
    (folder / "main.c").write_text(MAIN)
    known = sysconfig.get_config_vars()
    where = [known["LIBDIR"], known["LIBPL"]]
    libraries = [f"-lpython{known['LDVERSION']}", *known["LIBS"].split(), *known["SYSLIBS"].split()]
    paths = [word for path in where for word in (f"-L{path}", f"-Wl,-rpath,{path}")]
    flags = [*FLAGS, f"-I{sysconfig.get_path('include')}", *paths, *libraries, "-Wl,--export-dynamic"]
    special.run(*compiler.split(), "main.c", *flags, "-o", "python", cwd=folder)
    return folder / "python"


def archer():
    """Return the library through which OpenMP talks to the sanitizer; ends here where there is none."""
    found = sorted(Path("/usr/lib").glob("**/libarcher.so"))
    if not found:
        sys.exit("libarcher.so is not there; it comes with clang's OpenMP runtime (Debian: libomp-dev)")
    return str(found[-1])


def steady():
    """Words before a command: the sanitizer has no room for addresses drawn as widely as newer kernels do."""
    words = ["setarch", os.uname().machine, "-R"]
    allowed = shutil.which("setarch") and subprocess.run([*words, "true"], check=False).returncode == 0
    return words if allowed else []


class Watched:
    """The program, to be run on Python files."""

    def __init__(self, program, folder):
        self.log = folder / "report"
        (folder / "suppressed").write_text(SUPPRESSED)
        options = f"suppressions={folder}/suppressed:log_path={self.log}:exitcode=0:history_size=4"
        self.command = [*steady(), str(program)]
        self.packages = [*site.getsitepackages(), site.getusersitepackages()]
        self.environment = {
            **os.environ,
            "OMP_TOOL_LIBRARIES": archer(),
            "TSAN_OPTIONS": options,
            "OPENBLAS_NUM_THREADS": "1",
        }

    def run(self, tree, *arguments, **environment):
        """Run it; return its exit status, and the reports of it and of the processes that it started."""
        path = os.pathsep.join([str(tree), *self.packages])
        env = {**self.environment, "PYTHONPATH": path, **environment}
        status = subprocess.run([*self.command, *arguments], cwd=tree, env=env, check=False).returncode
        reports = []
        for path in sorted(self.log.parent.glob(f"{self.log.name}.*")):
            reports += path.read_text(errors="replace").split("==================\n")
            path.unlink()
        return status, [text for text in reports if REPORT in text]


def try_checkers(watched, tree, unordered, isa):
    """Run what is meant to race; end here if any of it is not reported."""
    work = "tests/reliability/race_work.py"
    for where, name in ((tree, "control-threads"), (tree, "control-team"), (unordered, "control-barriers")):
        status, reports = watched.run(where, work, name, FASTNN_ISA=isa)
        if status or not reports:
            sys.exit(f"{isa}: the race of {name} was not reported (exit status {status})")
        print(f"{isa}: {name}: {len(reports)} reports, as is meant", flush=True)


def main():
    """Build, watch, and say what was reported; returns whether anything was wrong."""
    made = special.parser(__doc__, "All further arguments are pytest's, which runs after race_work.py.")
    made.add_argument("--clang", default="clang", help="the compiler (clang)")
    made.add_argument("--quick", action="store_true", help="race_work.py on one instruction set only")
    asked, arguments = made.parse_known_args()
    with special.copied_tree(asked.folder) as tree, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wrapper = build(tree, asked.clang)
        unordered = build_unordered(tree, wrapper, folder)
        if asked.build_only:
            return False
        watched = Watched(build_python(folder, asked.clang), folder)
        code = "from fastnn.kernels import runtime; print(*runtime.instruction_sets())"
        sets = special.run(*watched.command, "-c", code, cwd=tree, env=watched.environment).split()
        found, failed = [], 0
        for isa in sets[:1] if asked.quick else sets:
            try_checkers(watched, tree, unordered, isa)
            status, reports = watched.run(tree, "tests/reliability/race_work.py", FASTNN_ISA=isa)
            found += reports
            failed += bool(status)
        if arguments:
            words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *TIMED, *arguments]
            status, reports = watched.run(tree, *words)
            found += reports
            failed += bool(status)
    print("\n".join(found[:20]))
    print(f"ThreadSanitizer: {len(found)} reports; {failed} runs failed")
    return bool(found or failed)


if __name__ == "__main__":
    sys.exit(main())
