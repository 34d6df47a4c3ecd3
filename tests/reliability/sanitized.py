#!/usr/bin/env python
"""The tests under AddressSanitizer and UndefinedBehaviorSanitizer: 0 reports.

    python tests/reliability/sanitized.py                       # everything, some hours
    python tests/reliability/sanitized.py tests/kernels         # what pytest is given

builds a copy of the tree with gcc, with signed overflow that does not wrap and with all assertions, and runs
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
# Leaks: the interpreter keeps what it has to its end.
ADDRESS = "detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1"
UNDEFINED = "print_stacktrace=1"


def reports(folder):
    """Return the text of all reports there, the same one only once."""
    return sorted({path.read_text(errors="replace") for path in Path(folder).glob("report.*")})


def preloaded():
    """Return what must be loaded before Python: libstdc++ too, for other extensions' exceptions."""
    return " ".join(special.library(name) for name in ("libasan.so", "libubsan.so", "libstdc++.so"))


def run_driver(tree, folder):
    """Compile tests/csrc/hashes.c with all units, run it with the leak checker; return whether it passed."""
    sys.path.insert(0, str(tree / "tests"))
    from c_kernels import FLAGS, MACHINES, Kernels

    flags = [flag for flag in FLAGS if flag not in ("-O2", "-DNDEBUG")]
    flags += ["-O1", "-g1", "-fno-wrapv", f"-fsanitize={SANITIZERS}"]
    command = Kernels(MACHINES["x86-64"], folder, flags).program("hashes")
    options = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": f"halt_on_error=1:{UNDEFINED}"}
    env = {**os.environ, **options}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    lines = len(done.stdout.splitlines())
    print(f"the C driver: {lines} hashes, exit status {done.returncode}\n{done.stderr}", end="")
    return done.returncode == 0


def main():
    """Build, run, report; the exit status is 0 if there was nothing to report."""
    options, arguments = special.parser(__doc__).parse_known_args()
    with special.copied_tree(options.folder) as tree, tempfile.TemporaryDirectory() as said:
        said = Path(said)
        special.build(tree, FASTNN_SANITIZE=SANITIZERS)
        passed = os.uname().machine != "x86_64" or run_driver(tree, said)
        log = f"log_path={said}/report"
        status = special.pytest(
            tree,
            arguments,
            LD_PRELOAD=preloaded(),
            ASAN_OPTIONS=f"{ADDRESS}:{log}",
            UBSAN_OPTIONS=f"{UNDEFINED}:{log}",
        )
        found = reports(said)
        print("\n".join(text[:4000] for text in found[:50]))
        print(f"sanitizers: {len(found)} different reports; tests: exit status {status}")
        sys.exit(bool(status or found or not passed))


if __name__ == "__main__":
    main()
