#!/usr/bin/env python
"""The tests under AddressSanitizer and UndefinedBehaviorSanitizer: 0 reports.

    python tests/reliability/sanitized.py                   # everything; an hour and more
    python tests/reliability/sanitized.py tests/kernels     # what pytest is given
    python tests/reliability/sanitized.py --quick           # the portable kernels, by a program in C

builds a copy of the tree with gcc, with all assertions and with signed overflow that does not wrap, and runs
pytest in it. Processes that tests start are watched too. The C kernels also run in a program of their own,
where memory that is never freed is reported as well. Any report fails, as does any test. Needs what
`pip install -e '.[dev]'` installs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import special

SANITIZERS = "address,undefined,float-cast-overflow"
# Of leaks nothing here: the interpreter keeps what it has until it ends. See tests/test_memory*.py for ours.
ADDRESS = "detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1"
UNDEFINED = "print_stacktrace=1"

# The checkers are tried first: each of these must be reported.
MISTAKES = """
#include <limits.h>
#include <stdlib.h>
int overflows(int n) { return INT_MAX + n; }
int reads_behind(int n) { volatile int *a = malloc(4 * sizeof *a); a[0] = 1; return a[n + 3]; }
"""
# Preloaded as well: libasan's function of this name hides libubsan's, whose reports would go to stderr, where
# nobody may read them. Asked for by a handle, it is libubsan's own.
PATHS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
__attribute__((constructor)) static void tell_path(void)
{
    void *ubsan = dlopen("libubsan.so.1", RTLD_NOW | RTLD_NOLOAD);
    void (*set_path)(const char *) = ubsan ? dlsym(ubsan, "__sanitizer_set_report_path") : NULL;
    if (set_path && getenv("FASTNN_REPORTS"))
        set_path(getenv("FASTNN_REPORTS"));
}
"""
FLAGS = ["-O1", "-g1", "-fno-wrapv", f"-fsanitize={SANITIZERS}"]


def reports(folder):
    """Return the text of all reports there, the same one only once."""
    return sorted({path.read_text(errors="replace") for path in folder.glob("report.*")})


def watching(folder):
    """Return the environment in which a process that has our extensions reports to a folder.

    The program itself, Python, is not instrumented, so the checkers must be loaded before it; libstdc++ as
    well, or exceptions of other libraries are not found.
    """
    loaded = [special.library(name) for name in ("libasan.so", "libubsan.so", "libstdc++.so")]
    (folder / "paths.c").write_text(PATHS)
    paths = folder / "paths.so"
    special.run(*special.compiler(), "-O1", "-shared", "-fPIC", folder / "paths.c", "-ldl", "-o", paths)
    log = f"log_path={folder}/report"
    return {
        "LD_PRELOAD": " ".join([*loaded, str(paths)]),
        "FASTNN_REPORTS": f"{folder}/report",
        "ASAN_OPTIONS": f"{ADDRESS}:{log}",
        "UBSAN_OPTIONS": f"{UNDEFINED}:{log}",
    }


def try_checkers(tree, folder, env):
    """Make both kinds of mistakes in a process like those of the tests; end here if one is not reported."""
    library = folder / "mistakes.so"
    (folder / "mistakes.c").write_text(MISTAKES)
    special.run(*special.compiler(), *FLAGS, "-shared", "-fPIC", folder / "mistakes.c", "-o", library)
    for name, word in (("overflows", "signed integer overflow"), ("reads_behind", "heap-buffer-overflow")):
        code = f"import ctypes; ctypes.CDLL({str(library)!r}).{name}(1)"
        subprocess.run([sys.executable, "-c", code], env=env, check=False)
        if not any(word in text for text in reports(folder)):
            sys.exit(f"the sanitizers do not report a {word}")
    for report in folder.glob("report.*"):
        report.unlink()
    code = "from fastnn.kernels import runtime; print(runtime.build_info()['flags'])"
    flags = special.run(sys.executable, "-c", code, cwd=tree, env=env)
    if f"-fsanitize={SANITIZERS}" not in flags:
        sys.exit(f"the extensions are built without sanitizers: {flags}")


def run_driver(tree, folder, objects=()):
    """Run kernels in a program without Python, with the leak checker; end here if it reports anything.

    All of them, if they have been compiled; else those in portable C.
    """
    sys.path.insert(0, str(tree / "tests"))
    import c_kernels

    options = {
        "ASAN_OPTIONS": "detect_leaks=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }
    env = {**os.environ, **options}
    try_programs(folder, env)
    flags = [flag for flag in c_kernels.FLAGS if flag not in ("-O2", "-DNDEBUG")]
    flags += FLAGS
    machine = c_kernels.MACHINES["x86-64"]
    if not objects:
        machine = machine._replace(sets={"generic": []}, more={})
        flags.append("-O0")  # a tenth of the time that -O1 takes to compile
    kernels = c_kernels.Kernels(machine, folder, flags, objects)
    hashes = special.run(*kernels.program("hashes"), env=env)
    print(f"the C driver: {len(hashes.splitlines())} hashes, no reports, no leaks", flush=True)


def try_programs(folder, env):
    """Programs that do what must be reported; end here if one of them gets through."""
    for mistake in ("overflows(n)", "reads_behind(n)"):
        source = folder / "mistake.c"
        source.write_text(f"{MISTAKES}\nint main(int n, char **v) {{ (void)v; return {mistake} == 7; }}\n")
        special.run(*special.compiler(), *FLAGS, "-w", source, "-o", folder / "mistake")
        done = subprocess.run([folder / "mistake"], env=env, capture_output=True, text=True, check=False)
        if not done.returncode or not ("runtime error" in done.stderr or "ERROR" in done.stderr):
            sys.exit(f"{mistake} was not reported: {done.stderr}")


def main():
    """Build, run, report; the exit status is 0 if there was nothing to report."""
    parser = special.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a program in C, and no build")
    options, arguments = parser.parse_known_args()
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            run_driver(special.ROOT, Path(folder))
        return
    with special.copied_tree(options.folder) as tree, tempfile.TemporaryDirectory() as folder:
        said = Path(folder)
        special.build(tree, FASTNN_SANITIZE=SANITIZERS)
        if options.build_only:
            return
        watched = watching(said)
        try_checkers(tree, said, {**os.environ, **watched})
        if os.uname().machine == "x86_64":
            run_driver(tree, said, sorted(tree.glob("build/temp*/csrc/*.o")))
        status = special.pytest(tree, arguments, **watched)
        found = reports(said)
        print("\n".join(text[:4000] for text in found[:50]))
        print(f"sanitizers: {len(found)} different reports; tests: exit status {status}")
        sys.exit(bool(status or found))


if __name__ == "__main__":
    main()
