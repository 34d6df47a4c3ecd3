"""The command ``fastnn``: what this installation is, a demonstration of what it does, and how fast."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence

from fastnn._version import __version__

FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="fastnn",
        description="Small neural networks on the CPU.",
        epilog="'fastnn COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    info = commands.add_parser(
        "info",
        help="print version, processor, instruction set, threads and build flags",
        description="Print what fastnn runs on: version, processor, instruction set in use, threads and why "
        "that many, and how it was built.",
    )
    info.set_defaults(run=run_info)

    demo = commands.add_parser(
        "demo",
        help="train five small networks and print a table of the results",
        description="Train five small networks (XOR twice, a synthetic table, Iris, a straight line), and "
        "print how long each took and what it learned. Needs nothing but fastnn. With matplotlib installed "
        "it draws the fitted line too.",
    )
    demo.add_argument("--seed", type=seed, default=0, help="seed of weights, shuffles and data (default: 0)")
    demo.add_argument("--plots", metavar="DIR", default=".", help="where to draw the line (default: here)")
    demo.add_argument("--no-plots", action="store_true", help="draw nothing")
    demo.set_defaults(run=run_demo)

    bench = commands.add_parser(
        "bench",
        help="measure this machine's limits, and how fast fastnn is on it",
        description="Measure the machine (peak, bandwidths, barrier) and a table of workloads: whole epochs "
        "of fit, as µs a step, and calls of predict, with one thread and with as many as fastnn chooses. A "
        "few minutes; with --quick less than one.",
    )
    bench.add_argument("--quick", action="store_true", help="fewer rows, fewer and shorter rounds")
    bench.add_argument("--only", metavar="W1,W2", help="these workloads (default: all)")
    bench.add_argument("--threads", type=positive, metavar="N", help="so many threads, and no other choice")
    bench.add_argument("--json", metavar="FILE", help="write all figures to a file too")
    bench.set_defaults(run=run_bench)
    return parser


def seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be between 0 and {2**32 - 1}, not {value}")
    return value


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be positive, not {value}")
    return value


def run_info(args: argparse.Namespace) -> None:
    """Print the facts that a bug report or a benchmark needs."""
    import numpy as np

    from fastnn.kernels import runtime, threads

    lines = [
        ("fastnn", __version__),
        (
            "Python",
            f"{platform.python_version()}, NumPy {np.__version__}, {platform.system()} {platform.machine()}",
        ),
        ("CPU", runtime.cpu_name()),
        ("instruction set", _describe_instruction_set(runtime)),
        ("bfloat16", _describe_bfloat16(runtime)),
        ("threads", threads.thread_reason()),
        *sorted((f"build {key}", value) for key, value in runtime.build_info().items()),
    ]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")


def _describe_instruction_set(runtime) -> str:
    in_use = runtime.instruction_set()
    chosen = ", chosen by FASTNN_ISA" if os.environ.get("FASTNN_ISA") else ""
    return f"{in_use}{chosen} (this CPU has: {', '.join(runtime.instruction_sets())})"


def _describe_bfloat16(runtime) -> str:
    kind = runtime.bfloat16_kind()
    if kind == "emulated":
        return "emulated, slower than float32 (this CPU has no instruction that pays)"
    return f"{kind} (this CPU has: {', '.join(runtime.bfloat16_kinds())})"


def run_demo(args: argparse.Namespace) -> None:
    """Run the demonstration."""
    from fastnn import _demo

    _demo.run(seed=args.seed, plots=None if args.no_plots else args.plots)


def run_bench(args: argparse.Namespace) -> None:
    """Run the benchmarks."""
    from fastnn import _bench

    only = [key.strip() for key in args.only.split(",")] if args.only else None
    _bench.run(only, quick=args.quick, threads=args.threads, json_file=args.json)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the program's name. ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0; 1 when the command failed, with a sentence on stderr; 2 for wrong arguments; 130 after Ctrl-C.
    """
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:  # how argparse ends after --help, --version and wrong arguments
        return stop.code if isinstance(stop.code, int) else FAILED
    try:
        args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nfastnn: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ImportError, OSError, ValueError, FloatingPointError) as error:
        print(f"fastnn: error: {error}", file=sys.stderr)
        return FAILED
    return 0
