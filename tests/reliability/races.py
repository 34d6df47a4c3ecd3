"""The threads under ThreadSanitizer: 0 reports, nothing of fastnn's suppressed.

    python tests/reliability/races.py                  # race_work.py: every kind of phase, and Python threads
    python tests/reliability/races.py tests/kernels    # and after that pytest with these arguments

builds a copy of the tree with clang, and a program that is Python and ThreadSanitizer at once. clang's OpenMP
runtime tells the sanitizer through archer what its barriers order; gcc's does not, and would look like a race
at every one. Only calls that this runtime itself makes into the C library are left out. First of all, a
race that is meant must be reported. Needs Debian's clang and libomp-dev (or the like), and what
`pip install -e '.[dev]'` installs.
"""

import argparse
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REPORT = "WARNING: ThreadSanitizer"
FLAGS = ["-fsanitize=thread", "-gline-tables-only", "-fno-omit-frame-pointer", "-O1"]
MAIN = "#include <Python.h>\nint main(int argc, char **argv) { return Py_BytesMain(argc, argv); }\n"
# What the OpenMP runtime, which is not instrumented, does with mutexes of its own.
SUPPRESSED = "called_from_lib:libomp.so\n"


def copied(folder):
    """Copy the files that git knows or would add, and return where."""
    tree = folder / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    names = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    if not names:  # no checkout
        parts = [ROOT / part for part in ("setup.py", "pyproject.toml", "fastnn", "csrc", "tests")]
        files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*"))]
        names = [
            file.relative_to(ROOT) for file in files if file.suffix not in (".so", ".pyc") and file.is_file()
        ]
    for name in names:
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


def build(folder, compiler):
    """Build the extensions and the program; return the tree and the program."""
    tree, wrapper = copied(folder), folder / "compiler"
    wrapper.write_text(f'#!/bin/sh\nexec {compiler} "$@" {" ".join(FLAGS)}\n')
    wrapper.chmod(0o755)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tree,
        env={**os.environ, "CC": str(wrapper)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (folder / "main.c").write_text(MAIN)
    program = folder / "python"
    known = sysconfig.get_config_vars()
    where = [known["LIBDIR"], known["LIBPL"]]
    libraries = [f"-lpython{known['LDVERSION']}", *known["LIBS"].split(), *known["SYSLIBS"].split()]
    paths = [word for path in where for word in (f"-L{path}", f"-Wl,-rpath,{path}")]
    include = sysconfig.get_path("include")
    command = [
        *compiler.split(),
        *FLAGS,
        "main.c",
        f"-I{include}",
        *paths,
        *libraries,
        "-Wl,--export-dynamic",
    ]
    subprocess.run([*command, "-o", program], cwd=folder, check=True)
    return tree, program


def archer():
    """Return the library through which OpenMP talks to the sanitizer; raises where there is none."""
    found = sorted(Path("/usr/lib").glob("**/libarcher.so"))
    if not found:
        raise SystemExit(
            "libarcher.so is not there; it comes with clang's OpenMP runtime (Debian: libomp-dev)"
        )
    return str(found[-1])


class Watched:
    """The program, to be run on Python files."""

    def __init__(self, tree, program, folder):
        self.tree, self.program, self.log = tree, program, folder / "report"
        (folder / "suppressed").write_text(SUPPRESSED)
        options = f"suppressions={folder}/suppressed:log_path={self.log}:exitcode=0:history_size=4"
        packages = [*site.getsitepackages(), site.getusersitepackages()]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tree), *packages]),
            "OMP_TOOL_LIBRARIES": archer(),
            "TSAN_OPTIONS": options,
            "OPENBLAS_NUM_THREADS": "1",
        }

    def run(self, *arguments):
        """Run it; return its exit status, and the reports of it and of the processes that it started."""
        # The sanitizer has no room for addresses drawn at random as widely as newer kernels do.
        command = ["setarch", os.uname().machine, "-R", str(self.program), *map(str, arguments)]
        status = subprocess.run(command, cwd=self.tree, env=self.environment, check=False).returncode
        reports = []
        for path in sorted(self.log.parent.glob(f"{self.log.name}.*")):
            reports += path.read_text(errors="replace").split("==================\n")
            path.unlink()
        return status, [text for text in reports if REPORT in text]


def main():
    """Build, watch, and say what was reported; returns whether anything was wrong."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--folder", type=Path, help="to build in, and to keep")
    made.add_argument("--clang", default="clang", help="the compiler (clang)")
    asked, arguments = made.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        watched = Watched(*build(folder, asked.clang), folder)
        work = watched.tree / "tests/reliability/race_work.py"
        status, reports = watched.run(work, "control")
        if status or not reports:
            raise SystemExit(f"the race that is meant was not reported (exit status {status})")
        status, reports = watched.run(work)
        wrong = bool(status)
        if arguments:
            status, more = watched.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)
            wrong |= bool(status)
            reports += more
    print("\n".join(reports[:20]))
    print(f"ThreadSanitizer: {len(reports)} reports; exit status {status}")
    return wrong or bool(reports)


if __name__ == "__main__":
    sys.exit(main())
