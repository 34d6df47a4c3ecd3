"""The command ``fastnn``: what this installation is and how fast, and models of tables without Python."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

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
        help="describe this installation, or a model's file",
        description="Without a model, print what fastnn runs on: version, processor, instruction set in use, "
        "threads and why that many, and how it was built. With one, print its layers and sizes, the columns "
        "that it takes, and how it was trained.",
    )
    info.add_argument("model", nargs="?", metavar="MODEL", help="a file that fastnn wrote")
    info.set_defaults(run=run_info)

    _add_train(commands)
    _add_predict(commands)
    _add_convert(commands)

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


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train a model to predict one column of a table from the others",
        description="Train on a table of numbers (CSV, a line of names first). Text targets, and whole "
        "numbers of few values, are classes. The features are scaled inside the model. Rows are held out to "
        "stop by and to judge; the model of the best epoch is kept, and its scores stand beside those of "
        "always saying the mean, or the most frequent class.",
        epilog="example: fastnn train iris.csv --target species --layers 16,16 -o iris.safetensors",
    )
    train.add_argument("data", metavar="DATA", help="a CSV file")
    train.add_argument("--target", required=True, metavar="COLUMN", help="what to predict")
    train.add_argument(
        "--layers",
        type=sizes,
        default=[64, 64],
        metavar="N,N",
        help="units of the hidden layers (default: 64,64)",
    )
    train.add_argument("-o", "--output", required=True, metavar="MODEL", help="the file to write")
    train.add_argument("--drop", type=listed, default=[], metavar="A,B", help="columns to leave out")
    train.add_argument(
        "--task",
        choices=["auto", "classification", "regression"],
        default="auto",
        help="what the target is (default: auto)",
    )
    train.add_argument(
        "--activation", default="relu", metavar="NAME", help="of the hidden layers (default: relu)"
    )
    train.add_argument("--epochs", type=positive, default=1000, metavar="N", help="at most (default: 1000)")
    train.add_argument(
        "--patience", type=positive, default=50, metavar="N", help="epochs without progress (default: 50)"
    )
    train.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help="rows a step (default: 32)"
    )
    train.add_argument(
        "--learning-rate", type=rate, default=1e-3, metavar="X", help="of Adam (default: 0.001)"
    )
    train.add_argument(
        "--test", type=share, default=0.2, metavar="X", help="share to judge by (default: 0.2)"
    )
    train.add_argument(
        "--validation",
        type=share,
        default=0.2,
        metavar="X",
        help="share of the rest to stop by (default: 0.2)",
    )
    train.add_argument("--seed", type=seed, default=0, help="of weights, shuffles and shares (default: 0)")
    train.add_argument("--no-plot", action="store_true", help="draw no learning curve")
    train.add_argument("--quiet", action="store_true", help="print nothing")
    train.set_defaults(run=_tabular("training"))


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="predict the rows of a table with a model",
        description="Predict the rows of a CSV file, whose columns are found by their names, or of an array "
        "(.npy). Where the table has the target, scores are printed too; of the very table that the model "
        "was trained on, those of the held out rows.",
    )
    predict.add_argument("model", metavar="MODEL", help="a file that fastnn wrote")
    predict.add_argument("data", metavar="DATA", help="a CSV or .npy file")
    predict.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="a CSV or .npy file to write (default: CSV on standard output)",
    )
    predict.set_defaults(run=_tabular("predicting"))


def _add_convert(commands: Any) -> None:
    convert = commands.add_parser(
        "convert",
        help="convert a model between fastnn's files, ONNX, Keras and C",
        description="The endings of the files say what they are: .safetensors (fastnn's own), .onnx, .keras; "
        "and .c to write, with a header beside it.",
        epilog="example: fastnn convert model.safetensors model.onnx",
    )
    convert.add_argument("source", metavar="FROM", help="the file to read")
    convert.add_argument("destination", metavar="TO", help="the file to write")
    convert.set_defaults(run=_tabular("converting"))


def _tabular(module: str) -> Callable[[argparse.Namespace], None]:
    """Return a command, whose module is imported when it runs."""

    def run(args: argparse.Namespace) -> None:
        importlib.import_module(f"fastnn._tabular.{module}").run(args)

    return run


def sizes(text: str) -> list[int]:
    """Return ``"64,64"`` as numbers; ``""`` is none."""
    return [positive(word) for word in listed(text)]


def listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, not {value:g}")
    return value


def rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive, not {value:g}")
    return value


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
    """Print the facts that a bug report or a benchmark needs, or those about a model."""
    if args.model is not None:
        from fastnn._tabular.describing import describe

        print("\n".join(describe(args.model)))
        return
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
    except (ImportError, OSError, ValueError, FloatingPointError, NotImplementedError) as error:
        print(f"fastnn: error: {error}", file=sys.stderr)
        return FAILED
    return 0
