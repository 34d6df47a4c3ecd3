#!/usr/bin/env python
"""How much of fastnn the tests run: branches of csrc/, lines of Cython and Python.

    python tests/reliability/covered.py                     # everything; half an hour and more
    python tests/reliability/covered.py tests/kernels       # what pytest is given

builds a copy of the tree with gcc's counters and without optimization. Generated C carries the line numbers
of its .pyx file there, so gcov counts lines of Cython, in all threads and without the interpreter's lock,
which Cython's own tracing cannot. coverage.py counts Python, in processes that tests start too. Fails below
the figures of LEAST, or if a test fails. Needs what `pip install -e '.[dev]' coverage` installs.

A header is compiled for each element type and instruction set. A branch counts as taken if it is in one of
those that this processor runs; copies of a line with another number of branches, since conditions are
constant there, count by themselves.
"""

import json
import os
import sys
from collections import defaultdict

import special

LEAST = {"csrc branches": 95.0, "Cython lines": 95.0, "Python lines": 95.0}
SETTINGS = """
[run]
source_pkgs = fastnn
parallel = true
patch = subprocess
data_file = {tree}/.coverage
[report]
exclude_also =
    if TYPE_CHECKING:
"""


class Counts:
    """Lines and branches of source files, added up over the objects that they were compiled into."""

    def __init__(self):
        self.lines = defaultdict(int)
        self.branches = {}

    def add(self, found):
        """Add what gcov says of one object."""
        for file in found["files"]:
            name = file["file"]
            if not name.startswith(("csrc/", "fastnn/")):
                continue
            for line in file["lines"]:
                place = name, line["line_number"]
                self.lines[place] += line["count"]
                counts = [branch["count"] for branch in line["branches"]]
                if counts and name.startswith("csrc/"):
                    key = (*place, len(counts))
                    before = self.branches.get(key, [0] * len(counts))
                    self.branches[key] = [a + b for a, b in zip(before, counts, strict=True)]


def native(tree):
    """Return the counts of all objects."""
    counts = Counts()
    for data in sorted(tree.glob("build/temp*/**/*.gcda")):
        said = special.run("gcov", "--json-format", "--branch-probabilities", "--stdout", data, cwd=tree)
        for line in said.splitlines():
            counts.add(json.loads(line))
    return counts


def python(tree):
    """Return (covered, all, missing by file) of lines of Python."""
    options = {"cwd": tree, "env": {**os.environ, "COVERAGE_RCFILE": str(tree / "coverage.ini")}}
    special.run(sys.executable, "-m", "coverage", "combine", "-q", **options)
    special.run(sys.executable, "-m", "coverage", "json", "-q", "-o", "coverage.json", **options)
    found = json.loads((tree / "coverage.json").read_text())
    missing = {name: file["missing_lines"] for name, file in found["files"].items() if file["missing_lines"]}
    return found["totals"]["covered_lines"], found["totals"]["num_statements"], missing


def tell(what, covered, whole, missing):
    """Print one figure and what is missing; return whether it is enough."""
    share = 100.0 * covered / max(whole, 1)
    for name, places in sorted(missing.items()):
        print(f"  {name}: {' '.join(str(place) for place in places)}")
    print(f"{what}: {share:.2f}% ({covered} of {whole}; at least {LEAST[what]}%)\n")
    return share >= LEAST[what]


def judge(tree):
    """Print all figures; return whether they are enough."""
    counts = native(tree)
    missing = defaultdict(list)
    for (name, line, _), taken in sorted(counts.branches.items()):
        if 0 in taken:
            missing[name].append(f"{line} ({taken.count(0)} of {len(taken)})")
    branches = [count for taken in counts.branches.values() for count in taken]
    enough = tell("csrc branches", sum(count > 0 for count in branches), len(branches), missing)

    lines = {place: count for place, count in counts.lines.items() if place[0].endswith((".pyx", ".pxd"))}
    missing = defaultdict(list)
    for (name, line), count in sorted(lines.items()):
        if not count:
            missing[name].append(line)
    enough &= tell("Cython lines", sum(count > 0 for count in lines.values()), len(lines), missing)
    return tell("Python lines", *python(tree)) and enough


def main():
    """Build, run, report; the exit status is 0 if tests passed and enough was run."""
    options, arguments = special.parser(__doc__).parse_known_args()
    with special.copied_tree(options.folder) as tree:
        special.build(tree, FASTNN_COVERAGE="1")
        for old in [*tree.glob("build/temp*/**/*.gcda"), *tree.glob(".coverage*")]:
            old.unlink()
        (tree / "coverage.ini").write_text(SETTINGS.format(tree=tree))
        runner = ["coverage", "run", f"--rcfile={tree}/coverage.ini", "-m", "pytest"]
        status = special.pytest(tree, arguments, runner, COVERAGE_RCFILE=f"{tree}/coverage.ini")
        enough = judge(tree)
        sys.exit(bool(status) or not enough)


if __name__ == "__main__":
    main()
