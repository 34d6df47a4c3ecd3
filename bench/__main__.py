"""``python -m bench``: fastnn beside every peer that is installed. See README.md in this folder."""

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from bench import report
from bench.peers import PEERS
from bench.side_by_side import KEYS, Plan, run
from fastnn._bench import machine

DOCS = Path(__file__).resolve().parent.parent / "docs"


def chosen(known, what):
    """A parser of lists like ``W2,W4``."""

    def parse(text):
        names = [name.strip() for name in text.split(",") if name.strip()]
        wrong = [name for name in names if name not in known]
        if wrong or not names:
            raise argparse.ArgumentTypeError(f"no {what} {', '.join(wrong)!r}; there are {', '.join(known)}")
        return [name for name in known if name in names]

    return parse


def parser():
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("--quick", action="store_true", help="fewer rows, fewer and shorter rounds")
    made.add_argument(
        "--only", type=chosen(KEYS, "workload"), default=KEYS, metavar="W2,W4", help="workloads"
    )
    made.add_argument("--peers", type=chosen(list(PEERS), "peer"), default=list(PEERS), metavar="jax,torch")
    made.add_argument("--rounds", type=int, help="timed rounds of each peer (9; with --quick 3)")
    made.add_argument("--threads", choices=["one", "all", "both"], default="both")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    made.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE", help="measure nothing: report what --json wrote"
    )
    made.add_argument(
        "--save",
        type=Path,
        nargs="?",
        const=DOCS,
        metavar="DIR",
        help="write benchmarks.md and .png (to docs/)",
    )
    return made


def main(argv=None):
    """Run, print, save."""
    args = parser().parse_args(argv)
    found = report.merged(args.merge) if args.merge else measured(args, argv or sys.argv[1:])
    print(found.markdown())
    if args.json:
        args.json.write_text(json.dumps(found.as_dict(), indent=1), encoding="utf-8")
    if args.save:
        found.save(args.save)


def measured(args, words):
    """Run all that was asked for."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # either ends the run with what there is
        signal.signal(ending, signal.default_int_handler)
    cpus = sorted(os.sched_getaffinity(0))
    teams = [[cpus[-1]]] * (args.threads != "all") + [cpus] * (args.threads != "one" and len(cpus) > 1)
    rounds = args.rounds or (3 if args.quick else 9)
    plan = Plan(args.only, args.peers, teams or [cpus], rounds, 0.1 if args.quick else 0.3, args.quick)
    if args.quick:
        plan = replace(plan, patience=0)
    limits = machine.limits(0.05 if args.quick else 0.2)
    results = run(plan, lambda line: print(line, file=sys.stderr, flush=True))
    limits = machine.better(limits, machine.limits(0.05 if args.quick else 0.2))
    return report.Report(results, machine.describe(limits), report.command(words))


if __name__ == "__main__":
    main()
