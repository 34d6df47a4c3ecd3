"""``fastnn predict``: a model's predictions for a table."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from fastnn._tabular.held_out import unpacked
from fastnn._tabular.tables import Table, read, write_csv, write_npy
from fastnn._tabular.tasks import Task
from fastnn.models import load_model


def run(args: Namespace) -> None:
    """Predict, write the predictions, and print scores where the table has the target."""
    model, table = load_model(args.model), read(args.data)
    rows = features(model, table)
    outputs = model.predict(rows)
    task = task_in(model)
    if args.output is not None and args.output.endswith(".npy"):
        write_npy(args.output, outputs)
    else:
        write_csv(args.output, *_columns(outputs, task))
    if args.output is not None:
        print(f"{len(rows)} predictions: {args.output}")
        for line in judged(model, table, task, outputs):
            print(line)


def task_in(model: Any) -> Task | None:
    """Return the task that a model of `fastnn train` was trained for, else None."""
    found = model.metadata
    if not isinstance(found, dict) or "task" not in found or not isinstance(found.get("target"), str):
        return None
    classes = found.get("classes")
    return Task(found["target"], None if classes is None else [str(name) for name in classes])


def features(model: Any, table: Table) -> np.ndarray:
    """Return the rows of a table as the model takes them: columns by name where it knows names.

    Raises
    ------
    ValueError
        Where columns are missing, or are not as many as the model takes.
    """
    columns = model.input_shape[-1]
    if table.names is None:
        assert isinstance(table.rows, np.ndarray)
        found, names = table.rows, None
    elif model.column_names is not None:
        names = model.column_names
        missing = [name for name in names if name not in table.names]
        if missing:
            raise ValueError(
                f"{table.path} lacks {len(missing)} of the {len(names)} columns that the model takes: "
                f"{', '.join(missing[:10])}."
            )
        found = table.numbers(names)
    else:
        found = table.numbers(table.names)
    if found.shape[1] != columns:
        raise ValueError(
            f"{table.path} has {found.shape[1]} columns, but the model takes {columns}"
            + (f": {', '.join(model.column_names)}." if model.column_names else ".")
        )
    return found.astype(model.dtype)


def _columns(outputs: np.ndarray, task: Task | None) -> tuple[list[str], list[list[Any]]]:
    """Return names and columns of a table of predictions."""
    if task is None:
        return [f"output_{i}" for i in range(outputs.shape[1])], [column.tolist() for column in outputs.T]
    if task.classes is None:
        return [task.target], [outputs[:, 0].tolist()]
    labels = [task.classes[i] for i in task.predicted(outputs)]
    probabilities = task.probabilities(outputs)
    names = [task.target, *(f"probability of {name}" for name in task.classes)]
    return names, [labels, *(column.tolist() for column in probabilities.T)]


def judged(model: Any, table: Table, task: Task | None, outputs: np.ndarray) -> list[str]:
    """Return lines with the scores, where the table has targets; where it is the training's, of the test."""
    if task is None or table.names is None or task.target not in table.names:
        return []
    y = task.targets(table)
    lines = [_line(f"all {len(y)} rows", task.scores(y, outputs))]
    test = model.metadata.get("test", {})
    if test.get("table") == table.digest:
        rows = unpacked(test["rows"], len(y))
        name = f"test, {len(rows)} rows"
        lines.append(_line(name, task.scores(y[rows], outputs[rows])))
    return lines


def _line(name: str, scores: dict[str, float]) -> str:
    return f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in scores.items())
