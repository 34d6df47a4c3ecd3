"""``fastnn train``: a model of a table, judged on rows that it has not seen."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import Any

import numpy as np

import fastnn
from fastnn import callbacks, layers, optimizers
from fastnn._tabular.held_out import packed
from fastnn._tabular.tables import Table, read
from fastnn._tabular.tasks import Task, task_of


def run(args: Namespace) -> None:
    """Train, print scores beside a baseline, write the model and the picture of its learning."""
    table = read(args.data)
    if table.names is None:
        raise ValueError(f"{args.data}: training needs a table with names of columns, a CSV file.")
    task = task_of(table, args.target, args.task)
    names = _features(table, args.target, args.drop)
    x, y = table.numbers(names).astype(np.float32), task.targets(table)
    fastnn.utils.set_random_seed(args.seed)
    train, validation, test = _split(y, task, args.validation, args.test, args.seed)
    say = _silent if args.quiet else print
    say(f"{args.data}: {len(x)} rows, {len(names)} features; {_about(task)}")
    say(f"{len(train)} rows to train on, {len(validation)} to stop by, {len(test)} to judge")
    model = _model(x[train], y[train], task, args)
    model.column_names = names
    watch = callbacks.EarlyStopping("val_loss", patience=args.patience, restore_best_weights=True)
    history = model.fit(
        x[train],
        _shaped(y[train], task),
        batch_size=args.batch_size,
        epochs=args.epochs,
        verbose=1 if sys.stdout.isatty() and not args.quiet else 0,
        callbacks=[watch],
        validation_data=(x[validation], _shaped(y[validation], task)),
    )
    outputs = model.predict(x[test])
    scores, baseline = task.scores(y[test], outputs), task.baseline(y[train], y[test])
    model.metadata = {
        **task.metadata,
        "test": {"table": table.digest, "rows": packed(test, len(x))},
        "scores": scores,
        "baseline": baseline,
    }
    model.save(args.output)
    best = min(history.history["val_loss"])
    epoch = history.history["val_loss"].index(best) + 1
    say(f"stopped after {len(history.epoch)} epochs; the best was number {epoch}")
    say(*_table(scores, baseline, len(test), task), sep="\n")
    say(f"model: {args.output}")
    if not args.no_plot:
        say(_draw(history, args.output))


def _silent(*words: object, sep: str = " ") -> None:
    """Print nothing."""


def _about(task: Task) -> str:
    if task.classes is None:
        return f"target {task.target!r}: a number"
    shown = ", ".join(task.classes[:6]) + (", ..." if len(task.classes) > 6 else "")
    return f"target {task.target!r}: {len(task.classes)} classes ({shown})"


def _features(table: Table, target: str, drop: list[str]) -> list[str]:
    assert table.names is not None
    for name in drop:
        table.place(name)
    names = [name for name in table.names if name != target and name not in drop]
    if not names:
        raise ValueError(f"{table.path}: beside the target {target!r} no column is left to predict it from.")
    return names


def _split(
    y: np.ndarray, task: Task, validation: float, test: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows for training, validation and test, of each class in the same shares."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(y))
    if task.classes is not None:
        rows = rows[np.argsort(y[rows], kind="stable")]  # so that each share takes from all classes alike
    tested = _spread(len(rows), test)
    rest = rows[~tested]
    stopped = _spread(len(rest), validation)
    found = [np.sort(part) for part in (rest[~stopped], rest[stopped], rows[tested])]
    for name, rows in zip(("train on", "stop by", "judge"), found, strict=True):
        if not len(rows):
            raise ValueError(
                f"{len(y)} rows are too few: with --validation {validation:g} and --test {test:g} none is "
                f"left to {name}."
            )
    return found[0], found[1], found[2]


def _spread(count: int, share: float) -> np.ndarray:
    """Return which of so many places make up a share of them, evenly spread."""
    steps = np.floor(np.arange(count + 1) * share + 0.5)
    return np.diff(steps) > 0


def _model(x: np.ndarray, y: np.ndarray, task: Task, args: Namespace) -> Any:
    scaled = layers.Normalization()
    scaled.adapt(x)
    hidden = [layers.Dense(units, activation=args.activation) for units in args.layers]
    model = fastnn.Sequential([layers.Input((x.shape[1],)), scaled, *hidden, *task.head(y)], name="model")
    model.compile(optimizers.Adam(args.learning_rate), **task.settings)
    return model


def _shaped(y: np.ndarray, task: Task) -> np.ndarray:
    return y if task.classes is not None and len(task.classes) > 2 else y.astype(np.float32)[:, None]


def _table(scores: dict[str, float], baseline: dict[str, float], rows: int, task: Task) -> list[str]:
    lines = [
        "",
        f"{'test, ' + str(rows) + ' rows':<18}{'model':>12}{'baseline':>12}   ({task.baseline_name})",
    ]
    lines += [f"{name:<18}{score:>12.4f}{baseline[name]:>12.4f}" for name, score in scores.items()]
    return [*lines, ""]


def _draw(history: Any, output: str) -> str:
    """Draw the history beside the model's file; return a line that says so, or why not."""
    path = os.path.splitext(output)[0] + ".png"
    try:
        history.plot().savefig(path)
    except ImportError as error:
        return f"no picture: {error}"
    return f"learning curve: {path}"
