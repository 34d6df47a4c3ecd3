"""``fastnn info MODEL``: what a model's file holds."""

from __future__ import annotations

import os
from typing import Any

from fastnn._tabular.predicting import task_in
from fastnn.models import load_model


def describe(path: str) -> list[str]:
    """Return lines about a model's file: layers, sizes, inputs, settings, how it was trained."""
    model = load_model(path, compile=False)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    facts = [("file", f"{path}, {os.path.getsize(path):,} bytes"), ("inputs", _inputs(model))]
    task = task_in(model)
    if task is not None:
        wanted = "a number" if task.classes is None else f"one of {', '.join(task.classes)}"
        facts.append(("predicts", f"{task.target}: {wanted}"))
        scores, baseline = model.metadata.get("scores", {}), model.metadata.get("baseline", {})
        facts += [
            (f"test {name}", f"{value:.4f} (baseline {baseline.get(name, float('nan')):.4f})")
            for name, value in scores.items()
        ]
    facts += _history(model)
    width = max(len(name) for name, _ in facts)
    return [*lines, *(f"{name:<{width}}  {value}" for name, value in facts)]


def _inputs(model: Any) -> str:
    if model.column_names:
        return f"{len(model.column_names)}: {', '.join(model.column_names)}"
    shape = model.input_shape if model.built else None
    return "not known yet" if shape is None else f"{shape[-1]} columns without names"


def _history(model: Any) -> list[tuple[str, str]]:
    if model.history is None or not model.history.epoch:
        return [("trained", "no history")]
    history = model.history.history
    facts = [("trained", f"{len(model.history.epoch)} epochs in the last fit")]
    for key, values in history.items():
        first, last = values[0], values[-1]
        if isinstance(first, float):
            facts.append(
                (key, f"{first:.5g} -> {last:.5g}, lowest {min(values):.5g}, highest {max(values):.5g}")
            )
    return facts
