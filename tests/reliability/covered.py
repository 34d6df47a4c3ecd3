#!/usr/bin/env python
"""How much of fastnn the tests run: branches of csrc/, lines of Cython and Python.

    python tests/reliability/covered.py                     # everything; half an hour and more
    python tests/reliability/covered.py tests/kernels       # what pytest is given

builds a copy of the tree with gcc's counters and without optimization. Comments of generated C name the line
of Cython that each part was made from, so gcov counts lines of Cython, in all threads and without the
interpreter's lock, which Cython's own tracing cannot. coverage.py counts Python, in processes that tests
start too. Fails below the figures of LEAST, or if a test fails. With --folder, --add goes on with what
earlier runs there have counted. Needs what `pip install -e '.[dev]' coverage` installs.

A header is compiled for each element type and instruction set. A branch counts as taken if it is in one of
those that this processor runs; copies of a line with another number of branches, since a macro means
something else there, count by themselves. Functions that are otherwise always inlined are not: their copies
for constant sizes would have branches that these constants rule out.
"""

import json
import os
import re
import sys
from collections import defaultdict
from functools import cache

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


# What generated C says before the code of a line, and where no line's code goes on.
ORIGIN = re.compile(r' *(?:/\*| \*) "(fastnn/[\w/]+\.(?:pyx|pxd))":(\d+)$')
NOWHERE = re.compile(r'/\* #### Code section|}$| *(?:/\*| \*) "[^"]+":\d+$| */\* function exit code \*/$')


@cache
def origins(path):
    """Return {line of generated C: (file, line) of Cython that it was made from}."""
    here, found = None, {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if named := ORIGIN.match(line):
            here = named[1], int(named[2])
        elif NOWHERE.match(line):
            here = None
        elif here:
            found[number] = here
    return found


class Counts:
    """Lines and branches of source files, added up over the objects that they were compiled into."""

    def __init__(self):
        self.lines = defaultdict(int)
        self.branches = {}

    def add(self, tree, found):
        """Add what gcov says of one object."""
        for file in found["files"]:
            name = file["file"]
            if name.startswith("csrc/"):
                self.add_branches(name, file["lines"])
            elif name.startswith("build/cython"):
                self.add_lines(origins(tree / name), file["lines"])

    def add_lines(self, origin, lines):
        """A line of Cython has run if any C made from it has."""
        for line in lines:
            if place := origin.get(line["line_number"]):
                self.lines[place] += line["count"]

    def add_branches(self, name, lines):
        """Add up branches of copies of a line that have as many of them."""
        for line in lines:
            counts = [branch["count"] for branch in line["branches"]]
            if counts:
                key = name, line["line_number"], len(counts)
                before = self.branches.get(key, [0] * len(counts))
                self.branches[key] = [a + b for a, b in zip(before, counts, strict=True)]


def native(tree):
    """Return the counts of all objects."""
    counts = Counts()
    for data in sorted(tree.glob("build/temp*/**/*.gcda")):
        said = special.run("gcov", "--json-format", "--branch-probabilities", "--stdout", data, cwd=tree)
        for line in said.splitlines():
            counts.add(tree, json.loads(line))
    return counts


def python(tree):
    """Return (covered, all, missing by file) of lines of Python."""
    options = {"cwd": tree, "env": {**os.environ, "COVERAGE_RCFILE": str(tree / "coverage.ini")}}
    special.run(sys.executable, "-m", "coverage", "combine", "--append", "-q", **options)
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

    missing = defaultdict(list)
    for (name, line), count in sorted(counts.lines.items()):
        if not count:
            missing[name].append(line)
    run = sum(count > 0 for count in counts.lines.values())
    enough &= tell("Cython lines", run, len(counts.lines), missing)
    return tell("Python lines", *python(tree)) and enough


def main():
    """Build, run, report; the exit status is 0 if tests passed and enough was run."""
    parser = special.parser(__doc__)
    parser.add_argument("--add", action="store_true", help="keep the counts of earlier runs in --folder")
    options, arguments = parser.parse_known_args()
    with special.copied_tree(options.folder) as tree:
        special.build(tree, FASTNN_COVERAGE="1")
        if options.build_only:
            return
        if not options.add:
            for old in [*tree.glob("build/temp*/**/*.gcda"), *tree.glob(".coverage*")]:
                old.unlink()
        (tree / "coverage.ini").write_text(SETTINGS.format(tree=tree))
        runner = ["coverage", "run", f"--rcfile={tree}/coverage.ini", "-m", "pytest"]
        status = special.pytest(tree, arguments, runner, COVERAGE_RCFILE=f"{tree}/coverage.ini")
        enough = judge(tree)
        sys.exit(bool(status) or not enough)


if __name__ == "__main__":
    main()
